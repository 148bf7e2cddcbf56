#pragma once
/// The few lines of a study that matter, in words made from its numbers.

#include "bitlens/analysis/study_claims.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

namespace detail {

inline std::string error_words(finished_study const& s) {
    auto const& methods = s.run.methods;
    std::vector<std::size_t> order(methods.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto error = [&](std::size_t v) { return overall_mean(methods[v].error); };
    std::ranges::stable_sort(
        order, [&](std::size_t a, std::size_t b) { return error(a) && error(b) && *error(a) < *error(b); });
    std::string text;
    for (const std::size_t v : order)
        text += (text.empty() ? std::string() : std::string(", ")) + methods[v].name + " " + signed_text(error(v), 3) +
                " (perplexity " + signed_text(perplexity(overall_mean(methods[v].nll)), 2) + ")";
    return "Mean error in nats per token, the smallest first: " + text + "; full model: perplexity " +
           signed_text(perplexity(overall_mean(s.run.nll_full)), 2) + ", " + counted(s.run.size(), "document") + ".";
}

inline std::string correlation_words(finished_study const& s, std::span<const method_pair> all_pairs) {
    const auto [pairs, same_family] = comparable_pairs(all_pairs);
    const method_pair* strongest = nullptr;
    for (auto const& p : pairs)
        if (p.pearson && (!strongest || *p.pearson > *strongest->pearson)) strongest = &p;
    if (!strongest)
        return "Correlation of errors between methods: not defined, " +
               (pairs.empty() ? "there is one method only" : pairs.front().pearson.reason()) + ".";
    auto const& methods = s.run.methods;
    std::string text = "Errors of different methods go together most for " + methods[strongest->first].name + " and " +
                       methods[strongest->second].name + ": Pearson " + signed_text(strongest->pearson, 2);
    if (strongest->interval.lo)
        text += " (95 % interval " + signed_text(strongest->interval.lo, 2) + " to " +
                signed_text(strongest->interval.hi, 2) + ")";
    const auto all = column_of(pairs, &method_pair::pearson);
    if (const auto defined = std::ranges::count_if(all, [](measured const& m) { return bool(m); }); defined > 1)
        text += "; mean over " + std::to_string(defined) + " pairs " + signed_text(mean_defined(all), 2);
    return text + (same_family ? std::string(same_family_words) + "." : ". The paper: mean 0.82.");
}

inline std::string overlap_words(std::span<const method_pair> all_pairs) {
    const auto [pairs, same_family] = comparable_pairs(all_pairs);
    const auto mean_overlap = mean_defined(column_of(pairs, &method_pair::overlap));
    if (!mean_overlap)
        return "Overlap of the methods' worst tenths: not defined, " +
               (pairs.empty() ? "there is one method only" : mean_overlap.reason()) + ".";
    return "The methods' worst tenths overlap by " + signed_text(mean_overlap, 2) +
           " (Jaccard) on average; by chance " + signed_text(mean_defined(column_of(pairs, &method_pair::chance)), 2) +
           (same_family ? std::string(same_family_words) + "." : ". The paper: 0.51.");
}

inline std::string last_layer_words(finished_study const& s) {
    std::string text;
    for (auto const& m : s.run.methods)
        text += (text.empty() ? std::string() : std::string(", ")) + m.name + " " +
                signed_text(correlation(s.run.norm_r.back(), m.error), 2);
    return "Correlation of the last layer's residual magnitude with the error: " + text +
           ". The paper: −0.58 to −0.83 with 3 bits.";
}

inline std::string difference_words(finished_study const& s) {
    if (s.run.methods.empty() || s.sets.front().large.empty())
        return "Documents with large errors against others: not defined, " + no_tenth().reason + ".";
    auto const& sets = s.sets.front();
    const std::size_t upper = upper_half(s.run.layers());
    const auto layers = [&](auto const& values, auto const& relation) {
        const auto c = curves_over(values, sets);
        const auto n = count_layers(c.large, c.ctrl, upper, relation);
        return std::to_string(n.holds) + " of the " + std::to_string(n.of);
    };
    const auto less = [](double a, double b) { return a < b; };
    const auto greater = [](double a, double b) { return a > b; };
    return "The " + counted(sets.large.size(), "document") + " with large errors of " + s.run.methods.front().name +
           ", against as many of the control set: smaller residuals in " + layers(s.run.norm_r, less) +
           " upper layers, larger MLP inputs in " + layers(s.run.norm_h, greater) + ", smaller kurtosis in " +
           layers(s.run.kurtosis_r, less) + ".";
}

} // namespace detail

/// Five lines: errors and their ranking, correlation between methods, overlap, correlation with the last layer's
/// magnitudes, and how the documents with large errors differ.
inline std::vector<std::string> summary_lines(finished_study const& s, std::span<const method_pair> pairs) {
    return {detail::error_words(s), detail::correlation_words(s, pairs), detail::overlap_words(pairs),
            detail::last_layer_words(s), detail::difference_words(s)};
}

} // namespace bitlens
