#pragma once
/// Correlations without the documents that they rest on most.

#include "bitlens/analysis/numbers.hpp"
#include "bitlens/core/parallel.hpp"
#include "bitlens/stats/influence.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace bitlens {

/// A twentieth of the documents, at least one.
inline std::size_t influential_documents(std::size_t documents) noexcept {
    return std::max<std::size_t>(1, documents / 20);
}

/// A correlation of all documents that have both numbers, and of the others once the most influential are left out.
struct robust_correlation {
    measured pearson = undefined{}, spearman = undefined{};
    measured pearson_without = undefined{}, spearman_without = undefined{};
    std::vector<std::size_t> left_out; // the most influential first; places in the columns
};

/// A document's influence is how far Pearson's correlation moves, to either side, when it alone is left out (exactly,
/// not by an approximation). The most influential goes, then the most influential of the rest, and so on:
/// influential_documents of the pairs in all.
inline robust_correlation correlation_without_influential(std::span<const double> x, std::span<const double> y) {
    robust_correlation found;
    found.pearson = found.pearson_without = correlation(x, y);
    found.spearman = found.spearman_without = rank_correlation(x, y);
    if (!found.pearson) return found;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < x.size(); ++i)
        if (!std::isnan(x[i]) && !std::isnan(y[i])) places.push_back(i);
    const auto pairs = defined_pairs(x, y);
    std::vector<double> rest_x(x.begin(), x.end());
    for (const std::size_t i : most_influential(pairs.x, pairs.y, influential_documents(places.size()))) {
        found.left_out.push_back(places[i]);
        rest_x[places[i]] = undefined_number;
    }
    found.pearson_without = correlation(rest_x, y);
    found.spearman_without = rank_correlation(rest_x, y);
    return found;
}

/// Errors of two methods.
struct robust_pair {
    std::size_t first, second;
    robust_correlation errors;
};

/// In the order of method_pairs.
inline std::vector<robust_pair> robust_pairs(finished_study const& s) {
    std::vector<robust_pair> pairs;
    for (std::size_t a = 0; a < s.methods.size(); ++a)
        for (std::size_t b = a + 1; b < s.methods.size(); ++b) pairs.push_back({a, b, {}});
    parallel_for(pairs.size(), [&](std::size_t p) {
        auto& pair = pairs[p];
        pair.errors = correlation_without_influential(s.methods[pair.first].error, s.methods[pair.second].error);
    });
    return pairs;
}

} // namespace bitlens
