#pragma once
/// The tables of what foretells the errors of a run, and of what their numbers rest on.

#include "bitlens/analysis/document_portraits.hpp"
#include "bitlens/analysis/foretelling.hpp"
#include "bitlens/analysis/margins.hpp"
#include "bitlens/analysis/topics.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

namespace detail {

/// The documents of some rows, as messages name them; the first few.
inline std::string documents_text(document_rows const& documents, std::span<const std::size_t> rows) {
    constexpr std::size_t named = 5;
    std::string text;
    for (std::size_t i = 0; i < std::min(named, rows.size()); ++i)
        text += (text.empty() ? "" : "; ") + documents.who(rows[i]);
    if (rows.size() > named) text += "; and " + std::to_string(rows.size() - named) + " more";
    return text;
}

/// The layer of a quantity at which a correlation was found, if there is either.
inline cell layer_cell(recorded_quantity const& q, std::size_t layer, measured const& found) {
    if (!q.layered) return undefined{"the quantity has one number per document"};
    return found ? cell(layer) : cell(undefined{found.reason()});
}

inline constexpr std::string_view influence_note =
    "Influence of a document: the change of Pearson's correlation, to either side, when it alone is left out. The most "
    "influential is left out, then the most influential of the rest, until it is a twentieth of the documents.";

} // namespace detail

/// Every quantity of the full model against the errors of each method, best first.
inline table foretelling_table(finished_study const& s, foretelling const& f) {
    table t{"foretelling",
            "What foretells the error in this run",
            {{"method", "method"},
             {"rank", "rank"},
             {"quantity", "quantity"},
             {"layer", "layer"},
             {"chosen_by", "Spearman, choosing half", 3},
             {"spearman", "Spearman, other half", 3},
             {"spearman_low", "95 % from", 3},
             {"spearman_high", "to", 3},
             {"pearson", "Pearson, other half", 3},
             {"pearson_low", "95 % from", 3},
             {"pearson_high", "to", 3},
             {"naive_layer", "best layer over all", 3},
             {"naive_spearman", "Spearman there, over all", 3},
             {"naive_pearson", "Pearson there, over all", 3}},
            {},
            {"The documents are split in two halves at random, by the run's seed: " +
                 std::to_string(f.halves.choosing.size()) +
                 " choose the layer of each quantity and rank the quantities, by |Spearman|; the other " +
                 std::to_string(f.halves.testing.size()) +
                 " say how well they do. Over all documents the best of many layers looks better than it is.",
             "Intervals: " + std::to_string(bootstrap_resamples) +
                 " bootstrap resamples of the other half. Names as in examples.csv; bytes_per_token is the length of "
                 "the scored text over its tokens."}};
    for (std::size_t v = 0; v < f.methods.size(); ++v)
        for (std::size_t r = 0; r < f.methods[v].size(); ++r) {
            auto const& here = f.methods[v][r];
            auto const& q = f.quantities[here.quantity];
            t.add({s.methods[v].name, here.chosen_by ? cell(r + 1) : cell(undefined{here.chosen_by.reason()}), q.name,
                   detail::layer_cell(q, here.layer, here.chosen_by), here.chosen_by, here.spearman,
                   here.spearman_interval.lo, here.spearman_interval.hi, here.pearson, here.pearson_interval.lo,
                   here.pearson_interval.hi, detail::layer_cell(q, here.naive_layer, here.naive_spearman),
                   here.naive_spearman, here.naive_pearson});
        }
    return t;
}

/// The same correlations without the documents that they rest on most.
inline table foretelling_robustness_table(finished_study const& s, foretelling const& f) {
    table t{"foretelling_robustness",
            "What foretells the error, without the most influential documents",
            {{"method", "method"},
             {"quantity", "quantity"},
             {"layer", "layer"},
             {"pearson", "Pearson, other half", 3},
             {"pearson_without", "without them", 3},
             {"spearman", "Spearman, other half", 3},
             {"spearman_without", "without them", 3},
             {"left_out", "left out"},
             {"documents", "documents left out, most influential first"}},
            {},
            {std::string(detail::influence_note)}};
    for (std::size_t v = 0; v < f.methods.size(); ++v)
        for (auto const& here : f.methods[v]) {
            auto const& q = f.quantities[here.quantity];
            auto const& r = here.robust;
            t.add({s.methods[v].name, q.name, detail::layer_cell(q, here.layer, here.chosen_by), r.pearson,
                   r.pearson_without, r.spearman, r.spearman_without, r.left_out.size(),
                   detail::documents_text(s.run.documents, r.left_out)});
        }
    return t;
}

/// The correlation of errors between methods, without the documents that it rests on most.
inline table pair_robustness_table(finished_study const& s, std::span<const robust_pair> pairs) {
    table t{"method_correlation_robustness",
            "Correlation of errors between methods, without the most influential documents",
            {{"first", "method"},
             {"second", "and"},
             {"pearson", "Pearson", 3},
             {"pearson_without", "without them", 3},
             {"spearman", "Spearman", 3},
             {"spearman_without", "without them", 3},
             {"left_out", "left out"},
             {"documents", "documents left out, most influential first"}},
            {},
            {std::string(detail::influence_note)}};
    for (auto const& p : pairs)
        t.add({s.methods[p.first].name, s.methods[p.second].name, p.errors.pearson, p.errors.pearson_without,
               p.errors.spearman, p.errors.spearman_without, p.errors.left_out.size(),
               detail::documents_text(s.run.documents, p.errors.left_out)});
    return t;
}

/// Topic by topic: error, and share in D_large (the paper's figure 3).
inline table topics_table(finished_study const& s, topic_study const& topics) {
    table t{"topics",
            "Errors by topic",
            {{"method", "method"},
             {"topic", "topic"},
             {"documents", "documents"},
             {"mean_error", "mean error, nats per token", 4},
             {"low", "95 % from", 4},
             {"high", "to", 4},
             {"share_all", "share of all", 3},
             {"large", "in D_large"},
             {"share_large", "share of D_large", 3},
             {"chance", "chance", 4},
             {"chance_corrected", "chance, corrected", 4}},
            {},
            {"Over the documents that have a topic. Chance: how often a random set of the size of D_large would have "
             "as many of the topic, or as few, whichever is rarer, twice (hypergeometric); corrected: times the number "
             "of topics, because one of many topics looks unusual by chance. The paper: D_large covers all topics, "
             "none with more than 12 % (§7.1, figure 3)."}};
    for (std::size_t v = 0; v < topics.methods.size(); ++v)
        for (std::size_t k = 0; k < topics.topics.size(); ++k) {
            auto const& e = topics.methods[v][k];
            t.add({s.methods[v].name, topics.topics[k], e.documents, e.mean_error, e.interval.lo, e.interval.hi,
                   e.share_all, e.large, e.share_large, e.chance, e.chance_corrected});
        }
    return t;
}

/// Do topics matter at all?
inline table topic_tests_table(finished_study const& s, topic_study const& topics) {
    table t{"topic_tests",
            "Do errors differ between topics?",
            {{"method", "method"},
             {"documents", "documents"},
             {"topics", "topics"},
             {"h", "Kruskal-Wallis H", 2},
             {"explained", "share of variance between topics", 3},
             {"chance", "chance", 4}},
            {},
            {"Of the ranks of the errors, which a few extreme documents do not decide. Chance: in what share of " +
             std::to_string(topic_permutations) + " random assignments of the topics H is as large."}};
    for (std::size_t v = 0; v < topics.tests.size(); ++v) {
        auto const& test = topics.tests[v];
        t.add({s.methods[v].name, test.documents, test.topics, test.h, test.explained, test.chance});
    }
    return t;
}

/// Margins of a method against those of the full model.
inline table margins_table(finished_study const& s, std::span<const margin_line> lines) {
    table t{"margins",
            "Decision margins: the method's against the full model's",
            {{"method", "method"},
             {"positions", "positions"},
             {"slope", "slope", 4},
             {"intercept", "intercept, logits", 4},
             {"residual", "spread around the line, logits", 4},
             {"explained", "r²", 4},
             {"predicted_flips", "flips predicted", 4},
             {"observed_flips", "observed", 4},
             {"pearson", "slope of a document and its error: Pearson", 3},
             {"pearson_low", "95 % from", 3},
             {"pearson_high", "to", 3},
             {"spearman", "Spearman", 3},
             {"spearman_low", "95 % from", 3},
             {"spearman_high", "to", 3}},
            {},
            {"Margin: the logit of the full model's most likely token minus the largest other one. Below 0 under a "
             "method it is a flip. The line is fitted over all positions with finite margins; flips are predicted from "
             "it with normal noise of the spread around it."}};
    for (std::size_t v = 0; v < lines.size(); ++v) {
        auto const& m = lines[v];
        t.add({s.methods[v].name, m.positions, m.slope, m.intercept, m.residual, m.explained, m.predicted_flips,
               m.observed_flips, m.pearson, m.pearson_interval.lo, m.pearson_interval.hi, m.spearman,
               m.spearman_interval.lo, m.spearman_interval.hi});
    }
    return t;
}

/// How far a method's states are from the full model's, layer by layer, and how many documents part where.
inline table parting_table(finished_study const& s, document_portraits const& portraits) {
    table t{"parting",
            "Where the runs part, layer by layer",
            {{"method", "method"},
             {"layer", "layer"},
             {"lower", "lower quartile of diff_r", 4},
             {"median", "median", 4},
             {"upper", "upper quartile", 4},
             {"parted", "documents that part here"}},
            {},
            {"A document parts at the first layer from which on, to the last, its diff_r is above the upper quartile "
             "of all documents."}};
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        auto const& p = portraits.profiles()[v];
        for (std::size_t k = 0; k < p.median.size(); ++k)
            t.add({s.methods[v].name, k, p.lower[k], p.median[k], p.upper[k],
                   static_cast<std::size_t>(std::ranges::count(p.parts_at, std::optional(k)))});
    }
    return t;
}

} // namespace bitlens
