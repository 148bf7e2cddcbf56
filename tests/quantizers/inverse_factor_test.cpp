#include "bitlens/quantizers/inverse_factor.hpp"

#include "bitlens/core/random.hpp"
#include "plain_factor.hpp"
#include "same_bits.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace bitlens;

namespace {

/// Symmetric, with eigenvalues 1 … condition: a reflection of a diagonal matrix.
matrix<double> with_condition(std::size_t n, double condition, std::uint64_t seed = 1) {
    random_generator random(seed);
    std::vector<double> eigenvalues(n), v(n);
    double length = 0;
    for (std::size_t i = 0; i < n; ++i) {
        eigenvalues[i] = n == 1 ? condition : std::pow(condition, static_cast<double>(i) / static_cast<double>(n - 1));
        v[i] = random.normal();
        length += v[i] * v[i];
    }
    double middle = 0; // vᵀ·D·v
    for (std::size_t i = 0; i < n; ++i) middle += v[i] * eigenvalues[i] * v[i];
    matrix<double> h(n, n);
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j)
            h(i, j) = (i == j ? eigenvalues[i] : 0) +
                      v[i] * v[j] * (4 * middle / length - 2 * (eigenvalues[i] + eigenvalues[j])) / length;
    return h;
}

std::optional<inverse_factor> factor_of(matrix<double> const& h, unsigned tasks = 1) {
    return inverse_factor::of(
        h.rows(), [&](std::size_t i, std::size_t j) { return h(i, j); }, tasks);
}

} // namespace

TEST_CASE("UᵀU · H = I, and U is that of a plain algorithm in double") {
    constexpr double unit = 0x1p-24;
    for (const std::size_t n : {1u, 2u, 31u, 96u, 97u, 200u, 390u})
        for (const double condition : {1.0, 100.0, 1e4}) {
            if (n > 200 && condition != 100) continue; // a second each
            CAPTURE(n);
            CAPTURE(condition);
            const auto h = with_condition(n, condition);
            const auto u = factor_of(h, 2);
            REQUIRE(u.has_value());
            const auto expected = test::upper_factor_of_inverse(h);
            REQUIRE(expected.has_value());
            matrix<float> in_float(n, n);
            for (std::size_t i = 0; i < h.span().size(); ++i) in_float.span()[i] = static_cast<float>(h.span()[i]);
            const auto plain = test::upper_factor_of_inverse(in_float);
            REQUIRE(plain.has_value());
            double difference = 0, size = 0, residual = 0, plain_difference = 0;
            for (std::size_t i = 0; i < n; ++i)
                for (std::size_t j = 0; j < n; ++j) {
                    const double e = double{(*u)(i, j)} - (*expected)(i, j);
                    const double plain_e = double{(*plain)(i, j)} - (*expected)(i, j);
                    difference += e * e;
                    plain_difference += plain_e * plain_e;
                    size += (*expected)(i, j) * (*expected)(i, j);
                    if (j < i) REQUIRE((*u)(i, j) == 0);
                }
            matrix<double> inverse(n, n); // UᵀU
            for (std::size_t k = 0; k < n; ++k)
                for (std::size_t i = k; i < n; ++i)
                    for (std::size_t j = k; j < n; ++j) inverse(i, j) += double{(*u)(k, i)} * double{(*u)(k, j)};
            for (std::size_t i = 0; i < n; ++i)
                for (std::size_t j = 0; j < n; ++j) {
                    double product = i == j ? -1 : 0;
                    for (std::size_t k = 0; k < n; ++k) product += inverse(i, k) * h(k, j);
                    residual = std::max(residual, std::abs(product));
                }
            const double allowed = static_cast<double>(n + 1) * unit * condition; // first order, the constant 1
            if (n == 200)
                MESSAGE("condition ", condition, ": error ", std::sqrt(difference / size), ", in float32 by the book ",
                        std::sqrt(plain_difference / size));
            CHECK(std::sqrt(difference / size) <= allowed);
            CHECK(residual <= 2 * allowed);
        }
}

TEST_CASE("the bits do not depend on tasks") {
    const auto h = with_condition(700, 1000);
    const auto one = factor_of(h, 1), three = factor_of(h, 3), many = factor_of(h, 16);
    REQUIRE((one && three && many));
    CHECK(test::same_bits(one->reversed(), three->reversed()));
    CHECK(test::same_bits(one->reversed(), many->reversed()));
}

TEST_CASE("what is not positive definite has no factor") {
    CHECK(!factor_of(matrix<double>(3, 3)));
    for (const std::size_t n : {2u, 100u, 300u}) {
        auto h = with_condition(n, 10);
        h(n / 2, n / 2) = -1;
        CHECK(!factor_of(h));
        h(n / 2, n / 2) = std::nan("");
        CHECK(!factor_of(h));
        h(n / 2, n / 2) = HUGE_VAL;
        CHECK(!factor_of(h));
    }
    matrix<double> indefinite(2, 2); // eigenvalues 3 and −1
    indefinite(0, 0) = indefinite(1, 1) = 1;
    indefinite(0, 1) = indefinite(1, 0) = 2;
    CHECK(!factor_of(indefinite));
}

TEST_CASE("a matrix without rows") { CHECK(factor_of(matrix<double>()).has_value()); }
