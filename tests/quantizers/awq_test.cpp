#include "bitlens/quantizers/awq.hpp"

#include "bitlens/core/random.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

using namespace bitlens;

namespace {

constexpr auto symmetric_zero = zero_kind::symmetric;

matrix<float> filled(std::size_t rows, std::size_t cols, std::vector<float> const& numbers) {
    matrix<float> m(rows, cols);
    std::ranges::copy(numbers, m.data());
    return m;
}
matrix<float> normal(std::size_t rows, std::size_t cols, random_generator& random) {
    matrix<float> m(rows, cols);
    for (float& x : m.span()) x = static_cast<float>(random.normal());
    return m;
}

template <quant_format F>
matrix<float> decoded(packed_matrix<F> const& packed) {
    matrix<float> m(packed.rows(), packed.cols());
    for (std::size_t r = 0; r < m.rows(); ++r)
        for (std::size_t c = 0; c < m.cols(); ++c) m(r, c) = packed.value(r, c);
    return m;
}

/// mean((x·Ŵᵀ − x·Wᵀ)²) in double.
double loss_of(matrix_view<const float> x, matrix_view<const float> w, matrix_view<const float> rounded) {
    double sum = 0;
    for (std::size_t t = 0; t < x.rows; ++t)
        for (std::size_t r = 0; r < w.rows; ++r) {
            double change = 0;
            for (std::size_t c = 0; c < w.cols; ++c) change += double{x(t, c)} * (double{rounded(r, c)} - w(r, c));
            sum += change * change;
        }
    return sum / static_cast<double>(x.rows * w.rows);
}

/// Errors of the ten clips of one group, from the outputs in double.
std::array<double, 10> clip_errors(matrix_view<const float> x, std::span<const float> w, uniform_rule const& rule) {
    std::array<double, 10> errors{};
    matrix<float> changes(10, w.size());
    detail::change_by_clips(w, rule, changes);
    for (std::size_t i = 0; i < 10; ++i)
        for (std::size_t t = 0; t < x.rows; ++t) {
            double change = 0;
            for (std::size_t c = 0; c < w.size(); ++c) change += double{x(t, c)} * changes(i, c);
            errors[i] += change * change;
        }
    return errors;
}

/// The search finds what the sums in double say, or what they say is as good but for the roundings of float32: of
/// 512 products of inputs, and as many as a group has columns of them with changes.
void check_clips(matrix_view<const float> w, uniform_rule const& rule, matrix_view<const float> x) {
    const auto clips = awq_clips(w, rule, x);
    const std::size_t width = rule.group_columns(w.cols);
    std::size_t equal = 0;
    for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t g = 0; g < clips.cols(); ++g) {
            const std::size_t count = std::min(width, w.cols - g * width);
            const auto group = w.row(r).subspan(g * width, count);
            const auto errors = clip_errors(x.middle_cols(g * width, count), group, rule);
            const auto best = static_cast<std::size_t>(std::ranges::min_element(errors) - errors.begin());
            std::size_t found = 10;
            for (std::size_t i = 10; i-- > 0;)
                if (clips(r, g) == detail::clip_at(detail::largest_magnitude(group), i)) found = i;
            REQUIRE(found < 10);
            equal += found == best ? 1u : 0u;
            double size = 0; // Σ_t (Σ_c |x·δ|)²: what roundings are relative to
            matrix<float> changes(10, count);
            detail::change_by_clips(group, rule, changes);
            for (std::size_t t = 0; t < x.rows; ++t) {
                double sum = 0;
                for (std::size_t c = 0; c < count; ++c)
                    sum += std::abs(double{x(t, g * width + c)}) *
                           std::max(std::abs(double{changes(found, c)}), std::abs(double{changes(best, c)}));
                size += sum * sum;
            }
            REQUIRE(errors[found] <= errors[best] + 1e-5 * size);
        }
    CHECK(static_cast<double>(equal) >= 0.99 * static_cast<double>(w.rows * clips.cols()));
}

template <class F>
void check_codes(std::vector<float> const& x, float scale, [[maybe_unused]] unsigned zero,
                 std::vector<unsigned> const& expected) {
    const auto m = round_spanning<F>({x.data(), 1, x.size()});
    CAPTURE(format_name<F>());
    CHECK(m.scale(0, 0) == doctest::Approx(scale).epsilon(1e-7));
    if constexpr (F::has_zero) CHECK(m.zero(0, 0) == zero);
    for (std::size_t c = 0; c < x.size(); ++c) CHECK(m.code(0, c) == expected[c]);
}

} // namespace

TEST_CASE("KAT-R1, R2: the spanning grid need not include 0") {
    const std::vector<float> both{-.75f, -.5f, -.125f, 0, .25f, .375f, .5f, 1};
    const std::vector<float> positive{.25f, .5f, .75f, 1, 1.25f, 1.5f, 1.75f, 2};
    check_codes<uniform<3, 32>>(both, 0.25f, 3, {0, 1, 3, 3, 4, 5, 5, 7});
    check_codes<uniform<4, 32>>(both, 0.11666667f, 6, {0, 2, 5, 6, 8, 9, 10, 15});
    check_codes<uniform<3, 0>>(positive, 0.25f, 0, {1, 2, 3, 4, 5, 6, 7, 7});
    check_codes<uniform<4, 0>>(positive, 0.11666667f, 0, {2, 4, 6, 9, 11, 13, 15, 15});
    // AutoAWQ's: scale = max|w|/(2^(b−1) − 1), so that the largest weight is itself and −4 codes are left unused.
    check_codes<uniform<3, 32, symmetric_zero>>(both, 1.0f / 3, 4, {2, 2, 4, 4, 5, 5, 6, 7});
    check_codes<uniform<2, 0, symmetric_zero>>(positive, 2.0f, 2, {2, 2, 2, 2, 3, 3, 3, 3});
}

TEST_CASE("grids of groups at the edges") {
    const float e = 1e-5f / 7;
    check_codes<uniform<3, 32>>({0, 0, -0.0f}, e, 0, {0, 0, 0});
    check_codes<uniform<3, 32>>({2, 2, 2}, e, 0, {7, 7, 7});    // one number, not 0: the range is none
    check_codes<uniform<3, 32>>({-2, -2, -2}, e, 7, {0, 0, 0}); // as the original
    check_codes<uniform<3, 32, symmetric_zero>>({-2, -2, 2}, 2.0f / 3, 4, {1, 1, 7});
    check_codes<uniform<4, 32>>({3e38f, 3e38f}, 1e-5f / 15, 0, {15, 15}); // w/scale is infinite
    const float infinite = std::numeric_limits<float>::infinity(), nan = std::nanf("");
    for (const float bad : {infinite, -infinite, nan, -nan}) {
        const std::vector<float> w{1, 2, bad, 3};
        for (const auto kind : {zero_kind::asymmetric, symmetric_zero}) {
            const auto [lo, hi] = detail::range_of(w);
            CHECK_FALSE(std::isfinite(spanning_grid(lo, hi, uniform_rule{3, 0, kind}.codes()).scale));
        }
        CHECK_THROWS_AS((round_spanning<uniform<3, 32>>({w.data(), 1, 4})), format_error);
        CHECK_THROWS_AS(awq_clips({w.data(), 1, 4}, {3, 4}, {w.data(), 1, 4}), format_error);
    }
    const std::vector<float> wide{-3e38f, 3e38f};
    CHECK_THROWS_WITH_AS((round_spanning<uniform<3, 32>>({wide.data(), 1, 2})),
                         "awq: the weights of row 0, columns 0 to 1, span more than float32 can hold", format_error);
}

TEST_CASE("KAT-A3: scales, losses and clips") {
    const auto x = filled(2, 4, {1, -4, .25f, 16, 3, -8, .75f, 16});
    const auto w = filled(2, 4, {.7f, -.2f, .9f, .05f, -.3f, .4f, -.8f, .11f});
    const std::vector<float> magnitudes{2, 6, .5f, 16};
    const auto check_scales = [&](float ratio, std::vector<double> const& expected) {
        const auto s = awq_scales(magnitudes, ratio);
        for (std::size_t c = 0; c < 4; ++c) CHECK(std::abs(double{s[c]} - expected[c]) < 1e-6);
    };
    check_scales(0, {1, 1, 1, 1});
    check_scales(.25f, {.917004, 1.206845, .648420, 1.542211});
    check_scales(.5f, {.840896, 1.456475, .420448, 2.378414});
    check_scales(.95f, {.719467, 2.043036, .192776, 5.187358});

    const uniform_rule rule{3, 4};
    std::vector<double> losses;
    for (std::size_t i = 0; i < awq_ratio_count; ++i) {
        matrix<float> rounded(2, 4);
        round_scaled(w.view(), awq_scales(magnitudes, awq_ratio(i)), rule, rounded);
        losses.push_back(loss_of(x, w, rounded));
    }
    for (const auto& [at, loss] : std::vector<std::pair<std::size_t, double>>{
             {0, 1.440649}, {5, .170723}, {10, .012166}, {14, .019788}, {19, .010268}})
        CHECK(std::abs(losses[at] - loss) < 1e-6);
    CHECK(std::ranges::min_element(losses) - losses.begin() == 19);

    const auto clips = awq_clips(w, rule, x);
    CHECK(clips(0, 0) == doctest::Approx(.495).epsilon(1e-6));
    CHECK(clips(1, 0) == doctest::Approx(.68).epsilon(1e-6));
    for (std::size_t r = 0; r < 2; ++r) {
        const auto errors = clip_errors(x, w.row(r), rule); // Σ over tokens, of which there are 2
        CHECK(std::abs(*std::ranges::min_element(errors) / 2 - (r == 0 ? .123712 : .172449)) < 1e-6);
    }
    const std::vector<float> row{.7f, -.2f, .9f, .05f};
    auto clipped = filled(1, 4, row);
    clip_groups(clipped.view(), rule, filled(1, 1, {.495f}).view());
    CHECK(std::ranges::equal(clipped.row(0), std::vector<float>{.495f, -.2f, .495f, .05f}));
}

TEST_CASE("scales of channels at the edges") {
    const std::vector<float> zeros(5), one_huge{1e30f, 1, 1, 0};
    for (std::size_t i = 0; i < awq_ratio_count; ++i) {
        for (const float s : awq_scales(zeros, awq_ratio(i))) CHECK(s == 1.0f);
        for (const float s : awq_scales(one_huge, awq_ratio(i))) CHECK((s > 0 && std::isfinite(s)));
    }
    CHECK(awq_scales(zeros, 0).front() == 1.0f);                                  // 0^0 = 1
    CHECK(awq_scales({{4, 0}}, 0.5f)[0] == doctest::Approx(std::sqrt(2 / 1e-4))); // 0 counts as 1e-4
    CHECK(awq_scales({}, 0.5f).empty());
}

TEST_CASE("clips by products of inputs are those of the outputs") {
    random_generator random(3);
    const auto w = normal(48, 224, random);
    const auto x = normal(300, 224, random); // 300 tokens: groups of up to 300 columns go by products
    for (const auto rule : {uniform_rule{3, 64}, uniform_rule{4, 32, symmetric_zero},
                            uniform_rule{2, 128, symmetric_zero}, uniform_rule{3, 0}, uniform_rule{4, 96}})
        check_clips(w, rule, x);
    check_clips(w, {3, 0}, normal(100, 224, random)); // fewer tokens than columns: by outputs
    check_clips(w, {4, 64}, normal(1, 224, random));
}

TEST_CASE("clips of matrices that are hard") {
    random_generator random(4);
    auto w = normal(40, 128, random);
    auto x = normal(200, 128, random);
    for (std::size_t c = 0; c < 128; ++c) {
        w(0, c) = 0;
        w(1, c) = 0.5f;              // constant
        w(2, c) = std::abs(w(2, c)); // of one sign
        w(3, c) = -std::abs(w(3, c));
        w(4, c) = w(5, 0) * w(6, c); // rank one with row 6
    }
    w(7, 9) = 1000; // one huge weight
    for (std::size_t t = 0; t < 200; ++t) {
        x(t, 3) = 0;       // a channel that is always 0
        x(t, 70) = 1;      // constant
        x(t, 100) *= 1000; // and a huge one
    }
    for (const auto rule : {uniform_rule{3, 64}, uniform_rule{4, 128, symmetric_zero}}) check_clips(w, rule, x);
    CHECK(awq_clips(w, {3, 64}, x)(0, 0) == 0.0f);
    const matrix<float> no_inputs(0, 128), silent(10, 128);
    CHECK_THROWS_WITH_AS(awq_clips(w, {3, 64}, no_inputs), "awq_clips: no inputs, at least one token is expected",
                         shape_error);
    CHECK_THROWS_AS(awq_clips(w, {3, 64}, matrix<float>(10, 64)), shape_error);
    const auto of_silence = awq_clips(w, {3, 64}, silent); // no clip is better than another: none
    CHECK(of_silence(7, 0) == 1000.0f);
}

TEST_CASE("the sample of inputs is every n-th token of all documents") {
    for (const std::size_t tokens : {1u, 7u, 511u, 512u, 1023u, 1024u, 2600u}) {
        const std::size_t stride = tokens < 1024 ? 1 : tokens / 512;
        input_sample sample(1, tokens);
        std::size_t first = 0;
        for (std::size_t length = 1; first < tokens; first += length, length += 3) {
            matrix<float> x(std::min(length, tokens - first), 1);
            for (std::size_t t = 0; t < x.rows(); ++t) x(t, 0) = static_cast<float>(first + t + 1);
            sample.keep(first, x);
        }
        const auto kept = sample.inputs();
        REQUIRE(kept.rows == (tokens + stride - 1) / stride);
        for (std::size_t i = 0; i < kept.rows; ++i) REQUIRE(kept(i, 0) == static_cast<float>(i * stride + 1));
    }
}

TEST_CASE("awq is clips, then codes; without clips it is codes alone") {
    random_generator random(5);
    const auto w = normal(20, 96, random);
    input_sample sample(96, 64);
    sample.keep(0, normal(64, 96, random));
    using format = uniform<3, 64>;
    matrix<float> clipped(20, 96);
    copy_rows(w.view(), clipped.view());
    clip_groups(clipped.view(), {3, 64}, awq_clips(w, {3, 64}, sample.inputs()));
    const auto with = awq<format>{}(w, sample), expected = round_spanning<format>(clipped.view());
    const auto without = awq<format>{false}(w, sample), plain = round_spanning<format>(w.view());
    std::size_t different = 0;
    for (std::size_t r = 0; r < 20; ++r)
        for (std::size_t c = 0; c < 96; ++c) {
            CHECK(with.value(r, c) == expected.value(r, c));
            CHECK(without.value(r, c) == plain.value(r, c));
            different += with.value(r, c) != without.value(r, c) ? 1u : 0u;
        }
    CHECK(different > 0);
    CHECK(loss_of(sample.inputs(), w, decoded(with)) < loss_of(sample.inputs(), w, decoded(without)));
}

TEST_CASE("rounding with scales of 1 is rounding; what leaves float32 is not finite") {
    random_generator random(6);
    const auto w = normal(9, 100, random);
    matrix<float> rounded(9, 100);
    round_scaled(w.view(), std::vector<float>(100, 1.0f), rule_of<uniform<4, 32>>, rounded);
    const auto packed = round_spanning<uniform<4, 32>>(w.view());
    for (std::size_t r = 0; r < 9; ++r)
        for (std::size_t c = 0; c < 100; ++c) CHECK(rounded(r, c) == packed.value(r, c));
    round_scaled(w.view(), std::vector<float>(100, 3e38f), rule_of<uniform<4, 32>>, rounded);
    CHECK_FALSE(std::isfinite(rounded(0, 0)));
    CHECK_THROWS_AS(round_scaled(w.view(), std::vector<float>(99, 1.0f), {}, rounded), shape_error);
}
