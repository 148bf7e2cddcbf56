#pragma once
/// Reads tiktoken's text files (tokenizer.model of Llama 3, cl100k_base.tiktoken): a token in base64 and its rank on
/// each line.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/base64.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/sha256.hpp"
#include "bitlens/text/split.hpp"
#include "bitlens/text/tokenizer_definition.hpp"
#include "bitlens/text/word_rules.hpp"

#include <algorithm>
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// Whether a text begins as such a file does: with a token of rank 0, perhaps after blank lines.
inline bool is_tiktoken(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of("\r\n"), text.size()));
    const std::string_view line = text.substr(0, text.find('\n'));
    const std::size_t space = line.find(' ');
    const std::string_view rank = space == line.npos ? "" : line.substr(space + 1);
    return space > 0 && (rank == "0" || rank == "0\r") && decode_base64(line.substr(0, space)).has_value();
}

namespace detail {

struct special_token {
    std::string_view text;
    std::int32_t id;
};

/// A file whose other half, in the program that goes with it, is known.
struct known_tiktoken {
    std::string_view sha256, name;
    split_rule split;
    std::int32_t ids; // with the special ones
    std::span<const special_token> special;
    std::optional<std::int32_t> bos; // goes before every text
};

/// The names that all releases from Llama 3 to 3.3 agree on; of the other ids up to 128255 each has its own.
inline constexpr std::array<special_token, 5> llama3_special{{{"<|begin_of_text|>", 128000},
                                                              {"<|end_of_text|>", 128001},
                                                              {"<|start_header_id|>", 128006},
                                                              {"<|end_header_id|>", 128007},
                                                              {"<|eot_id|>", 128009}}};
inline constexpr std::array<special_token, 5> cl100k_special{{{"<|endoftext|>", 100257},
                                                              {"<|fim_prefix|>", 100258},
                                                              {"<|fim_middle|>", 100259},
                                                              {"<|fim_suffix|>", 100260},
                                                              {"<|endofprompt|>", 100276}}};
inline constexpr std::array<special_token, 1> gpt2_special{{{"<|endoftext|>", 50256}}};
inline constexpr std::array<special_token, 2> o200k_special{{{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}};

/// Sums of Llama 3's file as published, and of those that tiktoken 0.14 fetches.
inline constexpr std::array<known_tiktoken, 4> known_tiktokens{{
    {"82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55", "Llama 3", split_rule::llama3, 128256,
     llama3_special, 128000},
    {"223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7", "cl100k_base", split_rule::llama3, 100277,
     cl100k_special, std::nullopt},
    {"306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930", "r50k_base", split_rule::gpt2, 50257,
     gpt2_special, std::nullopt},
    {"446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d", "o200k_base", split_rule::o200k, 200019,
     o200k_special, std::nullopt},
}};

/// The tokens of such a file; ranks 0, 1, 2 … are their ids.
inline std::vector<tokenizer_definition::token> read_tiktoken_lines(std::string_view text, std::string const& who) {
    std::vector<tokenizer_definition::token> tokens;
    std::size_t number = 0; // of the line
    while (!text.empty()) {
        ++number;
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty()) continue;
        const auto fail = [&](std::string const& reason) {
            throw format_error(who + ": line " + std::to_string(number) + ": " + reason);
        };
        const std::size_t space = line.find(' ');
        if (space == line.npos)
            fail("a token in base64, a space and a rank are expected, " + in_quotes(line) + " was found");
        auto bytes = decode_base64(line.substr(0, space));
        if (!bytes || bytes->empty()) fail(in_quotes(line.substr(0, space)) + " is no token in base64");
        const std::string_view rank = line.substr(space + 1);
        if (rank != std::to_string(tokens.size()))
            fail("the rank " + std::to_string(tokens.size()) + " is expected, " + in_quotes(rank) + " was found");
        tokens.push_back({std::move(*bytes), static_cast<std::int32_t>(tokens.size())});
    }
    return tokens;
}

/// Tokens that are bytes, of which whole words go first and the lowest id next.
inline tokenizer_definition tiktoken_definition(std::string who) {
    tokenizer_definition out;
    out.who = std::move(who);
    out.spelling = token_spelling::bytes;
    out.order = merge_order::by_id;
    out.prefers_whole_words = true;
    return out;
}

/// Errors: format_error where not every text can be written: a byte alone is no token.
inline void require_bytes(tokenizer_definition const& definition) {
    std::bitset<256> found;
    for (auto const& token : definition.vocabulary)
        if (token.text.size() == 1) found.set(static_cast<unsigned char>(token.text[0]));
    if (!found.all())
        throw format_error(definition.who + ": " + std::to_string(256 - found.count()) +
                           " of the 256 bytes are no tokens; all are expected");
}

inline void add_special(tokenizer_definition& out, known_tiktoken const& known) {
    for (auto const& [text, id] : known.special) out.added.push_back({std::string(text), id, true, false});
    for (auto id = static_cast<std::int32_t>(out.vocabulary.size()); id < known.ids; ++id)
        if (std::ranges::find(known.special, id, &special_token::id) == known.special.end())
            out.unused.push_back({"<id " + std::to_string(id) + ">", id});
    out.bos = known.bos;
    out.adds_bos = known.bos.has_value();
}

} // namespace detail

/// What a tiktoken file says, and what it does not: how words are split, and the special tokens. Of a few published
/// files, told by their sums, that is known. Others need `rules`, which hold for any file, and have no special tokens.
/// Errors: format_error for a line that is none, ranks that do not rise by one from 0, and a file that is not known,
/// where there are no rules.
inline tokenizer_definition read_tiktoken(std::span<const std::byte> bytes, std::string who,
                                          word_rules const* rules = nullptr) {
    tokenizer_definition out = detail::tiktoken_definition(std::move(who));
    out.vocabulary = detail::read_tiktoken_lines(as_text(bytes), out.who);
    detail::require_bytes(out);
    const auto known = std::ranges::find(detail::known_tiktokens, sha256_of(bytes), &detail::known_tiktoken::sha256);
    if (known != detail::known_tiktokens.end()) {
        out.pre_tokenizer = {known->split};
        detail::add_special(out, *known);
    } else if (!rules) {
        std::string names;
        for (auto const& k : detail::known_tiktokens) names += (names.empty() ? "" : ", ") + std::string(k.name);
        throw format_error(out.who + ": a tiktoken file of " + std::to_string(out.vocabulary.size()) +
                           " tokens says neither how words are split nor which tokens are special, and this is none of "
                           "those of which that is known (" +
                           names + "); a name as in tokenizer.ggml.pre of GGUF files can say how words are split");
    }
    if (rules) {
        out.normalizer = rules->normalizer;
        out.pre_tokenizer = rules->pre_tokenizer;
    }
    return out;
}

} // namespace bitlens
