#pragma once
/// Order statistics: ranks with ties, quantiles.

#include "bitlens/core/error.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// The place 1 … N of every value in rising order; equal values all get the mean of their places.
/// Errors: bitlens::error for a NaN, which has no place. Infinities have one.
inline std::vector<double> mid_ranks(std::span<const double> x) {
    for (std::size_t i = 0; i < x.size(); ++i)
        if (std::isnan(x[i])) throw error("mid_ranks: value " + std::to_string(i) + " is not a number");
    std::vector<std::size_t> order(x.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] < x[b]; });
    std::vector<double> ranks(x.size());
    for (std::size_t first = 0, last = 0; first < order.size(); first = last) {
        while (last < order.size() && x[order[last]] == x[order[first]]) ++last;
        const double rank = 0.5 * static_cast<double>(first + 1 + last); // places first + 1 … last
        for (std::size_t i = first; i < last; ++i) ranks[order[i]] = rank;
    }
    return ranks;
}

/// The value below which the share q of the sample lies: linear between the neighbours of place q·(N − 1), counted
/// from 0.
/// `sorted` rises.   Errors: shape_error when N = 0; option_error unless 0 ≤ q ≤ 1.
/// Source: Hyndman & Fan 1996, definition 7 (numpy's and R's default).
inline double quantile(std::span<const double> sorted, double q) {
    if (sorted.empty()) throw shape_error("quantile: at least one number is expected");
    if (!(q >= 0 && q <= 1)) throw option_error("quantile: q = " + std::to_string(q) + ", expected 0 … 1");
    const double place = q * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    return std::lerp(sorted[below], sorted[above], place - static_cast<double>(below));
}

} // namespace bitlens
