#include "bitlens/formats/normal_float.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace bitlens;

namespace {

template <class F>
bool rises() {
    for (std::size_t q = 1; q < F::codebook.size(); ++q)
        if (!(F::codebook[q - 1] < F::codebook[q])) return false;
    return true;
}

/// Φ(z), the normal distribution function.
double normal_probability(double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); }

} // namespace

TEST_CASE("the levels rise from -1 to 1 and hold a zero") {
    CHECK(rises<normal_float<3, 64>>());
    CHECK(rises<normal_float<4, 64>>());
    CHECK(normal_float<3, 64>::codebook.front() == -1.0f);
    CHECK(normal_float<3, 64>::codebook.back() == 1.0f);
}

// Known answers in decimal: bitsandbytes' table of NF4, and the exact quantiles of NF3.
TEST_CASE("levels, in decimal") {
    CHECK(normal_float<4, 64>::codebook[1] == -0.6961928009986877f);
    CHECK(normal_float<4, 64>::codebook[6] == -0.09105003625154495f);
    CHECK(normal_float<4, 64>::codebook[14] == 0.7229568362236023f);
    CHECK(normal_float<3, 64>::codebook[1] == static_cast<float>(-0.47862908531009669));
    CHECK(normal_float<3, 64>::codebook[6] == static_cast<float>(0.56261688796998518));
}

// NF3: equally spaced probabilities up to 929/960, in units of that quantile. |Φ'| ≤ 0.4 and the factor 1.848 turn half
// a unit in the last place of a level (2⁻²⁵) into less than 2⁻²⁴ of probability.
TEST_CASE("the levels of NF3 are quantiles") {
    const double largest = 1.848131421; // Φ⁻¹(929/960)
    CHECK(std::abs(normal_probability(largest) - 929.0 / 960.0) < 1e-7);
    for (std::size_t q = 0; q < 8; ++q) {
        const double step = (929.0 / 960.0 - 0.5) / (q <= 3 ? 3 : 4);
        const double expected = 0.5 + step * (static_cast<double>(q) - 3);
        CHECK(std::abs(normal_probability(normal_float<3, 64>::codebook[q] * largest) - expected) < 2e-7);
    }
}
