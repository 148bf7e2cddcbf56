#include "bitlens/stats/overlap.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace bitlens;
using set = std::vector<std::size_t>;

TEST_CASE("jaccard") {
    CHECK(jaccard(set{1, 2, 3}, set{4, 3, 2}).value() == 0.5);
    CHECK(jaccard(set{1, 2}, set{2, 1}).value() == 1);
    CHECK(jaccard(set{1, 2}, set{3}).value() == 0);
    CHECK(jaccard(set{5, 5, 6}, set{6, 6}).value() == 0.5); // listed twice, counted once
    CHECK(jaccard(set{}, set{1}).value() == 0);
    CHECK_FALSE(jaccard(set{}, set{}));
}

TEST_CASE("members in common, and how likely random sets have as many") {
    CHECK(common_members(set{1, 2, 2, 3}, set{4, 3, 2, 2}) == 2);
    CHECK(chance_of_common(3, 2, 10, 0) == 1);
    CHECK(chance_of_common(6, 7, 10, 3) == 1); // more than n together: 3 at least
    CHECK(chance_of_common(3, 2, 10, 3) == 0);
    // Exact fractions, by math.comb of Python 3.11.
    CHECK(chance_of_common(3, 2, 10, 1) == doctest::Approx(24.0 / 45).epsilon(1e-12));
    CHECK(chance_of_common(6, 7, 10, 4) == doctest::Approx(0.8333333333333334).epsilon(1e-12));
    CHECK(chance_of_common(25, 25, 256, 5) == doctest::Approx(0.07995060876038475).epsilon(1e-12));
    CHECK(chance_of_common(25, 25, 256, 8) == doctest::Approx(0.0009567421963657369).epsilon(1e-12));
    CHECK(chance_of_common(1000, 1000, 10000, 120) == doctest::Approx(0.016720411351255772).epsilon(1e-9));
}

TEST_CASE("a set of more than all items has no chance") {
    CHECK_THROWS_WITH_AS(chance_of_common(11, 2, 10, 1),
                         "chance_of_common: sets of 11 and 2, expected at most the 10 items that there are",
                         shape_error);
    CHECK_THROWS_AS(chance_of_common(2, 11, 10, 1), shape_error);
}
