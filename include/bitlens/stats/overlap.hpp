#pragma once
/// How much two sets of examples have in common.

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace bitlens {

/// |A ∩ B| / |A ∪ B|, in 0 … 1. A member listed twice counts once; the order does not matter.
/// nullopt: both sets empty.
inline std::optional<double> jaccard(std::span<const std::size_t> a, std::span<const std::size_t> b) {
    const auto as_set = [](std::span<const std::size_t> members) {
        std::vector<std::size_t> set(members.begin(), members.end());
        std::sort(set.begin(), set.end());
        set.erase(std::unique(set.begin(), set.end()), set.end());
        return set;
    };
    const auto first = as_set(a), second = as_set(b);
    if (first.empty() && second.empty()) return std::nullopt;
    std::size_t common = 0;
    for (const std::size_t member : first) common += std::binary_search(second.begin(), second.end(), member);
    return static_cast<double>(common) / static_cast<double>(first.size() + second.size() - common);
}

} // namespace bitlens
