#pragma once
/// Runs of made-up questions of several choices.

#include "bitlens/analysis/choices.hpp"
#include "run_for_test.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace bitlens::test {

struct made_up_choice_question {
    std::size_t choices, answer;
};

/// Behind a prompt of two tokens a choice has as many scored ones as are given, each of the loss that nll(variant, row)
/// gives; all other numbers of a row are other(row). The methods is "a". Row r of question q is row q of the data.
template <class Loss, class Other>
run_results run_of_choices(std::vector<made_up_choice_question> const& questions,
                           std::vector<std::size_t> const& scored, Loss const& nll, Other const& other) {
    const std::size_t rows = scored.size();
    run_results run = made_up_run(
        rows, {"a"}, [](std::size_t, std::size_t) { return 0.0; }, [](std::size_t) { return 1.0; });
    token_rows ids;
    run.documents.kept = {{choice_name, {}}, {is_answer_name, {}}};
    for (std::size_t q = 0, n = 0; q < questions.size(); ++q)
        for (std::size_t c = 0; c < questions[q].choices; ++c, ++n) {
            ids.add(std::vector<std::int32_t>(2 + scored[n], static_cast<std::int32_t>(n)), 2);
            run.documents.rows[n] = q;
            run.documents.bytes[n] = 2;
            run.documents.kept[0].values.push_back(std::to_string(c));
            run.documents.kept[1].values.push_back(c == questions[q].answer ? "1" : "0");
        }
    run.documents.ids = ids;
    run.manifest.kept = names_of(run.documents.kept);
    run.table = results_table(run.manifest.columns, variant_names(run.manifest.methods), results_size::of(ids, 2));
    for (stored_column& s : run.table.columns())
        for (std::size_t n = 0; n < rows; ++n) {
            const double value = s.declared.name == "nll"     ? nll(s.variant, n)
                                 : s.declared.name == "error" ? nll(1, n) - nll(0, n)
                                                              : other(n);
            if (s.declared.shape != column_shape::position)
                for (std::size_t k = 0; k < run.table.layers_of(s); ++k) s.numbers[k * rows + n] = value;
            else
                for (std::size_t t = run.table.scored(n).first; t < run.table.scored(n).end; ++t) {
                    const std::size_t place = n * run.table.positions() + t;
                    s.declared.holds_ids ? void(s.ids[place] = 1) : void(s.scores[place] = static_cast<float>(value));
                }
        }
    for (std::size_t v = 0; v < 2; ++v)
        for (std::size_t n = 0; n < rows; ++n) run.table.set_finished(v, n);
    run.texts = token_texts(ids_of(run.documents, run.table), [](std::int32_t) { return std::string("x"); });
    return run;
}

} // namespace bitlens::test
