#pragma once
/// 95 % intervals of means and of many correlations at once, or the reason why there is none.

#include "bitlens/analysis/numbers.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/stats/ranks.hpp"
#include "bitlens/stats/resamples.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

inline constexpr double interval_level = 0.95;

namespace detail {

/// Mean of as many of the values as there are, drawn with replacement. There is at least one.
inline double resampled_mean(std::span<const double> values, random_generator& random) {
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i)
        sum += values[static_cast<std::size_t>(random.below(values.size()))];
    return sum / static_cast<double>(values.size());
}

} // namespace detail

/// Of the mean of documents' numbers. Each mean of a run has a seed of its own.
inline measured_interval mean_interval(std::span<const double> values, std::uint64_t seed) {
    if (values.size() < fewest_documents) return {too_few_documents(), too_few_documents()};
    random_generator random(seed);
    std::vector<double> means(bootstrap_resamples);
    for (double& m : means) m = detail::resampled_mean(values, random);
    std::ranges::sort(means);
    return {quantile(means, (1 - interval_level) / 2), quantile(means, (1 + interval_level) / 2)};
}

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
