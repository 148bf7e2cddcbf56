#include "bitlens/stats/spread.hpp"

#include "bitlens/core/error.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

using namespace bitlens;

TEST_CASE("median and spread are those of the middle of a sample, whatever one of its numbers is") {
    for (const double last : {9.0, 1e9, std::numeric_limits<double>::infinity()}) {
        const auto m = median_spread_of({3, 1, 2, 5, last});
        CHECK(m.median == 3);
        CHECK(m.spread == doctest::Approx(1.4826 * 2).epsilon(1e-4)); // of 0, 2, 1, 2 and more
    }
    CHECK(median_of({1, 4, 2, 3}) == 2.5);
    CHECK_THROWS_AS(median_of({}), shape_error);
}

TEST_CASE("an error stands out where it is both far from the usual ones and far for them") {
    const std::vector<double> alike{1.0, 1.1, 0.9, 1.0, 1.05, 3.0};
    const auto found = far_errors_of(alike);
    REQUIRE(found.size() == 1);
    CHECK(found[0].index == 5);
    CHECK(found[0].times == doctest::Approx(3 / 1.025).epsilon(0.01));
    CHECK(found[0].spreads > 8);
    CHECK(far_errors_of(std::vector{1.0, 1.1, 0.9, 1.0, 1.05, 1.9}).empty()); // not twice the median
    CHECK(far_errors_of(std::vector{1.0, 4.0, 0.2, 2.0, 0.5, 5.0}).empty());  // as all of them are
    CHECK(far_errors_of(std::vector{1.0, 1.0, 1.0, 9.0}).empty());            // too few
    CHECK(far_errors_of(std::vector<double>{}).empty());
}

TEST_CASE("beside errors of zero every other one stands out, the largest first") {
    const auto found = far_errors_of(std::vector{0.0, 0.0, 1e-3, 0.0, std::numeric_limits<double>::infinity(), 0.0});
    REQUIRE(found.size() == 2);
    CHECK(found[0].index == 4);
    CHECK(found[1].index == 2);
    CHECK(std::isinf(found[1].times));
}
