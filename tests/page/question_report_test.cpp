#include "bitlens/page/run_report.hpp"

#include "questions_for_test.hpp"
#include "report_for_test.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <doctest/doctest.h>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

using namespace bitlens;

namespace {

/// Six hundred questions of log10 popularity 1.5 to 5.5; the full model answers two of three; a method of 3 bits fails
/// where the popularity is middling, one of 4 bits seldom.
test::made_up_questions many_questions() {
    test::made_up_questions m{.questions = 600, .methods = {"nf3-g64", "rtn4-g64"}};
    m.popularity = [](std::size_t i) { return std::round(std::pow(10, 1.5 + static_cast<double>(i) / 150)); };
    m.contains = [](std::size_t k, std::size_t i, std::size_t v) {
        const bool middling = i >= 195 && i < 495; // 2.8 to 4.8
        if (i % 3 == 2) return v == 2 && i % 30 == 2 && k == 0;
        return v == 0 || (v == 1 ? !middling || i % 2 == 0 : i % 21 != 0);
    };
    m.exact = [contains = m.contains](std::size_t k, std::size_t i, std::size_t v) {
        return contains(k, i, v) && i % 5 != 0;
    };
    m.seeds = {633, 2};
    m.nll = [](std::size_t n, std::size_t v) { return 0.1 + static_cast<double>((n * 7 + v) % 50) / 10; };
    return m;
}

cell const& cell_in(table const& t, std::size_t row, std::string const& key) {
    for (std::size_t c = 0; c < t.columns.size(); ++c)
        if (t.columns[c].key == key) return t.rows.at(row)[c];
    throw error("no column " + key);
}
std::string words_in(table const& t, std::size_t row, std::string const& key) {
    for (auto const& c : t.columns)
        if (c.key == key) return shown(cell_in(t, row, key), c.digits);
    throw error("no column " + key);
}

claim claim_about(finished_questions const& q, std::size_t which) {
    return claims_of(question_evidence{q, numbers_of(q)}).at(which);
}

} // namespace

TEST_CASE("the report of a run of questions: whole, harmless, and the same the second time") {
    const test::temporary_folder folder;
    test::write_questions(folder.path(), many_questions());
    const auto summary = write_report(folder.path());
    CHECK(summary.page == folder.path() / "report.html");
    const auto files = test::all_files(folder.path());
    test::check_report(files, detail::question_scripts());
    for (const char* name :
         {"summary.json", "report.html", "figures/figure_05_17_degradation.svg", "figures/figure_18_accuracy.csv",
          "figures/figure_05_17_degradation_exact.csv", "figures/figure_18_accuracy_exact.svg",
          "figures/figure_19_histogram.svg", "tables/claims.csv", "tables/accuracy.csv", "tables/degradation.csv",
          "tables/bucket_accuracy.csv", "tables/bucket_degradation.csv", "tables/histogram.csv", "tables/seeds.csv",
          "tables/shared_flips.csv", "tables/only_full.csv", "tables/only_quantized.csv"})
        CHECK_MESSAGE(files.contains(name), name);
    auto const& page = files.at("report.html");
    std::size_t before = 0;
    for (const char* part :
         {"<dl class=\"facts\">", "class=\"summary\"", "id=\"accuracy\"", "id=\"claims\"", "id=\"popularity\"",
          "id=\"seeds\"", "id=\"flips\"", "id=\"hardest\"", "id=\"manifest\""}) {
        const auto at = page.find(part);
        CHECK_MESSAGE((at != std::string::npos && at > before), part);
        before = at;
    }
    CHECK(page.find("600 questions behind 15 examples each, chosen with the seeds 633 and 2") != std::string::npos);
    CHECK(page.find("What is &lt;i&gt;") != std::string::npos); // anybody's text
    CHECK(page.find("What is <i>") == std::string::npos);
    CHECK(page.find("<dd><bdi>&lt;b&gt;&amp; wrong</bdi></dd>") != std::string::npos); // up to the line end
    CHECK(page.find("<bdi>right</bdi> <b>✓</b>") != std::string::npos);
    CHECK(page.find(folder.path().string()) == std::string::npos);
    const auto written = parse_json(files.at("summary.json"), "summary.json");
    CHECK(written["summary"].get<std::vector<std::string>>() == summary.lines);
    CHECK(written["tables"]["degradation"]["rows"].size() == 4);
    CHECK(written["published"]["published_questions"]["rows"].size() == 6);

    write_report(folder.path());
    CHECK(test::all_files(folder.path()) == files);
}

TEST_CASE("every small or dull run of questions has a report") {
    for (const std::size_t count : {0u, 1u, 2u, 19u, 45u})
        for (std::vector<std::string> const& methods : {std::vector<std::string>{}, {"nf3-g64"}, {"a", "b", "c"}})
            for (const std::size_t seeds : {1u, 3u})
                for (const int kind : {0, 1, 2}) {
                    CAPTURE(count);
                    CAPTURE(methods.size());
                    CAPTURE(seeds);
                    CAPTURE(kind);
                    test::made_up_questions m{.questions = count, .methods = methods};
                    for (std::size_t k = 1; k < seeds; ++k) m.seeds.push_back(k);
                    m.least = 10;
                    m.contains = [kind](std::size_t k, std::size_t i, std::size_t v) {
                        return kind == 0 || (i + k * v) % 3 == 0;
                    };
                    m.popularity = [kind](std::size_t i) -> std::optional<double> {
                        if (kind == 0 || i % 7 == 1) return std::nullopt;
                        return kind == 1 ? 0.0 : std::pow(10.0, static_cast<double>(i % 9));
                    };
                    m.nll = [](std::size_t, std::size_t) { return undefined_number; };
                    const test::temporary_folder folder;
                    const bool known = kind > 0 && count > 0;
                    test::write_questions(folder.path(), m);
                    const auto lines = write_report(folder.path()).lines;
                    REQUIRE(lines.size() >= (methods.empty() && known ? 2u : 3u));
                    const auto files = test::all_files(folder.path());
                    test::check_report(files, detail::question_scripts());
                    CHECK(files.contains("figures/figure_18_accuracy.svg") == known);
                    CHECK(files.contains("figures/figure_05_17_degradation.svg") == (known && !methods.empty()));
                    if (!known) CHECK(lines[2] == "No buckets of popularity: no question has a popularity.");
                    if (known && (kind == 1 || count < 20))
                        CHECK(lines[2].starts_with("There are too few questions for more than one bucket"));
                }
}

TEST_CASE("a report says in words what its numbers are") {
    const auto q = make_questions(test::run_of(many_questions()));
    const auto n = numbers_of(q);
    const auto lines = summary_lines(q, n, only_full_answers(q, answer_mark::contains),
                                     only_quantized_answer(q, answer_mark::contains));
    REQUIRE(lines.size() == 7);
    CHECK(
        lines[0] ==
        "Right by containment, of 600 questions, mean over 2 seeds of examples: full model 0.667; nf3-g64 0.500, lost "
        "0.167 (0.138 to 0.195); rtn4-g64 0.635, lost 0.032 (0.014 to 0.051). In brackets: 95 % intervals.");
    CHECK(lines[1].starts_with("Right by exact match, of 600 questions"));
    CHECK(lines[2].starts_with("By log10 of popularity, in 4 buckets: nf3-g64 loses most at 3.5 to 4.5 (0.336), least "
                               "at 1.5 to 2.5 (0.000); "));
    CHECK(lines[3] == "Under seed 633, nf3-g64 loses 100 of 400 right answers and gains 0; rtn4-g64 loses 29 of 400 "
                      "right answers and gains 20.");
    CHECK(lines[4].starts_with("Methods lose the same answers most for nf3-g64 and rtn4-g64: Jaccard 0.0"));
    CHECK(lines[5] == "Between seeds of examples, the full model's accuracy spreads by 0.0000, what is lost by 0.0000 "
                      "(nf3-g64), 0.0236 (rtn4-g64).");
    CHECK(lines[6].find("20 by quantized models alone") != std::string::npos);
}

TEST_CASE("the paper's findings as questions to a run") {
    auto m = many_questions();
    const auto q = make_questions(test::run_of(m));
    auto rare = claim_about(q, 0), popular = claim_about(q, 1), middle = claim_about(q, 2);
    CHECK(rare.answer.answers[0].found == outcome::agrees);
    CHECK(rare.answer.answers[0].text.starts_with("nf3-g64 0.000 against 0.2"));
    CHECK(popular.answer.answers[0].found == outcome::agrees);
    CHECK(middle.answer.answers[0].found == outcome::agrees);
    CHECK(middle.answer.answers[0].text == "nf3-g64 0.000 against 0.333");
    CHECK(middle.answer.answers[1].found == outcome::undecided);
    // Of methods of 3 bits alone.
    const auto tenth = claim_about(q, 3);
    REQUIRE(tenth.answer.answers.size() == 1);
    CHECK(tenth.answer.answers[0].found == outcome::agrees);
    CHECK(tenth.answer.text == "nf3-g64 0.333 (300 questions of that popularity)");
    const auto few = claim_about(q, 4);
    CHECK(few.answer.text == "0.175 (105 of 600)");
    CHECK(verdict(few) == "differs");

    // Turned round: the method fails where the popularity is low or high.
    m.contains = [](std::size_t, std::size_t i, std::size_t v) { return v != 1 || (i >= 195 && i < 495); };
    const auto other = make_questions(test::run_of(m));
    for (const std::size_t which : {0u, 1u, 2u, 3u})
        CHECK(claim_about(other, which).answer.answers[0].found == outcome::differs);
    CHECK(claim_about(other, 3).answer.answers[0].text == "nf3-g64 0.000");

    // One in seventeen above 4.8 is what the paper has.
    m.popularity = [](std::size_t i) { return i % 17 == 0 ? 1e5 : 1e3; };
    CHECK(verdict(claim_about(make_questions(test::run_of(m)), 4)) == "agrees");
}

TEST_CASE("findings that a run cannot show have no verdict") {
    auto m = many_questions();
    m.least = 300;
    auto q = make_questions(test::run_of(m));
    CHECK(claim_about(q, 0).answer.text == "too few questions for three buckets");
    CHECK(verdict(claim_about(q, 0)) == "not defined");
    m.popularity = [](std::size_t) { return std::nullopt; };
    q = make_questions(test::run_of(m));
    CHECK(claim_about(q, 1).answer.text == "no question has a popularity");
    CHECK(verdict(claim_about(q, 2)) == "not defined");
    CHECK(claim_about(q, 3).answer.answers[0].text == "nf3-g64 not defined");
    CHECK(claim_about(q, 4).answer.text == "no question has a popularity");
    m.methods = {"rtn4-g64"};
    q = make_questions(test::run_of(m));
    CHECK(claim_about(q, 3).answer.text == "no method of 3 bits");
    const auto small = make_questions(
        test::run_of({.questions = 19, .methods = {"nf3"}, .popularity = [](std::size_t) { return 1e4; }, .least = 1}));
    CHECK(verdict(claim_about(small, 3)) == "not decided");
    CHECK(verdict(claim_about(small, 4)) == "not decided");
    // None of forty meets 6 %, and would meet 1 % as well.
    const auto none = make_questions(test::run_of({.questions = 40, .popularity = [](std::size_t) { return 1e4; }}));
    CHECK(claim_about(none, 4).answer.text == "0.000 (0 of 40)");
    CHECK(verdict(claim_about(none, 4)) == "not decided");
}

TEST_CASE("tables of a run of questions") {
    const auto q = make_questions(test::run_of(many_questions()));
    const auto n = numbers_of(q);
    const auto accuracies = accuracy_table(q, n);
    REQUIRE(accuracies.rows.size() == 6);
    CHECK(words_in(accuracies, 0, "model") == "full");
    CHECK(words_in(accuracies, 1, "accuracy") == "0.5000");
    CHECK(words_in(accuracies, 4, "mark") == "exact match");
    const auto lost = degradation_table(q, n);
    REQUIRE(lost.rows.size() == 4);
    CHECK(words_in(lost, 0, "method") == "nf3-g64");
    CHECK(words_in(lost, 0, "mark") == "containment");
    CHECK(words_in(lost, 0, "lost") == "0.1667");
    CHECK(words_in(lost, 0, "right_to_wrong") == "100");
    CHECK(std::get<double>(cell_in(lost, 1, "mcnemar").value) == mcnemar_chance(29, 20));
    const auto histogram = histogram_table(q, n);
    std::size_t questions = 0;
    for (std::size_t b = 0; b < histogram.rows.size(); ++b)
        questions += std::get<std::uint64_t>(cell_in(histogram, b, "questions").value);
    CHECK(questions == 600);
    CHECK(bucket_accuracy_table(q, n).rows.size() == 2 * 3 * histogram.rows.size());
    const auto by_bucket = bucket_degradation_table(q, n);
    REQUIRE(by_bucket.rows.size() == 2 * 2 * histogram.rows.size());
    CHECK(words_in(by_bucket, 0, "bucket") == "1.5 to 2.5");
    CHECK(words_in(by_bucket, 0, "lost") == "0.0000");
    CHECK(words_in(by_bucket, 4, "lost") == "0.3356");
    const auto seeds = seeds_table(q, n);
    REQUIRE(seeds.rows.size() == 8);
    CHECK(words_in(seeds, 1, "wrong_to_right") == "20");
    CHECK(words_in(seeds, 3, "seed") == "2");
    CHECK(words_in(seeds, 3, "wrong_to_right") == "0");
    CHECK(words_in(seeds, 3, "full") == "0.6667");
    CHECK(std::get<double>(cell_in(seeds, 3, "mcnemar").value) == mcnemar_chance(29, 0));
    CHECK(shared_flips_table(q, n).rows.size() == 2);

    const auto gained = changed_table(q, only_quantized_answer(q, answer_mark::contains), "gained", "Gained");
    REQUIRE(gained.rows.size() == 20);
    CHECK(words_in(gained, 0, "answers") == "right; the \"right\" one");
    CHECK(words_in(gained, 0, "answer_full") == "<b>& wrong");
    CHECK(words_in(gained, 0, "answer_rtn4-g64") == "right");
    CHECK(words_in(gained, 0, "seeds") == "1");
    CHECK(words_in(gained, 0, "seed") == "633");
}

TEST_CASE("an answer is shown up to its first line end, and whatever its bytes") {
    run_results run = test::run_of({.questions = 3});
    run.texts = token_texts({0, 1, 2, 3}, [](std::int32_t id) {
        return std::string(id == 1 ? "\n" : id == 2 ? " caf\xC3" : id == 3 ? "\xA9\x1B" : "x");
    });
    auto& ids = std::ranges::find(run.table.columns(), "answer_full", &stored_column::name)->ids;
    std::ranges::fill(ids, -1);
    std::ranges::copy(std::vector{2, 3, 1, 0}, ids.begin());
    std::ranges::copy(std::vector{1, 2, 3}, ids.begin() + 15);
    std::fill_n(ids.begin() + 30, 15, 2);
    const auto q = make_questions(std::move(run));
    CHECK(answer_text(q, 0, 0) == "café␛");
    CHECK(answer_text(q, 0, 1) == "");
    CHECK(answer_text(q, 0, 2).starts_with("caf� caf�")); // all fifteen
    const test::temporary_folder folder;
    write_question_report(folder.path(), q); // the manifest and tables of which are nowhere
    CHECK(std::filesystem::exists(folder.path() / "report.html"));
}

TEST_CASE("the figures of a run of questions show each bucket with its interval") {
    const auto q = make_questions(test::run_of(many_questions()));
    const auto n = numbers_of(q);
    const auto lost = lost_accuracy_figure(q, n, answer_mark::contains);
    REQUIRE(lost.charts.size() == 1);
    chart const& c = lost.charts[0];
    CHECK(c.note == "n = 600 questions in " + std::to_string(n.buckets.buckets.size()) + " buckets");
    CHECK(c.splits == std::vector<double>{2.8, 4.8});
    REQUIRE(c.series.size() == 2);
    for (std::size_t b = 0; b < n.buckets.buckets.size(); ++b) {
        auto const& p = c.series[0].points[b];
        auto const& bucket = n.buckets.buckets[b];
        CHECK(p.x > bucket.low);
        CHECK(p.x < bucket.high);
        CHECK(p.label == bucket.text() + ", n = " + std::to_string(bucket.questions.size()));
        degradation const& d = n.of(answer_mark::contains).buckets[b].methods[0];
        CHECK(*p.y == *d.lost.mean);
        CHECK(*p.low == *d.within.lo);
        CHECK(*p.high == *d.within.hi);
    }
    // Methods have the colours that they have there.
    const auto right = accuracy_figure(q, n, answer_mark::exact).charts[0].series;
    REQUIRE(right.size() == 3);
    CHECK(right[0].name == c.series[0].name);
    CHECK(right[2].name == "full");
    const auto bars = histogram_figure(q, n).charts[0].series[0];
    CHECK(bars.mark == mark::bars);
    CHECK(*bars.points[0].low == n.buckets.buckets[0].low);
    CHECK(*bars.points[0].y == static_cast<double>(n.buckets.buckets[0].questions.size()));
}

TEST_CASE("a folder where the report cannot be written is said before") {
    const test::temporary_folder folder;
    expect_question_report_writable(folder.path());
    write_file_atomically(folder.path() / "tables", "a file");
    CHECK_THROWS_AS(expect_question_report_writable(folder.path()), io_error);
}
