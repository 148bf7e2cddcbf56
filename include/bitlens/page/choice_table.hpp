#pragma once
/// What methods leave of the answers that a model chooses among several.

#include "bitlens/analysis/choices.hpp"
#include "bitlens/analysis/finished_study.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/table.hpp"

#include <algorithm>
#include <cstddef>
#include <string>

namespace bitlens {

/// Variant by variant and score by score: the share of right choices, and what changed against the full model's.
inline table choices_table(finished_study const& s, choice_results const& r) {
    table t{"choices",
            "Right choices among several answers, before and after",
            {{"method", "method"},
             {"score", "likeliest by"},
             {"accuracy", "right", 4},
             {"lost", "right before alone"},
             {"gained", "right after alone"},
             {"same", "same choice", 4},
             {"chance", "McNemar's p", 4}},
            {},
            {"Over " + counted(r.questions.size(), "question") +
             ". A choice is the likeliest by the loss of all its tokens behind the question, or by that loss over the "
             "bytes of its text. McNemar's exact test asks whether as many answers could have been lost and gained by "
             "chance."}};
    const double all = static_cast<double>(r.questions.size());
    for (const choice_score by : choice_scores)
        for (std::size_t v = 0; v < r.made.size(); ++v) {
            const std::string method = v == 0 ? std::string(full_model_name) : s.methods[v - 1].name;
            const measured none = undefined{"of the full model"};
            if (std::ranges::none_of(r.of(v, by), [](auto const& choice) { return choice.has_value(); })) {
                const cell unknown = undefined{by == choice_score::per_byte ? "the bytes of the choices are not known"
                                                                            : "no question has finite losses"};
                t.add({method, std::string(name(by)), unknown, unknown, unknown, unknown, unknown});
                continue;
            }
            const auto f = flips_of(r, v, by);
            t.add({method, std::string(name(by)), accuracy_of(r, v, by), v == 0 ? cell(none) : cell(f.lost),
                   v == 0 ? cell(none) : cell(f.gained), v == 0 ? none : measured(static_cast<double>(f.same) / all),
                   v == 0 ? none : measured(f.chance)});
        }
    return t;
}

} // namespace bitlens
