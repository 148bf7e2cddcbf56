#include "bitlens/stats/correlation.hpp"

#include "goldens.hpp"
#include "not_finite.hpp"

#include <cmath>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {
using list = std::vector<double>;
} // namespace

TEST_CASE("correlations agree with scipy") {
    CHECK(pearson(golden("x"), golden("y")).value() == doctest::Approx(golden("pearson")[0]).epsilon(1e-14));
    CHECK(spearman(golden("x"), golden("y")).value() == doctest::Approx(golden("spearman")[0]).epsilon(1e-14));
}

TEST_CASE("a straight line correlates by 1, never by more") {
    list x, up, down, bent;
    for (int i = 0; i < 50; ++i) {
        x.push_back(0.1 * i);
        up.push_back(3 + 0.7 * x.back());
        down.push_back(-x.back());
        bent.push_back(std::exp(x.back()));
    }
    CHECK(pearson(x, up).value() == doctest::Approx(1).epsilon(1e-15));
    CHECK(pearson(x, up).value() <= 1);
    CHECK(pearson(x, down).value() == doctest::Approx(-1).epsilon(1e-15));
    CHECK(pearson(x, down).value() >= -1);
    CHECK(pearson(x, bent).value() < 0.9);
    CHECK(spearman(x, bent).value() == doctest::Approx(1).epsilon(1e-15));
    CHECK(pearson(list{1, 2}, list{5, 4}).value() == -1);
}

TEST_CASE("the size and the offset of the numbers do not matter") {
    const list x{1, 2, 4, 8}, y{1, 3, 2, 5};
    const double expected = pearson(x, y).value();
    for (const double scale : {1e-300, 1e-160, 1e160, 1e300}) {
        list scaled = x;
        for (double& v : scaled) v *= scale;
        CHECK(pearson(scaled, y).value() == doctest::Approx(expected).epsilon(1e-14));
    }
    const list shifted{1e12 + 1, 1e12 + 2, 1e12 + 4, 1e12 + 8};
    CHECK(pearson(shifted, y).value() == doctest::Approx(expected).epsilon(1e-14));
}

TEST_CASE("where a correlation does not exist") {
    const list x{1, 2, 3}, constant(3, 0.1), broken{1, not_a_number, 2}, endless{1, infinity, 2};
    CHECK_FALSE(pearson(list{}, list{}));
    CHECK_FALSE(pearson(list{1}, list{2}));
    CHECK_FALSE(spearman(list{1}, list{2}));
    CHECK_FALSE(pearson(x, constant));
    CHECK_FALSE(pearson(constant, x));
    CHECK_FALSE(spearman(x, constant));
    CHECK_FALSE(pearson(x, broken));
    CHECK_FALSE(spearman(broken, x));
    CHECK_FALSE(pearson(x, endless));
    CHECK(spearman(x, endless).value() == 0.5); // infinity has a rank
    CHECK_THROWS_AS((void)pearson(x, list{1, 2}), shape_error);
    CHECK_THROWS_AS((void)spearman(x, list{1, 2}), shape_error);
}

TEST_CASE("bootstrap interval") {
    const auto correlation = [](std::span<const double> a, std::span<const double> b) { return pearson(a, b); };
    auto const &x = golden("x"), &y = golden("y");
    const auto found = bootstrap_interval(x, y, correlation).value();
    CHECK(found.lo < pearson(x, y).value());
    CHECK(found.hi > pearson(x, y).value());

    SUBCASE("the same seed gives the same interval, another seed a near one") {
        const auto again = bootstrap_interval(x, y, correlation).value();
        CHECK(again.lo == found.lo);
        CHECK(again.hi == found.hi);
        const auto other = bootstrap_interval(x, y, correlation, 1000, 0.95, 1).value();
        CHECK(other.lo != found.lo);
        CHECK(other.lo == doctest::Approx(found.lo).epsilon(0.05));
        CHECK(other.hi == doctest::Approx(found.hi).epsilon(0.05));
    }
    SUBCASE("a lower level is narrower") {
        const auto half = bootstrap_interval(x, y, correlation, 1000, 0.5).value();
        CHECK(half.lo > found.lo);
        CHECK(half.hi < found.hi);
    }
    SUBCASE("of the mean: the width that theory says") {
        const auto mean_of_x = [](std::span<const double> a, std::span<const double>) -> std::optional<double> {
            return detail::sum_of(a.size(), [&](std::size_t i) { return a[i]; }) / static_cast<double>(a.size());
        };
        const auto of_mean = bootstrap_interval(x, y, mean_of_x).value();
        const double standard_error = std::sqrt(golden("variance_x")[0] / static_cast<double>(x.size()));
        // 1000 resamples place each end within about 5 % (1 σ), so 20 % is 4 σ.
        CHECK(of_mean.hi - of_mean.lo == doctest::Approx(2 * 1.96 * standard_error).epsilon(0.2));
    }
    SUBCASE("draws of one pair only are drawn again") {
        const list few{1, 2, 3}, values{2, 1, 5};
        const auto interval_of_few = bootstrap_interval(few, values, correlation);
        REQUIRE(interval_of_few);
        CHECK(interval_of_few->lo >= -1);
        CHECK(interval_of_few->hi <= 1);
    }
    SUBCASE("no answer, no interval") {
        CHECK_FALSE(bootstrap_interval(list{1, 1}, list{1, 2}, correlation));
        CHECK_FALSE(bootstrap_interval(list{}, list{}, correlation));
        bool first = true; // an answer for the data alone
        const auto shy = [&first](std::span<const double>, std::span<const double>) -> std::optional<double> {
            if (!first) return std::nullopt;
            first = false;
            return 1.0;
        };
        CHECK_FALSE(bootstrap_interval(x, y, shy));
    }
    SUBCASE("errors") {
        CHECK_THROWS_AS((void)bootstrap_interval(x, list{1}, correlation), shape_error);
        CHECK_THROWS_AS((void)bootstrap_interval(x, y, correlation, 0), option_error);
        CHECK_THROWS_AS((void)bootstrap_interval(x, y, correlation, 10, 1.0), option_error);
        CHECK_THROWS_AS((void)bootstrap_interval(x, y, correlation, 10, not_a_number), option_error);
    }
}
