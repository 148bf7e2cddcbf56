#include "bitlens/analysis/question_buckets.hpp"
#include "bitlens/text/question_set.hpp"

#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

using popularities = std::vector<std::optional<double>>;

/// `count` questions of each log10 popularity, in turn.
popularities each(std::vector<double> const& logs, std::size_t count) {
    popularities all;
    for (std::size_t i = 0; i < count; ++i)
        for (const double x : logs) all.emplace_back(std::pow(10, x));
    return all;
}

/// "2 to 2.5: 10; …".
std::string text_of(question_buckets const& found) {
    std::string text;
    for (auto const& b : found.buckets)
        text += (text.empty() ? "" : "; ") + b.text() + ": " + std::to_string(b.questions.size());
    return text;
}

} // namespace

TEST_CASE("buckets of popularity: every half a power of ten, without those at the ends that are empty") {
    CHECK(text_of(make_buckets(each({1.7, 2.2, 2.6}, 10), {{}, 10})) == "1.5 to 2: 10; 2 to 2.5: 10; 2.5 to 3: 10");
    // An edge belongs to the bucket above it.
    CHECK(text_of(make_buckets(popularities{100.0, 10.0, 99.0}, {{}, 1})) == "1 to 1.5: 1; 1.5 to 2: 1; 2 to 2.5: 1");
    const auto found = make_buckets(popularities{1000.0, std::nullopt, 10.0, 1000.0}, {{}, 1});
    CHECK(found.without == 1);
    CHECK(text_of(found) == "1 to 1.5: 1; 1.5 to 3.5: 2"); // those between are empty and join the one at their right
    CHECK(found.buckets.back().questions == std::vector<std::size_t>{0, 3});
}

TEST_CASE("neighbours are joined from the left until each bucket holds enough; the last joins its left neighbour") {
    CHECK(text_of(make_buckets(each({1.7, 2.2, 2.6, 3.1, 3.6}, 10), {{}, 20})) == "1.5 to 2.5: 20; 2.5 to 4: 30");
    CHECK(text_of(make_buckets(each({1.7, 2.2, 2.6, 3.1}, 10), {{}, 20})) == "1.5 to 2.5: 20; 2.5 to 3.5: 20");
    CHECK(text_of(make_buckets(each({1.7, 2.2}, 10), {})) == "1.5 to 2.5: 20"); // one bucket, of fewer than 100
    const auto joined = make_buckets(each({2.6, 1.7, 2.2}, 2), {{}, 6});
    REQUIRE(joined.buckets.size() == 1);
    CHECK(joined.buckets[0].questions == std::vector<std::size_t>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("edges of one's own, and popularities beyond them") {
    const auto logs = each({1.2, 2.9, 3.5, 4.8, 5.2}, 3);
    CHECK(text_of(make_buckets(logs, {std::vector{2.8, 3.8, 4.9}, 3})) ==
          "1 to 2.8: 3; 2.8 to 3.8: 6; 3.8 to 4.9: 3; 4.9 to 6: 3");
    CHECK(text_of(make_buckets(logs, {std::vector{0.0, 1.0, 4.0, 7.0, 9.0}, 1})) == "1 to 4: 9; 4 to 7: 6");
    CHECK(text_of(make_buckets(logs, {std::vector{3.0}, 1})) == "1 to 3: 6; 3 to 6: 9");
    for (auto const& edges :
         {std::vector<double>{}, {2, 2}, {3, 2}, {1, std::numeric_limits<double>::infinity()}, {std::nan("")}})
        CHECK_THROWS_AS(make_buckets(logs, {edges, 1}), option_error);
    CHECK_THROWS_WITH_AS(make_buckets(logs, {std::vector{3.0, 2.5}, 1}),
                         "make_buckets: edges 3, 2.5, expected finite numbers that rise", option_error);
    CHECK_THROWS_AS(make_buckets(logs, {{}, 0}), option_error);
}

TEST_CASE("popularity 0 is in the lowest bucket, none is in no bucket") {
    auto some = each({2.2, 3.2}, 2);
    some.emplace_back(0.0);
    CHECK(text_of(make_buckets(some, {{}, 2})) == "2 to 2.5: 3; 2.5 to 3.5: 2");
    CHECK(text_of(make_buckets(popularities{0.0, 0.0}, {})) == "0 to 0.5: 2");
    CHECK(text_of(make_buckets(popularities{0.0}, {std::vector{1.0, 2.0, 3.0}, 1})) == "0 to 1: 1");
    const auto none = make_buckets(popularities{std::nullopt, std::nullopt}, {});
    CHECK(none.buckets.empty());
    CHECK(none.without == 2);
    CHECK(make_buckets({}, {}).buckets.empty());
    CHECK(text_of(make_buckets(popularities{5e-324, 1e308}, {{}, 2})) == "-323.5 to 308.5: 2"); // any finite number
}

TEST_CASE("a quarter of PopQA comes to as many buckets as all of it does in the paper") {
    const auto path = std::filesystem::path(BITLENS_SHARED_DATA) / "popqa.tsv";
    if (!std::filesystem::exists(path)) {
        MESSAGE("skipped: ../shared/data is absent");
        return;
    }
    popularities all;
    for (auto const& q : read_questions(path)) all.push_back(q.popularity);
    // Counted by Python from the column s_pop.
    CHECK(text_of(make_buckets(all)) == "0.5 to 2: 482; 2 to 2.5: 849; 2.5 to 3: 709; 3 to 3.5: 565; 3.5 to 4: 377; "
                                        "4 to 4.5: 308; 4.5 to 5: 202; 5 to 7.5: 144");
}
