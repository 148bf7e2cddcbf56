#pragma once
/// Byte-level BPE tokenizers, as GGUF metadata and Hugging Face's tokenizer.json describe them.

#include "bitlens/core/error.hpp"
#include "bitlens/core/name_index.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/text/added_tokens.hpp"
#include "bitlens/text/byte_alphabet.hpp"
#include "bitlens/text/byte_pair.hpp"
#include "bitlens/text/split.hpp"
#include "bitlens/text/tokenizer_definition.hpp"
#include "bitlens/text/tokenizer_gguf.hpp"
#include "bitlens/text/tokenizer_json.hpp"
#include "bitlens/text/unicode.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <forward_list>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
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
/// Two things are as there, though one may not expect them. A byte that has no token is dropped (SmolLM2 has none for
/// 21 bytes that rare planes need); `description` counts them. Truncation and padding, which some files ask for, belong
/// to batches and are not done.
class tokenizer {
public:
    /// Errors: format_error where the definition contradicts itself: see the messages.
    explicit tokenizer(tokenizer_definition definition);

    /// From tokenizer.ggml.* of a model or vocabulary file.
    static tokenizer from_gguf(gguf_file const& file) { return tokenizer(read_tokenizer(file)); }

    /// From a model: a GGUF file, or a Hugging Face folder with its tokenizer.json and, for the name of the
    /// beginning-of-text token, its tokenizer_config.json. No weight is looked at.
    static tokenizer from_model(std::filesystem::path const& path) {
        if (!std::filesystem::is_directory(path)) return from_gguf(gguf_file(path));
        const auto file = path / "tokenizer.json";
        detail::require_tokenizer(path);
        const json parsed = read_json_file(file);
        return from_json(parsed, file.string(), named_bos(path / "tokenizer_config.json", parsed, file.string()));
    }

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

    /// The bytes of all tokens, one after the other. Ids cut within a character give text that is not UTF-8.
    std::string decode(std::span<const std::int32_t> ids) const {
        std::string text;
        for (std::int32_t id : ids) text += token_bytes(id);
        return text;
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
    enum class token_kind : std::uint8_t { normal, added, special, unused };
    struct token {
        std::int32_t id;
        token_kind kind;
        std::string bytes;
    };
    struct named_token { // while the tables are built
        std::string text;
        std::int32_t id;
        token_kind kind;
        bool in_vocabulary;
    };
    using symbol = std::uint32_t; // place in tokens_
    static constexpr symbol no_symbol = std::numeric_limits<symbol>::max();
    class encoder;

    static std::vector<named_token> join_by_text(tokenizer_definition& definition);
    void fill_tokens(std::vector<named_token> const& by_id);
    void fill_merges(tokenizer_definition const& definition, name_index const& symbols);
    void fill_added(std::vector<tokenizer_definition::added_token>& added);
    void check_bos() const;
    static std::optional<std::int32_t> named_bos(std::filesystem::path const& config_path, json const& tokenizer_file,
                                                 std::string const& who);
    token const* look_up(std::int32_t id) const noexcept;
    token const& find(std::int32_t id) const;
    symbol whole_word(std::string_view bytes) const;
    std::size_t bytes_without_token() const noexcept {
        return static_cast<std::size_t>(std::count(byte_symbols_.begin(), byte_symbols_.end(), no_symbol));
    }

    std::string who_;
    std::vector<token> tokens_; // by rising id
    std::array<symbol, 256> byte_symbols_{};
    byte_pair_merges merges_{0, {}, ""};
    std::vector<symbol> whole_words_; // tokens of the vocabulary by rising bytes, where whole words go first
    added_token_finder raw_added_, normalized_added_;
    std::vector<pre_tokenizer::step> splits_;
    std::vector<normalizer::step> steps_;
    std::optional<std::int32_t> bos_;
    bool adds_bos_;
};

// ---------------------------------------------------------------------------------------------------- reading a
// definition

inline tokenizer::tokenizer(tokenizer_definition definition)
    : who_(std::move(definition.who)), splits_(std::move(definition.pre_tokenizer)),
      steps_(std::move(definition.normalizer)), bos_(definition.bos), adds_bos_(definition.adds_bos) {
    definition.who = who_;
    const std::vector<named_token> all = join_by_text(definition);
    fill_tokens(all);
    name_index symbols;
    symbols.reserve(all.size());
    for (symbol s = 0; s < all.size(); ++s)
        if (all[s].kind != token_kind::unused) symbols.add(all[s].text, s);
    symbols.sort();
    for (unsigned b = 0; b < 256; ++b)
        byte_symbols_[b] =
            static_cast<symbol>(symbols.find(in_byte_alphabet(static_cast<unsigned char>(b))).value_or(no_symbol));
    fill_merges(definition, symbols);
    fill_added(definition.added);
    check_bos();
    if (!definition.prefers_whole_words) return;
    name_index words;
    for (symbol s = 0; s < all.size(); ++s)
        if (all[s].in_vocabulary && bytes_of_alphabet(all[s].text)) words.add(tokens_[s].bytes, s);
    words.sort();
    for (auto const& word : words.entries()) whole_words_.push_back(static_cast<symbol>(word.place));
}

/// All tokens once, by rising id: one that is both in the vocabulary and added is one token, if the two agree on its
/// id.
inline std::vector<tokenizer::named_token> tokenizer::join_by_text(tokenizer_definition& definition) {
    std::vector<named_token> all;
    all.reserve(definition.vocabulary.size() + definition.added.size() + definition.unused.size());
    for (auto& t : definition.vocabulary) all.push_back({std::move(t.text), t.id, token_kind::normal, true});
    for (auto const& t : definition.added)
        all.push_back({t.text, t.id, t.special ? token_kind::special : token_kind::added, false});
    for (auto& t : definition.unused) all.push_back({std::move(t.text), t.id, token_kind::unused, false});
    name_index by_text;
    by_text.reserve(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) by_text.add(all[i].text, i);
    by_text.sort();
    std::vector<std::uint64_t> order; // id, and place in `all`
    order.reserve(all.size());
    named_token* earlier = nullptr; // the first of its text
    for (auto const& [text, place] : by_text.entries()) {
        named_token& t = all[place];
        if (!earlier || earlier->text != text) {
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

inline void tokenizer::fill_tokens(std::vector<named_token> const& by_id) {
    if (by_id.empty()) throw format_error(who_ + ": the vocabulary is empty");
    tokens_.reserve(by_id.size());
    for (named_token const& t : by_id) {
        if (!tokens_.empty() && tokens_.back().id == t.id)
            throw format_error(who_ + ": two tokens have the id " + std::to_string(t.id) + "; one is " +
                               in_quotes(t.text));
        if (t.kind != token_kind::normal) {
            tokens_.push_back({t.id, t.kind, t.text});
            continue;
        }
        std::optional<std::string> bytes = bytes_of_alphabet(t.text);
        if (!bytes)
            throw format_error(who_ + ": token " + in_quotes(t.text) + " (id " + std::to_string(t.id) +
                               ") has a character that is not in the byte alphabet");
        tokens_.push_back({t.id, t.kind, std::move(*bytes)});
    }
}

inline void tokenizer::fill_merges(tokenizer_definition const& definition, name_index const& symbols) {
    std::vector<byte_pair_merge> merges;
    merges.reserve(definition.merges.size());
    const auto known = [&](std::string_view text) {
        const auto s = symbols.find(text);
        if (!s)
            throw format_error(who_ + ": merges[" + std::to_string(merges.size()) + "]: " + in_quotes(text) +
                               " is not a token of the vocabulary");
        return static_cast<symbol>(*s);
    };
    for (auto const& m : definition.merges) merges.push_back({known(m.left), known(m.right), known(m.left + m.right)});
    merges_ = byte_pair_merges(tokens_.size(), merges, who_);
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
        if (t.text.empty()) continue; // found nowhere
        if (t.normalized) t.text = normalize(steps_, t.text);
        (t.normalized ? normalized : raw).push_back({std::move(t.text), t.id, t.special});
    }
    raw_added_ = added_token_finder(std::move(raw));
    normalized_added_ = added_token_finder(std::move(normalized));
}

inline void tokenizer::check_bos() const {
    if (bos_) find(*bos_);
    if (adds_bos_ && !bos_)
        throw format_error(who_ + ": a beginning-of-text token is to be added, but none is named (bos_token_id)");
}

/// The id of the beginning-of-text token that tokenizer_config.json names, a string or an object with `content`.
inline std::optional<std::int32_t> tokenizer::named_bos(std::filesystem::path const& config_path,
                                                        json const& tokenizer_file, std::string const& who) {
    if (std::error_code unknown; !std::filesystem::exists(config_path, unknown)) return std::nullopt;
    const json parsed = read_json_file(config_path);
    json const* const named = find_value(parsed, "bos_token", config_path.string());
    if (!named) return std::nullopt;
    const std::string text = named->is_object() ? required<std::string>(*named, "content", config_path.string())
                                                : required<std::string>(parsed, "bos_token", config_path.string());
    if (json const* const added = find_value(tokenizer_file, "added_tokens", who); added && added->is_array())
        for (auto const& token : *added)
            if (if_present<std::string>(token, "content", who) == text) return required<std::int32_t>(token, "id", who);
    if (json const* const model = find_object(tokenizer_file, "model", who))
        if (json const* const vocabulary = find_object(*model, "vocab", who))
            return if_present<std::int32_t>(*vocabulary, text, who);
    return std::nullopt;
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

inline std::string tokenizer::description() const {
    const auto count = [&](token_kind kind) {
        return std::to_string(
            std::count_if(tokens_.begin(), tokens_.end(), [&](token const& t) { return t.kind == kind; }));
    };
    std::string text = "byte-level BPE, " + std::to_string(tokens_.size()) + " tokens (" + count(token_kind::special) +
                       " special, " + count(token_kind::added) + " added, " + count(token_kind::unused) + " unused), " +
                       std::to_string(merges_.size()) + " merges; words split by ";
    for (std::size_t i = 0; i < splits_.size(); ++i)
        text += (i > 0 ? ", then " : "") + std::string(name(std::get<split_rule>(splits_[i])));
    if (splits_.empty()) text += "nothing";
    text += !steps_.empty() ? "; NFC" : "; no normalization";
    if (!whole_words_.empty()) text += "; whole words first";
    if (bytes_without_token() > 0)
        text += "; " + std::to_string(bytes_without_token()) + " bytes without a token, dropped";
    text += bos_ ? "; beginning of text " + token_bytes(*bos_) + " (" + std::to_string(*bos_) + "), " +
                       (adds_bos_ ? "added" : "not added")
                 : "; no beginning of text";
    return text;
}

// ------------------------------------------------------------------------------------------------------------ encoding

inline tokenizer::symbol tokenizer::whole_word(std::string_view bytes) const {
    const auto found = std::lower_bound(whole_words_.begin(), whole_words_.end(), bytes,
                                        [&](symbol s, std::string_view b) { return tokens_[s].bytes < b; });
    return found != whole_words_.end() && tokens_[*found].bytes == bytes ? *found : no_symbol;
}

/// One call of `encode`: the ids so far, and where in them the words met lately have theirs.
class tokenizer::encoder {
public:
    encoder(tokenizer const& t, std::size_t text_size)
        : tokenizer_(t), cache_(std::bit_ceil(std::clamp<std::size_t>(text_size / 8, 16, 8192))) {
        ids_.reserve(text_size / 4);
    }

    void run(std::string_view text, bool special) {
        const auto push = [&](std::int32_t id) { ids_.push_back(id); };
        const auto words = [&](std::string_view part) {
            for_each_word(tokenizer_.splits_, part, true, composed_, [&](std::string_view word) { append(word); });
        };
        const auto between = [&](std::string_view part) {
            if (!tokenizer_.steps_.empty()) part = composed_.emplace_front(normalize(tokenizer_.steps_, part));
            tokenizer_.normalized_added_.cut(part, special, words, push);
        };
        tokenizer_.raw_added_.cut(text, special, between, push);
    }

    std::vector<std::int32_t> take() { return std::move(ids_); }

private:
    /// A word and its ids, which are ids_[first … first + count − 1].
    struct known_word {
        std::string_view word; // of the caller's text or of composed_
        std::size_t first = 0, count = 0;
    };

    /// The cache has one place for a word and forgets what was there, so its size and its time are bounded.
    void append(std::string_view word) {
        known_word& place = cache_[std::hash<std::string_view>{}(word) & (cache_.size() - 1)];
        if (place.word == word) {
            for (std::size_t i = 0; i < place.count; ++i) ids_.push_back(ids_[place.first + i]);
            return;
        }
        const std::size_t first = ids_.size();
        merge(word);
        place = {word, first, ids_.size() - first};
    }

    void merge(std::string_view word) {
        if (const symbol whole = tokenizer_.whole_word(word); whole != no_symbol) {
            ids_.push_back(tokenizer_.tokens_[whole].id);
            return;
        }
        symbols_.clear();
        for (char c : word) {
            const symbol s = tokenizer_.byte_symbols_[static_cast<unsigned char>(c)];
            if (s != no_symbol) symbols_.push_back(s);
        }
        tokenizer_.merges_.apply(symbols_, memory_);
        for (symbol s : symbols_) ids_.push_back(tokenizer_.tokens_[s].id);
    }

    tokenizer const& tokenizer_;
    std::vector<known_word> cache_;
    std::forward_list<std::string> composed_; // each stays where it is
    std::vector<symbol> symbols_;
    byte_pair_merges::scratch memory_;
    std::vector<std::int32_t> ids_;
};

inline std::vector<std::int32_t> tokenizer::encode(std::string_view text, bool special) const {
    if (text.size() >= std::numeric_limits<std::uint32_t>::max())
        throw format_error("text of " + std::to_string(text.size()) + " bytes: less than 4 GiB can be encoded at once");
    if (const std::size_t valid = valid_utf8_length(text); valid != text.size())
        throw format_error("text is not UTF-8 at byte " + std::to_string(valid));
    encoder call(*this, text.size());
    call.run(text, special);
    return call.take();
}

} // namespace bitlens
