#pragma once
/// outliers: the most activated dimensions of a layer's states, and what the norm after them makes of these.

#include "bitlens/core/error.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/stats/ranks.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// A dimension of the states, and its weight in the norm.
struct outlier {
    std::size_t dimension;
    double magnitude; // mean |r_i|
    float gamma;
    std::size_t rank; // of |γ_i| among all dimensions, from 1, the smallest; equal ones share the smallest rank
};

struct layer_outliers {
    double median_gamma;           // of |γ|
    std::vector<outlier> outliers; // the most activated first, equal ones by dimension
};

inline constexpr std::size_t shown_outliers = 5;

/// The most activated dimensions of r against γ of the norm that reads r. magnitude: mean |r_i| of every dimension; see
/// dimension_magnitudes.   Shapes: magnitude (d), gamma (d).   Errors: shape_error unless they are equally many and
/// there are any; error for a magnitude that is not finite.   Source: arXiv 2506.12044, table 8, whose ranks (1 or 2
/// for weights far below the median, of 5120 dimensions above 5000 for large ones) rise with |γ| although its caption
/// says that they fall.
inline layer_outliers outliers_of(std::span<const double> magnitude, std::span<const float> gamma,
                                  std::size_t count = shown_outliers) {
    detail::check_size("outliers_of", "gamma", gamma.size(), magnitude.size());
    if (gamma.empty()) throw shape_error("outliers_of: at least one dimension is expected");
    for (std::size_t i = 0; i < magnitude.size(); ++i)
        if (!std::isfinite(magnitude[i]))
            throw error("outliers_of: the mean magnitude of dimension " + std::to_string(i) + " is not finite");
    std::vector<std::size_t> order(magnitude.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return magnitude[a] > magnitude[b]; });
    order.resize(std::min(order.size(), count));

    std::vector<double> sizes; // of γ, rising
    for (const float g : gamma) sizes.push_back(std::abs(double{g}));
    std::ranges::sort(sizes);
    layer_outliers found{quantile(sizes, 0.5), {}};
    for (const std::size_t i : order) {
        const auto place = std::ranges::lower_bound(sizes, std::abs(double{gamma[i]})) - sizes.begin();
        found.outliers.push_back({i, magnitude[i], gamma[i], static_cast<std::size_t>(place) + 1});
    }
    return found;
}

} // namespace bitlens
