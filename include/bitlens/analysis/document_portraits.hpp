#pragma once
/// What is unusual about a document, and from which layer on a method's run of it parts from the full model's.

#include "bitlens/analysis/numbers.hpp"
#include "bitlens/analysis/recorded_quantities.hpp"
#include "bitlens/core/parallel.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

namespace bitlens {

/// Percentile of each number among those that are there: 100 · (rank − ½) / n with mid-ranks, so that the middle one
/// has 50. NaN where there is no number.
inline std::vector<double> percentiles(std::span<const double> column) {
    const auto ranks = mid_ranks(defined_numbers(column));
    std::vector<double> found(column.size(), undefined_number);
    for (std::size_t i = 0, next = 0; i < column.size(); ++i)
        if (!std::isnan(column[i])) found[i] = 100 * (ranks[next++] - 0.5) / static_cast<double>(ranks.size());
    return found;
}

/// Median and quartiles over documents at each layer, of diff_r: how far the states of a method's run are from the full
/// model's.
struct parting_profile {
    std::vector<measured> lower, median, upper; // quartiles, by layer
    /// [document]: the first layer from which on, to the last, diff_r is above the upper quartile of all documents at
    /// each layer: from there on it is further from the full model than three quarters of all documents. nullopt: it
    /// is not above it at the last layer.
    std::vector<std::optional<std::size_t>> parts_at;
};

/// Layers at which a document has no number are passed over.   Shapes: diff_r (L, N).
inline parting_profile find_parting(per_layer diff_r) {
    parting_profile p;
    for (std::size_t k = 0; k < diff_r.rows; ++k) {
        auto sorted = defined_numbers(diff_r.row(k));
        std::ranges::sort(sorted);
        const auto at = [&](double q) {
            return sorted.empty() ? number_or_gap(undefined_number) : measured(quantile(sorted, q));
        };
        p.lower.push_back(at(0.25));
        p.median.push_back(at(0.5));
        p.upper.push_back(at(0.75));
    }
    p.parts_at.resize(diff_r.cols);
    for (std::size_t i = 0; i < diff_r.cols; ++i)
        for (std::size_t k = diff_r.rows; k-- > 0;) {
            if (std::isnan(diff_r(k, i))) continue;
            if (!(diff_r(k, i) > *p.upper[k])) break;
            p.parts_at[i] = k;
        }
    return p;
}

/// Where a document stands in one quantity among all documents of the run.
struct standing {
    std::size_t quantity; // of document_portraits::quantities
    std::size_t layer;    // the last, of those with layers
    double value, percentile;
};

/// One document of the run.
struct document_portrait {
    std::size_t row;
    std::vector<standing> standings;       // those that it has a number for, the furthest from the middle first
    std::vector<double> error_percentiles; // by method; NaN where it has no error
    std::vector<std::optional<std::size_t>> parts_at; // by method: parting_profile::parts_at
};

/// All of a run: made once, asked for any document.
class document_portraits {
public:
    explicit document_portraits(finished_study const& s) : quantities_(recorded_quantities(s)) {
        percentiles_.resize(quantities_.size());
        parallel_for(quantities_.size(), [&](std::size_t q) {
            const auto values = quantities_[q].values();
            percentiles_[q] = percentiles(values.row(values.rows - 1));
        });
        for (auto const& m : s.methods) {
            error_percentiles_.push_back(percentiles(m.error));
            profiles_.push_back(find_parting(m.diff_r));
        }
    }

    std::vector<recorded_quantity> const& quantities() const noexcept { return quantities_; }
    std::vector<parting_profile> const& profiles() const noexcept { return profiles_; } // by method

    document_portrait of(std::size_t row) const {
        document_portrait p{row, {}, {}, {}};
        for (std::size_t q = 0; q < quantities_.size(); ++q) {
            const auto values = quantities_[q].values();
            const std::size_t last = values.rows - 1;
            if (!std::isnan(values(last, row)))
                p.standings.push_back({q, last, values(last, row), percentiles_[q][row]});
        }
        std::ranges::stable_sort(p.standings, [](standing const& a, standing const& b) {
            return std::abs(a.percentile - 50) > std::abs(b.percentile - 50);
        });
        for (std::size_t v = 0; v < profiles_.size(); ++v) {
            p.error_percentiles.push_back(error_percentiles_[v][row]);
            p.parts_at.push_back(profiles_[v].parts_at[row]);
        }
        return p;
    }

private:
    std::vector<recorded_quantity> quantities_;
    std::vector<std::vector<double>> percentiles_, error_percentiles_; // [quantity or method][document]
    std::vector<parting_profile> profiles_;
};

} // namespace bitlens
