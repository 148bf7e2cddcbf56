#pragma once
/// shared_foretelling: whether what foretells the errors of documents also foretells which answers a method loses.

#include "bitlens/analysis/choices.hpp"
#include "bitlens/analysis/finished_study.hpp"
#include "bitlens/analysis/intervals.hpp"
#include "bitlens/analysis/recorded_quantities.hpp"
#include "bitlens/core/error.hpp"
#include "bitlens/stats/resamples.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// A quantity of the full model, at its last layer where it has layers.
struct shared_quantity {
    std::string name;
    measured with_error; // rank correlation with the errors of documents
    measured_interval error_interval;
    measured with_loss; // with 1 where a right answer is lost, 0 where it is kept, over those that the full model gives
    measured_interval loss_interval;
};

/// Of one method.
struct shared_foretelling {
    std::string method;
    std::size_t right_before, lost; // answers
    std::vector<shared_quantity> quantities;
    measured agreement; // rank correlation of the two, over quantities
};

namespace detail {

inline std::span<const double> last_layer_of(recorded_quantity const& q) { return q.values().row(q.values().rows - 1); }

/// Whether a method loses the answers that the full model gives, and the rows of these answers.
struct lost_answers {
    std::vector<std::size_t> rows;
    std::vector<double> is_lost; // 1 or 0
};
inline lost_answers lost_answers_of(choice_results const& r, std::size_t variant) {
    lost_answers found;
    for (std::size_t q = 0; q < r.questions.size(); ++q) {
        if (!r.is_right(0, choice_score::sum, q)) continue;
        found.rows.push_back(r.questions[q].first + r.questions[q].answer);
        found.is_lost.push_back(r.is_right(variant, choice_score::sum, q) ? 0.0 : 1.0);
    }
    return found;
}

inline std::vector<measured_interval> rank_intervals(std::span<const resampled_pair> pairs, std::size_t items,
                                                     std::uint64_t seed) {
    std::vector<measured_interval> out;
    for (auto const& both : measured_intervals_of(pairs, items, seed)) out.push_back(both.spearman);
    return out;
}

} // namespace detail

/// Of each method that both runs have, and each quantity that both recorded of the full model. A question has the
/// quantities of its right choice, read behind the question.
/// Errors: option_error for a second run that is of no choices, or no method in common.
inline std::vector<shared_foretelling> share_foretelling(finished_study const& documents,
                                                         finished_study const& choices) {
    const auto results = choices_of(choices);
    if (!results)
        throw option_error("shared foretelling: a second run of questions of several choices is expected, one of "
                           "documents was found");
    const auto of_documents = recorded_quantities(documents), of_choices = recorded_quantities(choices);
    std::vector<std::pair<std::size_t, std::size_t>> common;
    for (std::size_t i = 0; i < of_documents.size(); ++i)
        for (std::size_t j = 0; j < of_choices.size(); ++j)
            if (of_documents[i].name == of_choices[j].name) common.emplace_back(i, j);
    std::vector<shared_foretelling> all;
    for (auto const& m : documents.methods) {
        const auto same = std::ranges::find_if(
            choices.methods, [&](method_columns const& other) { return other.name == m.name && other.spec == m.spec; });
        if (same == choices.methods.end()) continue;
        const auto answers =
            detail::lost_answers_of(*results, static_cast<std::size_t>(same - choices.methods.begin()) + 1);
        shared_foretelling found{m.name,
                                 answers.rows.size(),
                                 static_cast<std::size_t>(std::ranges::count(answers.is_lost, 1.0)),
                                 {},
                                 undefined{}};
        std::vector<resampled_pair> with_error, with_loss;
        std::vector<double> errors, losses; // correlations, quantity by quantity
        for (auto const& [i, j] : common) {
            const auto of_document = detail::last_layer_of(of_documents[i]);
            std::vector<double> of_answers;
            for (const std::size_t row : answers.rows) of_answers.push_back(detail::last_layer_of(of_choices[j])[row]);
            found.quantities.push_back({of_documents[i].name,
                                        rank_correlation(of_document, m.error),
                                        {undefined{}, undefined{}},
                                        rank_correlation(of_answers, answers.is_lost),
                                        {undefined{}, undefined{}}});
            with_error.emplace_back(of_document, m.error);
            with_loss.emplace_back(of_answers, answers.is_lost);
            auto const& q = found.quantities.back();
            if (!q.with_error || !q.with_loss) continue;
            errors.push_back(*q.with_error);
            losses.push_back(*q.with_loss);
        }
        const auto error_intervals = detail::rank_intervals(with_error, documents.size(), documents.seed);
        const auto loss_intervals = detail::rank_intervals(with_loss, answers.rows.size(), choices.seed);
        for (std::size_t q = 0; q < found.quantities.size(); ++q) {
            found.quantities[q].error_interval = error_intervals[q];
            found.quantities[q].loss_interval = loss_intervals[q];
        }
        found.agreement = rank_correlation(errors, losses);
        all.push_back(std::move(found));
    }
    if (all.empty()) throw option_error("shared foretelling: a method that both runs have is expected, none was found");
    return all;
}

} // namespace bitlens
