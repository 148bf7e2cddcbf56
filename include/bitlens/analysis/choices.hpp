#pragma once
/// choices: questions of which one of several texts is the answer, in a study whose documents are these texts.

#include "bitlens/analysis/finished_study.hpp"
#include "bitlens/core/error.hpp"
#include "bitlens/stats/proportions.hpp"
#include "bitlens/sweep/select_documents.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// By which number a model's choice is the likeliest: the loss of all its tokens, or that over the bytes of its text,
/// which a longer text is not held against.
enum class choice_score : std::uint8_t { sum, per_byte };
inline constexpr std::array choice_scores{choice_score::sum, choice_score::per_byte};
constexpr std::string_view name(choice_score s) noexcept { return s == choice_score::sum ? "sum" : "per byte"; }

/// One question: neighbouring rows of the run.
struct choice_question {
    std::size_t first, count; // rows
    std::size_t answer;       // the right choice, from 0
};

/// What one variant takes for the answers: a choice of each question; none where a loss is not finite, or bytes are
/// not known.
using choices_made = std::vector<std::optional<std::size_t>>;

struct choice_results {
    std::vector<choice_question> questions;
    std::vector<std::array<choices_made, choice_scores.size()>> made; // of each variant, the full model first

    bool is_right(std::size_t variant, choice_score by, std::size_t question) const noexcept {
        return of(variant, by)[question] == questions[question].answer;
    }
    choices_made const& of(std::size_t variant, choice_score by) const noexcept {
        return made[variant][static_cast<std::size_t>(by)];
    }
};

/// How a method's choices stand to the full model's.
struct choice_flips {
    std::size_t both = 0, lost = 0, gained = 0, neither = 0; // questions that are right under: both, full alone, …
    std::size_t same = 0;                                    // choices that are the full model's
    double chance = 1;                                       // McNemar's exact test
};

namespace detail {

inline std::vector<std::string> const* kept_column(document_rows const& d, std::string_view name) {
    const auto found = std::ranges::find(d.kept, name, &kept_values::name);
    return found == d.kept.end() ? nullptr : &found->values;
}

/// Errors: format_error where the rows of a question are not its choices in their order, one of them right.
inline std::vector<choice_question> questions_of_choices(document_rows const& d, std::vector<std::string> const& choice,
                                                         std::vector<std::string> const& is_answer) {
    std::vector<choice_question> all;
    for (std::size_t n = 0; n < d.size();) {
        std::size_t end = n;
        std::optional<std::size_t> answer;
        for (; end < d.size() && d.rows[end] == d.rows[n]; ++end) {
            const bool is_right = is_answer[end] == "1";
            if (choice[end] != std::to_string(end - n) || (is_right && answer) || (!is_right && is_answer[end] != "0"))
                throw format_error("examples.csv: " + d.who(end) + ": its choice " + in_quotes(choice[end]) +
                                   " with is_answer " + in_quotes(is_answer[end]) +
                                   ", expected the choices of a question from 0 on, of which one is the answer");
            if (is_right) answer = end - n;
        }
        if (!answer)
            throw format_error("examples.csv: " + d.who(n) + ": none of its " + std::to_string(end - n) +
                               " choices is the answer, expected one");
        all.push_back({n, end - n, *answer});
        n = end;
    }
    return all;
}

/// nll: mean over the scored tokens of each row.
inline std::optional<std::size_t> likeliest_choice(document_rows const& d, std::span<const double> nll,
                                                   choice_question const& q, choice_score by) {
    std::optional<std::size_t> best;
    double least = 0;
    for (std::size_t i = 0; i < q.count; ++i) {
        const std::size_t row = q.first + i;
        double loss = nll[row] * static_cast<double>(d.ids.scored(row).count());
        if (by == choice_score::per_byte) {
            if (!d.bytes[row] || *d.bytes[row] == 0) return std::nullopt;
            loss /= static_cast<double>(*d.bytes[row]);
        }
        if (!std::isfinite(loss)) return std::nullopt;
        if (best && loss >= least) continue;
        best = i;
        least = loss;
    }
    return best;
}

} // namespace detail

/// None where the documents are no choices.   Errors: format_error where they are, and are not whole questions.
inline std::optional<choice_results> choices_of(finished_study const& s) {
    document_rows const& d = s.run.documents;
    auto const* const choice = detail::kept_column(d, choice_name);
    auto const* const is_answer = detail::kept_column(d, is_answer_name);
    if (choice == nullptr || is_answer == nullptr) return std::nullopt;
    choice_results r{detail::questions_of_choices(d, *choice, *is_answer), {}};
    std::vector<std::span<const double>> losses{s.nll_full};
    for (auto const& m : s.methods) losses.push_back(m.nll);
    for (auto const nll : losses) {
        r.made.emplace_back();
        for (const choice_score by : choice_scores)
            for (auto const& q : r.questions)
                r.made.back()[static_cast<std::size_t>(by)].push_back(detail::likeliest_choice(d, nll, q, by));
    }
    return r;
}

inline double accuracy_of(choice_results const& r, std::size_t variant, choice_score by) noexcept {
    std::size_t right = 0;
    for (std::size_t q = 0; q < r.questions.size(); ++q) right += r.is_right(variant, by, q) ? 1u : 0u;
    return static_cast<double>(right) / static_cast<double>(r.questions.size());
}

inline choice_flips flips_of(choice_results const& r, std::size_t variant, choice_score by) {
    choice_flips f;
    for (std::size_t q = 0; q < r.questions.size(); ++q) {
        const bool before = r.is_right(0, by, q), after = r.is_right(variant, by, q);
        ++(before ? (after ? f.both : f.lost) : (after ? f.gained : f.neither));
        f.same += r.of(variant, by)[q] == r.of(0, by)[q] ? 1u : 0u;
    }
    f.chance = mcnemar_chance(f.lost, f.gained);
    return f;
}

} // namespace bitlens
