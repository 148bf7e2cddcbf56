#include "bitlens/analysis/error_sets.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <set>
#include <vector>

using namespace bitlens;

namespace {

/// Rows of six tokens that share no 5-gram.
std::vector<std::vector<std::int32_t>> distinct_rows(std::size_t n) {
    std::vector<std::vector<std::int32_t>> rows(n);
    for (std::size_t i = 0; i < n; ++i)
        for (std::int32_t t = 0; t < 6; ++t) rows[i].push_back(static_cast<std::int32_t>(i) * 6 + t);
    return rows;
}

error_sets sets_of(std::vector<double> const& error, std::vector<std::vector<std::int32_t>> const& rows,
                   std::uint64_t seed = 0) {
    return make_error_sets(error, std::vector<std::span<const std::int32_t>>(rows.begin(), rows.end()), seed);
}

} // namespace

TEST_CASE("examples by falling error, ties in their own order") {
    CHECK(rank_by_error(std::vector{0.5, 2.0, -1.0, 2.0}) == std::vector<std::size_t>{1, 3, 0, 2});
}

TEST_CASE("a sample draws without replacement, every item equally often") {
    const std::vector<std::size_t> items{10, 11, 12, 13, 14};
    std::vector<int> drawn(15);
    constexpr int draws = 20000;
    for (int seed = 0; seed < draws; ++seed) {
        const auto chosen = draw_sample(items, 2, static_cast<std::uint64_t>(seed));
        CHECK(chosen[0] != chosen[1]);
        for (const std::size_t i : chosen) ++drawn[i];
    }
    // Each is drawn with p = 2/5: 8000 times, with a standard deviation of √(20000·p·(1 − p)) ≈ 69; five of them are
    // 346.
    for (const std::size_t i : items) CHECK(std::abs(drawn[i] - 8000) < 346);
    CHECK(draw_sample(items, 5, 3) == draw_sample(items, 5, 3));
    CHECK(draw_sample(items, 0, 3).empty());
}

TEST_CASE("D_large is the worst tenth, D_ctrl comes from the lower half") {
    std::vector<double> error;
    for (int i = 0; i < 40; ++i) error.push_back((i * 7) % 40); // 0 … 39, mixed
    const auto sets = sets_of(error, distinct_rows(40));
    REQUIRE(sets.worst.size() == 4);
    for (std::size_t i = 0; i < 4; ++i) CHECK(error[sets.worst[i]] == 39.0 - static_cast<double>(i));
    CHECK(sets.large == sets.worst);
    CHECK(sets.ctrl.size() == 4);
    CHECK(std::set(sets.ctrl.begin(), sets.ctrl.end()).size() == 4);
    for (const std::size_t i : sets.ctrl) CHECK(error[i] < 20);
    CHECK(sets_of(error, distinct_rows(40), 1).ctrl != sets.ctrl);
}

TEST_CASE("a near-duplicate of a worse document gives its place to the next") {
    std::vector<double> error;
    for (int i = 0; i < 20; ++i) error.push_back(20 - i);
    auto rows = distinct_rows(20);
    rows[1] = rows[0];
    const auto sets = sets_of(error, rows);
    CHECK(sets.worst == std::vector<std::size_t>{0, 1});
    CHECK(sets.large == std::vector<std::size_t>{0, 2});
}

TEST_CASE("where all are the same, D_large is small rather than taken from the lower half") {
    std::vector<double> error;
    for (int i = 0; i < 20; ++i) error.push_back(i);
    const auto sets = sets_of(error, std::vector(20, std::vector<std::int32_t>(8, 1)));
    CHECK(sets.worst.size() == 2);
    CHECK(sets.large == std::vector<std::size_t>{19});
    CHECK(sets.ctrl.size() == 1);
}

TEST_CASE("fewer than ten examples have no tenth") {
    for (const std::size_t n : {0u, 1u, 9u}) {
        const auto sets = sets_of(std::vector<double>(n, 1.0), distinct_rows(n));
        CHECK(sets.worst.empty());
        CHECK(sets.large.empty());
        CHECK(sets.ctrl.empty());
    }
    CHECK(sets_of({9, 1, 2, 3, 4, 5, 6, 7, 8, 0}, distinct_rows(10)).large == std::vector<std::size_t>{0});
}

TEST_CASE("errors that do not tell a tenth from the better half have none") {
    std::vector<double> error(20, 1.0);
    CHECK(sets_of(error, distinct_rows(20)).worst.empty());
    error[7] = 2; // one of the two that a tenth has
    CHECK(sets_of(error, distinct_rows(20)).worst.empty());
    error[12] = 2;
    CHECK(sets_of(error, distinct_rows(20)).worst == std::vector<std::size_t>{7, 12});
}

TEST_CASE("more items than there are, and rows without an error, are refused") {
    const std::vector<std::size_t> items{1, 2};
    CHECK_THROWS_WITH_AS(draw_sample(items, 3, 1), "draw_sample: 3 items from 0 on, of 2", shape_error);
    const std::vector<double> error(20);
    CHECK_THROWS_WITH_AS(sets_of(error, distinct_rows(19)), "make_error_sets: ids has 19 elements, expected 20",
                         shape_error);
}
