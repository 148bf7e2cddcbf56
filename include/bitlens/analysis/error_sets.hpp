#pragma once
/// The examples that a method breaks (D_large) and those it does not (D_ctrl), as the paper draws them.

#include "bitlens/core/random.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/text/near_duplicates.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace bitlens {

/// Examples by falling error. Equal errors keep the order of the examples; an example without an error (NaN) has no
/// rank.
inline std::vector<std::size_t> rank_by_error(std::span<const double> error) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < error.size(); ++i)
        if (!std::isnan(error[i])) order.push_back(i);
    std::ranges::stable_sort(order, [error](std::size_t a, std::size_t b) { return error[a] > error[b]; });
    return order;
}

/// `count` of the items, each at most once, all choices equally likely; in drawn order. Same seed, same choice.
/// Errors: shape_error for more than there are.
inline std::vector<std::size_t> draw_sample(std::span<const std::size_t> items, std::size_t count, std::uint64_t seed) {
    detail::check_range("draw_sample", "items", 0, count, items.size());
    std::vector<std::size_t> pool(items.begin(), items.end());
    random_generator random(seed);
    for (std::size_t i = 0; i < count; ++i)
        std::swap(pool[i], pool[i + static_cast<std::size_t>(random.below(pool.size() - i))]);
    pool.resize(count);
    return pool;
}

/// Example numbers (rows of the run, from 0). All empty where there is no worst tenth: for fewer than ten examples, or
/// where its smallest error is also that of an example in the better half.
struct error_sets {
    std::vector<std::size_t> worst; // the worst tenth, by falling error
    std::vector<std::size_t> large; // D_large: as many, but no two with a 5-gram Jaccard similarity above 0.1
    std::vector<std::size_t> ctrl;  // D_ctrl: as many as D_large, at random from the half with the smaller errors
};

/// D_large is filled by walking down the ranking past near-duplicates, but never into the lower half, which is
/// D_ctrl's: it is smaller than a tenth where the upper half has too few distinct examples. `ids[i]`: tokens of example
/// i.   Errors: shape_error unless there are as many rows as errors.   Source: arXiv 2506.12044, §3.1 and appendix B;
/// the order of filter and ranking as the authors' released sets have it.
inline error_sets make_error_sets(std::span<const double> error, std::span<const std::span<const std::int32_t>> ids,
                                  std::uint64_t seed) {
    detail::check_size("make_error_sets", "ids", ids.size(), error.size());
    constexpr double largest_similarity = 0.1;
    const auto ranked = rank_by_error(error);
    const std::size_t tenth = ranked.size() / 10, upper = ranked.size() - ranked.size() / 2;
    error_sets sets;
    if (tenth == 0) return sets;
    if (error[ranked[tenth - 1]] == error[ranked[upper]]) return sets;
    sets.worst.assign(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(tenth));

    std::vector<std::span<const std::int32_t>> ranked_ids;
    for (std::size_t i = 0; i < upper; ++i) ranked_ids.push_back(ids[ranked[i]]);
    for (const std::size_t place : keep_distinct(ranked_ids, tenth, largest_similarity))
        sets.large.push_back(ranked[place]);
    sets.ctrl = draw_sample(std::span(ranked).subspan(upper), sets.large.size(), seed);
    return sets;
}

} // namespace bitlens
