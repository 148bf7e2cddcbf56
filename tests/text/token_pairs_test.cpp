#include "bitlens/text/token_pairs.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

using namespace bitlens;

namespace {

using pair_list = std::vector<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>>;

pair_list sorted(std::vector<byte_pair_merge> const& pairs) {
    pair_list all;
    for (auto const& p : pairs) all.emplace_back(p.left, p.right, p.result, p.rank);
    std::sort(all.begin(), all.end());
    return all;
}

/// The definition: every two texts that are a third together.
pair_list all_pairs_slowly(std::vector<std::string> const& texts, std::vector<std::uint32_t> const& ranks) {
    pair_list all;
    const auto count = static_cast<std::uint32_t>(texts.size());
    for (std::uint32_t l = 0; l < count; ++l)
        for (std::uint32_t r = 0; r < count; ++r)
            for (std::uint32_t t = 0; t < count; ++t)
                if (!texts[l].empty() && !texts[r].empty() && ranks[t] != 0xFFFF'FFFFu &&
                    texts[l] + texts[r] == texts[t])
                    all.emplace_back(l, r, t, ranks[t]);
    std::sort(all.begin(), all.end());
    return all;
}

} // namespace

TEST_CASE("every two tokens that make a token together are a rule") {
    std::mt19937 draw(4);
    for (int trial = 0; trial < 100; ++trial) {
        std::set<std::string> distinct;
        for (int i = 0; i < 40; ++i) {
            std::string text;
            const auto size = 1 + draw() % 7;
            for (std::size_t c = 0; c < size; ++c) text += trial % 2 ? "a\xff\0"[draw() % 3] : 'a';
            distinct.insert(text);
        }
        std::vector<std::string> texts(distinct.begin(), distinct.end());
        std::shuffle(texts.begin(), texts.end(), draw);
        texts.insert(texts.begin() + 1, 2, ""); // take no part
        std::vector<std::uint32_t> ranks(texts.size());
        for (auto& rank : ranks) rank = draw() % 4 == 0 ? 0xFFFF'FFFFu : static_cast<std::uint32_t>(draw() % 9);
        const std::vector<std::string_view> views(texts.begin(), texts.end());
        CHECK(sorted(pairs_of_tokens(views, ranks)) == all_pairs_slowly(texts, ranks));
    }
}

TEST_CASE("long tokens that begin with each other take the time of their pairs") {
    std::vector<std::string> texts;
    for (std::size_t n = 1; n <= 3000; ++n) texts.emplace_back(n, 'a');
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    CHECK(pairs_of_tokens(views, std::vector<std::uint32_t>(texts.size(), 0)).size() == 3000 * 2999 / 2);
}
