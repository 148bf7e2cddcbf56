#include "bitlens/analysis/outliers.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <vector>

using namespace bitlens;

TEST_CASE("the most activated dimensions come first, and their weights have ranks that rise with |gamma|") {
    const std::vector<double> magnitude{1, 9, 3, 9, 2, 0.5};
    const std::vector<float> gamma{1.5f, -0.25f, 2, 0.5f, -1.5f, 1};
    const auto found = outliers_of(magnitude, gamma, 4);
    CHECK(found.median_gamma == 1.25); // of 0.25 0.5 1 1.5 1.5 2
    REQUIRE(found.outliers.size() == 4);
    const auto is = [&](std::size_t place, std::size_t dimension, double size, float weight, std::size_t rank) {
        auto const& o = found.outliers[place];
        CHECK(o.dimension == dimension);
        CHECK(o.magnitude == size);
        CHECK(o.gamma == weight);
        CHECK(o.rank == rank);
    };
    is(0, 1, 9, -0.25f, 1); // equal magnitudes: by dimension
    is(1, 3, 9, 0.5f, 2);
    is(2, 2, 3, 2, 6);
    is(3, 4, 2, -1.5f, 4); // equal sizes share the smaller rank
}

TEST_CASE("five outliers unless there are fewer dimensions, and none of numbers that are not finite") {
    const std::vector<double> eight{1, 2, 3, 4, 5, 6, 7, 8};
    const std::vector<float> ones(8, 1.0f);
    CHECK(outliers_of(eight, ones).outliers.size() == 5);
    CHECK(outliers_of(std::span(eight).first(3), std::span(ones).first(3)).outliers.size() == 3);
    CHECK_THROWS_AS(outliers_of(std::span(eight).first(3), ones), shape_error);
    CHECK_THROWS_AS(outliers_of({}, {}), shape_error);
    CHECK_THROWS_WITH_AS(outliers_of(std::vector<double>{1, std::nan("")}, std::span(ones).first(2)),
                         "outliers_of: the mean magnitude of dimension 1 is not finite", error);
}
