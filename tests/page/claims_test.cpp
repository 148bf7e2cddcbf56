#include "bitlens/page/claims.hpp"

#include "bitlens/page/words.hpp"
#include "run_for_test.hpp"
#include "study_for_test.hpp"

#include <array>
#include <doctest/doctest.h>
#include <numeric>
#include <string>
#include <vector>

using namespace bitlens;
using detail::judge, detail::side;
using test::scattered, test::study_of;

namespace {

double rising(std::size_t i) { return static_cast<double>(i); }

table claims_table_of(finished_study const& s) {
    const auto pairs = method_pairs(s);
    return claims_table(claims_of({s, pairs}));
}

struct claim_row {
    std::string verdict, finding, paper, run;
};

claim_row claim_about(finished_study const& s, std::string const& words) {
    const auto text = [](cell const& c) { return std::get<std::string>(c.value); };
    for (auto const& row : claims_table_of(s).rows)
        if (text(row[1]).find(words) != std::string::npos)
            return {text(row[0]), text(row[1]), text(row[2]), text(row[3])};
    throw error("no finding about " + words);
}

measured_interval within(double lo, double hi) { return {lo, hi}; }

} // namespace

TEST_CASE("a correlation is decided where its whole interval is on one side") {
    CHECK(judge(0.6, within(0.55, 0.65), side::above, 0.5) == outcome::agrees);
    CHECK(judge(0.6, within(0.45, 0.7), side::above, 0.5) == outcome::undecided);
    CHECK(judge(0.4, within(0.3, 0.45), side::above, 0.5) == outcome::differs);
    CHECK(judge(-0.4, within(-0.5, -0.1), side::below, 0) == outcome::agrees);
    CHECK(judge(-0.4, within(-0.5, 0.1), side::below, 0) == outcome::undecided);
    CHECK(judge(0.4, within(0.1, 0.5), side::below, 0) == outcome::differs);
    CHECK(judge(undefined{"no"}, within(0, 0), side::below, 0) == outcome::not_defined);
    CHECK(judge(0.4, {undefined{"no"}, undefined{"no"}}, side::above, 0) == outcome::undecided);
}

TEST_CASE("what holds in 97.5 % of the resamples is decided, and few documents decide nothing") {
    CHECK(judge(detail::resampled{975, 1000}) == outcome::agrees);
    CHECK(judge(detail::resampled{974, 1000}) == outcome::undecided);
    CHECK(judge(detail::resampled{26, 1000}) == outcome::undecided);
    CHECK(judge(detail::resampled{25, 1000}) == outcome::differs);
    CHECK(judge(detail::resampled{}) == outcome::undecided);
    CHECK(judge(layer_count{4, 4}, {1000, 1000}) == outcome::agrees);
    CHECK(judge(layer_count{3, 4}, {1000, 1000}) == outcome::mostly);
    CHECK(judge(layer_count{3, 4}, {900, 1000}) == outcome::undecided);
    CHECK(judge(layer_count{2, 4}, {0, 1000}) == outcome::differs);
    CHECK(judge(layer_count{4, 4}, {}) == outcome::undecided);
    CHECK(judge(layer_count{0, 0}, {1000, 1000}) == outcome::not_defined);

    const auto always = [](random_generator&) { return true; };
    CHECK(detail::resample(19, 1, always).of == 0);
    CHECK(detail::resample(20, 1, always).holds == 1000);
    const std::vector<std::size_t> set{3, 5, 8};
    random_generator random(1);
    std::array<std::size_t, 9> drawn{};
    for (int i = 0; i < 1000; ++i)
        for (const std::size_t member : detail::draw_resample(set, random)) ++drawn[member];
    CHECK(drawn[3] + drawn[5] + drawn[8] == 3000);
    for (const std::size_t member : set) CHECK((drawn[member] > 900 && drawn[member] < 1100));
}

TEST_CASE("an overlap is set against random sets") {
    const auto first = [](std::size_t from) {
        std::vector<std::size_t> set(25);
        std::iota(set.begin(), set.end(), from);
        return set;
    };
    const auto a = first(0);
    CHECK(detail::judge_overlap(a, first(18), 256) == outcome::agrees);    // 7 in common, 0.5 %
    CHECK(detail::judge_overlap(a, first(20), 256) == outcome::undecided); // 5, 8 %
    CHECK(detail::judge_overlap(a, first(25), 256) == outcome::undecided); // none, 7 %
    CHECK(detail::judge_overlap(a, first(25), 100) == outcome::differs);   // none where 6 are expected
    CHECK(detail::judge_overlap({}, a, 256) == outcome::not_defined);
}

TEST_CASE("verdicts in words") {
    using answers = std::vector<answer>;
    CHECK(verdict(answers{}) == "not defined");
    CHECK(verdict(answers{{"", outcome::not_defined}}) == "not defined");
    CHECK(verdict(answers{{"", outcome::mostly}, {"", outcome::not_defined}}) == "agrees in most layers");
    CHECK(verdict(answers{{"", outcome::undecided}, {"", outcome::undecided}}) == "not decided");
    CHECK(verdict(answers{{"", outcome::differs}, {"", outcome::agrees}, {"", outcome::agrees}}) ==
          "agrees for 2, differs for 1");
}

TEST_CASE("a claim is a value: its answers are those of the methods or pairs, and its row begins with the verdict") {
    const auto s = study_of(
        200, {"a", "b", "c"},
        [](std::size_t i, std::size_t v) { return v == 2 ? scattered(i, 1) : -rising(i) / (rising(v) + 1); }, rising);
    const auto pairs = method_pairs(s);
    const auto found = claims_of({s, pairs});
    REQUIRE(found.size() == claims::all.size());
    CHECK(found[0].question == claims::methods_fail_together({s, pairs}).question);

    auto const& together = found[0].answer;
    REQUIRE(together.answers.size() == 3); // pairs
    CHECK(together.answers[0].text == "a and b 1.00");
    CHECK(together.answers[0].found == outcome::agrees);
    CHECK(together.answers[1].found == outcome::differs);
    CHECK(verdict(found[0]) == "agrees for 1, differs for 2");

    const auto last = claims::small_residuals_foretell_errors({s, pairs}).answer;
    REQUIRE(last.answers.size() == 3); // methods
    CHECK(last.answers[0].text == "a −1.00");
    CHECK(last.answers[0].found == outcome::agrees);
    CHECK(last.answers[2].found == outcome::undecided);
    CHECK(last.text.starts_with("a −1.00; b −1.00; c "));

    const auto t = claims_table(std::vector<claim>{{"Is it?", "It is", {{{"a 1", outcome::differs}}, "a 1"}},
                                                   {"And here?", "It is", {{{"a 1", outcome::agrees}}, "a 2", false}}});
    REQUIRE(t.columns.size() == 4);
    const auto column = [&](std::size_t k, const char* key, const char* first, const char* second) {
        CHECK(t.columns[k].key == key);
        CHECK(std::get<std::string>(t.rows[0][k].value) == first);
        CHECK(std::get<std::string>(t.rows[1][k].value) == second);
    };
    column(0, "verdict", "differs", "no verdict");
    column(1, "finding", "Is it?", "And here?");
    column(2, "paper", "It is", "It is");
    column(3, "run", "a 1", "a 2");
}

TEST_CASE("a run without methods has claims without answers") {
    const auto s = study_of(
        30, {}, [](std::size_t, std::size_t) { return 0.0; }, rising);
    const auto pairs = method_pairs(s);
    for (auto const& c : claims_of({s, pairs})) {
        CHECK(c.answer.answers.empty());
        CHECK(verdict(c) == "not defined");
    }
}

TEST_CASE("the rule of the verdicts stands below them") {
    const auto s = study_of(
        12, {"a"}, [](std::size_t i, std::size_t) { return rising(i); }, rising);
    const std::string rule = claims_table_of(s).notes.at(0);
    for (const char* part : {"0.5", "0.97", "97.5 %", "fewer than 20", "in most", "of every topic"})
        CHECK_MESSAGE(rule.find(part) != std::string::npos, part);
}

TEST_CASE("larger MLP inputs are no reversal where the residuals are larger too") {
    const set_curves r{{1.0, 1.0, 3.0, 1.0}, {2.0, 2.0, 2.0, undefined{"no"}}};
    const set_curves h{{5.0, 3.0, 5.0, 5.0}, {4.0, 4.0, 4.0, 4.0}};
    CHECK((count_reversals(r, h, 0).holds == 1 && count_reversals(r, h, 0).of == 3));
    CHECK((count_reversals(r, h, 1).holds == 0 && count_reversals(r, h, 1).of == 2));

    // Norms of r and of h rise with the error alike.
    run_results run = test::made_up_run(
        200, {"a"}, [](std::size_t i, std::size_t) { return rising(i); }, rising);
    for (stored_column& c : run.table.columns())
        if (c.name == "norm_h")
            for (double& x : c.numbers) x *= 2;
    const auto s = make_study(std::move(run));
    CHECK(claim_about(s, "reverses").run == "a 0 of 2");
    CHECK(claim_about(s, "reverses").verdict == "differs");
}

TEST_CASE("nothing is reversed in a model that has no norm before the MLP: there h is r") {
    const auto s = study_of(
        200, {"a"}, [](std::size_t i, std::size_t) { return rising(i); }, rising);
    CHECK(!has_mlp_norm(s));
    CHECK(claim_about(s, "reverses").run == "no norm stands before the MLP, which reads r itself");
    CHECK(claim_about(s, "reverses").verdict == "not defined");
}

TEST_CASE("what the documents are too few for is not decided") {
    const auto error = [](std::size_t i, std::size_t) { return -rising(i); };
    CHECK(claim_about(study_of(199, {"a"}, error, rising), "smaller kurtosis").verdict == "not decided");
    CHECK(claim_about(study_of(200, {"a"}, error, rising), "smaller kurtosis").verdict == "agrees");
    CHECK(claim_about(study_of(19, {"a"}, error, rising), "larger errors of the MLP").verdict == "not decided");
    CHECK(claim_about(study_of(20, {"a"}, error, rising), "larger errors of the MLP").verdict == "agrees");

    const auto unrelated = study_of(
        30, {"a"}, [](std::size_t i, std::size_t) { return scattered(i, 0); },
        [](std::size_t i) { return scattered(i, 2); });
    CHECK(claim_about(unrelated, "last layer").verdict == "not decided");
    CHECK(claim_about(study_of(30, {"a"}, error, rising), "last layer").verdict == "agrees");
    CHECK(claim_about(study_of(19, {"a"}, error, rising), "last layer").verdict == "not decided");
}

TEST_CASE("a difference that other documents would turn round is not decided") {
    const auto error = [](std::size_t i, std::size_t) { return rising(i); };
    // Numbers that go with no error: in D_large they are a little smaller or larger, as it happens.
    const auto unrelated = study_of(300, {"a"}, error, [](std::size_t i) { return scattered(i, 2); });
    for (const char* finding : {"D_large are smaller", "smaller kurtosis"})
        CHECK(claim_about(unrelated, finding).verdict == "not decided");
    // The full model's loss is 2 everywhere: no resample of D_large is easier.
    CHECK(claim_about(unrelated, "easier").verdict == "differs");
    const auto larger = study_of(300, {"a"}, error, rising);
    CHECK(claim_about(larger, "D_large are smaller").verdict == "differs");
    CHECK(claim_about(larger, "larger errors of the MLP").verdict == "agrees");
}

TEST_CASE("equal errors have no worst tenth, and nothing is said of it") {
    const auto s = study_of(
        200, {"a", "b"}, [](std::size_t, std::size_t) { return 0.0; }, rising);
    for (const char* finding : {"worst tenths", "D_large are smaller", "reverses", "smaller kurtosis", "easier"}) {
        const auto c = claim_about(s, finding);
        CHECK_MESSAGE(c.verdict == "not defined", finding);
        CHECK_MESSAGE(c.run.find("not defined against") == std::string::npos, c.run);
        CHECK_MESSAGE(c.run.find("about not") == std::string::npos, c.run);
    }
    CHECK(summary_lines(s, method_pairs(s), foretell(s)).back().find("equal errors") != std::string::npos);
}

TEST_CASE("chance is this run's") {
    const auto s = study_of(
        25, {"a", "b"}, [](std::size_t i, std::size_t) { return rising(i); }, rising);
    const auto overlap = claim_about(s, "worst tenths");
    CHECK(overlap.finding.find("0.05") == std::string::npos);
    CHECK(overlap.run == "1.00; by chance about 0.04"); // 2·2/25 common of 2 + 2 − 0.16
}

TEST_CASE("methods of one family stand beside nothing in the paper") {
    const auto s = study_of(
        200, {"rtn3", "rtn4"}, [](std::size_t i, std::size_t) { return rising(i); }, rising);
    for (const char* finding : {"correlate above 0.5", "worst tenths"}) {
        const auto c = claim_about(s, finding);
        CHECK(c.run.ends_with("(same family; tables 1 and 6 of the paper leave these out)"));
        CHECK(c.verdict == "no verdict");
    }
    const auto lines = summary_lines(s, method_pairs(s), foretell(s));
    for (const std::size_t k : {3u, 4u}) {
        CHECK(lines[k].ends_with("(same family; tables 1 and 6 of the paper leave these out)."));
        CHECK(lines[k].find("The paper:") == std::string::npos);
    }
}

TEST_CASE("pairs without a correlation are not counted among those of the mean") {
    const auto error = [](std::size_t i, std::size_t v) { return v == 3 ? 0.25 : scattered(i, v); };
    const auto three = study_of(30, {"a", "b", "c", "d"}, error, rising);
    CHECK(summary_lines(three, method_pairs(three), foretell(three))[3].find("mean over 3 pairs") != std::string::npos);
    const auto one = study_of(
        30, {"a", "b", "c"}, [](std::size_t i, std::size_t v) { return v == 2 ? 0.25 : scattered(i, v); }, rising);
    CHECK(summary_lines(one, method_pairs(one), foretell(one))[3].find("mean over") == std::string::npos);
}

TEST_CASE("documents that were easy against hard ones: the verdict says whether they have larger errors") {
    const auto verdict_of = [](std::size_t documents, double easy_error) {
        auto s = study_of(
            documents, {"a"},
            [&](std::size_t i, std::size_t) { return (i % 2 == 0 ? easy_error : 0.0) + scattered(i, 1); }, rising);
        std::vector<double> before(documents);
        for (std::size_t i = 0; i < documents; ++i) before[i] = i % 2 == 0 ? 0.5 : 5.0;
        s.nll_full = before;
        return claim_about(s, "were easy");
    };
    CHECK(verdict_of(60, 2).verdict == "agrees");
    CHECK(verdict_of(60, 2).run.find("(n = 30)") != std::string::npos);
    CHECK(verdict_of(60, -2).verdict == "differs");
    CHECK(verdict_of(60, 0).verdict == "not decided");
    CHECK(verdict_of(38, 2).verdict == "not decided"); // 19 of each
    CHECK(verdict_of(40, 2).verdict == "agrees");
    CHECK(verdict_of(60, 2).paper.find("0.67 and 0.14") != std::string::npos);

    // The full model's loss is 2 everywhere: no document is easy or hard.
    const auto neither = claim_about(study_of(
                                         60, {"a"}, [](std::size_t i, std::size_t) { return rising(i); }, rising),
                                     "were easy");
    CHECK(neither.verdict == "not defined");
    CHECK(neither.run == "a not defined (n = 0) and not defined (n = 0)");
}

TEST_CASE("a topic prevails in D_large, none does, or too few documents say") {
    // The worst tenth is the last one, and its documents have topics by turns; so have the others.
    struct found {
        std::string verdict, run;
    };
    const auto claim_of = [](std::size_t documents, std::size_t topics_of_large, std::size_t topics) -> found {
        auto run = test::made_up_run(
            documents, {"a"}, [](std::size_t i, std::size_t) { return rising(i); }, rising);
        for (std::size_t i = 0; i < documents && topics > 0; ++i)
            run.documents.topics[i] =
                "t" + std::to_string(i >= documents - documents / 10 ? i % topics_of_large : i % topics);
        const auto s = make_study(std::move(run));
        const auto c = claims::no_topic_prevails({s, {}});
        return {verdict(c), c.answer.text};
    };
    CHECK(claim_of(1200, 24, 24).verdict == "agrees"); // 120 documents, 5 of each
    CHECK(claim_of(1200, 24, 24).run == "a 0.04 (t0)");
    CHECK(claim_of(1200, 2, 24).verdict == "differs");
    CHECK(claim_of(1200, 2, 24).run == "a 0.50 (t0)");
    CHECK(claim_of(1200, 8, 24).verdict == "not decided"); // 0.125 each
    CHECK(claim_of(190, 2, 24).verdict == "not decided");  // 19 documents
    CHECK(claim_of(200, 2, 24).verdict == "differs");
    CHECK(claim_of(1200, 8, 8).verdict == "no verdict");
    CHECK(claim_of(1200, 4, 8).run == "a 0.25 (t0) (one of 8 topics always does)");
    CHECK(claim_of(1200, 9, 9).verdict == "not decided"); // 0.111 each
    CHECK(claim_of(200, 1, 1).run == "all documents are of one topic");
    CHECK(claim_of(200, 1, 1).verdict == "not defined");
    CHECK(claim_of(9, 1, 9).verdict == "not defined"); // no worst tenth
    CHECK(claim_of(200, 1, 0).run == "the documents have no topics");
    CHECK(claim_of(200, 1, 0).verdict == "not defined");
}

TEST_CASE("every topic is judged by the same resamples, alone") {
    const auto of = [](std::vector<std::size_t> const& counts) {
        std::vector<std::size_t> documents;
        for (std::size_t t = 0; t < counts.size(); ++t) documents.insert(documents.end(), counts[t], t);
        return documents;
    };
    const auto judged = [&](std::vector<std::size_t> const& counts) {
        return detail::judge_shares(of(counts), counts.size(), 0.12, 1);
    };
    CHECK(judged({50, 50, 900}) == outcome::differs);
    CHECK(judged(std::vector<std::size_t>(20, 50)) == outcome::agrees);
    CHECK(judged({120, 80, 80, 80, 80, 80, 80, 80, 80, 80, 80, 80}) == outcome::undecided);
    CHECK(detail::largest_share(of({3, 5, 5}), 4).topic == 1);
    CHECK(detail::largest_share(of({3, 5, 2}), 3).share == 0.5);
}

TEST_CASE("methods of 3 bits beside those of 4, by the bits of their specs") {
    const auto mean_error = [](double of_three, double of_four) {
        return [=](std::size_t i, std::size_t v) { return (v == 0 ? of_three : of_four) + scattered(i, v); };
    };
    const std::vector<std::string> methods{"rtn3-g64", "nf4-g64", "nf4-row", "rtn8-g64"};
    const char* words = "3 bits lose more";
    const auto more = claim_about(study_of(30, methods, mean_error(2, 0), rising), words);
    CHECK(more.verdict == "agrees");
    const auto fewer = study_of(30, methods, mean_error(-2, 0), rising);
    CHECK(claim_about(fewer, words).verdict == "differs");
    const auto pairs = method_pairs(fewer);
    const auto answers = claims::three_bits_lose_more({fewer, pairs}).answer.answers;
    REQUIRE(answers.size() == 2); // rtn8 is neither
    CHECK(answers[0].text.starts_with("rtn3-g64 and nf4-g64 −"));
    CHECK(claim_about(study_of(19, methods, mean_error(2, 0), rising), words).verdict == "not decided");
    CHECK(claim_about(study_of(
                          30, {"rtn3-g64", "nf3-g64", "mine"},
                          [](std::size_t i, std::size_t v) { return scattered(i, v); }, rising),
                      words)
              .run == "no method of 3 bits beside one of 4");
}
