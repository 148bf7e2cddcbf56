#pragma once
/// 95 % intervals of many correlations at once, or the reason why there is none.

#include "bitlens/analysis/numbers.hpp"
#include "bitlens/stats/resamples.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

inline constexpr double interval_level = 0.95;

struct measured_intervals {
    measured_interval pearson, spearman;
};

/// Of each pair of columns of `documents`, over the same resamples.   Errors: as bootstrap_intervals.
inline std::vector<measured_intervals> measured_intervals_of(std::span<const resampled_pair> pairs,
                                                             std::size_t documents, std::uint64_t seed) {
    const auto found = bootstrap_intervals(pairs, documents, bootstrap_resamples, interval_level, seed);
    std::vector<measured_intervals> out;
    for (std::size_t p = 0; p < pairs.size(); ++p) {
        const auto measured_within = [&](std::optional<interval> const& within) -> measured_interval {
            const bool few = pairs[p].defined() < fewest_documents;
            if (within && !few) return {within->lo, within->hi};
            const undefined why{few ? "fewer than " + std::to_string(fewest_documents) +
                                          " examples say nothing of their uncertainty"
                                    : std::string("most resamples are constant")};
            return {why, why};
        };
        out.push_back({measured_within(found[p].pearson), measured_within(found[p].spearman)});
    }
    return out;
}

} // namespace bitlens
