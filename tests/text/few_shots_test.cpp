#include "bitlens/text/few_shots.hpp"

#include "io/files.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

using rows_of_shots = std::vector<std::size_t>;

/// Questions of these relations and texts.
std::vector<question> questions_of(std::vector<std::pair<std::string, std::string>> const& all) {
    std::vector<question> set;
    for (auto const& [relation, text] : all) {
        question q;
        q.row = set.size();
        q.relation = relation;
        q.text = text;
        q.answers = {"answer " + std::to_string(q.row), "alias"};
        set.push_back(q);
    }
    return set;
}

/// Relations of 3, 1, 4 and 2 questions, of which some have the text of others.
const std::vector<question> small = questions_of({{"a", "1"},
                                                  {"b", "2"},
                                                  {"a", "3"},
                                                  {"c", "4"},
                                                  {"c", "1"},
                                                  {"c", "5"},
                                                  {"c", "4"},
                                                  {"d", "1"},
                                                  {"a", "3"},
                                                  {"d", "1"}});

/// Whether a count is within five standard deviations of that of so many draws of one in `of`.
bool is_usual(std::size_t count, std::size_t draws, double of) {
    const double mean = static_cast<double>(draws) / of;
    return std::abs(static_cast<double>(count) - mean) < 5 * std::sqrt(mean * (1 - 1 / of));
}

} // namespace

TEST_CASE("the shots of a seed and a row") {
    // tests/parity/few_shots.py, which chooses by lists alone
    const std::vector<rows_of_shots> of_0{{6, 1}, {2, 7}, {1, 5}, {7, 0}, {1, 8},
                                          {9, 1}, {7, 8}, {2, 5}, {1, 7}, {6, 1}},
        of_633{{1, 3}, {7, 2}, {4, 1}, {1, 7}, {1, 2}, {1, 0}, {8, 1}, {1, 6}, {7, 1}, {1, 6}};
    const few_shots two(small, 2);
    for (std::size_t row = 0; row < small.size(); ++row) {
        CAPTURE(row);
        CHECK(two(0, row) == of_0[row]);
        CHECK(two(633, row) == of_633[row]);
        CHECK(few_shots(small, 0)(633, row).empty());
    }
    auto without = small;
    for (auto& q : without) q.relation.clear();
    const std::vector<rows_of_shots> none{{1, 2, 3, 6}, {9, 5, 7, 2}, {7, 3, 0, 5}, {2, 4, 1, 0}, {8, 1, 5, 3},
                                          {9, 6, 8, 2}, {2, 4, 0, 9}, {3, 8, 1, 2}, {0, 5, 6, 1}, {5, 2, 8, 6}};
    const few_shots four(without, 4);
    for (std::size_t row = 0; row < small.size(); ++row) CHECK(four(1, row) == none[row]);
}

TEST_CASE("each shot is of another relation, none of the question's own nor of its text, each about equally often") {
    const few_shots two(small, 2);
    constexpr std::size_t draws = 6000;
    for (auto const& q : small) {
        CAPTURE(q.row);
        // Relations, their examples of another text: the choice is by relation, then by example.
        std::vector<std::vector<std::size_t>> examples;
        for (std::string const relation : {"a", "b", "c", "d"}) {
            std::vector<std::size_t> rows;
            for (auto const& other : small)
                if (relation == other.relation && relation != q.relation && other.text != q.text)
                    rows.push_back(other.row);
            if (!rows.empty()) examples.push_back(rows);
        }
        std::vector<std::size_t> count_first(small.size()), count_second(small.size());
        for (std::size_t seed = 0; seed < draws; ++seed) {
            const auto rows = two(seed, q.row);
            REQUIRE(rows.size() == 2);
            CHECK(small[rows[0]].relation != small[rows[1]].relation);
            ++count_first[rows[0]];
            ++count_second[rows[1]];
        }
        std::size_t counted = 0;
        for (auto const& rows : examples)
            for (const std::size_t row : rows) {
                CAPTURE(row);
                const auto of = static_cast<double>(examples.size() * rows.size());
                CHECK(is_usual(count_first[row], draws, of));
                CHECK(is_usual(count_second[row], draws, of)); // the order is random, too
                counted += count_first[row] + count_second[row];
            }
        CHECK(counted == 2 * draws); // nothing else was drawn
    }
}

TEST_CASE("orders of all relations come up about equally, and seeds and rows are apart") {
    std::vector<std::pair<std::string, std::string>> all;
    for (std::size_t i = 0; i < 40; ++i) all.emplace_back("r" + std::to_string(i % 4), std::to_string(i));
    const auto set = questions_of(all);
    const few_shots three(set, 3);
    std::vector<std::size_t> of_order(64);
    std::set<rows_of_shots> different;
    for (std::size_t seed = 0; seed < 300; ++seed)
        for (std::size_t row = 0; row < set.size(); row += 4) {
            const auto rows = three(seed, row);
            ++of_order[rows[0] % 4 * 16 + rows[1] % 4 * 4 + rows[2] % 4];
            different.insert(rows);
        }
    for (const int order : {1 * 16 + 2 * 4 + 3, 1 * 16 + 3 * 4 + 2, 2 * 16 + 1 * 4 + 3, 2 * 16 + 3 * 4 + 1,
                            3 * 16 + 1 * 4 + 2, 3 * 16 + 2 * 4 + 1})
        CHECK(is_usual(of_order.at(static_cast<std::size_t>(order)), 3000, 6));
    // 6000 lists of shots could be drawn: of 3000 draws about 6000 · (1 − e^(−1/2)) = 2361 are different.
    CHECK((different.size() > 2250 && different.size() < 2470));
}

TEST_CASE("too few other relations are counted, a relation of one question is one") {
    CHECK_THROWS_TEXT(few_shots(small)(1, 0), option_error, "row 0: 15 shots", "there are 2 such relations");
    CHECK_THROWS_TEXT(few_shots(small, 3)(1, 0), option_error, "row 0: 3 shots", "there are 2"); // d has its text alone
    CHECK_THROWS_TEXT(few_shots(small, 4)(1, 1), option_error, "row 1: 4 shots", "there are 3");
    CHECK(few_shots(small, 3)(1, 1).size() == 3);
    const auto two = questions_of({{"a", "1"}, {"b", "2"}});
    CHECK(few_shots(two, 1)(7, 0) == rows_of_shots{1});
    CHECK_THROWS_TEXT(few_shots(two, 2)(7, 0), option_error, "there are 1");
    const auto same = questions_of({{"", "1"}, {"", "1"}, {"", "2"}});
    CHECK(few_shots(same, 1)(7, 0) == rows_of_shots{2});
    CHECK_THROWS_TEXT(few_shots(same, 2)(7, 0), option_error, "there are 1");
    CHECK(few_shots(same, 2)(7, 2).size() == 2);
    // One that has no relation in a set of some that do.
    const auto some = questions_of({{"a", "1"}, {"", "2"}, {"", "3"}});
    CHECK_THROWS_TEXT(few_shots(some, 2)(7, 0), option_error, "there are 1");
    CHECK(few_shots(some, 1)(7, 2) == rows_of_shots{0});
}

TEST_CASE("many questions without relations, or of one text, are no trouble") {
    std::vector<std::pair<std::string, std::string>> all;
    for (std::size_t i = 0; i < 60'000; ++i) all.emplace_back("", i < 30'000 ? "same" : std::to_string(i));
    const auto set = questions_of(all);
    const few_shots fifteen(set);
    for (std::size_t row = 0; row < set.size(); row += 3) {
        const auto rows = fifteen(1, row);
        const bool is_good = std::ranges::none_of(
            rows, [&](std::size_t shot) { return shot == row || set[shot].text == set[row].text; });
        if (!is_good) CAPTURE(row);
        REQUIRE(is_good);
        REQUIRE(std::set<std::size_t>(rows.begin(), rows.end()).size() == 15);
    }
}

TEST_CASE("the prompt of a question") {
    const std::vector<std::size_t> shots{4, 1};
    CHECK(prompt_text(small, 3, shots) == "Q: 1 A: answer 4\n\nQ: 2 A: answer 1\n\nQ: 4 A:");
    CHECK(prompt_text(small, 3, {}) == "Q: 4 A:");
}

TEST_CASE("shots of PopQA are one from each of the fifteen other relations") {
    const auto path = std::filesystem::path(BITLENS_SHARED_DATA) / "popqa.tsv";
    if (!std::filesystem::exists(path)) {
        MESSAGE("skipped: ../shared/data is absent");
        return;
    }
    const auto set = read_questions(path);
    const few_shots choose(set);
    // tests/parity/few_shots.py
    CHECK(choose(1, 0) ==
          rows_of_shots{501, 2559, 3513, 1517, 170, 1320, 2299, 400, 840, 286, 1831, 7, 809, 1875, 1448});
    CHECK(choose(633, 1817) ==
          rows_of_shots{1844, 3102, 510, 1333, 2298, 1123, 2632, 285, 1390, 3547, 1554, 1288, 20, 456, 1480});
    CHECK(choose(2, 3635) ==
          rows_of_shots{106, 211, 2232, 1726, 1122, 172, 3163, 1106, 1950, 2034, 229, 1839, 1513, 1847, 801});
    for (auto const& q : set) {
        std::set<std::string> relations{q.relation};
        const auto rows = choose(633, q.row);
        for (const std::size_t row : rows) relations.insert(set[row].relation);
        REQUIRE(relations.size() == 16);
        REQUIRE(std::ranges::none_of(rows, [&](std::size_t row) { return set[row].text == q.text; }));
    }
}
