#pragma once
/// Decision margins: how far the full model's choice of the next token survives a method, from the margins alone.

#include "bitlens/analysis/intervals.hpp"
#include "bitlens/analysis/numbers.hpp"
#include "bitlens/core/parallel.hpp"
#include "bitlens/stats/line.hpp"
#include "bitlens/stats/resamples.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// margin_method ≈ intercept + slope · margin_full over all positions of all documents where both are finite. Where the
/// margin of the method is below 0, quantization changed the most likely token: a flip.
struct margin_line {
    std::size_t positions;
    measured intercept, slope;
    measured residual;          // standard deviation around the line, logits
    measured explained;         // r²
    measured predicted_flips;   // mean of P(intercept + slope · margin_full + residual · N(0, 1) < 0)
    measured observed_flips;    // share of the positions
    std::vector<double> slopes; // of each document's own line; NaN where it has none
    measured pearson, spearman; // of a document's slope with its error
    measured_interval pearson_interval, spearman_interval;
};

namespace detail {

/// The margins of one document that are finite in both.
struct margin_pairs {
    std::vector<double> full, method;

    margin_pairs(std::span<const float> of_full, std::span<const float> of_method) {
        for (std::size_t t = 0; t < of_full.size(); ++t)
            if (std::isfinite(of_full[t]) && std::isfinite(of_method[t])) {
                full.push_back(double{of_full[t]});
                method.push_back(double{of_method[t]});
            }
    }
};

} // namespace detail

/// All but the correlations with the error. Sums are joined document by document, so that threads change nothing.
/// Shapes: (N, T).   Errors: shape_error when the two differ in shape.   Source of the idea: arXiv 2608.06564.
inline margin_line fit_margins(matrix_view<const float> full, matrix_view<const float> method) {
    detail::check_shape("fit_margins", "method", method, full.rows, full.cols);
    std::vector<pair_moments> of_document(full.rows);
    std::vector<std::size_t> flips(full.rows);
    parallel_for(full.rows, [&](std::size_t n) {
        const detail::margin_pairs pairs(full.row(n), method.row(n));
        of_document[n] = moments_of_pairs(pairs.full, pairs.method);
        flips[n] =
            static_cast<std::size_t>(std::ranges::count_if(pairs.method, [](double margin) { return margin < 0; }));
    });
    pair_moments all;
    std::size_t flipped = 0;
    std::vector<double> slopes;
    for (std::size_t n = 0; n < full.rows; ++n) {
        all.join(of_document[n]);
        flipped += flips[n];
        const auto own = fit_line(of_document[n]);
        slopes.push_back(own ? own->slope : undefined_number);
    }
    const undefined none{"there is no line: fewer than three positions with finite margins, or margins all the same"};
    margin_line found{all.n, none, none,         none,        none, none, none, std::move(slopes),
                      none,  none, {none, none}, {none, none}};
    const double positions = static_cast<double>(all.n);
    if (all.n > 0) found.observed_flips = static_cast<double>(flipped) / positions;
    const auto line = fit_line(all);
    if (!line) return found;
    std::vector<double> predicted(full.rows);
    parallel_for(full.rows, [&](std::size_t n) {
        const detail::margin_pairs pairs(full.row(n), method.row(n));
        predicted[n] = detail::sum_of(pairs.full.size(), [&](std::size_t t) {
            return chance_below_zero(line->intercept + line->slope * pairs.full[t], line->residual);
        });
    });
    found.intercept = line->intercept;
    found.slope = line->slope;
    found.residual = line->residual;
    found.explained = line->explained;
    found.predicted_flips = detail::sum_of(predicted.size(), [&](std::size_t n) { return predicted[n]; }) / positions;
    return found;
}

/// One for each method; empty where the run has no margins.
inline std::vector<margin_line> margin_lines(finished_study const& s) {
    const auto column = [&s](std::string const& variant) {
        return s.run.table.find("margin_" + variant, column_shape::position);
    };
    if (!column(full_model_name)) return {};
    std::vector<margin_line> lines;
    std::vector<resampled_pair> pairs;
    for (auto const& m : s.methods) {
        if (!column(m.name)) return {};
        auto& line = lines.emplace_back(fit_margins(s.run.table.of_positions("margin_" + std::string(full_model_name)),
                                                    s.run.table.of_positions("margin_" + m.name)));
        line.pearson = correlation(line.slopes, m.error);
        line.spearman = rank_correlation(line.slopes, m.error);
        pairs.emplace_back(line.slopes, m.error);
    }
    const auto intervals = measured_intervals_of(pairs, s.size(), s.seed);
    for (std::size_t v = 0; v < lines.size(); ++v) {
        lines[v].pearson_interval = intervals[v].pearson;
        lines[v].spearman_interval = intervals[v].spearman;
    }
    return lines;
}

} // namespace bitlens
