#include "bitlens/stats/resamples.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <vector>

using namespace bitlens;

namespace {

using list = std::vector<double>;

struct columns {
    list x, y;
};

/// Pairs that go together a little; with ties, where `steps` rounds them.
columns correlated(std::size_t n, double steps) {
    random_generator random(7);
    columns c;
    for (std::size_t i = 0; i < n; ++i) {
        const double shared = random.normal();
        c.x.push_back(std::round(steps * (shared + random.normal())) / steps);
        c.y.push_back(std::round(steps * (shared + random.normal())) / steps);
    }
    return c;
}

/// Resampled by hand: the drawn numbers side by side.
columns drawn(columns const& c, std::span<const std::uint32_t> times) {
    columns d;
    for (std::size_t i = 0; i < times.size(); ++i)
        for (std::uint32_t k = 0; k < times[i]; ++k)
            if (!std::isnan(c.x[i]) && !std::isnan(c.y[i])) {
                d.x.push_back(c.x[i]);
                d.y.push_back(c.y[i]);
            }
    return d;
}

} // namespace

TEST_CASE("a correlation by how often each document was drawn is that of the numbers drawn") {
    for (const double steps : {1e9, 1.0}) { // no ties, many ties
        auto c = correlated(57, steps);
        c.x[4] = c.y[9] = std::nan("");
        const resampled_pair pair(c.x, c.y);
        CHECK(pair.documents() == 57);
        CHECK(pair.defined() == 55);
        std::size_t seen = 0;
        for_each_resample(57, 20, 3, [&](std::span<const std::uint32_t> times) {
            const auto d = drawn(c, times);
            const auto found = pair(times);
            CHECK(found.pearson.value() == doctest::Approx(pearson(d.x, d.y).value()).epsilon(1e-12));
            CHECK(found.spearman.value() == doctest::Approx(spearman(d.x, d.y).value()).epsilon(1e-12));
            ++seen;
        });
        CHECK(seen == 20);
    }
}

TEST_CASE("intervals are those of bootstrap_interval, of one pair or of several, with any number of threads") {
    const auto a = correlated(40, 1e9), b = correlated(40, 2);
    const std::vector<resampled_pair> pairs{{a.x, a.y}, {b.x, b.y}};
    const auto found = bootstrap_intervals(pairs, 40, 200, 0.9, 5);
    const auto expected_pearson = bootstrap_interval(
        a.x, a.y, [](auto x, auto y) { return pearson(x, y); }, 200, 0.9, 5);
    const auto expected_spearman = bootstrap_interval(
        b.x, b.y, [](auto x, auto y) { return spearman(x, y); }, 200, 0.9, 5);
    CHECK(found[0].pearson->lo == doctest::Approx(expected_pearson->lo).epsilon(1e-12));
    CHECK(found[0].pearson->hi == doctest::Approx(expected_pearson->hi).epsilon(1e-12));
    CHECK(found[1].spearman->lo == doctest::Approx(expected_spearman->lo).epsilon(1e-12));
    CHECK(found[1].spearman->hi == doctest::Approx(expected_spearman->hi).epsilon(1e-12));
    const thread_limit one(1);
    const auto again = bootstrap_intervals(pairs, 40, 200, 0.9, 5);
    for (std::size_t p = 0; p < 2; ++p) {
        CHECK(again[p].pearson->lo == found[p].pearson->lo);
        CHECK(again[p].spearman->hi == found[p].spearman->hi);
    }
}

TEST_CASE("equal numbers, and none, have no interval") {
    const list same(30, 0.1), gaps(30, std::nan(""));
    list rising;
    for (int i = 0; i < 30; ++i) rising.push_back(i);
    const std::vector<resampled_pair> pairs{{same, rising}, {rising, gaps}, {rising, rising}};
    const auto found = bootstrap_intervals(pairs, 30, 100, 0.95, 0);
    for (const std::size_t p : {0u, 1u}) {
        CHECK_FALSE(found[p].pearson);
        CHECK_FALSE(found[p].spearman);
    }
    CHECK(found[2].pearson->lo == 1);
    CHECK(found[2].spearman->lo == doctest::Approx(1));
    CHECK_THROWS_AS(resampled_pair(same, list{1}), shape_error);
    CHECK_THROWS_AS(bootstrap_intervals(pairs, 31, 100, 0.95, 0), shape_error);
}
