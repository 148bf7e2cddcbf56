#pragma once
/// Rows of tokens that repeat others: leaves out those that repeat a better one, and finds what stands in others.

#include "bitlens/core/error.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
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

    /// The same for a row that is only looked up: a number for each of its n-grams that has one, and how many it has.
    struct known_ngrams {
        std::vector<std::size_t> numbers; // rising
        std::size_t size = 0;             // of the set, with those that have no number
    };
    known_ngrams known_of(std::span<const std::int32_t> row) const {
        known_ngrams known;
        std::vector<std::span<const std::int32_t>> others;
        for (std::size_t i = 0; i == 0 || i + n_ <= row.size(); ++i) {
            const auto ngram = row.subspan(i, std::min(n_, row.size()));
            if (const auto found = numbers_.find(ngram); found != numbers_.end())
                known.numbers.push_back(found->second);
            else
                others.push_back(ngram);
        }
        std::ranges::sort(known.numbers);
        known.numbers.erase(std::unique(known.numbers.begin(), known.numbers.end()), known.numbers.end());
        std::ranges::sort(others, by_ids{});
        others.erase(std::unique(others.begin(), others.end(),
                                 [](auto const& a, auto const& b) { return std::ranges::equal(a, b); }),
                     others.end());
        known.size = known.numbers.size() + others.size();
        return known;
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

/// Finds, among some rows, the one that another row has most of: of the distinct token n-grams of the smaller of two
/// rows, the share that the other has too. It is 1 for a row that stands in a longer one, wherever that begins, and
/// unlike the Jaccard index does not fall with the length of the longer. Edges: as keep_distinct; a row shorter than n
/// is found only in its equals. Of short rows a phrase that many have is a large share: `fewest` n-grams are what two
/// rows must share, unless all of the smaller one is in the other.
class repeated_rows {
public:
    struct repeat {
        std::size_t row; // the first of those that share most
        double share;    // in 0 … 1
    };

    /// rows: must outlive this, which borrows them.   Errors: option_error if n is 0.
    explicit repeated_rows(std::span<const std::span<const std::int32_t>> rows, std::size_t n = 5) : numbers_(n) {
        if (n == 0) throw option_error("repeated rows: an n-gram of 0 tokens; at least 1 is expected");
        for (auto const& row : rows) {
            const auto ngrams = numbers_.of(row);
            rows_with_.resize(numbers_.size());
            for (const std::size_t g : ngrams) rows_with_[g].push_back(sizes_.size());
            sizes_.push_back(ngrams.size());
        }
    }

    /// The row that shares most with `row`; none where none shares enough.
    std::optional<repeat> most_shared(std::span<const std::int32_t> row, std::size_t fewest = 1) const {
        const auto ngrams = numbers_.known_of(row);
        std::map<std::size_t, std::size_t> shared; // row → n-grams
        for (const std::size_t g : ngrams.numbers)
            for (const std::size_t r : rows_with_[g]) ++shared[r];
        std::optional<repeat> most;
        for (auto const& [r, count] : shared) {
            const std::size_t smaller = std::min(ngrams.size, sizes_[r]);
            if (count < std::min(fewest, smaller)) continue;
            const double share = static_cast<double>(count) / static_cast<double>(smaller);
            if (!most || share > most->share) most = repeat{r, share};
        }
        return most;
    }

private:
    detail::ngram_numbers numbers_;
    std::vector<std::vector<std::size_t>> rows_with_; // [n-gram]
    std::vector<std::size_t> sizes_;                  // [row], distinct n-grams
};

} // namespace bitlens
