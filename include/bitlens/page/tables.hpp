#pragma once
/// The tables of a study, each made from the run alone.

#include "bitlens/analysis/long_tail.hpp"
#include "bitlens/analysis/numbers.hpp"
#include "bitlens/page/document_words.hpp"
#include "bitlens/page/published_methods.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// Method by method: error, perplexity, divergence, agreement.
inline table method_table(finished_study const& s) {
    table t{
        "methods",
        "Error and perplexity of each method",
        {{"method", "method"},
         {"mean_error", "mean error, nats per token", 4},
         {"standard_error", "± standard error", 4},
         {"median_error", "median error", 4},
         {"largest_error", "largest error", 4},
         {"perplexity_full", "perplexity, full", 3},
         {"perplexity", "perplexity, quantized", 3},
         {"mean_kl", "mean KL, nats per token", 4},
         {"same_top", "same most likely token", 4}},
        {},
        {"Error: the mean negative log-likelihood of the document's tokens under the quantized model, minus the full "
         "model's. Over " +
         std::to_string(s.size()) + " documents."}};
    for (auto const& m : s.methods) {
        auto sorted = defined_numbers(m.error);
        std::ranges::sort(sorted);
        const measured none = undefined{"no examples"};
        t.add({m.name, overall_mean(m.error), standard_error(m.error),
               sorted.empty() ? none : measured(quantile(sorted, 0.5)), sorted.empty() ? none : measured(sorted.back()),
               perplexity(overall_mean(s.nll_full)), perplexity(overall_mean(m.nll)), overall_mean(m.kl),
               overall_mean(m.same_top)});
    }
    return t;
}

/// Rows by falling error of the first method; last those that have none.
inline std::vector<std::size_t> worst_first(finished_study const& s) {
    std::vector<std::size_t> rows;
    if (!s.methods.empty()) rows = rank_by_error(s.methods.front().error);
    for (std::size_t i = 0; i < s.size(); ++i)
        if (s.methods.empty() || std::isnan(s.methods.front().error[i])) rows.push_back(i);
    return rows;
}

/// Document by document, the largest error of the first method first. A column that would be empty is left out.
inline table documents_table(finished_study const& s) {
    auto const& d = s.run.documents;
    const auto any = [](std::vector<std::string> const& texts) {
        return std::ranges::any_of(texts, [](std::string const& text) { return !text.empty(); });
    };
    const bool has_topics = any(d.topics), has_ids = any(d.names);
    std::vector<kept_values const*> kept;
    for (kept_values const& k : d.kept)
        if (any(k.values)) kept.push_back(&k);
    table t{"documents",
            "All documents",
            {{"example", "document"}, {"words", "first words"}},
            {},
            {"Losses and errors in nats per token. The documents that are links have their texts above."}};
    for (auto const& m : s.methods) t.columns.push_back({"error_" + m.name, "error, " + m.name});
    t.columns.push_back({"nll_full", "loss, full"});
    if (has_topics) t.columns.push_back({"topic", "topic"});
    if (has_ids) t.columns.push_back({"id", "id"});
    for (auto const* k : kept) t.columns.push_back({k->name, k->name});
    const std::size_t first = have_common_start(d) ? 1 : 0;
    for (const std::size_t i : worst_first(s)) {
        std::vector<cell> row{d.rows[i], first_words(s.run, i, first)};
        for (auto const& m : s.methods) row.emplace_back(number_or_gap(m.error[i]));
        row.emplace_back(s.nll_full[i]);
        if (has_topics) row.emplace_back(d.topics[i]);
        if (has_ids) row.emplace_back(d.names[i]);
        for (auto const* k : kept) row.emplace_back(k->values[i]);
        t.add(std::move(row));
    }
    return t;
}

/// The paper's tables 1 and 6, and of variants of GPTQ its table 7.
inline table method_correlation_table(finished_study const& s, std::span<const method_pair> pairs) {
    table t{
        "method_correlation",
        "Correlation of errors between methods",
        {{"first", "method"},
         {"second", "and"},
         {"families", "families"},
         {"pearson", "Pearson", 3},
         {"pearson_low", "95 % from", 3},
         {"pearson_high", "to", 3},
         {"spearman", "Spearman", 3}},
        {},
        {"Interval: 1000 bootstrap resamples of the documents. The paper compares methods of different families, and "
         "variants of GPTQ."}};
    std::vector<std::string> in_paper;
    for (auto const& p : pairs) {
        t.add({s.methods[p.first].name, s.methods[p.second].name, p.same_family ? "same" : "different", p.pearson,
               p.interval.lo, p.interval.hi, p.spearman});
        in_paper.push_back(published::correlations_of(s.methods[p.first], s.methods[p.second]));
    }
    published::add_beside(t, in_paper);
    return t;
}

/// Appendix A: does the other definition of the error say the same?
inline table kl_correlation_table(finished_study const& s) {
    table t{"kl_correlation",
            "Correlation of the error with the Kullback-Leibler divergence from the full model",
            {{"method", "method"},
             {"pearson", "Pearson", 3},
             {"pearson_low", "95 % from", 3},
             {"pearson_high", "to", 3},
             {"spearman", "Spearman", 3}},
            {},
            {"The paper: at least 0.97 (appendix A)."}};
    for (auto const& m : s.methods) {
        const auto within = correlation_interval(m.kl, m.error, s.seed);
        t.add({m.name, correlation(m.error, m.kl), within.lo, within.hi, rank_correlation(m.error, m.kl)});
    }
    return t;
}

/// D_large and D_ctrl of each method.
inline table error_sets_table(finished_study const& s) {
    table t{
        "error_sets",
        "Large-error sets D_large and control sets D_ctrl",
        {{"method", "method"},
         {"tenth", "worst tenth"},
         {"large", "D_large"},
         {"ctrl", "D_ctrl"},
         {"error_large", "mean error, D_large", 4},
         {"error_ctrl", "D_ctrl", 4},
         {"perplexity_full_large", "perplexity full, D_large", 2},
         {"perplexity_full_ctrl", "D_ctrl", 2},
         {"perplexity_full_all", "all", 2},
         {"perplexity_large", "perplexity quantized, D_large", 2},
         {"perplexity_ctrl", "D_ctrl", 2}},
        {},
        {"D_large: documents by falling error, without those whose token 5-grams overlap (Jaccard above 0.1) with one "
         "already taken, as many as a tenth of all, or fewer where the half with the larger errors has no more. "
         "D_ctrl: as many at random from the half with the smaller errors."}};
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        auto const& m = s.methods[v];
        auto const& [worst, large, ctrl] = s.sets[v];
        t.add({m.name, worst.size(), large.size(), ctrl.size(), mean_over(m.error, large), mean_over(m.error, ctrl),
               perplexity(mean_over(s.nll_full, large)), perplexity(mean_over(s.nll_full, ctrl)),
               perplexity(overall_mean(s.nll_full)), perplexity(mean_over(m.nll, large)),
               perplexity(mean_over(m.nll, ctrl))});
    }
    return t;
}

/// §4.1 and appendix B.
inline table overlap_table(finished_study const& s, std::span<const method_pair> pairs) {
    table t{"overlap",
            "Overlap of the methods' large-error documents",
            {{"first", "method"},
             {"second", "and"},
             {"jaccard_worst", "Jaccard, worst tenths", 3},
             {"chance", "by chance about", 3},
             {"jaccard_large", "Jaccard, D_large", 3}},
            {},
            {"The paper, worst tenths: " + std::string(published::overlap) + "; D_large of four models: 0.30 to 0.66.",
             std::string(published::overlap_note)}};
    for (auto const& p : pairs)
        t.add({s.methods[p.first].name, s.methods[p.second].name, p.overlap, p.chance, p.overlap_large});
    return t;
}

/// The paper's table 2, and the same for z and h.
inline table last_layer_table(finished_study const& s) {
    table t{"last_layer",
            "Correlation of magnitudes at the last layer with the error",
            {{"method", "method"},
             {"pearson_r", "norm(x; r): Pearson", 3},
             {"low_r", "95 % from", 3},
             {"high_r", "to", 3},
             {"spearman_r", "Spearman", 3},
             {"pearson_z", "norm(x; z): Pearson", 3},
             {"pearson_h", "norm(x; h): Pearson", 3}},
            {},
            {"r: input of the second norm; z: output of the block; h: what the MLP reads, γ applied."}};
    std::vector<std::string> in_paper;
    for (auto const& m : s.methods) {
        in_paper.push_back(published::last_layer_of(m));
        const auto within = correlation_interval(s.norm_r.row(s.layers() - 1), m.error, s.seed);
        t.add({m.name, correlation(s.norm_r.row(s.layers() - 1), m.error), within.lo, within.hi,
               rank_correlation(s.norm_r.row(s.layers() - 1), m.error),
               correlation(s.norm_z.row(s.layers() - 1), m.error), correlation(s.norm_h.row(s.layers() - 1), m.error)});
    }
    published::add_beside(t, in_paper, "the paper, norm(x; r)");
    return t;
}

/// Figures 8 to 11 as numbers, for r, z and h.
inline table layer_correlation_table(finished_study const& s) {
    table t{"layer_correlation",
            "Correlation of magnitudes with the error, layer by layer",
            {{"method", "method"},
             {"layer", "layer"},
             {"pearson_r", "norm(x; r)", 3},
             {"pearson_z", "norm(x; z)", 3},
             {"pearson_h", "norm(x; h)", 3}},
            {},
            {}};
    for (auto const& m : s.methods) {
        const auto r = layer_correlations(s.norm_r, m.error);
        const auto z = layer_correlations(s.norm_z, m.error);
        const auto h = layer_correlations(s.norm_h, m.error);
        for (std::size_t k = 0; k < s.layers(); ++k) t.add({m.name, k, r[k], z[k], h[k]});
    }
    return t;
}

/// Figures 1 (a), 6 and 7 as numbers: means over D_large and D_ctrl of what the full model's layers show.
inline table set_means_table(finished_study const& s) {
    table t{"set_means",
            "D_large against D_ctrl, layer by layer",
            {{"method", "method"},
             {"layer", "layer"},
             {"norm_r_large", "norm(x; r), D_large", 3},
             {"norm_r_ctrl", "D_ctrl", 3},
             {"norm_h_large", "norm(x; h), D_large", 3},
             {"norm_h_ctrl", "D_ctrl", 3},
             {"kurtosis_r_large", "kurtosis of r, D_large", 2},
             {"kurtosis_r_ctrl", "D_ctrl", 2},
             {"kurtosis_h_large", "kurtosis of h, D_large", 2},
             {"kurtosis_h_ctrl", "D_ctrl", 2}},
            {},
            {"Kurtosis: of each token over the width of the model, not excess (3 for a normal distribution), mean over "
             "tokens."}};
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        const auto r = curves_over(s.norm_r, s.sets[v]), h = curves_over(s.norm_h, s.sets[v]);
        const auto kr = curves_over(s.kurtosis_r, s.sets[v]), kh = curves_over(s.kurtosis_h, s.sets[v]);
        for (std::size_t k = 0; k < s.layers(); ++k)
            t.add({s.methods[v].name, k, r.large[k], r.ctrl[k], h.large[k], h.ctrl[k], kr.large[k], kr.ctrl[k],
                   kh.large[k], kh.ctrl[k]});
    }
    return t;
}

/// §5.3: do larger inputs of an MLP go with larger errors of its output?
inline table mse_table(finished_study const& s) {
    table t{"mlp_error",
            "Error of the MLP outputs, layer by layer",
            {{"method", "method"},
             {"layer", "layer"},
             {"mean_mse", "mean MSE", 6},
             {"pearson_norm_h", "correlation with norm(x; h)", 3}},
            {},
            {"The paper: above 0.6 in most upper layers (§5.3)."}};
    for (auto const& m : s.methods) {
        const auto rho = mse_correlations(s, m);
        for (std::size_t k = 0; k < s.layers(); ++k) t.add({m.name, k, overall_mean(m.mse.row(k)), rho[k]});
    }
    return t;
}

/// Figures 4 and 16 as numbers. before: the loss of a full model for each document, which `whose` names; NaN where
/// there is none.
inline table long_tail_table(finished_study const& s, std::span<const double> before, std::string const& whose) {
    table t{"long_tail",
            "Mean error of documents that were hard, or easy, before quantization",
            {{"method", "method"},
             {"hard", "documents with a loss of 4 or more"},
             {"hard_error", "mean error", 4},
             {"hard_low", "95 % from", 4},
             {"hard_high", "to", 4},
             {"easy", "of 1 or less"},
             {"easy_error", "mean error", 4},
             {"easy_low", "95 % from", 4},
             {"easy_high", "to", 4}},
            {},
            {"In nats per token. Loss: " + whose + ". Over all documents, whether in D_large or not. Intervals: " +
             std::to_string(bootstrap_resamples) + " bootstrap resamples of the documents."}};
    for (auto const& m : s.methods) {
        const auto [hard, easy, easy_lose_more] = long_tail_of(before, m.error, s.seed);
        t.add({m.name, hard.errors.size(), hard.mean, hard.within.lo, hard.within.hi, easy.errors.size(), easy.mean,
               easy.within.lo, easy.within.hi});
    }
    return t;
}

} // namespace bitlens
