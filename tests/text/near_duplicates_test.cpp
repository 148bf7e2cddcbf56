#include "bitlens/text/near_duplicates.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <numeric>
#include <optional>
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

TEST_CASE("of two rows, the share of the smaller one's n-grams that the other has") {
    const row longer = counting(0, 104), part = counting(50, 24); // 100 and 20 5-grams
    const std::vector<row> known{counting(500, 24), longer, longer};
    const auto of = views(known);
    const repeated_rows rows(of);
    const auto whole = rows.most_shared(part);
    REQUIRE(whole);
    CHECK((whole->row == 1 && whole->share == 1)); // the first of equals
    row begun = counting(90, 24);                  // 10 of its 20 5-grams are in it
    CHECK(rows.most_shared(begun)->share == 0.5);
    row longest = counting(900, 300); // of 296, with all of the first known row
    std::ranges::copy(known[0], longest.begin() + 100);
    CHECK((rows.most_shared(longest)->row == 0 && rows.most_shared(longest)->share == 1));
    CHECK_FALSE(rows.most_shared(counting(2000, 50)));
    CHECK(rows.most_shared(counting(99, 8))->share == 0.25); // {99 … 103} of 4
    // Where few must be shared, a row of fewer is only found whole.
    CHECK(rows.most_shared(begun, 10)->share == 0.5);
    CHECK_FALSE(rows.most_shared(begun, 11));
    CHECK_FALSE(rows.most_shared(counting(99, 8), 2));
    CHECK(rows.most_shared(counting(60, 8), 100)->share == 1);
    // One that shares a larger part but too few does not hide another.
    row both = counting(500, 7); // 3 5-grams of the first known row, of 20
    std::ranges::copy(counting(60, 17), std::back_inserter(both));
    CHECK(rows.most_shared(both, 4)->row == 1);
    // Of distinct n-grams: a row of one repeated token has one.
    CHECK(rows.most_shared(row(40, 7)) == std::nullopt);
    const std::vector<row> sevens{row(90, 7), {1, 2, 3}};
    const auto of_sevens = views(sevens);
    const repeated_rows repeating(of_sevens);
    CHECK(repeating.most_shared(row(40, 7))->share == 1);
    row some_sevens = counting(10, 12);
    some_sevens.insert(some_sevens.end(), 6, 7);
    CHECK(repeating.most_shared(some_sevens)->share == 1);
    CHECK(repeating.most_shared(row{1, 2, 3})->row == 1); // shorter than n: its equals alone
    CHECK_FALSE(repeating.most_shared(row{1, 2}));
    CHECK_FALSE(repeating.most_shared(row{1, 2, 3, 4, 5, 6}));
    CHECK_THROWS_AS(repeated_rows(of, 0), option_error);
}

TEST_CASE("shares agree with the plain definition on random rows") {
    std::mt19937_64 draw(12);
    const auto random_row = [&] {
        row r(5 + draw() % 40);
        for (auto& id : r) id = static_cast<std::int32_t>(draw() % 3);
        return r;
    };
    const auto grams = [](row const& r) {
        std::set<row> set;
        for (std::size_t i = 0; i + 5 <= r.size(); ++i) set.insert(row(&r[i], &r[i] + 5));
        return set;
    };
    std::vector<row> known(20);
    for (auto& r : known) r = random_row();
    const auto of = views(known);
    const repeated_rows rows(of);
    for (int i = 0; i < 100; ++i) {
        const row r = random_row();
        double most = 0;
        for (auto const& other : known) {
            const auto a = grams(r), b = grams(other);
            double both = 0;
            for (auto const& g : a) both += static_cast<double>(b.count(g));
            most = std::max(most, both / static_cast<double>(std::min(a.size(), b.size())));
        }
        const auto found = rows.most_shared(r);
        CHECK((found ? found->share : 0) == most);
    }
}
