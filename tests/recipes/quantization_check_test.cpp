#include "bitlens/recipes/quantization_check.hpp"
#include "bitlens/recipes/recovered_scales.hpp"

#include "bitlens/core/half.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/quantizers/absmax.hpp"
#include "bitlens/quantizers/gptq.hpp"
#include "bitlens/quantizers/rtn.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

using namespace bitlens;

namespace {

using finding = quantization_finding;
constexpr auto checked_sym = zero_kind::symmetric;

/// Rows of normal numbers, some longer than others, and a few large ones.
matrix<float> checked_weights(std::uint64_t seed, std::size_t rows = 96, std::size_t cols = 256) {
    matrix<float> w(rows, cols);
    random_generator random(seed);
    for (std::size_t r = 0; r < rows; ++r) {
        const double size = std::exp(0.3 * random.normal());
        for (float& x : w.row(r)) x = static_cast<float>(size * random.normal());
    }
    for (int i = 0; i < 20; ++i) w(random.below(rows), random.below(cols)) *= 4;
    return w;
}

template <class F>
matrix<float> decoded_of(packed_matrix<F> const& packed) {
    matrix<float> w(packed.rows(), packed.cols());
    const auto all = coded(packed);
    for (std::size_t r = 0; r < w.rows(); ++r) all.read_row(r, w.row(r));
    return w;
}
template <class F>
matrix<float> rounded_by(matrix<float> const& w) {
    return decoded_of(rtn<F>{}(w.view()));
}
matrix<float> copy_of_weights(matrix_view<const float> w) {
    matrix<float> m(w.rows, w.cols);
    copy_rows(w, m.view());
    return m;
}

/// Inputs that depend on each other, as those of models do.
input_hessian checked_inputs(std::uint64_t seed, std::size_t width) {
    random_generator random(seed);
    matrix<float> x(400, width);
    for (std::size_t t = 0; t < x.rows(); ++t) {
        const double common = random.normal();
        for (std::size_t c = 0; c < width; ++c)
            x(t, c) = static_cast<float>((1 + static_cast<double>(c % 7) / 3) * (common + random.normal()));
    }
    input_hessian h(width);
    const matrix_view<const float> document = x;
    h.add({&document, 1}, 1);
    return h;
}

quantization_check checked(matrix<float> const& a, matrix<float> const& b, char const* method) {
    return check_quantization(a.view(), b.view(), expected_of(parse_method(method)));
}
void expect_finding(quantization_check const& c, finding what, std::string const& words) {
    CAPTURE(c.text);
    CAPTURE(c.ratio);
    CHECK(name(c.finding) == name(what));
    CHECK(c.text.find(words) != std::string::npos);
}

} // namespace

TEST_CASE("honest quantizations of ten seeds are plausible, and nothing of them stands out") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        const auto w = checked_weights(seed);
        const auto inputs = checked_inputs(seed, w.cols());
        const auto is_plausible = [&](matrix<float> const& b, char const* method) {
            const auto c = checked(w, b, method);
            CAPTURE(method);
            CAPTURE(c.ratio);
            CHECK_MESSAGE(c.is_plausible(), c.text);
            CHECK(c.rows.empty());
        };
        is_plausible(rounded_by<uniform<2, 64>>(w), "rtn2-g64");
        is_plausible(rounded_by<uniform<3, 64>>(w), "rtn3-g64");
        is_plausible(rounded_by<uniform<4, 128>>(w), "rtn4-g128");
        is_plausible(rounded_by<uniform<4, 0, checked_sym>>(w), "rtn4-row-sym");
        is_plausible(rounded_by<uniform<8, 32>>(w), "rtn8-g32");
        is_plausible(decoded_of(absmax<normal_float<3, 64>>{}(w.view())), "nf3-g64");
        is_plausible(decoded_of(absmax<normal_float<4, 64>>{true}(w.view())), "nf4-g64-dq");
        is_plausible(decoded_of(gptq<uniform<3, 64, checked_sym>>{}(w.view(), inputs)), "gptq3-g64");
        is_plausible(decoded_of(gptq<uniform<4, 128, checked_sym>>{}(w.view(), inputs)), "gptq4-g128");
    }
}

TEST_CASE("scales stored in 16 bits leave a quantization plausible") {
    const auto w = checked_weights(4);
    auto b = rounded_by<uniform<4, 64>>(w);
    for (float& x : b.span()) x = static_cast<float>(bf16(x));
    CHECK(checked(w, b, "rtn4-g64").is_plausible());
    CHECK(checked(w, b, "rtn4-g64").ratio == doctest::Approx(1).epsilon(0.01));
}

TEST_CASE("what is not quantized is told from what is") {
    const auto w = checked_weights(1);
    expect_finding(checked(w, copy_of_weights(w.view()), "gptq4-g64"), finding::equal, "every number is A's");
    auto b = copy_of_weights(w.view());
    for (float& x : b.span()) x = static_cast<float>(bf16(x));
    expect_finding(checked(w, b, "gptq4-g64"), finding::only_rounded, "rounded to 16 bits");
    expect_finding(checked(rounded_by<uniform<4, 64>>(w), rounded_by<uniform<4, 64>>(w), "rtn4-g64"),
                   finding::plausible, "");
}

TEST_CASE("zero points off by one, to either side, are told") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed)
        for (const float by : {1.0f, -1.0f}) {
            const auto w = checked_weights(seed);
            for (const bool with_gptq : {false, true}) {
                auto all = with_gptq ? coded(gptq<uniform<4, 64, checked_sym>>{}(w.view(), checked_inputs(seed, 256)))
                                     : coded(rtn<uniform<4, 64>>{}(w.view()));
                if (all.zeros.rows() == 0) all.zeros = matrix<float>(w.rows(), all.groups());
                for (float& z : all.zeros.span()) z += by;
                matrix<float> b(w.rows(), w.cols());
                for (std::size_t r = 0; r < b.rows(); ++r) all.read_row(r, b.row(r));
                expect_finding(checked(w, b, with_gptq ? "gptq4-g64" : "rtn4-g64"), finding::shifted,
                               by > 0 ? "B − A is -" : "B − A is ");
            }
        }
}

TEST_CASE("rows and columns that are those of others are told, and where they went") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        const auto w = checked_weights(seed);
        const auto b = rounded_by<uniform<3, 64>>(w);
        const auto moved = [&](std::function<std::size_t(std::size_t)> const& row,
                               std::function<std::size_t(std::size_t)> const& col) {
            matrix<float> m(b.rows(), b.cols());
            for (std::size_t r = 0; r < m.rows(); ++r)
                for (std::size_t c = 0; c < m.cols(); ++c) m(r, c) = b(row(r), col(c));
            return m;
        };
        const auto stay = [](std::size_t i) { return i; };
        expect_finding(checked(w, moved([](std::size_t r) { return (r + 8) % 96; }, stay), "rtn3-g64"),
                       finding::moved_rows, "rows are permuted");
        // As heads whose halves are interleaved.
        expect_finding(
            checked(w, moved([](std::size_t r) { return r / 16 * 16 + r % 2 * 8 + r % 16 / 2; }, stay), "rtn3-g64"),
            finding::moved_rows, "rows are permuted");
        expect_finding(checked(w, moved(stay, [](std::size_t c) { return 255 - c; }), "rtn3-g64"),
                       finding::moved_columns, "columns are permuted");
        expect_finding(checked(w, moved(stay, [](std::size_t c) { return c ^ 64u; }), "rtn3-g64"), // groups
                       finding::moved_columns, "columns are permuted");
        const auto two =
            checked(w, moved([](std::size_t r) { return r == 5   ? 6u
                                                        : r == 6 ? 5u
                                                                 : r; }, stay), "gptq3-g64");
        expect_finding(two, finding::moved_rows, "2 of them are other rows of A");
        CHECK(two.rows.size() == 2);
    }
}

TEST_CASE("scales that are multiplied, of all or of some groups, or zero, are told") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        const auto w = checked_weights(seed);
        const auto scaled = [&](float by, std::size_t every) {
            auto b = rounded_by<uniform<4, 64>>(w);
            for (std::size_t r = 0; r < b.rows(); ++r)
                for (std::size_t c = 0; c < b.cols(); ++c)
                    if ((r * 4 + c / 64) % every == 0) b(r, c) *= by;
            return b;
        };
        expect_finding(checked(w, scaled(0.5f, 1), "rtn4-g64"), finding::scaled, "scales are multiplied by 0.50");
        expect_finding(checked(w, scaled(16, 1), "rtn4-g64"), finding::scaled, "scales are multiplied by 1");
        expect_finding(checked(w, scaled(1.1f, 1), "rtn4-g64"), finding::scaled, "scales are multiplied by 1.10");
        expect_finding(checked(w, scaled(2, 3), "rtn4-g64"), finding::scaled, "128 (33 %) by");
        expect_finding(checked(w, scaled(0, 2), "rtn4-g64"), finding::scaled, "192 (50 %) are all zero");
    }
}

TEST_CASE("another number of bits is told") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        const auto w = checked_weights(seed);
        const auto inputs = checked_inputs(seed, 256);
        expect_finding(checked(w, rounded_by<uniform<3, 64>>(w), "rtn4-g64"), finding::fewer_bits,
                       "no row has more than 29 different values, where the groups of 4 bits have 64");
        expect_finding(checked(w, decoded_of(gptq<uniform<3, 64, checked_sym>>{}(w.view(), inputs)), "gptq4-g64"),
                       finding::fewer_bits, "fewer bits: no row has more than"); // whatever order its columns have
        expect_finding(checked(w, rounded_by<uniform<2, 64>>(w), "awq3-g64"), finding::fewer_bits, "fewer bits");
        expect_finding(checked(w, rounded_by<uniform<6, 32>>(w), "rtn8-g32"), finding::fewer_bits, "as of 6 bits");
        expect_finding(checked(w, rounded_by<uniform<4, 64>>(w), "rtn3-g64"), finding::more_bits, "more bits");
        expect_finding(checked(w, rounded_by<uniform<8, 64>>(w), "gptq4-g64"), finding::more_bits, "more bits");
    }
}

TEST_CASE("another matrix, and errors without a name, are told") {
    const auto w = checked_weights(1);
    expect_finding(checked(w, rounded_by<uniform<4, 64>>(checked_weights(2)), "rtn4-g64"), finding::unlike,
                   "another matrix");
    auto b = rounded_by<uniform<4, 64>>(w);
    random_generator random(5);
    for (float& x : b.span()) x += 0.5f * static_cast<float>(random.normal());
    expect_finding(checked(w, b, "rtn4-g64"), finding::unexplained, "times that of rounding to nearest");
    expect_finding(checked(rounded_by<uniform<4, 64>>(w), b, "rtn4-g64"), finding::unexplained, "lies on such a grid");
}

TEST_CASE("a row that is broken alone is named, and of GPTQ, whose rows may have any error, no more than that") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        const auto w = checked_weights(seed);
        for (const float by : {-1.0f, 0.5f, 3.0f}) {
            auto b = rounded_by<uniform<4, 64>>(w);
            for (float& x : b.row(17)) x *= by;
            const auto c = checked(w, b, "rtn4-g64");
            expect_finding(c, finding::odd_rows, "row 17 is");
            REQUIRE(c.rows.size() == 1);
            CHECK(c.rows[0].index == 17);
            const auto calibrated = checked(w, b, "gptq4-g64-asym");
            expect_finding(calibrated, finding::plausible, "row 17 is");
            CHECK(calibrated.rows.size() == 1);
        }
    }
}

TEST_CASE("what is expected follows from a method's text") {
    const auto e = expected_of(parse_method("gptq3-g128"));
    CHECK(e.method == "gptq3-g128");
    CHECK(e.rule == uniform_rule{3, 128, zero_kind::symmetric});
    CHECK(expected_of(parse_method("awq4-row")).rule == uniform_rule{4, 0, zero_kind::asymmetric});
    CHECK(expected_of(parse_method("nf3-g64")).levels.size() == 8);
    method stored;
    stored.kind = checkpoint_method{};
    CHECK_THROWS_AS(expected_of(stored), option_error);
    matrix<float> none(0, 4);
    CHECK_THROWS_AS(check_quantization(none.view(), none.view(), e), shape_error);
    CHECK_THROWS_AS(check_quantization(checked_weights(1).view(), none.view(), e), shape_error);
}

TEST_CASE("rounding for comparison is that of the quantizers") {
    const auto w = checked_weights(3);
    const auto agree = [&](matrix<float> const& b, char const* method) {
        const auto e = expected_of(parse_method(method));
        std::vector<float> to(64);
        for (std::size_t r = 0; r < w.rows(); ++r)
            for (std::size_t g = 0; g < 4; ++g) {
                e.round(e.rule.group_of(w.row(r), g), to);
                CHECK(std::ranges::equal(to, e.rule.group_of(b.row(r), g)));
            }
    };
    agree(rounded_by<uniform<3, 64>>(w), "rtn3-g64");
    agree(rounded_by<uniform<4, 64, checked_sym>>(w), "gptq4-g64");
    agree(decoded_of(absmax<normal_float<3, 64>>{}(w.view())), "nf3-g64");
}

TEST_CASE("scales of channels come back from norms and rows, and are not seen where there are none") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        const auto w = checked_weights(seed);
        random_generator random(100 + seed);
        std::vector<float> s(w.rows()), gamma(w.rows()), divided(w.rows());
        auto b = copy_of_weights(w.view());
        for (std::size_t r = 0; r < s.size(); ++r) {
            s[r] = static_cast<float>(std::exp(0.4 * random.normal()));
            gamma[r] = static_cast<float>(1 + 0.2 * random.normal());
            divided[r] = static_cast<float>(bf16(gamma[r] / s[r]));
            for (float& x : b.row(r)) x /= s[r];
        }
        const auto from_norms = scales_between(gamma, divided);
        const auto from_rows = scales_between_rows(w.view(), rounded_by<uniform<3, 64>>(b).view());
        REQUIRE(from_norms.size() == s.size());
        REQUIRE(from_rows.size() == s.size());
        for (std::size_t r = 0; r < s.size(); ++r) {
            CHECK(from_norms[r] == doctest::Approx(s[r]).epsilon(0.005));
            CHECK(from_rows[r] == doctest::Approx(s[r]).epsilon(0.1));
        }
        CHECK(scales_between(gamma, gamma).empty());
        CHECK(scales_between_rows(w.view(), rounded_by<uniform<3, 64>>(w).view()).empty());
        CHECK(scales_between_rows(w.view(), rounded_by<uniform<2, 64>>(w).view()).empty());
        divided[3] = -divided[3];
        CHECK(scales_between(gamma, divided).empty());
    }
}
