#pragma once
/// Leaves out rows of tokens that repeat a better one.

#include "bitlens/core/error.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

namespace detail {

/// Numbers for n-grams: equal n-grams, and only those, have the same.
class ngram_numbers {
public:
    explicit ngram_numbers(std::size_t n) : n_(n) {}

    /// The set of a row's n-grams as rising numbers. A row shorter than n counts as one n-gram, the whole row.
    std::vector<std::size_t> of(std::span<const std::int32_t> row) {
        const std::size_t count = row.size() < n_ ? 1 : row.size() - n_ + 1;
        std::vector<std::size_t> set;
        set.reserve(count);
        for (std::size_t i = 0; i < count; ++i)
            set.push_back(
                numbers_.try_emplace(row.subspan(i, std::min(n_, row.size())), numbers_.size()).first->second);
        std::sort(set.begin(), set.end());
        set.erase(std::unique(set.begin(), set.end()), set.end());
        return set;
    }

    std::size_t size() const noexcept { return numbers_.size(); }

private:
    struct by_ids {
        bool operator()(std::span<const std::int32_t> a, std::span<const std::int32_t> b) const noexcept {
            return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
        }
    };
    std::size_t n_;
    std::map<std::span<const std::int32_t>, std::size_t, by_ids> numbers_; // keys borrow from the rows
};

} // namespace detail

/// Walks down a ranking and keeps a row unless it is near to one kept before: Jaccard index of the sets of token
/// n-grams above `threshold`. Stops when `limit` rows are kept. Returns their places in `ranked`, in order. Edges: a
/// row shorter than n is one n-gram, so that it is near to its equals alone; the same holds for empty rows. Errors:
/// option_error if n is 0 or the threshold is outside [0, 1].   Source: arXiv 2506.12044, the choice of D_large.
inline std::vector<std::size_t> keep_distinct(std::span<const std::span<const std::int32_t>> ranked, std::size_t limit,
                                              double threshold = 0.1, std::size_t n = 5) {
    if (n == 0) throw option_error("near duplicates: an n-gram of 0 tokens; at least 1 is expected");
    if (!(threshold >= 0 && threshold <= 1))
        throw option_error("near duplicates: a threshold of " + std::to_string(threshold) + "; 0 … 1 is expected");
    detail::ngram_numbers numbers(n);
    std::vector<std::vector<std::size_t>>
        rows_with; // [n-gram] → kept rows that have it, counted in the order of keeping
    std::vector<std::size_t> kept, kept_sizes;
    std::vector<std::size_t> shared; // [kept row] → n-grams that it shares with the row at hand
    for (std::size_t r = 0; r < ranked.size() && kept.size() < limit; ++r) {
        const std::vector<std::size_t> grams = numbers.of(ranked[r]);
        rows_with.resize(numbers.size());
        shared.assign(kept.size(), 0);
        for (std::size_t g : grams)
            for (std::size_t k : rows_with[g]) ++shared[k];
        const auto near = [&](std::size_t k) {
            const std::size_t either = grams.size() + kept_sizes[k] - shared[k];
            return static_cast<double>(shared[k]) > threshold * static_cast<double>(either);
        };
        bool distinct = true;
        for (std::size_t k = 0; k < kept.size() && distinct; ++k) distinct = !near(k);
        if (!distinct) continue;
        for (std::size_t g : grams) rows_with[g].push_back(kept.size());
        kept.push_back(r);
        kept_sizes.push_back(grams.size());
    }
    return kept;
}

} // namespace bitlens
