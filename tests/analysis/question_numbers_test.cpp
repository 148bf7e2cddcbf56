#include "bitlens/analysis/question_numbers.hpp"

#include "questions_for_test.hpp"

#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

finished_questions questions_run(test::made_up_questions const& m) { return make_questions(test::run_of(m)); }

std::vector<std::size_t> places_of(std::vector<changed_question> const& changed) {
    std::vector<std::size_t> places;
    for (auto const& c : changed) places.push_back(c.question);
    return places;
}

} // namespace

TEST_CASE("accuracies, what methods lose of them, and flips, with numbers counted by hand") {
    // Of 40 questions the full model answers 0 … 19; a loses 0 … 7 and gains 20, 21; b loses 4 … 9.
    const auto q = questions_run({.questions = 40, .methods = {"a", "b"}, .contains = [](auto, auto i, auto v) {
                                      if (v == 1) return (i >= 8 && i < 20) || i == 20 || i == 21;
                                      return i < 20 && !(v == 2 && i >= 4 && i < 10);
                                  }});
    const auto found = numbers_of(q);
    CHECK(found.buckets.buckets.empty());
    CHECK(found.buckets.without == 40);
    auto const& contains = found.of(answer_mark::contains);
    CHECK(contains.mark == answer_mark::contains);
    auto const& all = contains.all;
    REQUIRE(all.variants.size() == 3);
    CHECK(*all.variants[0].share.mean == 0.5);
    CHECK(*all.variants[1].share.mean == 0.35);
    CHECK(*all.variants[2].share.mean == doctest::Approx(0.35));
    const auto wilson = wilson_interval(0.35, 40);
    CHECK(*all.variants[1].within.lo == wilson->lo);
    CHECK(*all.variants[1].within.hi == wilson->hi);
    CHECK_FALSE(all.variants[0].share.spread);
    REQUIRE(all.methods.size() == 2);
    auto const& a = all.methods[0];
    CHECK(*a.lost.mean == doctest::Approx(0.15));
    REQUIRE(a.flips.size() == 1);
    CHECK(a.flips[0].lost == 8);
    CHECK(a.flips[0].gained == 2);
    CHECK(a.flips[0].both == 12);
    CHECK(a.flips[0].neither == 18);
    CHECK(a.flips[0].chance == mcnemar_chance(8, 2));
    CHECK(*a.within.lo < 0.15);
    CHECK(*a.within.lo >= -2.0 / 40);
    CHECK(*a.within.hi > 0.15);
    CHECK(*all.methods[1].within.lo > 0); // it only loses

    REQUIRE(contains.pairs.size() == 1);
    auto const& pair = contains.pairs[0];
    CHECK(pair.lost_first == 8);
    CHECK(pair.lost_second == 6);
    CHECK(pair.lost_by_both == 4);
    CHECK(*pair.lost_overlap == doctest::Approx(0.4));
    CHECK(*pair.lost_chance == doctest::Approx(2.4 / (14 - 2.4))); // 8 and 6 of the 20 that can be lost
    CHECK(pair.gained_first == 2);
    CHECK(pair.gained_second == 0);
    CHECK(*pair.gained_overlap == 0);
    CHECK(pair.gained_chance.reason() == "one of the methods changes no answer so");
}

TEST_CASE("the interval of a degradation is that of the mean over paired questions, whatever the variants share") {
    const auto q = questions_run({.questions = 100, .methods = {"a"}, .contains = [](auto, auto i, auto v) {
                                      return v == 0 ? i % 2 == 0 : i % 2 == 0 && i % 10 != 0;
                                  }});
    const auto all = numbers_of(q).of(answer_mark::contains).all;
    // Differences: ten of 1 in 100. Their bootstrap mean has a standard error of √(0.1 · 0.9 / 100) = 0.03.
    CHECK(*all.methods[0].within.lo == doctest::Approx(0.1 - 1.96 * 0.03).epsilon(0.02));
    CHECK(*all.methods[0].within.hi == doctest::Approx(0.1 + 1.96 * 0.03).epsilon(0.02));
    // Two accuracies that were independent would be known to no better than √(0.25 + 0.24) / 10 = 0.07.
    CHECK(*all.methods[0].within.hi - *all.methods[0].within.lo < 0.13);
}

TEST_CASE("seeds of shots: each has its numbers, questions are resampled with all of theirs") {
    // Under seed k the method loses the first 10 · k questions of 60.
    test::made_up_questions m{.questions = 60, .methods = {"a"}};
    m.seeds = {3, 4, 5};
    m.contains = [](std::size_t k, std::size_t i, std::size_t v) { return v == 0 || i >= 10 * k; };
    const auto all = numbers_of(questions_run(m)).of(answer_mark::contains).all;
    auto const& a = all.methods[0];
    REQUIRE(a.lost.of_seed.size() == 3);
    CHECK(*a.lost.of_seed[0] == 0);
    CHECK(*a.lost.of_seed[1] == doctest::Approx(1.0 / 6));
    CHECK(*a.lost.of_seed[2] == doctest::Approx(2.0 / 6));
    CHECK(*a.lost.mean == doctest::Approx(1.0 / 6));
    CHECK(*a.lost.spread == doctest::Approx(1.0 / 6)); // of −1/6, 0 and 1/6 around their mean, over 3 − 1
    REQUIRE(a.flips.size() == 3);
    CHECK(a.flips[2].lost == 20);
    CHECK(a.flips[2].chance == mcnemar_chance(20, 0));
    CHECK(*all.variants[1].share.mean == doctest::Approx(5.0 / 6));
    CHECK(*all.variants[1].within.lo == doctest::Approx(wilson_interval(5.0 / 6, 60)->lo)); // of 60, not of 180
    // The same seed three times adds nothing: the same interval as one.
    m.contains = [](std::size_t, std::size_t i, std::size_t v) { return v == 0 || i >= 10; };
    const auto thrice = numbers_of(questions_run(m)).of(answer_mark::contains).all.methods[0];
    m.seeds = {3};
    const auto once = numbers_of(questions_run(m)).of(answer_mark::contains).all.methods[0];
    CHECK(*thrice.within.lo == *once.within.lo);
    CHECK(*thrice.within.hi == *once.within.hi);
    CHECK(*thrice.lost.spread == 0);
}

TEST_CASE("bucket by bucket: each mark, each with the questions of its own") {
    test::made_up_questions m{.questions = 80, .methods = {"a"}};
    m.popularity = [](std::size_t i) { return i < 30 ? 50.0 : 5000.0; };
    m.least = 30;
    m.contains = [](std::size_t, std::size_t i, std::size_t v) { return v == 0 || i < 30; };
    m.exact = [](std::size_t, std::size_t i, std::size_t v) { return v == 0 && i % 2 == 0; };
    const auto found = numbers_of(questions_run(m));
    REQUIRE(found.buckets.buckets.size() == 2);
    for (const auto mark : answer_marks) {
        auto const& buckets = found.of(mark).buckets;
        REQUIRE(buckets.size() == 2);
        CHECK(buckets[0].questions.size() == 30);
        CHECK(buckets[1].questions.size() == 50);
        CHECK(*buckets[0].methods[0].lost.mean == (mark == answer_mark::contains ? 0 : 0.5));
        CHECK(*buckets[1].methods[0].lost.mean == (mark == answer_mark::contains ? 1 : 0.5));
    }
}

TEST_CASE("few questions have no interval of what is lost, none have no numbers, no method loses nothing") {
    const auto few = numbers_of(questions_run({.questions = 19, .methods = {"a"}})).of(answer_mark::exact).all;
    CHECK(*few.variants[1].share.mean == 1);
    CHECK(*few.variants[1].within.lo == wilson_interval(1, 19)->lo);
    CHECK(few.methods[0].within.lo.reason() == "fewer than 20 examples say nothing of their uncertainty");
    const auto none = numbers_of(questions_run({.questions = 0, .methods = {"a"}})).of(answer_mark::exact).all;
    CHECK(none.variants[0].share.mean.reason() == "there are no questions");
    CHECK(none.variants[0].within.hi.reason() == "there are no questions");
    CHECK(none.methods[0].lost.spread.reason() == "there are no questions");
    CHECK(none.methods[0].flips[0].chance == 1);
    const auto alone = questions_run({.questions = 5});
    CHECK(numbers_of(alone).of(answer_mark::exact).all.methods.empty());
    CHECK(only_full_answers(alone, answer_mark::exact).empty());
    CHECK(only_quantized_answer(alone, answer_mark::exact).empty());
}

TEST_CASE("the hardest losses: those of every method, under most seeds first, then the surest answers") {
    test::made_up_questions m{.questions = 6, .methods = {"a", "b"}};
    m.seeds = {1, 2};
    // 0: lost by both under both seeds. 1: under the second only. 2: by a alone. 3: never right. 4: gained by b under
    // both seeds. 5: lost by both under both, and sure.
    m.contains = [](std::size_t k, std::size_t i, std::size_t v) {
        if (i == 0 || i == 5) return v == 0;
        if (i == 1) return v == 0 || k == 0;
        if (i == 2) return v != 1;
        return i == 4 && v == 2;
    };
    m.nll = [](std::size_t row, std::size_t v) { return row % 6 == 5 ? 0.25 : 1.0 + static_cast<double>(v); };
    const auto q = questions_run(m);
    const auto lost = only_full_answers(q, answer_mark::contains);
    CHECK(places_of(lost) == std::vector<std::size_t>{5, 0, 1});
    CHECK(lost[0].seeds == 2);
    CHECK(lost[0].nll == 0.25);
    CHECK(lost[0].methods == 0);
    CHECK(lost[2].seeds == 1);
    CHECK(lost[2].seed == 1);
    CHECK(lost[2].nll == 1);
    const auto gained = only_quantized_answer(q, answer_mark::contains);
    CHECK(places_of(gained) == std::vector<std::size_t>{4});
    CHECK(gained[0].methods == 1);
    CHECK(gained[0].seeds == 2);
    CHECK(gained[0].nll == 3); // of b's tokens
}

TEST_CASE("gained questions: those of most methods first; an answer without tokens is the least sure") {
    const auto q = questions_run({.questions = 3,
                                  .methods = {"a", "b"},
                                  .contains = [](auto, auto i, auto v) { return v == 1 || (v == 2 && i == 2); },
                                  .nll = [](auto row, auto) { return row == 0 ? undefined_number : 2.0; }});
    CHECK(places_of(only_quantized_answer(q, answer_mark::contains)) == std::vector<std::size_t>{2, 1, 0});
    CHECK(only_quantized_answer(q, answer_mark::contains)[2].nll == std::numeric_limits<double>::infinity());
}
