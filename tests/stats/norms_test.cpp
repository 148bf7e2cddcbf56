#include "bitlens/stats/norms.hpp"

#include "bitlens/core/random.hpp"

#include "goldens.hpp"
#include "not_finite.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

TEST_CASE("norms agree with numpy") {
    const auto r = golden_floats("r");
    const matrix_view<const float> view(r.data(), 5, 67);
    const auto norms = row_norms(view);
    REQUIRE(norms.size() == 5);
    double mean = 0;
    for (std::size_t t = 0; t < 5; ++t) {
        CHECK(norms[t] == doctest::Approx(golden("row_norms")[t]).epsilon(1e-15));
        mean += norms[t] / 5;
    }
    CHECK(mean_row_norm(view) == doctest::Approx(mean).epsilon(1e-15));
    // One token alone, and rows that are not back to back.
    CHECK(mean_row_norm(view.middle_rows(3, 1)) == norms[3]);
    CHECK(mean_row_norm(view.middle_cols(0, 1)) ==
          doctest::Approx((std::abs(r[0]) + std::abs(r[67]) + std::abs(r[134]) + std::abs(r[201]) + std::abs(r[268])) /
                          5.0)
              .epsilon(1e-7));
}

TEST_CASE("norms have no overflow, underflow or silent NaN") {
    const std::vector<float> huge(1000, 3e38f), tiny(1000, 1e-45f);
    CHECK(euclidean_norm(huge) == doctest::Approx(3e38 * std::sqrt(1000.0)).epsilon(1e-7));
    CHECK(euclidean_norm(tiny) == double{1e-45f} * std::sqrt(1000.0));
    CHECK(euclidean_norm({}) == 0);
    const std::vector<float> broken{1, std::nanf(""), 2}, endless{1, static_cast<float>(infinity)};
    CHECK(std::isnan(euclidean_norm(broken)));
    CHECK(std::isinf(euclidean_norm(endless)));
}

TEST_CASE("mean_squared_difference") {
    const auto a = golden_floats("r"), b = golden_floats("other");
    const matrix_view<const float> left(a.data(), 5, 67), right(b.data(), 5, 67);
    CHECK(mean_squared_difference(left, right) == doctest::Approx(golden("mean_squared_difference")[0]).epsilon(1e-14));
    CHECK(mean_squared_difference(left, left) == 0);
    CHECK_THROWS_AS(mean_squared_difference(left, right.middle_rows(0, 4)), shape_error);
    CHECK_THROWS_AS(mean_squared_difference({}, {}), shape_error);
}

TEST_CASE("mean_relative_difference and mean_top_share by hand") {
    const std::vector<float> a{3, 4, 0, 5}, b{6, 8, 0, 4};
    const matrix_view<const float> left(a.data(), 2, 2), right(b.data(), 2, 2);
    CHECK(mean_relative_difference(left, right) == doctest::Approx((0.5 + 0.25) / 2));
    CHECK(mean_relative_difference(left, left) == 0);
    CHECK(mean_top_share(left, 1) == doctest::Approx((0.64 + 1.0) / 2));
    CHECK(mean_top_share(left, 2) == 1);
    const std::vector<float> zero{0, 0};
    CHECK(std::isnan(mean_top_share({zero.data(), 1, 2}, 1)));
    CHECK_FALSE(std::isfinite(mean_relative_difference({a.data(), 1, 2}, {zero.data(), 1, 2})));
    CHECK_THROWS_AS(mean_relative_difference(left, right.middle_rows(0, 1)), shape_error);
    CHECK_THROWS_AS(mean_top_share({}, 1), shape_error);
}

TEST_CASE("both differences from one pass have the bits that each has alone") {
    const auto a = golden_floats("r"), b = golden_floats("other");
    const matrix_view<const float> left(a.data(), 5, 67), right(b.data(), 5, 67);
    const auto both = mean_difference_of(left, right, row_norms(right));
    CHECK(both.squared == mean_squared_difference(left, right));
    CHECK(both.relative == mean_relative_difference(left, right));
    double shares = 0;
    for (std::size_t t = 0; t < 5; ++t) {
        double square = 0, length = 0;
        for (std::size_t i = 0; i < 67; ++i) {
            square += std::pow(double{left(t, i)} - double{right(t, i)}, 2);
            length += std::pow(double{right(t, i)}, 2);
        }
        shares += std::sqrt(square / length);
    }
    CHECK(both.relative == doctest::Approx(shares / 5).epsilon(1e-14));
    CHECK_THROWS_WITH_AS(mean_difference_of(left, right, std::vector<double>(4)),
                         "mean_difference_of: 4 lengths of 5 rows", shape_error);
}

TEST_CASE("the share of the largest dimensions is that of the numbers sorted, equal ones and zeros among them") {
    random_generator random(3);
    for (const std::size_t width : {1u, 2u, 7u, 8u, 9u, 31u, 64u, 67u}) {
        std::vector<float> row(width);
        for (const bool has_equal : {false, true})
            for (std::size_t largest = 0; largest <= width + 1; ++largest) {
                for (float& x : row)
                    x = has_equal ? static_cast<float>(random.below(3)) : static_cast<float>(random.normal());
                row[width / 2] = -1e-30f; // not all are zero
                std::vector<double> squares(width);
                std::ranges::transform(row, squares.begin(), [](float x) { return double{x} * double{x}; });
                std::ranges::sort(squares, std::greater<>{});
                const double all = std::accumulate(squares.begin(), squares.end(), 0.0);
                const auto end = squares.begin() + static_cast<std::ptrdiff_t>(std::min(largest, width));
                CAPTURE(width);
                CAPTURE(largest);
                CHECK(mean_top_share({row.data(), 1, width}, largest) ==
                      doctest::Approx(std::accumulate(squares.begin(), end, 0.0) / all).epsilon(1e-14));
            }
    }
    const std::vector<float> no_number{1, std::nanf(""), 2, 3};
    CHECK(std::isnan(mean_top_share({no_number.data(), 1, 4}, 2)));
}

TEST_CASE("no rows have no mean length") {
    CHECK_THROWS_WITH_AS(mean_row_norm({}), "mean_row_norm: at least one row is expected", shape_error);
}

TEST_CASE("mean_magnitudes by hand") {
    const std::vector<float> r{1, -2, 0, 3, 4, -6};
    CHECK(mean_magnitudes({r.data(), 2, 3}) == std::vector<double>{2, 3, 3});
    CHECK(mean_magnitudes(matrix_view<const float>(r.data(), 2, 3).middle_cols(1, 1)) == std::vector<double>{3});
    CHECK_THROWS_AS(mean_magnitudes({r.data(), 0, 3}), shape_error);
    const std::vector<float> broken{1, std::nanf(""), 2, 4};
    const auto found = mean_magnitudes({broken.data(), 2, 2});
    CHECK(found[0] == 1.5);
    CHECK(std::isnan(found[1]));
}
