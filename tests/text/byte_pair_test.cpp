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
sequence merge_slowly(std::vector<byte_pair_merge> const& rules, sequence w) {
    for (;;) {
        byte_pair_merge const* best = nullptr;
        std::size_t best_at = 0;
        for (std::size_t at = 0; at + 1 < w.size(); ++at)
            for (auto const& rule : rules)
                if (rule.left == w[at] && rule.right == w[at + 1] && (!best || rule.rank < best->rank))
                    best = &rule, best_at = at;
        if (!best) return w;
        w[best_at] = best->result;
        w.erase(w.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
    }
}

sequence merge(byte_pair_merges const& merges, sequence w) {
    byte_pair_merges::scratch memory;
    merges.apply(w, memory);
    return w;
}

} // namespace

TEST_CASE("merging agrees with the definition, in short words and long ones, with ranks of their own and shared ones") {
    std::mt19937_64 draw(3);
    for (int trial = 0; trial < 600; ++trial) {
        const auto below = [&](std::size_t n) { return static_cast<std::uint32_t>(draw() % n); };
        const std::uint32_t letters = 1 + below(3);
        const bool shared = trial % 2 == 1;
        std::vector<byte_pair_merge> rules;
        std::map<std::pair<std::uint32_t, std::uint32_t>, bool> seen;
        std::uint32_t symbols = letters;
        for (std::uint32_t i = 0; i < 40; ++i) {
            const std::pair pair(below(symbols), below(symbols));
            if (!std::exchange(seen[pair], true))
                rules.push_back({pair.first, pair.second, symbols++, shared ? i / 4 : i});
        }
        const byte_pair_merges merges(rules, "test");
        sequence w(below(trial % 3 == 0 ? 200 : 60));
        for (auto& s : w) s = below(letters);
        CHECK(merge(merges, w) == merge_slowly(rules, w));
    }
}

TEST_CASE("of watched symbols the parts are known that stood side by side last") {
    // a b c = 0 1 2; bc = 3 first; ab = 4; abc = 5, from a·bc or ab·c
    const byte_pair_merges merges({{1, 2, 3, 1}, {0, 1, 4, 0}, {0, 3, 5, 2}, {4, 2, 5, 2}}, "test", {5});
    byte_pair_merges::scratch memory;
    CHECK(merges.parts_of(5, memory) == nullptr);
    sequence word{0, 1, 2};
    merges.apply(word, memory);
    CHECK(word == sequence{5});
    REQUIRE(merges.parts_of(5, memory) != nullptr);
    CHECK(merges.parts_of(5, memory)->left == 4);
    CHECK(merges.parts_of(5, memory)->right == 2);
    CHECK(merges.parts_of(4, memory) == nullptr);
}

TEST_CASE("a pair that two rules join is refused") {
    CHECK_THROWS_WITH_AS(byte_pair_merges({{0, 1, 2, 0}, {0, 0, 2, 1}, {0, 1, 2, 2}}, "file"),
                         "file: merges[0] and merges[2] join the same pair; each pair has one rank", format_error);
}

TEST_CASE("no symbols, one symbol, no rules") {
    const byte_pair_merges none({}, "test"), one({{0, 1, 2, 0}}, "test");
    CHECK(merge(none, {}) == sequence{});
    CHECK(merge(one, {0}) == sequence{0});
    CHECK(merge(one, {0, 1, 0, 0, 1, 1}) == sequence{2, 0, 2, 1});
}

TEST_CASE("two million equal letters") {
    // aa → b, bb → c, …: 2²¹ letters become two symbols of 2²⁰ each.
    std::vector<byte_pair_merge> doubling;
    for (std::uint32_t s = 0; s < 20; ++s) doubling.push_back({s, s, s + 1, s});
    CHECK(merge(byte_pair_merges(doubling, "test"), sequence(std::size_t{1} << 21, 0)) == sequence{20, 20});
}
