#pragma once
/// Marks that are right or wrong: how sure a share of right ones is, and whether two markings of the same items differ.

#include "bitlens/core/error.hpp"
#include "bitlens/stats/binomial.hpp"
#include "bitlens/stats/correlation.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>

namespace bitlens {

/// Wilson's 95 % interval of a proportion that was `share` among n items. It stays within 0 … 1 and is no single point
/// where all or none are right.   nullopt: no items.   Errors: option_error unless 0 ≤ share ≤ 1.
/// Source: Wilson 1927.
inline std::optional<interval> wilson_interval(double share, std::size_t n) {
    constexpr double z = 1.959963984540054; // Φ⁻¹(0.975)
    if (!(share >= 0 && share <= 1))
        throw option_error("wilson_interval: share = " + std::to_string(share) + ", expected 0 … 1");
    if (n == 0) return std::nullopt;
    const double items = static_cast<double>(n), weight = z * z / items;
    const double middle = (share + weight / 2) / (1 + weight);
    const double half = z / (1 + weight) * std::sqrt(share * (1 - share) / items + weight / (4 * items));
    return interval{share == 0 ? 0 : std::max(0.0, middle - half), share == 1 ? 1 : std::min(1.0, middle + half)};
}

/// McNemar's exact test of two markings of the same items: how often chance alone, a fair coin for each item that is
/// right in one of them only, would part them as far as `only_first` against `only_second`, to either side. 1 where no
/// item parts them.   Source: McNemar 1947; exact: the two-sided binomial test with p = 1/2.
inline double mcnemar_chance(std::size_t only_first, std::size_t only_second) {
    const std::size_t of = only_first + only_second, fewer = std::min(only_first, only_second);
    double tail = 0; // the smallest terms first
    for (std::size_t k = 0; k <= fewer; ++k)
        tail += std::exp(detail::log_choose(of, k) - static_cast<double>(of) * std::log(2.0));
    return std::min(1.0, 2 * tail);
}

} // namespace bitlens
