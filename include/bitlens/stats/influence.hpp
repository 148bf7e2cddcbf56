#pragma once
/// How much a correlation rests on single pairs.

#include "bitlens/stats/correlation.hpp"
#include "bitlens/stats/line.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

namespace bitlens {

namespace detail {

/// Times a power of two that brings the largest into [0.5, 1), which changes no correlation, so that no square leaves
/// the range of double. Empty when a value is not finite.
inline std::vector<double> scaled(std::span<const double> x) {
    double largest = 0;
    for (const double v : x) {
        if (!std::isfinite(v)) return {};
        largest = std::max(largest, std::abs(v));
    }
    int exponent = 0;
    std::frexp(largest, &exponent);
    std::vector<double> out(x.begin(), x.end());
    for (double& v : out) v = std::ldexp(v, -exponent);
    return out;
}

/// Pearson's correlation of the pairs of these moments without (x, y), one of them:
/// Σ' = Σ − n/(n − 1) · (x − x̄)(y − ȳ)   for each of the three sums.
/// NaN where next to nothing is left of one, so that it has lost its digits.
inline double pearson_without(pair_moments const& m, double x, double y) noexcept {
    constexpr double cancelled = 1e-6;
    const double share = static_cast<double>(m.n) / static_cast<double>(m.n - 1);
    const double dx = x - m.mean_x, dy = y - m.mean_y;
    const double xx = m.xx - share * dx * dx, xy = m.xy - share * dx * dy, yy = m.yy - share * dy * dy;
    const double rho = std::clamp(xy / std::sqrt(xx * yy), -1.0, 1.0);
    return xx > cancelled * m.xx && yy > cancelled * m.yy ? rho : std::numeric_limits<double>::quiet_NaN();
}

/// The same from the other pairs themselves.
inline std::optional<double> pearson_of_others(std::vector<double> x, std::vector<double> y, std::size_t i) {
    x.erase(x.begin() + static_cast<std::ptrdiff_t>(i));
    y.erase(y.begin() + static_cast<std::ptrdiff_t>(i));
    return pearson(x, y);
}

} // namespace detail

/// Pearson's correlation without pair i, for every i, in O(N).
/// nullopt at i where the others have no correlation; everywhere where a number is not finite.
/// Errors: shape_error when x and y differ in length.
inline std::vector<std::optional<double>> leave_one_out_pearson(std::span<const double> x, std::span<const double> y) {
    detail::check_pairs("leave_one_out_pearson", x, y);
    std::vector<std::optional<double>> without(x.size());
    const auto left_x = detail::scaled(x), left_y = detail::scaled(y);
    if (left_x.empty() || left_y.empty()) return without;
    const pair_moments m = moments_of_pairs(left_x, left_y);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double rho = detail::pearson_without(m, left_x[i], left_y[i]);
        without[i] = std::isnan(rho) ? detail::pearson_of_others(left_x, left_y, i) : std::optional(rho);
    }
    return without;
}

/// k pairs, one after the other: each time the one without which Pearson's correlation of those that are left changes
/// most, to either side, or ceases to exist. Taken at once instead, a pair could hide behind another that is like it.
/// Of equal changes the first. Fewer than k where what is left has no correlation.   Errors: as leave_one_out_pearson.
inline std::vector<std::size_t> most_influential(std::span<const double> x, std::span<const double> y, std::size_t k) {
    detail::check_pairs("most_influential", x, y);
    auto left_x = detail::scaled(x), left_y = detail::scaled(y);
    std::vector<std::size_t> left(left_x.size()), taken;
    if (left_x.empty() || left_y.empty()) return taken;
    std::iota(left.begin(), left.end(), std::size_t{0});
    while (taken.size() < k && left.size() > 1) {
        const pair_moments m = moments_of_pairs(left_x, left_y);
        if (!(m.xx > 0 && m.yy > 0)) break;
        const double all = m.xy / std::sqrt(m.xx * m.yy);
        std::size_t most = 0;
        double largest = -1;
        for (std::size_t i = 0; i < left.size(); ++i) {
            double change = std::abs(detail::pearson_without(m, left_x[i], left_y[i]) - all);
            if (std::isnan(change)) {
                const auto rho = detail::pearson_of_others(left_x, left_y, i);
                change = rho ? std::abs(*rho - all) : std::numeric_limits<double>::infinity();
            }
            if (change > largest) {
                largest = change;
                most = i;
            }
        }
        taken.push_back(left[most]);
        const auto at = static_cast<std::ptrdiff_t>(most);
        left.erase(left.begin() + at);
        left_x.erase(left_x.begin() + at);
        left_y.erase(left_y.begin() + at);
    }
    return taken;
}

} // namespace bitlens
