#pragma once
/// document_numbers: where one document stands among all of its run.

#include "bitlens/analysis/numbers.hpp"
#include "bitlens/stats/ranks.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// Of each number: how many per cent of the column are smaller, and half of those that are equal, itself included. NaN
/// for NaN.
inline std::vector<double> percentiles(std::span<const double> column) {
    const auto ranks = mid_ranks(defined_numbers(column));
    std::vector<double> all(column.size(), undefined_number);
    auto rank = ranks.begin();
    for (std::size_t i = 0; i < column.size(); ++i)
        if (!std::isnan(column[i])) all[i] = 100 * (*rank++ - 0.5) / static_cast<double>(ranks.size());
    return all;
}

/// The place of each document among the errors of a method, 1 for the largest; 0 where there is none.
inline std::vector<std::size_t> error_ranks(std::span<const double> error) {
    std::vector<std::size_t> ranks(error.size(), 0);
    const auto order = rank_by_error(error);
    for (std::size_t place = 0; place < order.size(); ++place) ranks[order[place]] = place + 1;
    return ranks;
}

/// A number that the full model has of each document, before anything is quantized.
struct document_property {
    std::string name; // "norm_r, last layer"
    std::span<const double> values;
    std::vector<double> percentile; // of each
};

/// Loss, entropy, bits per byte, and what the states of the last layer show; without those that no document has.
inline std::vector<document_property> document_properties(finished_study const& s) {
    const std::size_t last = s.layers() - 1;
    std::vector<document_property> all;
    const auto add = [&](std::string name, std::span<const double> values) {
        if (std::ranges::all_of(values, [](double x) { return std::isnan(x); })) return;
        all.push_back({std::move(name), values, percentiles(values)});
    };
    add("loss", s.nll_full);
    add("entropy", s.entropy_full);
    add("bits per byte", s.bits_per_byte_full);
    add("norm_r, last layer", s.norm_r.row(last));
    add("kurtosis_r, last layer", s.kurtosis_r.row(last));
    return all;
}

/// Over all documents, layer by layer. No number where no document has one.
struct layer_quartiles {
    std::vector<std::optional<double>> lower, median, upper;
};

inline layer_quartiles quartiles_of(per_layer values) {
    layer_quartiles q;
    for (std::size_t k = 0; k < values.rows; ++k) {
        auto sorted = defined_numbers(values.row(k));
        std::ranges::sort(sorted);
        const auto at = [&](double share) {
            return sorted.empty() ? std::nullopt : std::optional(quantile(sorted, share));
        };
        q.lower.push_back(at(0.25));
        q.median.push_back(at(0.5));
        q.upper.push_back(at(0.75));
    }
    return q;
}

/// The layer from which on, to the last, the two runs of a document differ more than those of three quarters of the
/// documents. None where they do not at the last layer.   diff_r: (L, N).
inline std::optional<std::size_t> parting_layer(per_layer diff_r, layer_quartiles const& all, std::size_t row) {
    std::optional<std::size_t> from;
    for (std::size_t k = diff_r.rows; k-- > 0 && all.upper[k] && diff_r(k, row) > *all.upper[k];) from = k;
    return from;
}

} // namespace bitlens
