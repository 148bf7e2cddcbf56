#include "bitlens/analysis/choices.hpp"

#include "bitlens/page/choice_table.hpp"
#include "bitlens/page/run_report.hpp"
#include "choices_for_test.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

/// Of 2, 3 and 2 choices; losses are as given: [variant][row], a token.
run_results three_questions(std::vector<std::vector<double>> const& nll) {
    run_results run = test::run_of_choices(
        {{2, 0}, {3, 2}, {2, 1}}, {1, 2, 1, 1, 3, 2, 2}, [&](std::size_t v, std::size_t n) { return nll[v][n]; },
        [](std::size_t) { return 1.0; });
    run.documents.bytes[4] = 30;
    return run;
}

const std::vector<std::vector<double>> some_losses{{1, 0.75, 3, 2, 1.5, 1, 1}, {2, 0.75, 1, 2, 1.5, 1, 0.5}};

} // namespace

TEST_CASE("a choice is the likeliest by the loss of all its tokens, or over its bytes") {
    const auto s = make_study(three_questions(some_losses));
    const auto r = choices_of(s);
    REQUIRE(r);
    REQUIRE(r->questions.size() == 3);
    CHECK((r->questions[1].first == 2 && r->questions[1].count == 3 && r->questions[1].answer == 2));
    // Sums of the full model: 1, 1.5 | 3, 2, 4.5 | 2, 2 (the first of equal ones); of a: 2, 1.5 | 1, 2, 4.5 | 2, 1.
    CHECK(r->of(0, choice_score::sum) == choices_made{0, 1, 0});
    CHECK(r->of(1, choice_score::sum) == choices_made{1, 0, 1});
    // Over bytes the long third choice of the second question wins.
    CHECK(r->of(0, choice_score::per_byte) == choices_made{0, 2, 0});
    CHECK(r->of(1, choice_score::per_byte) == choices_made{1, 2, 1});
    CHECK(accuracy_of(*r, 0, choice_score::sum) == 1.0 / 3);
    CHECK(accuracy_of(*r, 1, choice_score::per_byte) == 2.0 / 3);
    const auto f = flips_of(*r, 1, choice_score::per_byte);
    CHECK((f.both == 1 && f.lost == 1 && f.gained == 1 && f.neither == 0 && f.same == 1));
    CHECK(f.chance == doctest::Approx(1));

    const table t = choices_table(s, *r);
    CHECK(t.rows.size() == 4);
    CHECK(to_text(t).find("per byte") != std::string::npos);

    const test::temporary_folder folder;
    const run_results run = three_questions(some_losses);
    write_run_tables(folder.path(), run.documents, run.table, run.texts);
    write_file_atomically(folder / "manifest.json", to_json(run.manifest).dump());
    write_report(folder.path());
    CHECK(test::read_bytes(folder / "report.html").find("Right choices among several answers") != std::string::npos);
}

TEST_CASE("what has no finite loss, or no bytes, chooses nothing") {
    auto losses = some_losses;
    losses[1][3] = std::numeric_limits<double>::quiet_NaN();
    run_results run = three_questions(losses);
    run.documents.bytes[0] = std::nullopt;
    const auto r = choices_of(make_study(std::move(run)));
    CHECK(r->of(1, choice_score::sum)[1] == std::nullopt);
    CHECK_FALSE(r->is_right(1, choice_score::sum, 1));
    CHECK(r->of(0, choice_score::per_byte)[0] == std::nullopt);
    CHECK(r->of(0, choice_score::sum)[0] == 0u);

    run_results without = three_questions(some_losses);
    for (auto& bytes : without.documents.bytes) bytes.reset();
    const auto s = make_study(std::move(without));
    CHECK(to_text(choices_table(s, *choices_of(s))).find("the bytes of the choices are not known") !=
          std::string::npos);
}

TEST_CASE("documents that are no choices, and questions that are not whole") {
    CHECK_FALSE(choices_of(make_study(test::made_up_run(
        3, {"a"}, [](std::size_t, std::size_t) { return 0.0; }, [](std::size_t) { return 1.0; }))));
    const auto complaint = [](std::size_t column, std::size_t row, std::string const& value) {
        run_results run = three_questions(some_losses);
        run.documents.kept[column].values[row] = value;
        try {
            choices_of(make_study(std::move(run)));
        } catch (format_error const& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    CHECK(complaint(0, 3, "2").find("examples.csv: document 1: its choice \"2\"") == 0);
    CHECK(complaint(1, 0, "0").find("none of its 2 choices is the answer") != std::string::npos);
    CHECK(complaint(1, 1, "1").find("its choice \"1\" with is_answer \"1\"") != std::string::npos);
    CHECK(complaint(1, 1, "yes").find("is_answer \"yes\"") != std::string::npos);
}
