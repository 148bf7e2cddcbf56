#include "bitlens/core/random.hpp"
#include "bitlens/layers/embedding.hpp"
#include "bitlens/layers/gated_mlp.hpp"
#include "bitlens/layers/linear.hpp"
#include "bitlens/layers/reference.hpp"
#include "bitlens/layers/rms_norm.hpp"

#include "same_bits.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <type_traits>
#include <vector>

using namespace bitlens;
using test::same_bits;

namespace {

constexpr std::size_t widths[] = {1, 2, 7, 15, 16, 17, 31, 33, 64, 95}; // around the lanes of every instruction set

matrix<float> random_matrix(std::size_t rows, std::size_t cols, double size, std::uint64_t seed) {
    matrix<float> m(rows, cols);
    random_generator random(seed);
    for (float& x : m.span()) x = static_cast<float>(size * random.normal());
    return m;
}

double worst_relative(std::span<const float> a, std::span<const float> truth) {
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        worst =
            std::max(worst, std::abs(double{a[i]} - double{truth[i]}) / std::max(1e-30, std::abs(double{truth[i]})));
    return worst;
}

} // namespace

TEST_CASE_TEMPLATE("rms_norm is what its formula says", Arch, simd::default_arch, simd::scalar) {
    for (std::size_t width : widths) {
        CAPTURE(width);
        auto x = random_matrix(3, width, 30, 1);
        std::ranges::fill(x.row(2), 0.0f);
        const auto gamma = random_matrix(1, width, 1, 2);
        matrix<float> y(3, width), truth(3, width);
        rms_norm<Arch>(x, gamma.row(0), 1e-5f, y);
        reference::rms_norm(x, gamma.row(0), 1e-5f, truth);
        // The sum of squares has positive terms, so n roundings cost at most n·ε, halved by the root; 5 more follow.
        CHECK(worst_relative(y.span(), truth.span()) <= (static_cast<double>(width) / 2 + 5) * 6e-8);
        for (float v : y.row(2)) CHECK(v == 0); // ε keeps a row of zeros at zero

        rms_norm<Arch>(x, gamma.row(0), 1e-5f, x); // in place
        CHECK(std::ranges::equal(x.span(), y.span()));
    }
}

TEST_CASE_TEMPLATE("every head is normalised on its own, by one γ", Arch, simd::default_arch, simd::scalar) {
    for (std::size_t head_dim : widths) {
        CAPTURE(head_dim);
        auto x = random_matrix(2, 3 * head_dim, 30, 5);
        for (std::size_t i = head_dim; i < 2 * head_dim; ++i) x(1, i) *= 1e-4f; // a head that is small beside others
        const auto gamma = random_matrix(1, head_dim, 1, 6);
        matrix<float> y(2, 3 * head_dim), truth(2, 3 * head_dim), one(2, head_dim);
        rms_norm_of_heads<Arch>(x, gamma.row(0), 1e-6f, y);
        reference::rms_norm_of_heads(x, gamma.row(0), 1e-6f, truth);
        CHECK(worst_relative(y.span(), truth.span()) <= (static_cast<double>(head_dim) / 2 + 5) * 6e-8);
        for (std::size_t h = 0; h < 3; ++h) {
            rms_norm<Arch>(x.view().middle_cols(h * head_dim, head_dim), gamma.row(0), 1e-6f, one);
            CHECK(same_bits(y.view().middle_cols(h * head_dim, head_dim), one));
        }
        rms_norm_of_heads<Arch>(x, gamma.row(0), 1e-6f, x); // in place
        CHECK(same_bits(x, y));
    }
}

TEST_CASE("known norms: γ that a file holds as it is, and as what is added to 1") {
    struct known_norm {
        float size, epsilon;
        std::vector<float> gamma;
        std::vector<double> y;
    };
    const std::vector<float> w{.5f, -.25f, 0, 1}, one_more{1.5f, .75f, 1, 2};
    for (known_norm const& known :
         {known_norm{1, 1e-6f, one_more, {.794719338, -.794719338, 1.58943868, .529812872}},
          known_norm{1, 1e-6f, w, {.264906436, .264906436, 0, .264906436}},
          known_norm{1, 1e-5f, w, {.264906079, .264906079, 0, .264906079}},
          known_norm{1e-3f, 1e-6f, one_more, {.702246904, -.702246904, 1.40449381, .468164623}},
          known_norm{1e-3f, 1e-6f, w, {.234082311, .234082311, 0, .234082311}},
          known_norm{1e-3f, 1e-5f, w, {.135768846, .135768846, 0, .135768846}}}) {
        const float x[] = {1, -2, 3, .5f};
        matrix<float> y(1, 8); // two heads
        for (std::size_t i = 0; i < 8; ++i) y(0, i) = known.size * x[i % 4];
        rms_norm_of_heads(y, known.gamma, known.epsilon, y);
        for (std::size_t i = 0; i < 8; ++i)
            CHECK(std::abs(double{y(0, i)} - known.y[i % 4]) <= 7 * 6e-8 * std::abs(known.y[i % 4])); // 4/2 + 5
    }
}

TEST_CASE_TEMPLATE("the gate is what its formula says, in one pass or in two", Arch, simd::default_arch, simd::scalar) {
    const auto check = [](auto of) {
        constexpr activation kind = decltype(of)::value;
        for (const double size : {0.1, 1.0, 8.0})
            for (std::size_t width : widths) {
                CAPTURE(width);
                auto gate = random_matrix(2, width, size, 3);
                const auto before = gate.span();
                const std::vector<float> x(before.begin(), before.end());
                const auto up = random_matrix(2, width, 1, 4);
                matrix<float> truth(2, width), two_passes(2, width);
                std::ranges::copy(x, truth.data());
                std::ranges::copy(x, two_passes.data());
                reference::activate_multiply<kind>(truth, up);
                activate_multiply<kind, Arch>(gate, up);
                for (std::size_t i = 0; i < x.size(); ++i) {
                    // An exponential of 4·u, and 3 roundings; of GELU, 5 more of the exponent, where it is not all.
                    const double cubed = double{x[i]} * double{x[i]} * double{x[i]};
                    const double exponent = kind == activation::silu ? 0 : 1.6 * std::abs(x[i] + 0.044715 * cubed);
                    const double relative = 8 + 5 * (x[i] < 0 ? exponent : exponent * std::exp(-exponent));
                    const double expected = double{truth.span()[i]};
                    // What is near the least normal number has fewer digits.
                    CHECK(std::abs(double{gate.span()[i]} - expected) <= relative * 6e-8 * std::abs(expected) + 3e-38);
                }
                activate<kind, Arch>(two_passes);
                multiply<Arch>(two_passes, up);
                CHECK(same_bits(gate, two_passes));
            }
    };
    check(std::integral_constant<activation, activation::silu>{});
    check(std::integral_constant<activation, activation::gelu_tanh>{});
}

TEST_CASE("known activations") {
    const std::vector<float> x{-3, -1, -.5f, -.1f, .1f, .5f, 1, 2, 3};
    // transformers 5.24 in float32; 1 + tanh of it has the rounding of a number near 1, so GELU that of x.
    const std::vector<double> gelu{-.00363743305, -.158807993, -.154285997, -.0460172482, .0539827533,
                                   .345714003,    .841192007,  1.95459771,  2.99636269};
    const std::vector<double> silu{-.142277613, -.268941432, -.188770339, -.0475020818, .0524979196,
                                   .311229676,  .731058598,  1.76159406,  2.85772252};
    matrix<float> a(1, 9), b(1, 9), ones(1, 9);
    std::ranges::copy(x, a.data());
    std::ranges::copy(x, b.data());
    activate<activation::gelu_tanh>(a);
    activate<activation::silu>(b);
    for (std::size_t i = 0; i < x.size(); ++i) {
        CAPTURE(x[i]);
        CHECK(std::abs(double{a(0, i)} - gelu[i]) <= 2 * 6e-8 * std::abs(double{x[i]}));
        CHECK(std::abs(double{b(0, i)} - silu[i]) <= 5 * 6e-8 * std::abs(silu[i]));
    }
}

TEST_CASE_TEMPLATE("the gate at the ends of the number line", Arch, simd::default_arch, simd::scalar) {
    const std::vector<float> x{-1e30f, -200, -20, -0.0f, 0, 20, 200, 1e30f}, y{0, 0, 0, 0, 0, 20, 200, 1e30f};
    matrix<float> a(1, 8), b(1, 8);
    std::ranges::copy(x, a.data());
    std::ranges::copy(x, b.data());
    activate<activation::silu, Arch>(a);
    activate<activation::gelu_tanh, Arch>(b);
    for (std::size_t i = 0; i < x.size(); ++i) {
        CAPTURE(x[i]);
        if (x[i] != -20) CHECK(a(0, i) == y[i]);
        CHECK(b(0, i) == y[i]);
    }
    CHECK(double{a(0, 2)} == doctest::Approx(-20 / (1 + std::exp(20.0))).epsilon(1e-6));
    b(0, 0) = -6; // 1 + tanh of it is 0 in float32
    activate<activation::gelu_tanh, Arch>(b);
    const double exponent = 2 * std::sqrt(2 / std::numbers::pi) * (6 + 0.044715 * 216);
    CHECK(double{b(0, 0)} == doctest::Approx(-6 / (1 + std::exp(exponent))).epsilon(1e-5).scale(0));
}

TEST_CASE("a bias is added to every row, and an empty one to none") {
    matrix<float> y(2, 3);
    add_bias({}, y);
    for (float v : y.span()) CHECK(v == 0);
    add_bias(std::vector<float>{1, 2, 3}, y);
    CHECK(std::ranges::equal(y.row(1), std::vector<float>{1, 2, 3}));
}

TEST_CASE("an embedding picks rows, and an id outside the vocabulary is an error") {
    packed_matrix<dense<bf16>> table(3, 2);
    for (std::size_t r = 0; r < 3; ++r)
        for (std::size_t c = 0; c < 2; ++c) table.writable_row(r)[c] = bf16(static_cast<float>(10 * r + c));
    matrix<float> x(2, 2);
    const std::vector<std::int32_t> ids{2, 0};
    check_token_ids(ids, 3);
    embed(table, ids, x);
    CHECK(x(0, 1) == 21);
    CHECK(x(1, 0) == 0);
    CHECK_THROWS_WITH_AS(check_token_ids(ids, 2), "token id 2 at position 0 is outside the vocabulary of 2",
                         shape_error);
    CHECK_THROWS_AS(check_token_ids(std::vector<std::int32_t>{0, -1}, 2), shape_error);
}

static_assert(name(projection::q) == "q_proj" && name(projection::down) == "down_proj");
