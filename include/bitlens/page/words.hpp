#pragma once
/// The few lines of a study that matter, in words made from its numbers.

#include "bitlens/analysis/foretelling.hpp"
#include "bitlens/page/claims.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

namespace detail {

inline std::string error_words(finished_study const& s) {
    auto const& methods = s.methods;
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
           signed_text(perplexity(overall_mean(s.nll_full)), 2) + ", " + counted(s.size(), "document") + ".";
}

inline std::string correlation_words(finished_study const& s, std::span<const method_pair> all_pairs) {
    const auto [pairs, same_family] = comparable_pairs(all_pairs);
    const method_pair* strongest = nullptr;
    for (auto const& p : pairs)
        if (p.pearson && (!strongest || *p.pearson > *strongest->pearson)) strongest = &p;
    if (!strongest)
        return "Correlation of errors between methods: not defined, " +
               (pairs.empty() ? "there is one method only" : pairs.front().pearson.reason()) + ".";
    auto const& methods = s.methods;
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
    for (auto const& m : s.methods)
        text += (text.empty() ? std::string() : std::string(", ")) + m.name + " " +
                signed_text(correlation(s.norm_r.row(s.layers() - 1), m.error), 2);
    return "Correlation of the last layer's residual magnitude with the error: " + text +
           ". The paper: −0.58 to −0.83 with 3 bits.";
}

inline std::string difference_words(finished_study const& s) {
    if (s.methods.empty() || s.sets.front().large.empty())
        return "Documents with large errors against others: not defined, " + no_tenth().reason + ".";
    auto const& sets = s.sets.front();
    const std::size_t upper = upper_half(s.layers());
    const auto layers = [&](auto const& values, auto const& relation) {
        const auto c = curves_over(values, sets);
        const auto n = count_layers(c.large, c.ctrl, upper, relation);
        return std::to_string(n.holds) + " of the " + std::to_string(n.of);
    };
    const auto less = [](double a, double b) { return a < b; };
    const auto greater = [](double a, double b) { return a > b; };
    return "The " + counted(sets.large.size(), "document") + " with large errors of " + s.methods.front().name +
           ", against as many of the control set: smaller residuals in " + layers(s.norm_r, less) +
           " upper layers, larger MLP inputs in " + layers(s.norm_h, greater) + ", smaller kurtosis in " +
           layers(s.kurtosis_r, less) + ".";
}

/// What the halves of the documents say: the quantity that foretells a method's errors best, and how well.
inline std::string foretelling_words(finished_study const& s, foretelling const& f) {
    std::string text;
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        if (f.methods[v].empty() || !f.methods[v].front().spearman) continue;
        foretold const& best = f.methods[v].front();
        recorded_quantity const& q = f.quantities[best.quantity];
        text += (text.empty() ? std::string() : std::string("; ")) + s.methods[v].name + " by " + q.name +
                (q.layered ? " of layer " + std::to_string(best.layer) : std::string()) + ", Spearman " +
                signed_text(best.spearman, 2);
        if (best.spearman_interval.lo)
            text += " (95 % interval " + signed_text(best.spearman_interval.lo, 2) + " to " +
                    signed_text(best.spearman_interval.hi, 2) + ")";
    }
    if (text.empty())
        return "What foretells the error best: not defined, a half of the documents is fewer than " +
               std::to_string(fewest_documents) + ".";
    return "What foretells the error best, chosen on one half of the documents and tested on the other: " + text + ".";
}

/// The documents that each method breaks most, without near-duplicates where there is a worst tenth.
inline std::string worst_words(finished_study const& s) {
    constexpr std::size_t named = 3;
    std::string text;
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        auto const& error = s.methods[v].error;
        auto worst = s.sets[v].large.empty() ? rank_by_error(error) : s.sets[v].large;
        worst.resize(std::min(named, worst.size()));
        std::string documents;
        for (const std::size_t row : worst)
            documents += (documents.empty() ? "" : ", ") + s.run.documents.who(row) + " " + signed_text(error[row], 2);
        if (!documents.empty()) text += (text.empty() ? "" : "; ") + s.methods[v].name + ": " + documents;
    }
    return text.empty() ? "No document has an error." : "Broken most, in nats per token: " + text + ".";
}

} // namespace detail

/// A line for each method that has a loss which is not finite: the documents, each with the first position.
inline std::vector<std::string> gap_lines(finished_study const& s) {
    constexpr std::size_t named = 10;
    std::vector<std::string> lines;
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        auto const& gaps = s.gaps[v];
        if (gaps.empty()) continue;
        std::string text;
        for (std::size_t i = 0; i < std::min(named, gaps.size()); ++i)
            text += (text.empty() ? "" : "; ") + s.run.documents.who(gaps[i].row) + " from position " +
                    std::to_string(gaps[i].position + 1) + " on";
        if (gaps.size() > named) text += "; and " + std::to_string(gaps.size() - named) + " more";
        lines.push_back("Under " + s.methods[v].name + " the loss is not finite in " +
                        counted(gaps.size(), "document") + ", which its statistics leave out: " + text + ".");
    }
    return lines;
}

/// Seven lines: errors and their ranking, the worst documents, what foretells the error, correlation between methods,
/// overlap, correlation with the last layer's magnitudes, and how the documents with large errors differ; before them
/// what gap_lines says.
inline std::vector<std::string> summary_lines(finished_study const& s, std::span<const method_pair> pairs,
                                              foretelling const& found) {
    auto lines = gap_lines(s);
    lines.insert(lines.end(), {detail::error_words(s), detail::worst_words(s), detail::foretelling_words(s, found),
                               detail::correlation_words(s, pairs), detail::overlap_words(pairs),
                               detail::last_layer_words(s), detail::difference_words(s)});
    return lines;
}

} // namespace bitlens
