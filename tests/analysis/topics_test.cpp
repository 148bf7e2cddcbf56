#include "bitlens/analysis/topics.hpp"

#include "expected_numbers.hpp"
#include "run_for_test.hpp"

#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

/// 80 documents of two topics by turns; the second has larger errors where `matter`.
run_results two_topics(bool matter) {
    random_generator random(6);
    auto run = test::made_up_run(
        80, {"a"},
        [&](std::size_t i, std::size_t) {
            return i == 2 ? undefined_number
                          : std::round(1e6 * (0.3 + 0.01 * static_cast<double>(i * 37 % 80) +
                                              (matter && i % 2 == 1 ? 1.0 : 0.0))) /
                                1e6;
        },
        [&](std::size_t) { return random.normal(); });
    for (std::size_t i = 0; i < 80; ++i) run.documents.topics[i] = i % 2 == 0 ? "even" : "odd";
    run.documents.topics[4].clear();
    return run;
}

} // namespace

TEST_CASE("errors by topic, shares of D_large and the test of topics are as scipy says") {
    const auto expected = test::expected_numbers();
    const auto s = make_study(read_run(test::golden_run()));
    const auto found = study_topics(s).value();
    CHECK(found.topics == std::vector<std::string>{"<b>Food</b>", "Literature, \"quoted\"", "Science & Tech."});
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        auto const& e = expected["methods"][s.methods[v].name];
        std::size_t most = 0;
        for (std::size_t t = 0; t < found.topics.size(); ++t) {
            auto const& of_topic = found.methods[v][t];
            auto const& numpy = e["topics"][found.topics[t]];
            CHECK(of_topic.documents == numpy["documents"].get<std::size_t>());
            CHECK(of_topic.large == numpy["large"].get<std::size_t>());
            CHECK(*of_topic.mean_error == test::as_expected(numpy["mean_error"]));
            CHECK(*of_topic.share_large == test::as_expected(numpy["share_large"]));
            CHECK(*of_topic.share_all == test::as_expected(1.0 / 3));
            CHECK(*of_topic.chance == doctest::Approx(numpy["chance"].get<double>()).epsilon(1e-9));
            CHECK(*of_topic.chance_corrected == doctest::Approx(std::min(1.0, 3 * *of_topic.chance)));
            CHECK_FALSE(of_topic.interval.lo); // ten documents
            most = std::max(most, of_topic.large);
        }
        CHECK(found.methods[v][found.largest[v].front()].large == most);
        CHECK(*found.tests[v].h == test::as_expected(e["topics_h"]));
        CHECK(*found.tests[v].explained == doctest::Approx(e["topics_h"].get<double>() / 29).epsilon(1e-12));
        CHECK(*found.tests[v].chance == test::as_expected(e["topics_chance"]));
        CHECK(found.tests[v].documents == 30);
        CHECK(found.tests[v].topics == 3);
    }
}

TEST_CASE("topics that matter are told from those that do not; documents without a topic or an error are left out") {
    const auto s = make_study(two_topics(true));
    const auto matter = study_topics(s).value();
    CHECK(matter.topics == std::vector<std::string>{"odd", "even"});
    auto const &odd = matter.methods[0][0], &even = matter.methods[0][1];
    CHECK(odd.documents == 40);
    CHECK(even.documents == 38);
    CHECK(*odd.share_all == doctest::Approx(40.0 / 78));
    CHECK(*odd.mean_error - *even.mean_error == doctest::Approx(1.0).epsilon(0.05));
    CHECK(*odd.interval.lo < *odd.mean_error);
    CHECK(*odd.mean_error < *odd.interval.hi);
    CHECK(*odd.interval.lo > *even.interval.hi);
    CHECK(odd.large == s.sets[0].large.size());
    CHECK(*odd.share_large == 1);
    CHECK(*odd.chance < 0.02);
    CHECK(*even.chance == doctest::Approx(*odd.chance)); // two topics: one is the other's rest
    CHECK(matter.largest[0] == std::vector<std::size_t>{0});
    CHECK(*matter.tests[0].chance == doctest::Approx(1.0 / 1001));

    const auto none = study_topics(make_study(two_topics(false))).value();
    CHECK(*none.tests[0].chance > 0.05);
    CHECK(*none.tests[0].explained < 0.05);
}

TEST_CASE("too few topics or documents, and equal errors, decide nothing") {
    auto run = two_topics(true);
    run.documents.topics.assign(80, "one");
    CHECK_FALSE(study_topics(make_study(std::move(run))));
    run = two_topics(true);
    run.documents.topics.assign(80, "");
    CHECK_FALSE(study_topics(make_study(std::move(run))));

    const std::vector<std::size_t> group{0, 1, 0, 1};
    CHECK(test_topics(std::vector<double>{1, 2, 3, 4}, group, 2, 0).h.reason() ==
          "fewer than 20 documents have a topic and an error");
    std::vector<std::size_t> turns(30);
    for (std::size_t i = 0; i < 30; ++i) turns[i] = i % 2;
    CHECK(test_topics(std::vector<double>(30, 1.5), turns, 2, 0).chance.reason() == "the errors are all the same");
    std::vector<double> half(60, undefined_number);
    for (std::size_t i = 0; i < 60; i += 2) half[i] = static_cast<double>(i);
    turns.resize(60);
    for (std::size_t i = 0; i < 60; ++i) turns[i] = i % 2;
    CHECK(test_topics(half, turns, 2, 0).chance.reason() == "all documents are of one topic");
    CHECK_THROWS_AS(test_topics(half, group, 2, 0), shape_error);
}
