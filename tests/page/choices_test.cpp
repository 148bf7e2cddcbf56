#include "bitlens/analysis/choices.hpp"

#include "bitlens/page/choice_table.hpp"
#include "bitlens/page/run_report.hpp"
#include "run_for_test.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

/// Questions of 2, 3 and 2 choices, of 1 to 3 scored tokens each, whose losses are as given: [variant][row], a token.
run_results run_of_choices(std::vector<std::vector<double>> const& nll, std::size_t last_answer = 1) {
    const std::vector<std::size_t> scored{1, 2, 1, 1, 3, 2, 2};
    const std::vector<std::size_t> rows{4, 4, 5, 5, 5, 9, 9};
    run_results run = test::made_up_run(
        7, {"a"}, [](std::size_t, std::size_t) { return 0.0; }, [](std::size_t) { return 1.0; });
    token_rows ids;
    for (std::size_t n = 0; n < rows.size(); ++n) {
        std::vector<std::int32_t> row(2 + scored[n], static_cast<std::int32_t>(n));
        ids.add(row, 2);
        run.documents.rows[n] = rows[n];
        run.documents.bytes[n] = n == 4 ? 30 : 2;
    }
    run.documents.ids = ids;
    run.documents.kept = {{choice_name, {"0", "1", "0", "1", "2", "0", "1"}},
                          {is_answer_name, {"1", "0", "0", "0", "1", "0", "0"}}};
    run.documents.kept[1].values[5 + last_answer] = "1";
    run.manifest.kept = names_of(run.documents.kept);
    run.table = results_table(run.manifest.columns, variant_names(run.manifest.methods), results_size::of(ids, 2));
    for (stored_column& s : run.table.columns())
        for (std::size_t n = 0; n < 7; ++n) {
            const double value = s.declared.name == "nll"     ? nll[s.variant][n]
                                 : s.declared.name == "error" ? nll[1][n] - nll[0][n]
                                                              : 1.0;
            if (s.declared.shape != column_shape::position)
                for (std::size_t k = 0; k < run.table.layers_of(s); ++k) s.numbers[k * 7 + n] = value;
            else
                for (std::size_t t = run.table.scored(n).first; t < run.table.scored(n).end; ++t) {
                    const std::size_t place = n * run.table.positions() + t;
                    s.declared.holds_ids ? void(s.ids[place] = 1) : void(s.scores[place] = static_cast<float>(value));
                }
        }
    for (std::size_t v = 0; v < 2; ++v)
        for (std::size_t n = 0; n < 7; ++n) run.table.set_finished(v, n);
    run.texts = token_texts(ids_of(run.documents, run.table), [](std::int32_t) { return std::string("x"); });
    return run;
}

const std::vector<std::vector<double>> some_losses{{1, 0.75, 3, 2, 1.5, 1, 1}, {2, 0.75, 1, 2, 1.5, 1, 0.5}};

} // namespace

TEST_CASE("a choice is the likeliest by the loss of all its tokens, or over its bytes") {
    const auto s = make_study(run_of_choices(some_losses));
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
    const run_results run = run_of_choices(some_losses);
    write_run_tables(folder.path(), run.documents, run.table, run.texts);
    write_file_atomically(folder / "manifest.json", to_json(run.manifest).dump());
    write_report(folder.path());
    CHECK(test::read_bytes(folder / "report.html").find("Right choices among several answers") != std::string::npos);
}

TEST_CASE("what has no finite loss, or no bytes, chooses nothing") {
    auto losses = some_losses;
    losses[1][3] = std::numeric_limits<double>::quiet_NaN();
    run_results run = run_of_choices(losses);
    run.documents.bytes[0] = std::nullopt;
    const auto r = choices_of(make_study(std::move(run)));
    CHECK(r->of(1, choice_score::sum)[1] == std::nullopt);
    CHECK_FALSE(r->is_right(1, choice_score::sum, 1));
    CHECK(r->of(0, choice_score::per_byte)[0] == std::nullopt);
    CHECK(r->of(0, choice_score::sum)[0] == 0u);
}

TEST_CASE("documents that are no choices, and questions that are not whole") {
    CHECK_FALSE(choices_of(make_study(test::made_up_run(
        3, {"a"}, [](std::size_t, std::size_t) { return 0.0; }, [](std::size_t) { return 1.0; }))));
    const auto complaint = [](std::size_t column, std::size_t row, std::string const& value) {
        run_results run = run_of_choices(some_losses);
        run.documents.kept[column].values[row] = value;
        try {
            choices_of(make_study(std::move(run)));
        } catch (format_error const& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    CHECK(complaint(0, 3, "2").find("examples.csv: document 5: its choice \"2\"") == 0);
    CHECK(complaint(1, 0, "0").find("none of its 2 choices is the answer") != std::string::npos);
    CHECK(complaint(1, 1, "1").find("its choice \"1\" with is_answer \"1\"") != std::string::npos);
    CHECK(complaint(1, 1, "yes").find("is_answer \"yes\"") != std::string::npos);
}
