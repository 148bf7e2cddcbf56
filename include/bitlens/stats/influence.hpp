#pragma once
/// How much a correlation rests on single pairs.

#include "bitlens/stats/correlation.hpp"
#include "bitlens/stats/sums.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

namespace bitlens {

/// Pearson's correlation without pair i, for every i, in O(N): with d the numbers minus their mean,
/// Σ' = Σ d_j e_j − N/(N − 1) · d_i e_i   for each of the three sums.
/// nullopt at i where the others have no correlation; everywhere where a number is not finite or N < 3.
/// Errors: shape_error when x and y differ in length.
inline std::vector<std::optional<double>> leave_one_out_pearson(std::span<const double> x, std::span<const double> y) {
    detail::check_pairs("leave_one_out_pearson", x, y);
    const std::size_t n = x.size();
    std::vector<std::optional<double>> without(n);
    if (n < 3) return without;
    const auto dx = detail::centred(x), dy = detail::centred(y);
    if (dx.empty() || dy.empty()) return without;
    const auto dot = [n](std::span<const double> a, std::span<const double> b) {
        return detail::sum_of(n, [&](std::size_t i) { return a[i] * b[i]; });
    };
    const double xx = dot(dx, dx), xy = dot(dx, dy), yy = dot(dy, dy);
    const double share = static_cast<double>(n) / static_cast<double>(n - 1);
    constexpr double cancelled = 1e-6; // what is left of a sum has lost its digits: taken anew from the others
    for (std::size_t i = 0; i < n; ++i) {
        const double rest_xx = xx - share * dx[i] * dx[i], rest_yy = yy - share * dy[i] * dy[i];
        if (rest_xx > cancelled * xx && rest_yy > cancelled * yy) {
            without[i] = std::clamp((xy - share * dx[i] * dy[i]) / std::sqrt(rest_xx * rest_yy), -1.0, 1.0);
            continue;
        }
        std::vector<double> others_x(x.begin(), x.end()), others_y(y.begin(), y.end());
        others_x.erase(others_x.begin() + static_cast<std::ptrdiff_t>(i));
        others_y.erase(others_y.begin() + static_cast<std::ptrdiff_t>(i));
        without[i] = pearson(others_x, others_y);
    }
    return without;
}

/// The k pairs whose leaving out, one at a time, changes Pearson's correlation most, to either side, by falling change;
/// before them those without which there is none. Equal changes keep the order of the pairs.
/// Empty where there is no correlation to begin with.   Errors: as leave_one_out_pearson.
inline std::vector<std::size_t> most_influential(std::span<const double> x, std::span<const double> y, std::size_t k) {
    const auto all = pearson(x, y);
    if (!all) return {};
    const auto without = leave_one_out_pearson(x, y);
    const auto change = [&](std::size_t i) {
        return without[i] ? std::abs(*without[i] - *all) : std::numeric_limits<double>::infinity();
    };
    std::vector<std::size_t> order(x.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return change(a) > change(b); });
    order.resize(std::min(k, order.size()));
    return order;
}

} // namespace bitlens
