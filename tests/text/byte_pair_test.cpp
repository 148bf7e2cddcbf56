#include "bitlens/text/byte_pair.hpp"

#include "bitlens/core/random.hpp"

#include <doctest/doctest.h>
#include <map>
#include <random>
#include <utility>
#include <vector>

using namespace bitlens;

namespace {

using sequence = std::vector<std::uint32_t>;

/// The definition itself: look for the pair of the lowest rank, leftmost, join it, start again.
sequence merge_slowly(std::vector<byte_pair_merge> const& ranked, sequence w) {
    for (;;) {
        std::size_t best_rank = ranked.size(), best_at = 0;
        for (std::size_t at = 0; at + 1 < w.size(); ++at)
            for (std::size_t rank = 0; rank < best_rank; ++rank)
                if (ranked[rank].left == w[at] && ranked[rank].right == w[at + 1]) best_rank = rank, best_at = at;
        if (best_rank == ranked.size()) return w;
        w[best_at] = ranked[best_rank].result;
        w.erase(w.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
    }
}

sequence merge(byte_pair_merges const& merges, sequence w) {
    byte_pair_merges::scratch memory;
    merges.apply(w, memory);
    return w;
}

} // namespace

TEST_CASE("merging agrees with the definition") {
    std::mt19937_64 draw(3);
    for (int trial = 0; trial < 300; ++trial) {
        const auto below = [&](std::size_t n) { return static_cast<std::uint32_t>(draw() % n); };
        const std::uint32_t letters = 1 + below(3);
        std::vector<byte_pair_merge> ranked;
        std::map<std::pair<std::uint32_t, std::uint32_t>, bool> seen;
        std::uint32_t symbols = letters;
        for (int i = 0; i < 40; ++i) {
            const std::pair pair(below(symbols), below(symbols));
            if (!std::exchange(seen[pair], true)) ranked.push_back({pair.first, pair.second, symbols++});
        }
        const byte_pair_merges merges(symbols, ranked, "test");
        sequence w(below(60));
        for (auto& s : w) s = below(letters);
        CHECK(merge(merges, w) == merge_slowly(ranked, w));
    }
}

TEST_CASE("a pair that two rules join is refused") {
    CHECK_THROWS_WITH_AS(byte_pair_merges(3, {{0, 1, 2}, {0, 0, 2}, {0, 1, 2}}, "file"),
                         "file: merges[0] and merges[2] join the same pair; each pair has one rank", format_error);
}

TEST_CASE("no symbols, one symbol, no rules") {
    const byte_pair_merges none(0, {}, "test"), one(3, {{0, 1, 2}}, "test");
    CHECK(merge(none, {}) == sequence{});
    CHECK(merge(one, {0}) == sequence{0});
    CHECK(merge(one, {0, 1, 0, 0, 1, 1}) == sequence{2, 0, 2, 1});
}

TEST_CASE("two million equal letters") {
    // aa → b, bb → c, …: 2²¹ letters become two symbols of 2²⁰ each.
    std::vector<byte_pair_merge> doubling;
    for (std::uint32_t s = 0; s < 20; ++s) doubling.push_back({s, s, s + 1});
    CHECK(merge(byte_pair_merges(21, doubling, "test"), sequence(std::size_t{1} << 21, 0)) == sequence{20, 20});
}
