#include "bitlens/core/random.hpp"
#include "bitlens/layers/embedding.hpp"
#include "bitlens/layers/gated_mlp.hpp"
#include "bitlens/layers/linear.hpp"
#include "bitlens/layers/reference.hpp"
#include "bitlens/layers/rms_norm.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace bitlens;

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

TEST_CASE_TEMPLATE("the gate is what its formula says, in one pass or in two", Arch, simd::default_arch, simd::scalar) {
    for (std::size_t width : widths) {
        CAPTURE(width);
        auto gate = random_matrix(2, width, 8, 3);
        const auto up = random_matrix(2, width, 1, 4);
        matrix<float> truth(2, width), two_passes(2, width);
        std::ranges::copy(gate.span(), truth.data());
        std::ranges::copy(gate.span(), two_passes.data());
        reference::activate_multiply<activation::silu>(truth, up);
        activate_multiply<activation::silu, Arch>(gate, up);
        CHECK(worst_relative(gate.span(), truth.span()) <= 1e-6); // an exponential of 2 ulp, and 3 roundings
        activate<activation::silu, Arch>(two_passes);
        multiply<Arch>(two_passes, up);
        CHECK(std::ranges::equal(gate.span(), two_passes.span()));
    }
}

TEST_CASE("the gate at the ends of the number line") {
    matrix<float> a(1, 3);
    a(0, 0) = -200, a(0, 1) = 200, a(0, 2) = 0;
    activate<activation::silu>(a);
    CHECK(a(0, 0) == 0);
    CHECK(a(0, 1) == 200);
    CHECK(a(0, 2) == 0);
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
