#include "bitlens/analysis/resamples.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <limits>
#include <numeric>
#include <vector>

using namespace bitlens;

namespace {

constexpr std::size_t layers = 3;

/// Rows of normal numbers that go with the first row the more, the later they are.
std::vector<double> rows_of(std::size_t documents, std::uint64_t seed) {
    random_generator random(seed);
    std::vector<double> numbers(layers * documents);
    for (std::size_t i = 0; i < numbers.size(); ++i)
        numbers[i] = 100 + random.normal() + (i < documents ? 0.0 : numbers[i - documents] - 100);
    return numbers;
}

per_layer view_of(std::vector<double> const& numbers) { return {numbers.data(), layers, numbers.size() / layers}; }

std::vector<std::size_t> numbers_from(std::size_t first, std::size_t count) {
    std::vector<std::size_t> set(count);
    std::iota(set.begin(), set.end(), first);
    return set;
}

void check_near(measured_interval const& found, double lo, double hi) {
    REQUIRE(found.lo);
    REQUIRE(found.hi);
    CHECK(*found.lo == doctest::Approx(lo).epsilon(1e-9));
    CHECK(*found.hi == doctest::Approx(hi).epsilon(1e-9));
}

} // namespace

TEST_CASE("the band of a correlation is the interval that tables give, also where numbers are missing") {
    for (const bool missing : {false, true}) {
        auto x = rows_of(60, 1);
        auto y = std::vector<double>(x.begin(), x.begin() + 60);
        if (missing) y[7] = x[60 + 11] = std::numeric_limits<double>::quiet_NaN();
        resampler draws(5);
        const auto curve = draws.correlations(view_of(x), y);
        REQUIRE(curve.within.size() == layers);
        for (std::size_t k = 1; k < layers; ++k) {
            const auto expected = correlation_interval(view_of(x).row(k), y, 5);
            check_near(curve.within[k], *expected.lo, *expected.hi);
            CHECK(*curve.values[k] == *correlation(view_of(x).row(k), y));
        }
    }
}

TEST_CASE("the band of a mean is what drawing documents says") {
    const auto x = rows_of(50, 2);
    const error_sets sets{{}, numbers_from(0, 20), numbers_from(25, 25)};
    const auto curves = resampler(9).means(view_of(x), sets);
    const auto drawn_means = [&](std::vector<std::size_t> const& set, std::uint64_t seed) {
        random_generator random(seed);
        std::vector<double> means;
        for (int draw = 0; draw < 1000; ++draw) {
            double sum = 0;
            for (std::size_t i = 0; i < set.size(); ++i)
                sum += view_of(x).row(1)[set[static_cast<std::size_t>(random.below(set.size()))]];
            means.push_back(sum / static_cast<double>(set.size()));
        }
        return means;
    };
    auto large = drawn_means(sets.large, 9), ctrl = drawn_means(sets.ctrl, 10), difference = large;
    for (std::size_t i = 0; i < difference.size(); ++i) difference[i] = (large[i] - ctrl[i]) / ctrl[i];
    for (auto* const all : {&large, &ctrl, &difference}) std::ranges::sort(*all);
    check_near(curves.large.within[1], quantile(large, 0.025), quantile(large, 0.975));
    check_near(curves.ctrl.within[1], quantile(ctrl, 0.025), quantile(ctrl, 0.975));
    check_near(curves.difference.within[1], quantile(difference, 0.025), quantile(difference, 0.975));
    CHECK(*curves.difference.values[1] ==
          doctest::Approx(*curves.large.values[1] / *curves.ctrl.values[1] - 1).epsilon(1e-9));
}

TEST_CASE("sets of as many documents are drawn independently") {
    const auto x = rows_of(40, 3);
    const auto same = resampler(1).means(view_of(x), {{}, numbers_from(0, 30), numbers_from(0, 30)});
    CHECK(*same.difference.values[0] == 0);
    CHECK(*same.difference.within[0].lo < -0.001);
    CHECK(*same.difference.within[0].hi > 0.001);
}

TEST_CASE("fewer than twenty documents have curves without bands") {
    const auto x = rows_of(40, 4);
    const auto few = resampler(1).means(view_of(x), {{}, numbers_from(0, 19), numbers_from(19, 20)});
    CHECK(few.large.values[0]);
    CHECK_FALSE(few.large.within[0].lo);
    CHECK(few.ctrl.within[0].lo);
    CHECK(few.difference.values[0]);
    CHECK_FALSE(few.difference.within[0].hi);
    const auto nothing = resampler(1).means(view_of(x), {});
    CHECK_FALSE(nothing.difference.values[0]);
    CHECK_FALSE(nothing.large.within[0].lo);

    const std::vector<double> short_rows(x.begin(), x.begin() + 19 * 3);
    const auto rho = resampler(1).correlations(view_of(short_rows), std::span(x).first(19));
    CHECK(rho.values[1]);
    CHECK_FALSE(rho.within[1].lo);
}

TEST_CASE("draws of equal numbers have no correlation, and no interval where they are most") {
    std::vector<double> one(30, 7.0), two(30, 0.1), y(30);
    std::iota(y.begin(), y.end(), 0.0);
    one[4] = 1e9; // in 64 % of the draws
    const resample_counts draws(30, 1);
    const auto answers = resampled_correlations(draws, one, y);
    CHECK(answers.size() > 600);
    CHECK(answers.size() < 680);
    CHECK(interval_of(answers).lo);
    CHECK(resampled_correlations(draws, two, y).empty());
    CHECK_FALSE(interval_of(std::vector<double>(499, 0.5)).lo);
    CHECK(interval_of(std::vector<double>(500, 0.5)).lo);
    const auto never = resampler(1).correlations(per_layer{two.data(), 1, 30}, y);
    CHECK(never.within[0].lo.reason() == "the same value in all examples has no correlation");
}

TEST_CASE("bands have the same bits for any number of threads") {
    const auto x = rows_of(64, 6);
    const auto band = [&](unsigned threads) {
        const thread_limit limit(threads);
        resampler draws(2);
        auto all = draws.correlations(view_of(x), std::span(x).first(64)).within;
        const auto means = draws.means(view_of(x), {{}, numbers_from(0, 32), numbers_from(32, 32)});
        all.insert(all.end(), means.difference.within.begin(), means.difference.within.end());
        std::vector<double> numbers;
        for (auto const& within : all) {
            numbers.push_back(*within.lo);
            numbers.push_back(*within.hi);
        }
        return numbers;
    };
    CHECK(band(1) == band(4));
}
