#pragma once
/// Histograms and kernel density estimates: how values are spread.

#include "bitlens/core/error.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/stats/ranks.hpp"
#include "bitlens/stats/sums.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// Counts per bin. Bin b holds edges[b] ≤ x < edges[b + 1]; the last one holds its upper edge too.
struct histogram_counts {
    std::vector<double> edges;        ///< one more than bins, rising
    std::vector<std::size_t> counts;  ///< one per bin
    std::size_t below = 0, above = 0; ///< values outside the edges
};

/// Counts values between given edges.
/// Errors: option_error unless there are two or more finite edges that rise; bitlens::error for a NaN among the values.
inline histogram_counts histogram(std::span<const double> values, std::span<const double> edges) {
    if (edges.size() < 2) throw option_error("histogram: at least two edges are expected");
    for (std::size_t i = 0; i < edges.size(); ++i)
        if (!std::isfinite(edges[i]) || (i > 0 && edges[i] <= edges[i - 1]))
            throw option_error("histogram: edge " + std::to_string(i) + " = " + std::to_string(edges[i]) +
                               ", expected finite numbers that rise");
    histogram_counts h{{edges.begin(), edges.end()}, std::vector<std::size_t>(edges.size() - 1), 0, 0};
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double x = values[i];
        if (std::isnan(x)) throw error("histogram: value " + std::to_string(i) + " is not a number");
        if (x < edges.front()) {
            ++h.below;
        } else if (x > edges.back()) {
            ++h.above;
        } else {
            const auto next = static_cast<std::size_t>(std::upper_bound(edges.begin(), edges.end(), x) - edges.begin());
            ++h.counts[std::min(next, h.counts.size()) - 1];
        }
    }
    return h;
}

/// The same with `bins` bins of equal width from lo to hi.   Errors: also option_error for no bins.
inline histogram_counts histogram(std::span<const double> values, double lo, double hi, std::size_t bins) {
    if (bins == 0) throw option_error("histogram: at least one bin is expected");
    std::vector<double> edges(bins + 1);
    for (std::size_t b = 0; b <= bins; ++b)
        edges[b] = std::lerp(lo, hi, static_cast<double>(b) / static_cast<double>(bins));
    return histogram(values, edges);
}

/// h = 0.9 · min(s, IQR/1.34) · N^(−1/5), with the sample's s² = Σ (x − x̄)² / (N − 1); s alone where IQR = 0.
/// nullopt: fewer than two values, all of them equal, one that is not finite.
/// Source: Silverman 1986, eq. 3.31.
inline std::optional<double> silverman_bandwidth(std::span<const double> values) {
    if (values.size() < 2) return std::nullopt;
    const double n = static_cast<double>(values.size());
    const double s = std::sqrt(detail::central_sums_of(values).square / (n - 1));
    if (!std::isfinite(s) || s == 0) return std::nullopt;
    std::vector<double> sorted(values.begin(), values.end());
    std::sort(sorted.begin(), sorted.end());
    const double iqr = quantile(sorted, 0.75) - quantile(sorted, 0.25);
    const double spread = iqr > 0 ? std::min(s, iqr / 1.34) : s;
    return 0.9 * spread * std::pow(n, -0.2);
}

/// f(u) = 1/(N·h·√(2π)) · Σ_i exp(−½·((u − x_i)/h)²)   at every u of `at`.   Units: 1 / those of the values.
/// Errors: shape_error for no values; option_error unless the bandwidth h is finite and positive;
/// bitlens::error for a value that is not finite.
inline std::vector<double> kernel_density(std::span<const double> values, std::span<const double> at,
                                          double bandwidth) {
    if (values.empty()) throw shape_error("kernel_density: at least one value is expected");
    if (!(bandwidth > 0) || !std::isfinite(bandwidth))
        throw option_error("kernel_density: bandwidth " + std::to_string(bandwidth) + ", expected a positive number");
    for (std::size_t i = 0; i < values.size(); ++i)
        if (!std::isfinite(values[i])) throw error("kernel_density: value " + std::to_string(i) + " is not finite");
    const double unit = static_cast<double>(values.size()) * bandwidth * std::sqrt(2 * std::numbers::pi);
    std::vector<double> density(at.size());
    for (std::size_t k = 0; k < at.size(); ++k)
        density[k] = detail::sum_of(values.size(),
                                    [&](std::size_t i) {
                                        const double z = (at[k] - values[i]) / bandwidth;
                                        return std::exp(-0.5 * z * z);
                                    }) /
                     unit;
    return density;
}

} // namespace bitlens
