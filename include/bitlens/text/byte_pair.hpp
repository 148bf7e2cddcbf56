#pragma once
/// The merge engine of byte-pair encoding: join the neighbours of the lowest rank, the leftmost first, until none can
/// be.

#include "bitlens/core/error.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

/// One rule: `left` and `right`, side by side, become `result`. Its place in the list is its rank.
struct byte_pair_merge {
    std::uint32_t left, right, result;
};

/// The rules of one tokenizer. A word of n symbols takes O(n log n) steps, and memory linear in n.
class byte_pair_merges {
public:
    /// The symbols are 0 … symbols − 1.   Errors: format_error in the name of `who` where two rules join the same pair.
    byte_pair_merges(std::size_t symbols, std::vector<byte_pair_merge> const& ranked, std::string_view who)
        : first_(symbols + 1, 0), rules_(ranked.size()) {
        for (auto const& m : ranked) ++first_[m.left + 1];
        for (std::size_t s = 0; s < symbols; ++s) first_[s + 1] += first_[s];
        std::vector<std::uint64_t> order(ranked.size()); // right and rank, the rules of one `left` side by side
        std::vector<std::uint32_t> next = first_;
        for (std::size_t i = 0; i < ranked.size(); ++i)
            order[next[ranked[i].left]++] = std::uint64_t{ranked[i].right} << 32 | i;
        for (std::size_t s = 0; s < symbols; ++s) {
            std::sort(order.begin() + first_[s], order.begin() + first_[s + 1]);
            for (std::size_t i = first_[s]; i < first_[s + 1]; ++i) {
                const auto right = static_cast<std::uint32_t>(order[i] >> 32),
                           rank = static_cast<std::uint32_t>(order[i]);
                if (i > first_[s] && rules_[i - 1].right == right)
                    throw format_error(std::string(who) + ": merges[" + std::to_string(rules_[i - 1].rank) +
                                       "] and merges[" + std::to_string(rank) +
                                       "] join the same pair; each pair has one rank");
                rules_[i] = {right, rank, ranked[rank].result};
            }
        }
    }

    std::size_t size() const noexcept { return rules_.size(); }

    /// Memory that one thread uses again from word to word.
    class scratch;

    /// Replaces the symbols of a word by the result of merging; `word` is shorter than 2³² − 1 symbols.
    void apply(std::vector<std::uint32_t>& word, scratch& memory) const;

private:
    struct rule {
        std::uint32_t right, rank, result;
    };

    rule const* find(std::uint32_t left, std::uint32_t right) const noexcept {
        const auto begin = rules_.begin() + first_[left], end = rules_.begin() + first_[left + 1];
        const auto found =
            std::lower_bound(begin, end, right, [](rule const& r, std::uint32_t s) { return r.right < s; });
        return found != end && found->right == right ? &*found : nullptr;
    }

    std::vector<std::uint32_t> first_; // rules_[first_[s] … first_[s + 1] − 1] have s on the left, by rising `right`
    std::vector<rule> rules_;
};

class byte_pair_merges::scratch {
    friend byte_pair_merges;
    static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

    /// A symbol of the word, in a list; `rank` and `result` are those of merging it with the next one.
    struct node {
        std::uint32_t symbol, previous, next, rank, result;
    };

    void pair_up(byte_pair_merges const& merges, std::uint32_t at) {
        node& n = nodes_[at];
        rule const* found = n.next == none ? nullptr : merges.find(n.symbol, nodes_[n.next].symbol);
        n.rank = found ? found->rank : none;
        if (found) n.result = found->result;
    }

    static std::uint64_t candidate(std::uint32_t rank, std::uint32_t at) noexcept {
        return std::uint64_t{rank} << 32 | at;
    }

    std::vector<node> nodes_;
    std::vector<std::uint64_t> heap_; // rank in the high half, place in the low one: the smallest is the next to merge
};

inline void byte_pair_merges::apply(std::vector<std::uint32_t>& word, scratch& memory) const {
    constexpr std::uint32_t none = scratch::none;
    BITLENS_ASSERT(word.size() < none);
    auto& nodes = memory.nodes_;
    auto& heap = memory.heap_;
    const auto count = static_cast<std::uint32_t>(word.size());
    nodes.resize(count);
    heap.clear();
    for (std::uint32_t i = 0; i < count; ++i)
        nodes[i] = {word[i], i == 0 ? none : i - 1, i + 1 == count ? none : i + 1, none, 0};
    for (std::uint32_t i = 0; i < count; ++i) {
        memory.pair_up(*this, i);
        if (nodes[i].rank != none) heap.push_back(scratch::candidate(nodes[i].rank, i));
    }
    std::make_heap(heap.begin(), heap.end(), std::greater<>{});
    const auto renew = [&](std::uint32_t at) { // the pair that begins at `at` has changed
        memory.pair_up(*this, at);
        if (nodes[at].rank == none) return;
        heap.push_back(scratch::candidate(nodes[at].rank, at));
        std::push_heap(heap.begin(), heap.end(), std::greater<>{});
    };
    while (!heap.empty()) {
        std::pop_heap(heap.begin(), heap.end(), std::greater<>{});
        const auto rank = static_cast<std::uint32_t>(heap.back() >> 32), at = static_cast<std::uint32_t>(heap.back());
        heap.pop_back();
        auto& left = nodes[at];
        if (left.rank != rank) continue; // an old candidate: one of the two has gone into another merge
        auto& right = nodes[left.next];
        left.symbol = left.result;
        left.next = right.next;
        right.rank = none;
        if (left.next != none) nodes[left.next].previous = at;
        renew(at);
        if (left.previous != none) renew(left.previous);
    }
    word.clear();
    for (std::uint32_t at = count == 0 ? none : 0; at != none; at = nodes[at].next) word.push_back(nodes[at].symbol);
}

} // namespace bitlens
