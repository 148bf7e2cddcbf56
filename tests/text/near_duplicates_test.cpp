#include "bitlens/text/near_duplicates.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <numeric>
#include <random>
#include <set>
#include <span>
#include <vector>

using namespace bitlens;

namespace {

using row = std::vector<std::int32_t>;
using places = std::vector<std::size_t>;

std::vector<std::span<const std::int32_t>> views(std::vector<row> const& rows) { return {rows.begin(), rows.end()}; }

row counting(std::int32_t first, std::size_t size) {
    row r(size);
    std::iota(r.begin(), r.end(), first);
    return r;
}

double slow_jaccard(row const& a, row const& b, std::size_t n) {
    const auto grams = [n](row const& r) {
        std::set<row> set;
        for (std::size_t i = 0; i + n <= r.size(); ++i) set.insert(row(&r[i], &r[i] + n));
        return set;
    };
    const auto x = grams(a), y = grams(b);
    std::size_t both = 0;
    for (auto const& g : x) both += y.count(g);
    return static_cast<double>(both) / static_cast<double>(x.size() + y.size() - both);
}

} // namespace

TEST_CASE("a row above the threshold is dropped, one at it is kept") {
    const row first = counting(0, 24); // 20 5-grams
    row copy = first;
    copy.back() = 99; // shares 19 of 21
    CHECK(keep_distinct(views({first, copy, counting(100, 24)}), 10) == places{0, 2});
    // Shared s of 20 + 20 − s: s = 4 gives 4/36 = 0.111, s = 3 gives 3/37 = 0.081.
    row four = counting(1000, 24), three = counting(2000, 24);
    std::copy_n(first.begin(), 8, four.begin());
    std::copy_n(first.begin(), 7, three.begin());
    CHECK(keep_distinct(views({first, four, three}), 10) == places{0, 2});
    CHECK(keep_distinct(views({first, four}), 10, 4.0 / 36.0) == places{0, 1}); // not above
}

TEST_CASE("rows are compared with those kept, not with those dropped") {
    const row a = counting(0, 24), b = counting(12, 24), c = counting(24, 24); // neighbours share 8 of 32 5-grams
    CHECK(keep_distinct(views({a, b, c}), 10) == places{0, 2});
    CHECK(keep_distinct(views({a, c, b}), 10) == places{0, 1});
}

TEST_CASE("limit, short rows, empty rows, repeats, bad options") {
    const row a = counting(0, 9), b = counting(50, 9);
    CHECK(keep_distinct(views({a, b}), 1) == places{0});
    CHECK(keep_distinct(views({a, b}), 0) == places{});
    CHECK(keep_distinct({}, 5) == places{});
    CHECK(keep_distinct(views({{1, 2}, {1, 2}, {2, 1}, {}, {}}), 9) == places{0, 2, 3});
    CHECK(keep_distinct(views({row(30, 7), row(60, 7)}), 9) == places{0}); // sets: each is one 5-gram
    CHECK_THROWS_AS(keep_distinct(views({a}), 1, 1.5), option_error);
    CHECK_THROWS_AS(keep_distinct(views({a}), 1, 0.1, 0), option_error);
}

TEST_CASE("agrees with the plain definition on random rows") {
    std::mt19937_64 draw(11);
    std::vector<row> rows(60, row(30));
    for (auto& r : rows)
        for (auto& id : r) id = static_cast<std::int32_t>(draw() % 3);
    for (std::size_t n : {1u, 3u, 5u}) {
        for (double threshold : {0.0, 0.1, 0.4}) {
            places expected;
            for (std::size_t r = 0; r < rows.size() && expected.size() < 20; ++r)
                if (std::none_of(expected.begin(), expected.end(),
                                 [&](std::size_t k) { return slow_jaccard(rows[r], rows[k], n) > threshold; }))
                    expected.push_back(r);
            CHECK(keep_distinct(views(rows), 20, threshold, n) == expected);
        }
    }
}
