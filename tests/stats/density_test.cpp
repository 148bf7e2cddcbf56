#include "bitlens/stats/density.hpp"

#include "goldens.hpp"
#include "not_finite.hpp"

#include <cmath>
#include <numeric>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;
using list = std::vector<double>;

TEST_CASE("histogram agrees with numpy") {
    const auto h = histogram(golden("x"), golden("edges"));
    CHECK(std::vector<double>(h.counts.begin(), h.counts.end()) == golden("histogram_x"));
    CHECK(h.below + h.above + std::accumulate(h.counts.begin(), h.counts.end(), std::size_t{0}) == golden("x").size());
}

TEST_CASE("an edge belongs to the bin above it, the last one to the last bin") {
    const auto h = histogram(list{0, 1, 2, 3, -0.1, 3.1, infinity, -infinity}, 0, 3, 3);
    CHECK(h.edges == list{0, 1, 2, 3});
    CHECK(h.counts == std::vector<std::size_t>{1, 1, 2});
    CHECK(h.below == 2);
    CHECK(h.above == 2);
    CHECK(histogram(list{}, 0, 1, 2).counts == std::vector<std::size_t>{0, 0});
}

TEST_CASE("what a histogram refuses") {
    CHECK_THROWS_WITH_AS((void)histogram(list{0, not_a_number}, 0, 1, 2), "histogram: value 1 is not a number", error);
    CHECK_THROWS_AS((void)histogram(list{0}, 0, 1, 0), option_error);
    CHECK_THROWS_AS((void)histogram(list{0}, 1, 1, 2), option_error);
    CHECK_THROWS_AS((void)histogram(list{0}, 0, infinity, 2), option_error);
    CHECK_THROWS_AS((void)histogram(list{0}, list{1}), option_error);
    CHECK_THROWS_AS((void)histogram(list{0}, list{1, 3, 2}), option_error);
}

TEST_CASE("kernel density agrees with scipy") {
    CHECK(silverman_bandwidth(golden("x")).value() == doctest::Approx(golden("bandwidth_x")[0]).epsilon(1e-14));
    const auto density = kernel_density(golden("x"), golden("density_at"), golden("bandwidth_x")[0]);
    REQUIRE(density.size() == golden("density_x").size());
    for (std::size_t k = 0; k < density.size(); ++k)
        CHECK(density[k] == doctest::Approx(golden("density_x")[k]).epsilon(1e-12));
}

TEST_CASE("a density integrates to 1") {
    const double h = silverman_bandwidth(golden("x")).value();
    list at;
    for (double u = -30; u <= 30; u += h / 2) at.push_back(u);
    const auto density = kernel_density(golden("x"), at, h);
    // The trapezium rule is exact for a Gaussian to exp(−2π²·(h/step)²) = exp(−79).
    CHECK(std::accumulate(density.begin(), density.end(), 0.0) * (h / 2) == doctest::Approx(1).epsilon(1e-12));
}

TEST_CASE("edges of the bandwidth") {
    CHECK_FALSE(silverman_bandwidth(list{}));
    CHECK_FALSE(silverman_bandwidth(list{1}));
    CHECK_FALSE(silverman_bandwidth(list(5, 0.1)));
    CHECK_FALSE(silverman_bandwidth(list{1, not_a_number, 2}));
    CHECK_FALSE(silverman_bandwidth(list{1, infinity}));
    // More than half of the values are equal: the quartiles meet, the deviation stays.
    const list tied{0, 0, 0, 0, 0, 0, 0, 10};
    CHECK(silverman_bandwidth(tied).value() == doctest::Approx(0.9 * std::sqrt(12.5) * std::pow(8.0, -0.2)));
}

TEST_CASE("what a density refuses") {
    CHECK_THROWS_AS((void)kernel_density(list{}, list{0}, 1), shape_error);
    CHECK_THROWS_AS((void)kernel_density(list{0}, list{0}, 0), option_error);
    CHECK_THROWS_AS((void)kernel_density(list{0}, list{0}, not_a_number), option_error);
    CHECK_THROWS_AS((void)kernel_density(list{0}, list{0}, infinity), option_error);
    CHECK_THROWS_WITH_AS((void)kernel_density(list{0, not_a_number}, list{0}, 1),
                         "kernel_density: value 1 is not finite", error);
    CHECK(kernel_density(list{0}, list{}, 1).empty());
    CHECK(kernel_density(list{0}, list{0}, 1)[0] == doctest::Approx(1 / std::sqrt(2 * std::numbers::pi)));
}
