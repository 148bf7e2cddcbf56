#pragma once
/// How much two sets of examples have in common.

#include "bitlens/core/error.hpp"
#include "bitlens/stats/binomial.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

namespace detail {
inline std::vector<std::size_t> as_set(std::span<const std::size_t> members) {
    std::vector<std::size_t> set(members.begin(), members.end());
    std::sort(set.begin(), set.end());
    set.erase(std::unique(set.begin(), set.end()), set.end());
    return set;
}
} // namespace detail

/// |A ∩ B|. A member listed twice counts once; the order does not matter.
inline std::size_t common_members(std::span<const std::size_t> a, std::span<const std::size_t> b) {
    const auto first = detail::as_set(a), second = detail::as_set(b);
    return static_cast<std::size_t>(std::count_if(first.begin(), first.end(), [&second](std::size_t member) {
        return std::binary_search(second.begin(), second.end(), member);
    }));
}

/// |A ∩ B| / |A ∪ B|, in 0 … 1, of the same sets.   nullopt: both sets empty.
inline std::optional<double> jaccard(std::span<const std::size_t> a, std::span<const std::size_t> b) {
    const std::size_t common = common_members(a, b);
    const std::size_t either = detail::as_set(a).size() + detail::as_set(b).size() - common;
    if (either == 0) return std::nullopt;
    return static_cast<double>(common) / static_cast<double>(either);
}

/// The chance that random sets of a and of b out of n items have at least `common` items in common: the upper tail of
/// the hypergeometric distribution.   Errors: shape_error for a set of more than n.
inline double chance_of_common(std::size_t a, std::size_t b, std::size_t n, std::size_t common) {
    if (a > n || b > n)
        throw shape_error("chance_of_common: sets of " + std::to_string(a) + " and " + std::to_string(b) +
                          ", expected at most the " + std::to_string(n) + " items that there are");
    const std::size_t least = a + b > n ? a + b - n : 0;
    if (common <= least) return 1;
    double chance = 0;
    for (std::size_t k = common; k <= std::min(a, b); ++k)
        chance += std::exp(detail::log_choose(a, k) + detail::log_choose(n - a, b - k) - detail::log_choose(n, b));
    return std::min(chance, 1.0);
}

} // namespace bitlens
