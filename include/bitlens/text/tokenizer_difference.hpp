#pragma once
/// tokenizer_difference: where two tokenizers give a token another meaning.

#include "bitlens/core/utf8.hpp"
#include "bitlens/text/tokenizer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace bitlens {

/// In words; nothing where all ids stand for the same bytes. Rules by which texts are cut are not compared.
inline std::optional<std::string> tokenizer_difference(tokenizer const& a, tokenizer const& b) {
    std::size_t different = 0;
    std::optional<std::int32_t> first;
    for (std::size_t i = 0; i < std::max(a.vocabulary_size(), b.vocabulary_size()); ++i) {
        const auto id = static_cast<std::int32_t>(i);
        if (a.has_token(id) == b.has_token(id) && a.text_of(id) == b.text_of(id)) continue;
        ++different;
        if (!first) first = id;
    }
    if (!first) return std::nullopt;
    const auto shown = [&](tokenizer const& t) {
        return t.has_token(*first) ? in_quotes(t.text_of(*first)) : "no token";
    };
    return std::to_string(different) + (different == 1 ? " id stands" : " ids stand") +
           " for something else, the first of them " + std::to_string(*first) + " for " + shown(a) + " and " + shown(b);
}

} // namespace bitlens
