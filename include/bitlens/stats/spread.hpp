#pragma once
/// median_spread: the middle of a sample and how far from it is usual, whatever a few of its numbers are; and which
/// numbers stand out.

#include "bitlens/stats/ranks.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace bitlens {

/// Errors: shape_error when there is none.
inline double median_of(std::vector<double> x) {
    std::ranges::sort(x);
    return quantile(x, 0.5);
}

struct median_spread {
    double median = 0, spread = 0; ///< spread: 1.4826 · median |x − median|, which is σ of normal numbers
};

/// Shapes: x (N), N ≥ 1.   Errors: shape_error when N = 0.
inline median_spread median_spread_of(std::vector<double> x) {
    constexpr double normal = 1.4826022185056018; // 1/Φ⁻¹(3/4)
    median_spread m{median_of(x), 0};
    for (double& v : x) v = std::abs(v - m.median);
    m.spread = normal * median_of(std::move(x));
    return m;
}

/// When one of several errors stands out: it is larger than `times` their median, and its logarithm lies more than
/// `spreads` spreads above that of the median. A spread counts as `least_spread` at least, and of fewer than `fewest`
/// errors none stands out.
struct far_error_rule {
    double times = 2, spreads = 8, least_spread = 0.05;
    std::size_t fewest = 5;
};
struct far_error {
    std::size_t index;
    double times;   ///< of the median; infinite where that is 0
    double spreads; ///< above it
};

/// The errors that stand out, the largest first.   Shapes: errors (N), each ≥ 0 or infinite.
inline std::vector<far_error> far_errors_of(std::span<const double> errors, far_error_rule const& rule = {}) {
    std::vector<far_error> found;
    if (errors.size() < rule.fewest) return found;
    constexpr double least = 1e-300, most = 1e300; // 0 and infinity have no logarithm to count with
    std::vector<double> logs;
    for (const double e : errors) logs.push_back(std::log(std::clamp(e, least, most)));
    const median_spread middle = median_spread_of(logs);
    const double spread = std::max(middle.spread, rule.least_spread);
    for (std::size_t i = 0; i < errors.size(); ++i) {
        const double above = logs[i] - middle.median, spreads = above / spread;
        if (above <= std::log(rule.times) || spreads <= rule.spreads) continue;
        const bool is_against_zero = middle.median <= std::log(least);
        found.push_back({i, is_against_zero ? std::numeric_limits<double>::infinity() : std::exp(above), spreads});
    }
    std::ranges::stable_sort(found, std::ranges::greater{}, &far_error::spreads);
    return found;
}

} // namespace bitlens
