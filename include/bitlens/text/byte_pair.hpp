#pragma once
/// The merge engine of byte-pair encoding: join the neighbours of the lowest rank, the leftmost first, until none can
/// be.

#include "bitlens/core/error.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// One rule: `left` and `right`, side by side, become `result`. Rules may share a rank.
struct byte_pair_merge {
    std::uint32_t left, right, result, rank;
};

/// The rules of one tokenizer. A word of n symbols takes O(n log n) steps, and memory linear in n.
class byte_pair_merges {
public:
    byte_pair_merges() = default;

    /// `watched` results are remembered with their parts: see scratch.   Errors: format_error in the name of `who`
    /// where two rules join the same pair; ranks below 2³² − 1 are a promise.
    byte_pair_merges(std::vector<byte_pair_merge> const& rules, std::string_view who,
                     std::vector<std::uint32_t> watched = {})
        : size_(rules.size()), slots_(std::bit_ceil(2 * rules.size() + 1)), watched_(std::move(watched)) {
        std::sort(watched_.begin(), watched_.end());
        for (std::size_t i = 0; i < rules.size(); ++i) {
            slot& place = slots_[slot_of(rules[i].left, rules[i].right)];
            if (place.rank != none) fail_twice(rules, i, who);
            place = {rules[i].left, rules[i].right, rules[i].rank, rules[i].result};
        }
    }

    std::size_t size() const noexcept { return size_; }

    /// Memory that one thread uses again from word to word.
    class scratch;

    struct parts {
        std::uint32_t left, right;
    };
    /// The two parts of a watched symbol, as the last pair of them that stood side by side had them; nothing if no pair
    /// did, or the symbol is not watched.
    parts const* parts_of(std::uint32_t symbol, scratch const& memory) const noexcept;

    /// Replaces the symbols of a word by the result of merging; `word` is shorter than 2³² − 1 symbols.
    void apply(std::vector<std::uint32_t>& word, scratch& memory) const {
        constexpr std::size_t short_word = 48; // where the square of the length costs less than a heap
        if (word.size() <= short_word)
            apply_by_scanning(word, memory);
        else
            apply_by_heap(word, memory);
    }

private:
    static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
    struct slot {
        std::uint32_t left = 0, right = 0, rank = none, result = 0;
    };

    /// The slot of a pair: its own, or the empty one where it would be.
    std::size_t slot_of(std::uint32_t left, std::uint32_t right) const noexcept {
        const std::uint64_t mixed = (std::uint64_t{left} << 32 | right) * 0x9E37'79B9'7F4A'7C15u;
        std::size_t at = static_cast<std::size_t>(mixed >> 32) & (slots_.size() - 1);
        while (slots_[at].rank != none && (slots_[at].left != left || slots_[at].right != right))
            at = (at + 1) & (slots_.size() - 1);
        return at;
    }

    [[noreturn]] static void fail_twice(std::vector<byte_pair_merge> const& rules, std::size_t later,
                                        std::string_view who) {
        const auto earlier = std::find_if(rules.begin(), rules.end(), [&](byte_pair_merge const& m) {
            return m.left == rules[later].left && m.right == rules[later].right;
        });
        throw format_error(std::string(who) + ": merges[" + std::to_string(earlier - rules.begin()) + "] and merges[" +
                           std::to_string(later) + "] join the same pair; each pair has one rank");
    }

    slot const& find(std::uint32_t left, std::uint32_t right, scratch& memory) const;
    void apply_by_scanning(std::vector<std::uint32_t>& word, scratch& memory) const;
    void apply_by_heap(std::vector<std::uint32_t>& word, scratch& memory) const;

    std::size_t size_ = 0;
    std::vector<slot> slots_{1}; // open addressing; at most half of them full
    std::vector<std::uint32_t> watched_;
};

class byte_pair_merges::scratch {
    friend byte_pair_merges;

    /// A symbol of the word, in a list; `rank` and `result` are those of merging it with the next one.
    struct node {
        std::uint32_t symbol, previous, next, rank, result;
    };
    struct pair { // of a symbol and the next one
        std::uint32_t rank, result;
    };

    static std::uint64_t candidate(std::uint32_t rank, std::uint32_t at) noexcept {
        return std::uint64_t{rank} << 32 | at;
    }

    std::vector<pair> pairs_;
    std::vector<node> nodes_;
    std::vector<std::uint64_t> heap_; // rank in the high half, place in the low one: the smallest is the next to merge
    std::vector<parts> parts_;        // of the watched symbols, in their order
};

inline byte_pair_merges::slot const& byte_pair_merges::find(std::uint32_t left, std::uint32_t right,
                                                            scratch& memory) const {
    slot const& found = slots_[slot_of(left, right)];
    if (watched_.empty() || found.rank == none) return found;
    memory.parts_.resize(watched_.size(), {none, none});
    const auto place = std::lower_bound(watched_.begin(), watched_.end(), found.result);
    if (place != watched_.end() && *place == found.result)
        memory.parts_[static_cast<std::size_t>(place - watched_.begin())] = {left, right};
    return found;
}

inline byte_pair_merges::parts const* byte_pair_merges::parts_of(std::uint32_t symbol,
                                                                 scratch const& memory) const noexcept {
    const auto place = std::lower_bound(watched_.begin(), watched_.end(), symbol);
    if (place == watched_.end() || *place != symbol || memory.parts_.empty()) return nullptr;
    parts const& found = memory.parts_[static_cast<std::size_t>(place - watched_.begin())];
    return found.left == none ? nullptr : &found;
}

inline void byte_pair_merges::apply_by_scanning(std::vector<std::uint32_t>& word, scratch& memory) const {
    if (word.size() < 2) return;
    auto& pairs = memory.pairs_;
    pairs.resize(word.size() - 1);
    const auto renew = [&](std::size_t at) {
        slot const& found = find(word[at], word[at + 1], memory);
        pairs[at] = {found.rank, found.result};
    };
    for (std::size_t i = 0; i < pairs.size(); ++i) renew(i);
    while (!pairs.empty()) {
        std::size_t best = 0;
        for (std::size_t i = 1; i < pairs.size(); ++i)
            if (pairs[i].rank < pairs[best].rank) best = i;
        if (pairs[best].rank == none) return;
        word[best] = pairs[best].result;
        word.erase(word.begin() + static_cast<std::ptrdiff_t>(best) + 1);
        pairs.erase(pairs.begin() + static_cast<std::ptrdiff_t>(best));
        if (best > 0) renew(best - 1);
        if (best < pairs.size()) renew(best);
    }
}

inline void byte_pair_merges::apply_by_heap(std::vector<std::uint32_t>& word, scratch& memory) const {
    BITLENS_ASSERT(word.size() < none);
    auto& nodes = memory.nodes_;
    auto& heap = memory.heap_;
    const auto count = static_cast<std::uint32_t>(word.size());
    nodes.resize(count);
    heap.clear();
    for (std::uint32_t i = 0; i < count; ++i)
        nodes[i] = {word[i], i == 0 ? none : i - 1, i + 1 == count ? none : i + 1, none, 0};
    const auto pair_up = [&](std::uint32_t at) {
        auto& n = nodes[at];
        n.rank = none;
        if (n.next == none) return;
        slot const& found = find(n.symbol, nodes[n.next].symbol, memory);
        n.rank = found.rank, n.result = found.result;
    };
    for (std::uint32_t i = 0; i < count; ++i) {
        pair_up(i);
        if (nodes[i].rank != none) heap.push_back(scratch::candidate(nodes[i].rank, i));
    }
    std::make_heap(heap.begin(), heap.end(), std::greater<>{});
    const auto renew = [&](std::uint32_t at) { // the pair that begins at `at` has changed
        pair_up(at);
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
        if (left.previous != none) renew(left.previous);
        renew(at);
    }
    word.clear();
    for (std::uint32_t at = count == 0 ? none : 0; at != none; at = nodes[at].next) word.push_back(nodes[at].symbol);
}

} // namespace bitlens
