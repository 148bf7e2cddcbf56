#pragma once
/// The straight line through pairs of numbers, from sums that parts of them can be joined to.

#include "bitlens/core/error.hpp"
#include "bitlens/stats/sums.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <optional>
#include <span>
#include <string>

namespace bitlens {

/// Σ (x − x̄)², Σ (x − x̄)(y − ȳ) and Σ (y − ȳ)² of n pairs.
struct pair_moments {
    std::size_t n = 0;
    double mean_x = 0, mean_y = 0, xx = 0, xy = 0, yy = 0;

    /// Those of these pairs and the others together.   Source: Chan, Golub & LeVeque 1979.
    void join(pair_moments const& other) noexcept {
        if (other.n == 0) return;
        const double a = static_cast<double>(n), b = static_cast<double>(other.n), share = b / (a + b);
        const double dx = other.mean_x - mean_x, dy = other.mean_y - mean_y;
        xx += other.xx + dx * dx * a * share;
        xy += other.xy + dx * dy * a * share;
        yy += other.yy + dy * dy * a * share;
        mean_x += dx * share;
        mean_y += dy * share;
        n += other.n;
    }
};

/// Errors: shape_error when x and y differ in length.
inline pair_moments moments_of_pairs(std::span<const double> x, std::span<const double> y) {
    if (x.size() != y.size())
        throw shape_error("moments_of_pairs: " + std::to_string(x.size()) + " values against " +
                          std::to_string(y.size()));
    pair_moments m;
    m.n = x.size();
    if (m.n == 0) return m;
    const double n = static_cast<double>(m.n);
    m.mean_x = x[0] + detail::sum_of(m.n, [&](std::size_t i) { return x[i] - x[0]; }) / n;
    m.mean_y = y[0] + detail::sum_of(m.n, [&](std::size_t i) { return y[i] - y[0]; }) / n;
    const auto sum = [&](std::span<const double> a, double a0, std::span<const double> b, double b0) {
        return detail::sum_of(m.n, [&](std::size_t i) { return (a[i] - a0) * (b[i] - b0); });
    };
    m.xx = sum(x, m.mean_x, x, m.mean_x);
    m.xy = sum(x, m.mean_x, y, m.mean_y);
    m.yy = sum(y, m.mean_y, y, m.mean_y);
    return m;
}

/// y ≈ intercept + slope · x by least squares.
struct fitted_line {
    double intercept = 0, slope = 0;
    double residual = 0;  // √(Σ (y − line)² / (n − 2))
    double explained = 0; // r², the share of the variance of y
};

/// nullopt: fewer than three pairs, or one of the two is constant or not finite.
inline std::optional<fitted_line> fit_line(pair_moments const& m) noexcept {
    if (m.n < 3 || !(m.xx > 0) || !(m.yy > 0) || !std::isfinite(m.xx) || !std::isfinite(m.yy)) return std::nullopt;
    const double slope = m.xy / m.xx;
    const double left = std::max(0.0, m.yy - slope * m.xy);
    return fitted_line{m.mean_y - slope * m.mean_x, slope, std::sqrt(left / static_cast<double>(m.n - 2)),
                       std::min(1.0, slope * m.xy / m.yy)};
}

/// P(y < 0) of a normal y around `mean`; of spread 0, whether the mean itself is below 0.
inline double chance_below_zero(double mean, double spread) noexcept {
    if (spread == 0) return mean < 0 ? 1 : 0;
    return 0.5 * std::erfc(mean / (spread * std::numbers::sqrt2));
}

} // namespace bitlens
