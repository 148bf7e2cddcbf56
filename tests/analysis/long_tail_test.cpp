#include "bitlens/analysis/long_tail.hpp"

#include "run_for_test.hpp"

#include <cstddef>
#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

/// Losses before of half of the documents are 0.5, of the others 5; their errors are easy(i) or hard(i).
struct columns {
    std::vector<double> before, error;
};
template <class Easy, class Hard>
columns halves(std::size_t of_each, Easy const& easy, Hard const& hard) {
    columns c;
    for (std::size_t i = 0; i < of_each; ++i) {
        c.before.insert(c.before.end(), {0.5, 5});
        c.error.insert(c.error.end(), {easy(i), hard(i)});
    }
    return c;
}
long_tail tail_of(columns const& c) { return long_tail_of(c.before, c.error, 3); }

double turn(std::size_t i) { return i % 2 == 0 ? -1 : 1; }

finished_study run_of(std::vector<std::size_t> rows, std::vector<std::string> names) {
    auto run = test::made_up_run(
        rows.size(), {"a"}, [](std::size_t, std::size_t) { return 0.5; }, [](std::size_t) { return 1.0; });
    run.documents.rows = std::move(rows);
    run.documents.names = std::move(names);
    return make_study(std::move(run));
}

} // namespace

TEST_CASE("conditional means are over all documents at or beyond a bound, and over no others") {
    const std::vector<double> before{0.2, 1, 1.0001, 3.9999, 4, 7, 8, undefined_number, 0.5};
    const std::vector<double> error{1, 2, 100, 100, 4, 8, undefined_number, 100, 6};
    const auto found = long_tail_of(before, error, 1);
    CHECK(found.easy.errors == std::vector<double>{1, 2, 6});
    CHECK(*found.easy.mean == 3);
    CHECK(found.hard.errors == std::vector<double>{4, 8});
    CHECK(*found.hard.mean == 6);
    CHECK_FALSE(found.easy.within.lo); // of three
    CHECK(found.easy.within.lo.reason() == too_few_documents().reason);
    CHECK(found.easy_lose_more == outcome::undecided);
    CHECK_THROWS_AS(long_tail_of(before, std::span(error).first(3), 1), shape_error);
}

TEST_CASE("intervals hold the means, and decide which are larger") {
    const auto larger = tail_of(halves(
        20, [](std::size_t i) { return 5 + turn(i); }, turn));
    CHECK(*larger.easy.mean == 5);
    CHECK(*larger.easy.within.lo < 5);
    CHECK(*larger.easy.within.hi > 5);
    CHECK(*larger.easy.within.lo > *larger.hard.within.hi);
    CHECK(larger.easy_lose_more == outcome::agrees);
    CHECK(tail_of(halves(20, turn, [](std::size_t i) { return 5 + turn(i); })).easy_lose_more == outcome::differs);
    CHECK(tail_of(halves(20, turn, turn)).easy_lose_more == outcome::undecided);
    // One document fewer of either kind decides nothing.
    CHECK(tail_of(halves(
                      19, [](std::size_t i) { return 5 + turn(i); }, turn))
              .easy_lose_more == outcome::undecided);
}

TEST_CASE("without hard or without easy documents nothing is compared") {
    const std::vector<double> easy(30, 0.5), between(30, 2.0), error(30, 0.25);
    const auto found = long_tail_of(easy, error, 1);
    CHECK(*found.easy.mean == 0.25);
    CHECK(found.hard.mean.reason() == "no document has a loss of 4 nats per token or more");
    CHECK(found.hard.within.lo.reason() == found.hard.mean.reason());
    CHECK(found.easy_lose_more == outcome::not_defined);
    CHECK(long_tail_of(between, error, 1).easy.mean.reason() == "no document has a loss of 1 nat per token or less");
    CHECK(long_tail_of({}, {}, 1).easy_lose_more == outcome::not_defined);
}

TEST_CASE("losses of another run are found by row number and id") {
    auto other = run_of({2, 5, 9}, {"two", "five", "nine"});
    std::vector<double> losses{20, 50, 90};
    other.nll_full = losses;
    const auto here = run_of({5, 7, 2}, {"five", "seven", "two"});
    const auto found = losses_in(other, "RUN", here.run.documents);
    REQUIRE(found.size() == 3);
    CHECK(found[0] == 50);
    CHECK(std::isnan(found[1])); // too short for the other tokenizer
    CHECK(found[2] == 20);
}

TEST_CASE("another run of other documents is refused") {
    const auto other = run_of({2, 5}, {"two", "five"});
    CHECK_THROWS_WITH_AS(losses_in(other, "RUN", run_of({1, 5}, {"one", "fife"}).run.documents),
                         "RUN: a run of the same documents is expected; its document 5 has the id \"five\", here it "
                         "has \"fife\"",
                         format_error);
    CHECK_THROWS_WITH_AS(losses_in(other, "RUN", run_of({5}, {""}).run.documents), doctest::Contains("document 5"),
                         format_error);
    CHECK_THROWS_WITH_AS(losses_in(other, "RUN", run_of({3, 4, 6}, {"", "", ""}).run.documents),
                         "RUN: a run of the same documents is expected; none of its 2 documents has the row number of "
                         "one of the 3 here",
                         format_error);
}
