#pragma once
/// What the paper finds of questions and popularity, put to a run of questions.

#include "bitlens/analysis/intervals.hpp"
#include "bitlens/analysis/question_numbers.hpp"
#include "bitlens/page/claim.hpp"
#include "bitlens/page/published_questions.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/stats/proportions.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// What claims are made from. The mark is the paper's: containment.
struct question_evidence {
    finished_questions const& questions;
    question_numbers const& numbers;
};

namespace detail {

/// Questions with low ≤ log10(popularity) < high.
inline std::vector<std::size_t> questions_between(finished_questions const& q, double low, double high) {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < q.size(); ++i) {
        if (!q.questions[i].popularity) continue;
        const double x = std::log10(*q.questions[i].popularity); // −∞ of 0
        if (low <= x && x < high) found.push_back(i);
    }
    return found;
}

inline constexpr double any_popularity = std::numeric_limits<double>::infinity();

inline std::string mean_text(std::span<const double> lost) {
    return lost.empty() ? std::string("not defined") : signed_text(mean(lost), 3);
}

/// Of every method: does it lose less of some questions than of others?
inline run_answer ask_less_lost(finished_questions const& q, std::span<const std::size_t> some,
                                std::span<const std::size_t> others) {
    run_answer all;
    for (std::size_t v = 1; v < q.variants.size(); ++v) {
        const auto a = lost_marks(q, answer_mark::contains, v, some);
        const auto b = lost_marks(q, answer_mark::contains, v, others);
        answer one{q.variants[v].name + " " + mean_text(a) + " against " + mean_text(b), outcome::not_defined};
        if (!a.empty() && !b.empty())
            one.found =
                judge(resample(std::min(a.size(), b.size()), q.resampling_seed(), [&](random_generator& random) {
                    const double first = resampled_mean(a, random);
                    return first < resampled_mean(b, random);
                }));
        all.text += (all.text.empty() ? "" : "; ") + one.text;
        all.answers.push_back(std::move(one));
    }
    if (all.answers.empty()) all.text = "nothing to compare";
    return all;
}

/// Of a bucket at an end against all those between the ends.
inline run_answer ask_end_against_middle(question_evidence const& e, bool highest) {
    auto const& buckets = e.numbers.buckets.buckets;
    if (buckets.size() < 3) return {{}, buckets.empty() ? no_buckets().reason : "too few questions for three buckets"};
    std::vector<std::size_t> middle;
    for (auto const& b : std::span(buckets).subspan(1, buckets.size() - 2))
        middle.insert(middle.end(), b.questions.begin(), b.questions.end());
    return ask_less_lost(e.questions, (highest ? buckets.back() : buckets.front()).questions, middle);
}

} // namespace detail

namespace question_claims {

inline claim rare_lose_less(question_evidence const& e) {
    return {"The least popular questions are degraded less than others: accuracy lost in the lowest bucket, against "
            "the buckets between lowest and highest",
            "so for NF3 and AWQ3 of Mistral-12B (figure 5), and usually of the other models (figure 17)",
            detail::ask_end_against_middle(e, false)};
}

inline claim popular_lose_less(question_evidence const& e) {
    return {"So are the most popular ones: accuracy lost in the highest bucket, against the same",
            "so for NF3 and AWQ3 of Mistral-12B (figure 5)", detail::ask_end_against_middle(e, true)};
}

inline claim middle_loses_more(question_evidence const& e) {
    finished_questions const& q = e.questions;
    auto others = detail::questions_between(q, -detail::any_popularity, published::middle_low);
    const auto above = detail::questions_between(q, published::middle_high, detail::any_popularity);
    others.insert(others.end(), above.begin(), above.end());
    return {
        "Others are degraded less than the questions with a log10 popularity between 2.8 and 4.8, whatever the "
        "buckets: accuracy lost",
        "these are the most affected (figure 5)",
        detail::ask_less_lost(q, others, detail::questions_between(q, published::middle_low, published::middle_high))};
}

/// The paper's number is of 3 bits; methods that name more are not asked.
inline claim middle_loses_a_tenth(question_evidence const& e) {
    finished_questions const& q = e.questions;
    const auto middle = detail::questions_between(q, published::middle_low, published::middle_high);
    run_answer all;
    for (std::size_t v = 1; v < q.variants.size(); ++v) {
        if (bits_of(std::string_view(q.variants[v].spec)) != 3) continue;
        const auto lost = lost_marks(q, answer_mark::contains, v, middle);
        answer one{q.variants[v].name + " " + detail::mean_text(lost), outcome::not_defined};
        if (!lost.empty())
            one.found = detail::judge(detail::resample(lost.size(), q.resampling_seed(), [&](random_generator& random) {
                return detail::resampled_mean(lost, random) > published::middle_lost;
            }));
        all.text += (all.text.empty() ? "" : "; ") + one.text;
        all.answers.push_back(std::move(one));
    }
    all.text = all.answers.empty() ? "no method of 3 bits"
                                   : all.text + " (" + counted(middle.size(), "question") + " of that popularity)";
    return {"Methods of 3 bits lose more than 0.10 of the accuracy there", "more than 0.10 (NF3 and AWQ3, Mistral-12B)",
            std::move(all)};
}

/// About the questions, not about methods.
inline claim few_are_popular(question_evidence const& e) {
    constexpr double rounding = 0.005; // of the paper's per cent
    finished_questions const& q = e.questions;
    const std::size_t above = detail::questions_between(q, published::middle_high, detail::any_popularity).size();
    const std::size_t known = q.size() - e.numbers.buckets.without;
    claim c{"Few questions are more popular: the share with a log10 popularity of 4.8 or more",
            "0.06",
            {{}, no_buckets().reason}};
    if (known == 0) return c;
    const double share = static_cast<double>(above) / static_cast<double>(known);
    c.answer.text = detail::signed_text(share, 3) + " (" + std::to_string(above) + " of " + std::to_string(known) + ")";
    outcome found = outcome::undecided;
    if (known >= fewest_documents) {
        const auto within = wilson_interval(share, known);
        if (within->lo > published::popular_share + rounding || within->hi < published::popular_share - rounding)
            found = outcome::differs;
        else if (within->lo >= published::popular_share / 2 && within->hi <= published::popular_share * 2)
            found = outcome::agrees;
    }
    c.answer.answers.push_back({c.answer.text, found});
    return c;
}

} // namespace question_claims

/// In the order in which the page shows them.
inline std::vector<claim> claims_of(question_evidence const& e) {
    return {question_claims::rare_lose_less(e), question_claims::popular_lose_less(e),
            question_claims::middle_loses_more(e), question_claims::middle_loses_a_tenth(e),
            question_claims::few_are_popular(e)};
}

/// The rule of the verdicts, for the reader of the page.
inline std::string question_verdict_rule() {
    return "How a verdict is found, for each method, by containment: a finding agrees where it holds in at least 97.5 "
           "% of " +
           std::to_string(bootstrap_resamples) +
           " bootstrap resamples of the questions on either side, each with its answers under all seeds; it differs "
           "where it fails in as many, and is not decided between, nor where fewer than " +
           std::to_string(fewest_documents) +
           " questions could be resampled. A share differs where its 95 % interval does not meet what the paper's "
           "rounds to, and agrees where it does and lies between half and twice that.";
}

} // namespace bitlens
