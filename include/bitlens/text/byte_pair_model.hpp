#pragma once
/// byte_pair_model: words → ids, by the vocabulary and the merges of one tokenizer.

#include "bitlens/core/error.hpp"
#include "bitlens/core/name_index.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/text/added_tokens.hpp"
#include "bitlens/text/byte_alphabet.hpp"
#include "bitlens/text/byte_pair.hpp"
#include "bitlens/text/token_pairs.hpp"
#include "bitlens/text/tokenizer_definition.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// "<0x0A>" → 10; nothing for other texts.
inline std::optional<unsigned char> byte_of_fallback_token(std::string_view text) noexcept {
    if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
    unsigned value = 0;
    for (const char c : text.substr(3, 2)) {
        if ((c < '0' || c > '9') && (c < 'A' || c > 'F')) return std::nullopt;
        value = 16 * value + static_cast<unsigned>(c <= '9' ? c - '0' : c - 'A' + 10);
    }
    return static_cast<unsigned char>(value);
}

class byte_pair_model {
public:
    enum class role : std::uint8_t {
        normal, // of the vocabulary
        frozen, // see tokenizer_definition
        unused,
        outside, // an added token that the vocabulary does not have
    };
    struct token {
        std::string text; // as the definition spells it
        std::string form; // what stands in a word: its bytes, or characters
        std::int32_t id;
        float score;
        role is;
    };

    byte_pair_model() = default;
    /// Of the definition: spelling, order, merges, and what becomes of unknown characters. `space`: how a space is
    /// written in words of characters, empty if as a space.   Errors: format_error where the definition contradicts
    /// itself.
    byte_pair_model(std::span<const token> tokens, tokenizer_definition const& definition, std::string_view space);

    /// Calls on_part(std::string_view) for parts of a word that can be encoded one by one, in order.
    template <class OnPart>
    void for_each_part(std::string_view word, OnPart&& on_part) const;

    /// Memory of one thread.
    struct scratch {
        std::vector<std::uint32_t> symbols;
        byte_pair_merges::scratch merging;
    };
    /// Appends the ids of a part to `ids`.
    void encode(std::string_view part, std::vector<std::int32_t>& ids, scratch& memory) const;

    /// Whether a part always has the ids that it had before in the same text.
    bool may_remember() const noexcept { return !depends_on_text_; }
    bool in_characters() const noexcept { return in_characters_; }
    std::size_t merge_count() const noexcept { return merges_.size(); }
    std::size_t bytes_without_token() const noexcept {
        return in_characters_ ? 0
                              : static_cast<std::size_t>(std::count(byte_symbols_.begin(), byte_symbols_.end(), none));
    }

private:
    using symbol = std::uint32_t; // place in the list of tokens; after those, characters that are part of tokens only
    static constexpr symbol none = std::numeric_limits<symbol>::max();

    /// code point → symbol, in pages of 256.
    class character_table {
    public:
        void set(char32_t code, symbol s) {
            std::uint32_t& page = pages_[code >> 8];
            if (page == 0) {
                page = static_cast<std::uint32_t>(symbols_.size());
                symbols_.resize(symbols_.size() + 256, none);
            }
            symbols_[page + (code & 255)] = s;
        }
        symbol find(char32_t code) const noexcept { return symbols_[pages_[code >> 8] + (code & 255)]; }

    private:
        std::vector<std::uint32_t> pages_ = std::vector<std::uint32_t>(0x1100, 0); // 0: the page of none
        std::vector<symbol> symbols_ = std::vector<symbol>(256, none);
    };

    void list_merges(std::span<const token> tokens, tokenizer_definition const& definition);
    void derive_merges(std::span<const token> tokens, tokenizer_definition const& definition);
    void add_characters(std::string_view text, std::size_t tokens);
    static void rank_by_score(std::span<const token> tokens, std::span<const symbol> results,
                              std::vector<std::uint32_t>& ranks, std::string const& who);
    void find_ends_before_space(std::span<const token> tokens, std::string_view space);
    void fill_whole_words(std::span<const token> tokens);
    static bool is_character(std::string_view text) noexcept {
        return !text.empty() && decode_utf8(text).size == text.size();
    }
    static char32_t character_before(std::string_view text, std::size_t at) noexcept;
    std::size_t slot_of_word(std::string_view word) const noexcept;
    bool falls_back(std::string_view bytes) const noexcept;
    void append_symbols(std::string_view part, std::vector<symbol>& symbols) const;
    void append_ids(symbol s, std::vector<std::int32_t>& ids, bool& after_unknown,
                    byte_pair_merges::scratch const& merging) const;

    std::vector<std::int32_t> ids_;       // of the tokens
    std::vector<std::string> characters_; // of the symbols after them
    bool in_characters_ = false, derived_ = false, fuses_unknown_ = false, depends_on_text_ = false;
    std::array<symbol, 256> byte_symbols_{}, fallback_{}; // of bytes as they are; as "<0xNN>"
    character_table character_symbols_;
    symbol unknown_ = none;
    added_token_finder frozen_;
    byte_pair_merges merges_;

    std::vector<std::string> whole_word_forms_; // where whole words go first, by symbol
    std::vector<symbol> whole_words_;           // those with a form, by its hash: open addressing

    std::string space_;                         // before which a part may begin; empty: a word is one part
    std::array<bool, 128> ends_before_space_{}; // ASCII characters that a token has before `space_`
    std::vector<char32_t> others_before_space_;
};

// ------------------------------------------------------------------------------------------------------------ building

inline byte_pair_model::byte_pair_model(std::span<const token> tokens, tokenizer_definition const& definition,
                                        std::string_view space)
    : in_characters_(definition.spelling == token_spelling::characters),
      derived_(definition.order != merge_order::listed), fuses_unknown_(definition.fuses_unknown) {
    byte_symbols_.fill(none);
    fallback_.fill(none);
    std::vector<added_token_finder::token> frozen;
    for (symbol s = 0; s < tokens.size(); ++s) {
        token const& t = tokens[s];
        ids_.push_back(t.id);
        if (t.id == definition.unknown) unknown_ = s;
        if (t.is == role::outside) continue;
        if (t.is == role::frozen) {
            if (!t.form.empty()) frozen.push_back({.text = t.form, .id = static_cast<std::int32_t>(s)});
            continue;
        }
        if (const auto byte = byte_of_fallback_token(t.text); byte && definition.byte_fallback && t.is == role::normal)
            fallback_[*byte] = s;
        if (in_characters_) {
            if (is_character(t.form) && t.is == role::normal) character_symbols_.set(decode_utf8(t.form).code, s);
        } else if (t.form.size() == 1 && t.is == role::normal) {
            byte_symbols_[static_cast<unsigned char>(t.form[0])] = s;
        }
    }
    frozen_ = added_token_finder(std::move(frozen));
    if (definition.unknown && unknown_ == none)
        throw format_error(definition.who + ": the token of what is unknown has the id " +
                           std::to_string(*definition.unknown) + ", and no token has that id");
    if (definition.byte_fallback && bytes_without_token() > 0)
        throw format_error(
            definition.who + ": byte_fallback is set and " + std::to_string(bytes_without_token()) +
            " bytes have no token; in a byte-level tokenizer that is supported only where all 256 have one");
    if (derived_)
        derive_merges(tokens, definition);
    else
        list_merges(tokens, definition);
    if (definition.prefers_whole_words) fill_whole_words(tokens);
    if (in_characters_ && !definition.prefers_whole_words && !depends_on_text_) find_ends_before_space(tokens, space);
}

inline void byte_pair_model::list_merges(std::span<const token> tokens, tokenizer_definition const& definition) {
    name_index symbols;
    symbols.reserve(tokens.size());
    for (symbol s = 0; s < tokens.size(); ++s)
        if (tokens[s].is != role::unused && tokens[s].is != role::frozen) symbols.add(tokens[s].text, s);
    symbols.sort();
    std::vector<byte_pair_merge> merges;
    merges.reserve(definition.merges.size());
    const auto known = [&](std::string_view text) {
        const auto s = symbols.find(text);
        if (!s)
            throw format_error(definition.who + ": merges[" + std::to_string(merges.size()) + "]: " + in_quotes(text) +
                               " is not a token of the vocabulary");
        return static_cast<symbol>(*s);
    };
    for (auto const& m : definition.merges)
        merges.push_back({known(m.left), known(m.right), known(m.left + m.right), static_cast<symbol>(merges.size())});
    merges_ = byte_pair_merges(merges, definition.who);
}

inline void byte_pair_model::derive_merges(std::span<const token> tokens, tokenizer_definition const& definition) {
    const bool by_score = definition.order == merge_order::by_score;
    std::vector<std::string_view> texts(tokens.size());
    std::vector<symbol> results, watched;
    for (symbol s = 0; s < tokens.size(); ++s) {
        token const& t = tokens[s];
        const bool is_byte = definition.byte_fallback && byte_of_fallback_token(t.text);
        // Of one character, an unused piece is as none: there is nothing to take it apart into.
        const bool is_watched = t.is == role::unused && by_score && !is_character(t.form);
        if (is_watched) watched.push_back(s);
        if (!is_watched && (t.is != role::normal || is_byte)) continue;
        texts[s] = t.form;
        results.push_back(s);
    }
    if (by_score && in_characters_) // SentencePiece merges what makes a token, whether its parts are tokens or not
        for (const symbol s : results) add_characters(texts[s], tokens.size());
    std::vector<std::uint32_t> ranks(tokens.size() + characters_.size(), none);
    if (by_score)
        rank_by_score(tokens, results, ranks, definition.who);
    else
        for (const symbol s : results) ranks[s] = static_cast<std::uint32_t>(tokens[s].id);
    texts.insert(texts.end(), characters_.begin(), characters_.end());
    const std::vector<byte_pair_merge> pairs = pairs_of_tokens(texts, ranks);
    std::vector<symbol> made; // watched symbols, once for each pair that makes them
    for (auto const& pair : pairs)
        if (std::binary_search(watched.begin(), watched.end(), pair.result)) made.push_back(pair.result);
    depends_on_text_ = std::adjacent_find(made.begin(), made.end()) != made.end(); // pairs of one result stand together
    merges_ = byte_pair_merges(pairs, definition.who, std::move(watched));
}

/// Symbols for the characters of a token that are no tokens themselves.
inline void byte_pair_model::add_characters(std::string_view text, std::size_t tokens) {
    for (std::size_t at = 0; at < text.size();) {
        const character c = decode_utf8(text, at);
        if (character_symbols_.find(c.code) == none) {
            character_symbols_.set(c.code, static_cast<symbol>(tokens + characters_.size()));
            characters_.emplace_back(text.substr(at, c.size));
        }
        at += c.size;
    }
}

/// The highest score has rank 0; equal ones share a rank.
inline void byte_pair_model::rank_by_score(std::span<const token> tokens, std::span<const symbol> results,
                                           std::vector<std::uint32_t>& ranks, std::string const& who) {
    std::vector<float> scores;
    scores.reserve(results.size());
    for (const symbol s : results) {
        if (std::isnan(tokens[s].score))
            throw format_error(who + ": the score of the token with id " + std::to_string(tokens[s].id) +
                               " is not a number");
        scores.push_back(tokens[s].score);
    }
    std::sort(scores.begin(), scores.end(), std::greater<>{});
    scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
    for (const symbol s : results)
        ranks[s] = static_cast<std::uint32_t>(
            std::lower_bound(scores.begin(), scores.end(), tokens[s].score, std::greater<>{}) - scores.begin());
}

/// Where the character that writes a space is never inside a token but after another of itself, no merge reaches from
/// the character before it to it: a word may be cut there. Characters that some token has before it are exceptions.
inline void byte_pair_model::find_ends_before_space(std::span<const token> tokens, std::string_view space) {
    if (!is_character(space) || character_symbols_.find(decode_utf8(space).code) == none) return;
    space_ = space;
    for (token const& t : tokens) {
        if (t.is == role::outside) continue;
        for (std::size_t at = t.form.find(space, 1); at != std::string::npos; at = t.form.find(space, at + 1)) {
            const char32_t before = character_before(t.form, at);
            if (before < 128)
                ends_before_space_[before] = true;
            else
                others_before_space_.push_back(before);
        }
    }
    std::sort(others_before_space_.begin(), others_before_space_.end());
    others_before_space_.erase(std::unique(others_before_space_.begin(), others_before_space_.end()),
                               others_before_space_.end());
    const char32_t itself = decode_utf8(space).code; // a run of spaces is one part, whatever tokens there are
    if (itself < 128)
        ends_before_space_[itself] = true;
    else if (!std::binary_search(others_before_space_.begin(), others_before_space_.end(), itself))
        others_before_space_.insert(std::upper_bound(others_before_space_.begin(), others_before_space_.end(), itself),
                                    itself);
}

inline void byte_pair_model::fill_whole_words(std::span<const token> tokens) {
    whole_word_forms_.resize(tokens.size());
    whole_words_.assign(std::bit_ceil(2 * tokens.size() + 1), none);
    for (symbol s = 0; s < tokens.size(); ++s) {
        if (tokens[s].is != role::normal || tokens[s].form.empty()) continue;
        whole_word_forms_[s] = tokens[s].form;
        whole_words_[slot_of_word(tokens[s].form)] = s;
    }
}

// ------------------------------------------------------------------------------------------------------------ encoding

/// The character that ends at byte `at` > 0.
inline char32_t byte_pair_model::character_before(std::string_view text, std::size_t at) noexcept {
    std::size_t begin = at - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    return decode_utf8(text, begin).code;
}

/// The slot of a word: its own, or the empty one where it would be.
inline std::size_t byte_pair_model::slot_of_word(std::string_view word) const noexcept {
    std::size_t at = std::hash<std::string_view>{}(word) & (whole_words_.size() - 1);
    while (whole_words_[at] != none && whole_word_forms_[whole_words_[at]] != word)
        at = (at + 1) & (whole_words_.size() - 1);
    return at;
}

template <class OnPart>
void byte_pair_model::for_each_part(std::string_view word, OnPart&& on_part) const {
    std::size_t begin = 0;
    if (!space_.empty())
        for (std::size_t at = 0; (at = word.find(space_, at)) != std::string_view::npos; at += space_.size()) {
            if (at == begin) continue;
            const auto last = static_cast<unsigned char>(word[at - 1]);
            if (last < 128 ? ends_before_space_[last]
                           : std::binary_search(others_before_space_.begin(), others_before_space_.end(),
                                                character_before(word, at)))
                continue;
            on_part(word.substr(begin, at - begin));
            begin = at;
        }
    on_part(word.substr(begin));
}

inline void byte_pair_model::append_symbols(std::string_view part, std::vector<symbol>& symbols) const {
    bool owes_unknown = false; // Hugging Face writes it before the next token that is known
    for (std::size_t at = 0; at < part.size();) {
        const std::size_t frozen = in_characters_ ? frozen_.longest_at(part, at) : added_token_finder::none;
        if (frozen != added_token_finder::none) {
            symbols.push_back(static_cast<symbol>(frozen_[frozen].id));
            at += frozen_[frozen].text.size();
            continue;
        }
        const character c = in_characters_ ? decode_utf8(part, at) : character{0, 1};
        const symbol s =
            in_characters_ ? character_symbols_.find(c.code) : byte_symbols_[static_cast<unsigned char>(part[at])];
        const std::string_view bytes = part.substr(at, c.size);
        at += c.size;
        if (s != none) {
            if (std::exchange(owes_unknown, false)) symbols.push_back(unknown_);
            symbols.push_back(s);
        } else if (falls_back(bytes)) {
            for (const char b : bytes) symbols.push_back(fallback_[static_cast<unsigned char>(b)]);
        } else if (unknown_ != none) {
            if (derived_ || (owes_unknown && !fuses_unknown_)) symbols.push_back(unknown_);
            owes_unknown = !derived_;
        }
    }
    if (owes_unknown) symbols.push_back(unknown_);
}

inline bool byte_pair_model::falls_back(std::string_view bytes) const noexcept {
    return in_characters_ && std::all_of(bytes.begin(), bytes.end(),
                                         [&](char b) { return fallback_[static_cast<unsigned char>(b)] != none; });
}

inline void byte_pair_model::encode(std::string_view part, std::vector<std::int32_t>& ids, scratch& memory) const {
    if (!whole_words_.empty())
        if (const symbol whole = whole_words_[slot_of_word(part)]; whole != none) {
            ids.push_back(ids_[whole]);
            return;
        }
    memory.symbols.clear();
    append_symbols(part, memory.symbols);
    merges_.apply(memory.symbols, memory.merging);
    bool after_unknown = false;
    for (const symbol s : memory.symbols) append_ids(s, ids, after_unknown, memory.merging);
}

inline void byte_pair_model::append_ids(symbol s, std::vector<std::int32_t>& ids, bool& after_unknown,
                                        byte_pair_merges::scratch const& merging) const {
    if (auto const* const parts = merges_.parts_of(s, merging)) {
        append_ids(parts->left, ids, after_unknown, merging);
        append_ids(parts->right, ids, after_unknown, merging);
        return;
    }
    if (s >= ids_.size()) {
        std::string const& bytes = characters_[s - ids_.size()];
        if (falls_back(bytes)) {
            for (const char b : bytes) ids.push_back(ids_[fallback_[static_cast<unsigned char>(b)]]);
            after_unknown = false;
            return;
        }
        s = unknown_;
        if (s == none) return;
    }
    const bool again = derived_ && fuses_unknown_ && after_unknown && s == unknown_;
    after_unknown = s == unknown_;
    if (!again) ids.push_back(ids_[s]);
}

} // namespace bitlens
