#pragma once
/// foretelling: how well each recorded quantity of the full model foretells a method's errors, without the flattery of
/// having picked the best of many.

#include "bitlens/analysis/intervals.hpp"
#include "bitlens/analysis/numbers.hpp"
#include "bitlens/analysis/recorded_quantities.hpp"
#include "bitlens/analysis/robustness.hpp"
#include "bitlens/core/parallel.hpp"
#include "bitlens/stats/resamples.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// One half chooses a layer and ranks the quantities, the other says how well they do. Rows of the run.
struct document_halves {
    std::vector<std::size_t> choosing, testing;
};

/// At random, whatever the documents are; the same for all methods. Of an odd number the testing half has one more.
inline document_halves split_documents(std::size_t documents, std::uint64_t seed) {
    std::vector<std::size_t> all(documents);
    std::iota(all.begin(), all.end(), std::size_t{0});
    const auto shuffled = draw_sample(all, documents, seed);
    const auto middle = shuffled.begin() + static_cast<std::ptrdiff_t>(documents / 2);
    document_halves halves{{shuffled.begin(), middle}, {middle, shuffled.end()}};
    std::ranges::sort(halves.choosing);
    std::ranges::sort(halves.testing);
    return halves;
}

/// One quantity against the errors of one method.
struct foretold {
    std::size_t quantity = 0;         // of the list of quantities
    std::size_t layer = 0;            // of those with layers: where |Spearman| is largest in the choosing half
    measured chosen_by = undefined{}; // Spearman there, in the choosing half
    std::size_t documents = 0;        // of the testing half that have both numbers
    measured spearman = undefined{}, pearson = undefined{}; // in the testing half
    measured_interval spearman_interval{undefined{}, undefined{}}, pearson_interval{undefined{}, undefined{}};
    robust_correlation robust;   // of the testing half; left_out are rows of the run
    std::size_t naive_layer = 0; // where |Spearman| is largest over all documents
    /// There, over all documents: what a search without halves would report.
    measured naive_spearman = undefined{}, naive_pearson = undefined{};
};

struct foretelling {
    std::vector<recorded_quantity> quantities;
    document_halves halves;
    /// One list per method, by falling |chosen_by|, so that the first is the best as the choosing half sees it; those
    /// that have none come last.
    std::vector<std::vector<foretold>> methods;
};

namespace detail {

/// The numbers of some rows.
inline std::vector<double> numbers_of(std::span<const double> column, std::span<const std::size_t> rows) {
    std::vector<double> some;
    some.reserve(rows.size());
    for (const std::size_t i : rows) some.push_back(column[i]);
    return some;
}

/// A column with the ranks of its numbers, which are taken once where all are there.
struct ranked_column {
    std::vector<double> numbers, ranks; // no ranks: a number is missing

    explicit ranked_column(std::vector<double> column) : numbers(std::move(column)) {
        if (std::ranges::none_of(numbers, [](double x) { return std::isnan(x); })) ranks = mid_ranks(numbers);
    }
};

inline measured ranked_correlation(ranked_column const& x, ranked_column const& y) {
    if (x.ranks.empty() || y.ranks.empty()) return bitlens::rank_correlation(x.numbers, y.numbers);
    return correlation(x.ranks, y.ranks);
}

inline measured few_documents(std::size_t found) {
    return undefined{"a half has " + std::to_string(found) + " documents with both numbers, fewer than " +
                     std::to_string(fewest_documents)};
}

/// A correlation of one half.
inline measured half_correlation(ranked_column const& x, ranked_column const& y) {
    const std::size_t pairs = defined_pairs(x.numbers, y.numbers).x.size();
    return pairs < fewest_documents ? few_documents(pairs) : ranked_correlation(x, y);
}

/// Spearman of one layer of a quantity with one method.
struct layer_rank_correlation {
    measured chosen = undefined{}, naive = undefined{};
};

/// The first of those with the largest |ρ|; the first of all where none is defined.
template <class Rho>
std::size_t strongest_layer(std::span<const layer_rank_correlation> layers, Rho rho) {
    std::size_t best = 0;
    for (std::size_t k = 1; k < layers.size(); ++k) {
        measured const &here = layers[k].*rho, &there = layers[best].*rho;
        if (here && (!there || std::abs(*here) > std::abs(*there))) best = k;
    }
    return best;
}

/// All but the intervals of one quantity (L, N) and the errors of one method.
inline foretold test_quantity(per_layer values, std::span<const double> error,
                              std::span<const layer_rank_correlation> layers, std::span<const std::size_t> testing) {
    foretold found;
    found.layer = strongest_layer(layers, &layer_rank_correlation::chosen);
    found.chosen_by = layers[found.layer].chosen;
    found.naive_layer = strongest_layer(layers, &layer_rank_correlation::naive);
    found.naive_spearman = layers[found.naive_layer].naive;
    found.naive_pearson = correlation(values.row(found.naive_layer), error);
    const auto x = numbers_of(values.row(found.layer), testing), y = numbers_of(error, testing);
    found.documents = defined_pairs(x, y).x.size();
    if (!found.chosen_by || found.documents < fewest_documents) {
        const measured why = !found.chosen_by ? found.chosen_by : few_documents(found.documents);
        found.robust = {why, why, why, why, {}};
    } else {
        found.robust = correlation_without_influential(x, y);
        for (auto& row : found.robust.left_out) row = testing[row];
    }
    found.spearman = found.robust.spearman;
    found.pearson = found.robust.pearson;
    found.spearman_interval = {found.spearman, found.spearman};
    found.pearson_interval = {found.pearson, found.pearson};
    return found;
}

} // namespace detail

/// Layers are chosen and quantities ranked by |Spearman|, which a few extreme documents do not decide.
/// A half in which fewer than fewest_documents have both numbers says nothing: then what it would say is not defined.
/// Intervals are of 95 %, by bootstrap over the testing half with the run's seed. Any number of threads gives the same.
inline foretelling foretell(finished_study const& s) {
    foretelling f{recorded_quantities(s), split_documents(s.size(), s.seed), {}};
    const std::size_t methods = s.methods.size();
    std::vector<detail::ranked_column> error, error_of_half;
    for (auto const& m : s.methods) {
        error.emplace_back(std::vector<double>(m.error.begin(), m.error.end()));
        error_of_half.emplace_back(detail::numbers_of(m.error, f.halves.choosing));
    }

    // [quantity][method][layer]
    std::vector<std::vector<std::vector<detail::layer_rank_correlation>>> rho;
    std::vector<std::pair<std::size_t, std::size_t>> columns; // quantity, layer
    for (std::size_t q = 0; q < f.quantities.size(); ++q) {
        const std::size_t layers = f.quantities[q].values().rows;
        rho.emplace_back(methods, std::vector<detail::layer_rank_correlation>(layers));
        for (std::size_t k = 0; k < layers; ++k) columns.emplace_back(q, k);
    }
    parallel_for(columns.size(), [&](std::size_t c) {
        const auto [q, k] = columns[c];
        const auto column = f.quantities[q].values().row(k);
        const detail::ranked_column all(std::vector<double>(column.begin(), column.end()));
        const detail::ranked_column half(detail::numbers_of(column, f.halves.choosing));
        for (std::size_t v = 0; v < methods; ++v)
            rho[q][v][k] = {detail::half_correlation(half, error_of_half[v]),
                            detail::ranked_correlation(all, error[v])};
    });

    const std::size_t quantities = f.quantities.size();
    f.methods.assign(methods, std::vector<foretold>(quantities));
    parallel_for(methods * quantities, [&](std::size_t task) {
        const std::size_t v = task / quantities, q = task % quantities;
        foretold& found = f.methods[v][q];
        found = detail::test_quantity(f.quantities[q].values(), s.methods[v].error, rho[q][v], f.halves.testing);
        found.quantity = q;
    });

    std::vector<resampled_pair> to_resample; // method by method, in the order of the lists
    for (std::size_t v = 0; v < methods; ++v)
        for (foretold const& found : f.methods[v])
            if (found.pearson)
                to_resample.emplace_back(
                    detail::numbers_of(f.quantities[found.quantity].values().row(found.layer), f.halves.testing),
                    detail::numbers_of(s.methods[v].error, f.halves.testing));
    const auto intervals = measured_intervals_of(to_resample, f.halves.testing.size(), s.seed);
    auto next = intervals.begin();
    for (auto& list : f.methods) {
        for (auto& found : list)
            if (found.pearson) {
                found.spearman_interval = next->spearman;
                found.pearson_interval = next->pearson;
                ++next;
            }
        std::ranges::stable_sort(list, [](foretold const& a, foretold const& b) {
            return a.chosen_by && (!b.chosen_by || std::abs(*a.chosen_by) > std::abs(*b.chosen_by));
        });
    }
    return f;
}

/// What a search over all documents would call the best of a method's list, by |naive_spearman|; nullptr where none is
/// defined.
inline foretold const* naive_best(std::span<const foretold> list) noexcept {
    foretold const* best = nullptr;
    for (auto const& f : list)
        if (f.naive_spearman && (!best || std::abs(*f.naive_spearman) > std::abs(*best->naive_spearman))) best = &f;
    return best;
}

} // namespace bitlens
