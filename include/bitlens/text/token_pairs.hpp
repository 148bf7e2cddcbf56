#pragma once
/// The merge rules that a vocabulary without a list of them implies: every two tokens that make a token together.

#include "bitlens/text/byte_pair.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

namespace detail {

inline constexpr std::uint32_t no_token = std::numeric_limits<std::uint32_t>::max();

/// For each token that is not empty the longest other token that it begins with, or no_token. Linear but for the sort.
inline std::vector<std::uint32_t> longest_beginnings(std::span<const std::string_view> tokens) {
    std::vector<std::uint32_t> order, open, found(tokens.size(), no_token); // `open`: each begins with the one below it
    for (std::uint32_t i = 0; i < tokens.size(); ++i)
        if (!tokens[i].empty()) order.push_back(i);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return tokens[a] < tokens[b]; });
    for (const std::uint32_t i : order) {
        while (!open.empty() && !tokens[i].starts_with(tokens[open.back()])) open.pop_back();
        if (!open.empty()) found[i] = open.back();
        open.push_back(i);
    }
    return found;
}

} // namespace detail

/// All (left, right, result) where the texts of two tokens are together that of `result`; the rule has the rank of its
/// result. Empty texts take no part, and no rule makes a token whose rank is the largest number there is.
/// The texts must be distinct.   Time: their bytes times the logarithm of their number, and the pairs of beginnings.
inline std::vector<byte_pair_merge> pairs_of_tokens(std::span<const std::string_view> texts,
                                                    std::span<const std::uint32_t> ranks) {
    const std::vector<std::uint32_t> beginning = detail::longest_beginnings(texts);
    std::vector<std::string> turned; // back to front, where endings are beginnings
    turned.reserve(texts.size());
    for (std::string_view text : texts) turned.emplace_back(text.rbegin(), text.rend());
    const std::vector<std::string_view> turned_texts(turned.begin(), turned.end());
    const std::vector<std::uint32_t> ending = detail::longest_beginnings(turned_texts);

    std::vector<byte_pair_merge> pairs;
    std::vector<std::uint32_t> endings; // of one token, the shortest last
    for (std::uint32_t i = 0; i < texts.size(); ++i) {
        if (ranks[i] == std::numeric_limits<std::uint32_t>::max()) continue;
        endings.clear();
        for (std::uint32_t e = ending[i]; e != detail::no_token; e = ending[e]) endings.push_back(e);
        for (std::uint32_t b = beginning[i]; b != detail::no_token && !endings.empty(); b = beginning[b]) {
            const std::size_t rest = texts[i].size() - texts[b].size(); // rises from one b to the next
            while (!endings.empty() && texts[endings.back()].size() < rest) endings.pop_back();
            if (!endings.empty() && texts[endings.back()].size() == rest)
                pairs.push_back({b, endings.back(), i, ranks[i]});
        }
    }
    return pairs;
}

} // namespace bitlens
