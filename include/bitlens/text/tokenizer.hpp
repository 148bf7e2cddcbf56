#pragma once
/// BPE tokenizers of bytes and of characters. tokenizer_file.hpp loads one from any file.

#include "bitlens/core/error.hpp"
#include "bitlens/core/name_index.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/text/added_tokens.hpp"
#include "bitlens/text/byte_alphabet.hpp"
#include "bitlens/text/byte_pair_model.hpp"
#include "bitlens/text/normalizer.hpp"
#include "bitlens/text/pre_tokenizer.hpp"
#include "bitlens/text/text_encoder.hpp"
#include "bitlens/text/tokenizer_definition.hpp"
#include "bitlens/text/tokenizer_gguf.hpp"
#include "bitlens/text/tokenizer_json.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

/// An id as text, where no token says what it stands for: "<id 400>".
inline std::string id_text(std::int32_t id) { return "<id " + std::to_string(id) + ">"; }

/// Whether the ids of a text begin with the token that marks the beginning of one.
enum class bos_policy : std::uint8_t {
    automatic, ///< as the tokenizer's own file says
    always,
    never,
};

/// Text → ids and back. What it does is what its file says; the ids are those of Hugging Face `tokenizers` 0.23, byte
/// for byte (tests/data/text/compare_with_tokenizers.py). Immutable: any number of threads may use one at once.
///
/// Two things are as there, though one may not expect them. A byte that has no token is dropped where the file names no
/// token for what is unknown (SmolLM2 has none for 21 bytes that rare planes need); `description` counts them.
/// Truncation and padding, which some files ask for, belong to batches and are not done.
class tokenizer {
public:
    /// Errors: format_error where the definition contradicts itself: see the messages.
    explicit tokenizer(tokenizer_definition definition);

    /// From tokenizer.ggml.* of a model or vocabulary file.
    static tokenizer from_gguf(gguf_file const& file) { return tokenizer(read_tokenizer(file)); }

    /// From a tokenizer.json. It names a beginning-of-text token only where it puts one before every text; `bos` is the
    /// one that another file of the same folder names, if any.
    static tokenizer from_json(std::filesystem::path const& path, std::optional<std::int32_t> bos = {}) {
        const mapped_file file(path);
        return from_json(parse_json(as_text(file.bytes()), path.string()), path.string(), bos);
    }
    static tokenizer from_json(json const& file, std::string who, std::optional<std::int32_t> bos = {}) {
        tokenizer_definition definition = read_tokenizer(file, std::move(who));
        if (!definition.bos) definition.bos = bos;
        return tokenizer(std::move(definition));
    }

    /// The ids of a text, with nothing put before or after. Text that looks like a special token stays text, unless
    /// `special`: Hugging Face's `encode(text, add_special_tokens=False)`, with `encode_special_tokens` = not
    /// `special`. Time: O(n log n) in the bytes of the text, whatever they are. Errors: format_error with the offset
    /// where the text is not UTF-8, or has 4 GiB or more.
    std::vector<std::int32_t> encode(std::string_view text, bool special = false) const;

    /// encode, with the token that marks the beginning of a text before them, where the policy puts one: what a model
    /// reads when a text begins.   Errors: as encode and first_token.
    std::vector<std::int32_t> encode_with_bos(std::string_view text, bos_policy policy = bos_policy::automatic) const {
        auto ids = encode(text);
        if (const auto first = first_token(policy)) ids.insert(ids.begin(), *first);
        return ids;
    }

    /// The bytes a token stands for; they may be part of a character. An added or special token gives its text.
    /// Errors: format_error where no token has the id.
    std::string const& token_bytes(std::int32_t id) const { return find(id).bytes; }

    /// The same, or id_text where no token has the id: a model may have rows for more ids than there are tokens, and
    /// find one of those most likely.
    std::string text_of(std::int32_t id) const {
        token const* const found = look_up(id);
        return found == nullptr ? id_text(id) : found->bytes;
    }
    bool has_token(std::int32_t id) const noexcept { return look_up(id) != nullptr; }

    /// The bytes of all tokens, one after the other, without the space that encoding puts before a text or a piece of
    /// it. Ids cut within a character give text that is not UTF-8.
    std::string decode(std::span<const std::int32_t> ids) const;

    /// Whether the ids of a text stand for all of it, but for what normalization changes and U+2581 in place of a
    /// space. They do not where bytes of it have no token.   Errors: as decode.
    bool writes(std::string_view text, std::span<const std::int32_t> ids) const {
        const auto plain = [&](std::string_view some) {
            constexpr std::string_view space = "\u2581";
            return normalize(
                encoder_.normalizer,
                normalize(std::vector<normalizer::step>{normalizer::replace{std::string(space), " "}}, some));
        };
        const std::string decoded = decode(ids);
        return decoded == text || (is_utf8(decoded) && plain(decoded) == plain(text));
    }

    /// One more than the highest id. Files may leave ids out.
    std::size_t vocabulary_size() const noexcept {
        return tokens_.empty() ? 0 : static_cast<std::size_t>(tokens_.back().id) + 1;
    }

    std::size_t token_count() const noexcept { return tokens_.size(); }
    /// Tokens whose id is less than that.
    std::size_t tokens_below(std::size_t id) const noexcept {
        const auto end = std::ranges::lower_bound(tokens_, id, {}, [](token const& t) { return std::size_t(t.id); });
        return static_cast<std::size_t>(end - tokens_.begin());
    }

    std::vector<std::int32_t> special_tokens() const {
        std::vector<std::int32_t> ids;
        for (token const& t : tokens_)
            if (t.kind == token_kind::special) ids.push_back(t.id);
        return ids;
    }

    /// The token that marks the beginning of a text, and whether the file wants it before every text.
    std::optional<std::int32_t> bos() const noexcept { return bos_; }
    bool adds_bos() const noexcept { return adds_bos_; }

    /// The token that ids begin with under a policy, or none.
    /// Errors: option_error for `always` where the file names no such token.
    std::optional<std::int32_t> first_token(bos_policy policy) const {
        if (policy == bos_policy::never || (policy == bos_policy::automatic && !adds_bos_)) return std::nullopt;
        if (!bos_) throw option_error(who_ + ": the tokenizer has no beginning-of-text token to put before every text");
        return bos_;
    }

    /// One line for people.
    std::string description() const;

private:
    enum class token_kind : std::uint8_t { normal, added, frozen, special, unused };
    struct token {
        std::int32_t id;
        token_kind kind;
        std::string bytes;
    };
    struct named_token { // while the tables are built
        std::string text;
        std::int32_t id;
        float score;
        token_kind kind;
        bool in_vocabulary;
    };
    enum class space_before : std::uint8_t { nothing, text, pieces }; // what encoding puts a space before

    static std::vector<named_token> join_by_text(tokenizer_definition& definition);
    void describe(tokenizer_definition const& definition);
    void find_space_before();
    void fill_tokens(std::vector<named_token>& by_id, tokenizer_definition const& definition);
    void fill_added(std::vector<tokenizer_definition::added_token>& added);
    void check_bos() const;
    token const* look_up(std::int32_t id) const noexcept;
    token const& find(std::int32_t id) const;

    std::string who_;
    std::vector<token> tokens_; // by rising id
    text_encoder encoder_;
    space_before space_before_ = space_before::nothing;
    std::optional<std::int32_t> bos_;
    bool adds_bos_;
    std::string summary_; // of the model: the part of the description that is not of tokens
};

// ---------------------------------------------------------------------------------------------------- reading a
// definition

inline tokenizer::tokenizer(tokenizer_definition definition)
    : who_(definition.who), bos_(definition.bos), adds_bos_(definition.adds_bos) {
    encoder_.normalizer = definition.normalizer;
    encoder_.pre_tokenizer = definition.pre_tokenizer;
    std::vector<named_token> all = join_by_text(definition);
    fill_tokens(all, definition);
    fill_added(definition.added);
    find_space_before();
    describe(definition);
    check_bos();
}

/// All tokens once, by rising id: one that is both in the vocabulary and added is one token, if the two agree on its
/// id. A vocabulary of bytes may spell an added token's text and mean another token.
inline std::vector<tokenizer::named_token> tokenizer::join_by_text(tokenizer_definition& definition) {
    std::vector<named_token> all;
    all.reserve(definition.vocabulary.size() + definition.added.size() + definition.frozen.size() +
                definition.unused.size());
    const auto take = [&](std::vector<tokenizer_definition::token>& tokens, token_kind kind) {
        for (auto& t : tokens) all.push_back({std::move(t.text), t.id, t.score, kind, kind == token_kind::normal});
    };
    take(definition.vocabulary, token_kind::normal);
    for (auto const& t : definition.added)
        all.push_back({t.text, t.id, 0, t.special ? token_kind::special : token_kind::added, false});
    take(definition.frozen, token_kind::frozen);
    take(definition.unused, token_kind::unused);
    name_index by_text;
    by_text.reserve(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) by_text.add(all[i].text, i);
    by_text.sort();
    const bool in_bytes = definition.spelling == token_spelling::bytes;
    std::vector<std::uint64_t> order; // id, and place in `all`
    order.reserve(all.size());
    named_token* earlier = nullptr; // the first of its text
    for (auto const& [text, place] : by_text.entries()) {
        named_token& t = all[place];
        const bool repeats =
            earlier && earlier->text == text && !(in_bytes && earlier->in_vocabulary != t.in_vocabulary);
        if (!repeats) {
            if (t.id < 0)
                throw format_error(definition.who + ": token " + in_quotes(text) + " has the id " +
                                   std::to_string(t.id));
            order.push_back(static_cast<std::uint64_t>(t.id) << 32 | place);
            earlier = &t;
            continue;
        }
        if (!(earlier->in_vocabulary && !t.in_vocabulary && earlier->id == t.id))
            throw format_error(definition.who + ": token " + in_quotes(text) + " is there twice, with ids " +
                               std::to_string(earlier->id) + " and " + std::to_string(t.id));
        earlier->kind = t.kind;
    }
    std::sort(order.begin(), order.end());
    std::vector<named_token> by_id;
    by_id.reserve(order.size());
    for (std::uint64_t key : order) by_id.push_back(std::move(all[static_cast<std::uint32_t>(key)]));
    return by_id;
}

/// What a space is written as within words of characters: the file's own replacement, or a space.
inline std::string space_mark(tokenizer_definition const& definition) {
    for (auto const& step : definition.normalizer)
        if (auto const* const replace = std::get_if<normalizer::replace>(&step); replace && replace->from == " ")
            return replace->to;
    for (auto const& step : definition.pre_tokenizer)
        if (auto const* const space = std::get_if<pre_tokenizer::metaspace>(&step)) return space->mark;
    return " ";
}

inline void tokenizer::fill_tokens(std::vector<named_token>& by_id, tokenizer_definition const& definition) {
    using role = byte_pair_model::role;
    if (by_id.empty()) throw format_error(who_ + ": the vocabulary is empty");
    const bool in_characters = definition.spelling == token_spelling::characters;
    const std::string mark = in_characters ? space_mark(definition) : "";
    const std::array<normalizer::step, 1> to_space{normalizer::replace{mark, " "}};
    std::vector<byte_pair_model::token> words;
    words.reserve(by_id.size());
    tokens_.reserve(by_id.size());
    for (named_token& t : by_id) {
        if (!tokens_.empty() && tokens_.back().id == t.id)
            throw format_error(who_ + ": two tokens have the id " + std::to_string(t.id) + "; one is " +
                               in_quotes(t.text));
        if (in_characters && !is_utf8(t.text))
            throw format_error(who_ + ": the text of the token with id " + std::to_string(t.id) + " is not UTF-8");
        std::optional<std::string> form = t.text;
        if (definition.spelling == token_spelling::alphabet) form = bytes_of_alphabet(t.text);
        if (!form && t.kind == token_kind::normal)
            throw format_error(who_ + ": token " + in_quotes(t.text) + " (id " + std::to_string(t.id) +
                               ") has a character that is not in the byte alphabet");
        const auto byte = definition.byte_fallback ? byte_of_fallback_token(t.text) : std::nullopt;
        std::string bytes = t.kind != token_kind::normal ? t.text : *form;
        if (in_characters)
            bytes = byte && t.kind == token_kind::normal ? std::string(1, static_cast<char>(*byte))
                                                         : normalize(to_space, bytes);
        tokens_.push_back({t.id, t.kind, std::move(bytes)});
        const role is = t.in_vocabulary                ? role::normal
                        : t.kind == token_kind::frozen ? role::frozen
                        : t.kind == token_kind::unused ? role::unused
                                                       : role::outside;
        words.push_back({std::move(t.text), form ? std::move(*form) : "", t.id, t.score, is});
    }
    encoder_.model = byte_pair_model(words, definition, mark);
}

inline void tokenizer::fill_added(std::vector<tokenizer_definition::added_token>& added) {
    constexpr std::size_t longest = 1024; // bytes; bounds the time of looking for them
    std::vector<added_token_finder::token> raw, normalized;
    for (auto& t : added) {
        if (t.text.size() > longest)
            throw format_error(who_ + ": the added token with id " + std::to_string(t.id) + " has " +
                               std::to_string(t.text.size()) + " bytes; at most " + std::to_string(longest) +
                               " are read");
        if (!is_utf8(t.text))
            throw format_error(who_ + ": the text of the added token with id " + std::to_string(t.id) +
                               " is not UTF-8");
        if (t.normalized) t.text = normalize(encoder_.normalizer, t.text);
        if (t.text.empty()) continue; // found nowhere
        (t.normalized ? normalized : raw)
            .push_back({std::move(t.text), t.id, t.special, t.strips_left, t.strips_right, t.single_word});
    }
    encoder_.raw_added = added_token_finder(std::move(raw));
    encoder_.normalized_added = added_token_finder(std::move(normalized));
}

inline void tokenizer::check_bos() const {
    if (bos_) find(*bos_);
    if (adds_bos_ && !bos_)
        throw format_error(who_ + ": a beginning-of-text token is to be added, but none is named (bos_token_id)");
}

inline tokenizer::token const* tokenizer::look_up(std::int32_t id) const noexcept {
    const auto found = std::ranges::lower_bound(tokens_, id, {}, &token::id);
    return found == tokens_.end() || found->id != id ? nullptr : &*found;
}

inline tokenizer::token const& tokenizer::find(std::int32_t id) const {
    token const* const found = look_up(id);
    if (found == nullptr)
        throw format_error(who_ + ": no token has the id " + std::to_string(id) + "; the ids are below " +
                           std::to_string(vocabulary_size()));
    return *found;
}

inline void tokenizer::find_space_before() {
    for (auto const& step : encoder_.normalizer)
        if (std::holds_alternative<normalizer::prepend>(step)) space_before_ = space_before::pieces;
    for (auto const& step : encoder_.pre_tokenizer) {
        if (std::holds_alternative<pre_tokenizer::leading_space>(step)) space_before_ = space_before::pieces;
        if (auto const* const space = std::get_if<pre_tokenizer::metaspace>(&step);
            space && space_before_ == space_before::nothing && space->before != pre_tokenizer::prefix::never)
            space_before_ = space->before == pre_tokenizer::prefix::first ? space_before::text : space_before::pieces;
    }
}

inline std::string tokenizer::decode(std::span<const std::int32_t> ids) const {
    std::string text;
    bool after_space = space_before_ != space_before::nothing; // which encoding put there
    for (std::int32_t id : ids) {
        token const& t = find(id);
        const bool cut_out = t.kind == token_kind::special || t.kind == token_kind::added;
        text.append(t.bytes, after_space && !cut_out && t.bytes.starts_with(' ') ? 1 : 0);
        if (cut_out)
            after_space = space_before_ == space_before::pieces ||
                          (after_space && t.kind == token_kind::special); // a beginning-of-text token is put there last
        else
            after_space = false;
    }
    return text;
}

/// What the description says of the model.
inline void tokenizer::describe(tokenizer_definition const& definition) {
    const bool in_characters = definition.spelling == token_spelling::characters;
    summary_ = std::to_string(encoder_.model.merge_count()) + " merges";
    if (definition.order == merge_order::by_id) summary_ += " by rank";
    if (definition.order == merge_order::by_score) summary_ += " by score";
    summary_ += "; words split by ";
    for (std::size_t i = 0; i < definition.pre_tokenizer.size(); ++i)
        summary_ += (i > 0 ? ", then " : "") + pre_tokenizer::name(definition.pre_tokenizer[i]);
    if (definition.pre_tokenizer.empty()) summary_ += "nothing";
    summary_ += "; ";
    for (std::size_t i = 0; i < definition.normalizer.size(); ++i)
        summary_ += (i > 0 ? ", " : "") + normalizer::name(definition.normalizer[i]);
    if (definition.normalizer.empty()) summary_ += "no normalization";
    if (definition.prefers_whole_words) summary_ += "; whole words first";
    const std::size_t without = encoder_.model.bytes_without_token();
    if (without > 0)
        summary_ +=
            "; " + std::to_string(without) + " bytes without a token, " + (definition.unknown ? "unknown" : "dropped");
    if (in_characters) summary_ += definition.byte_fallback ? "; bytes of unknown characters" : "";
}

inline std::string tokenizer::description() const {
    const auto count = [&](auto... kinds) {
        return std::to_string(
            std::count_if(tokens_.begin(), tokens_.end(), [&](token const& t) { return ((t.kind == kinds) || ...); }));
    };
    return (encoder_.model.in_characters() ? "BPE of characters, " : "byte-level BPE, ") +
           std::to_string(tokens_.size()) + " tokens (" + count(token_kind::special) + " special, " +
           count(token_kind::added, token_kind::frozen) + " added, " + count(token_kind::unused) + " unused), " +
           summary_ +
           (bos_ ? "; beginning of text " + token_bytes(*bos_) + " (" + std::to_string(*bos_) + "), " +
                       (adds_bos_ ? "added" : "not added")
                 : "; no beginning of text");
}

inline std::vector<std::int32_t> tokenizer::encode(std::string_view text, bool special) const {
    if (text.size() >= std::numeric_limits<std::uint32_t>::max())
        throw format_error("text of " + std::to_string(text.size()) + " bytes: less than 4 GiB can be encoded at once");
    if (const std::size_t valid = valid_utf8_length(text); valid != text.size())
        throw format_error("text is not UTF-8 at byte " + std::to_string(valid));
    return encoder_.encode(text, special);
}

} // namespace bitlens
