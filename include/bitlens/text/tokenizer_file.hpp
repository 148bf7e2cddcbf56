#pragma once
/// load_tokenizer: the tokenizer that a path leads to, whatever kind of file it is in.

#include "bitlens/core/error.hpp"
#include "bitlens/core/name_index.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/foreign_file.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/gzip.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/text/normalizer.hpp"
#include "bitlens/text/pre_tokenizer.hpp"
#include "bitlens/text/split.hpp"
#include "bitlens/text/tokenizer.hpp"
#include "bitlens/text/tokenizer_definition.hpp"
#include "bitlens/text/tokenizer_json.hpp"
#include "bitlens/text/tokenizer_sentencepiece.hpp"
#include "bitlens/text/tokenizer_tekken.hpp"
#include "bitlens/text/tokenizer_tiktoken.hpp"
#include "bitlens/text/word_rules.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// Of a Hugging Face folder, what its tokenizer_config.json says beside the vocabulary. Nothing where there is none.
class tokenizer_config {
public:
    explicit tokenizer_config(std::filesystem::path const& folder)
        : path_(folder / "tokenizer_config.json"), who_(path_.string()) {
        if (is_there(path_)) file_ = read_json_file(path_);
        expect_object(file_, who_);
    }

    std::string const& who() const noexcept { return who_; }
    template <class T>
    std::optional<T> value(std::string_view key) const {
        return if_present<T>(file_, key, who_);
    }

    /// The text of a token that has a role, such as `bos_token`: a string, or an object with `content`.
    std::optional<std::string> token(std::string_view role) const {
        json const* const named = find_value(file_, role, who_);
        if (!named) return std::nullopt;
        if (named->is_object()) return required<std::string>(*named, "content", who_);
        return required<std::string>(file_, role, who_);
    }

    /// Tokens that come to those of the vocabulary, by rising id.
    std::vector<tokenizer_definition::added_token> added_tokens() const {
        std::vector<tokenizer_definition::added_token> tokens;
        json const* const listed = find_object(file_, "added_tokens_decoder", who_);
        if (!listed) return tokens;
        for (auto const& [key, value] : listed->items()) {
            json const& token = value; // clang 14 has no bindings in lambdas
            const std::string where = who_ + ": added_tokens_decoder: " + in_quotes(key);
            std::int32_t id = 0;
            const auto end = std::from_chars(key.data(), key.data() + key.size(), id);
            if (end.ec != std::errc() || end.ptr != key.data() + key.size())
                throw format_error(where + ": an id is expected");
            const auto flag = [&](std::string_view name, bool otherwise) {
                return if_present<bool>(token, name, where).value_or(otherwise);
            };
            const bool special = flag("special", false);
            tokens.push_back({required<std::string>(token, "content", where), id, special, flag("normalized", !special),
                              flag("lstrip", false), flag("rstrip", false), flag("single_word", false)});
        }
        std::ranges::sort(tokens, {}, &tokenizer_definition::added_token::id);
        return tokens;
    }

private:
    std::filesystem::path path_;
    std::string who_;
    json file_ = json::object();
};

/// What the configuration of a folder adds to the definition that another of its files gave: tokens, and whether and
/// with which the beginning of text is marked.
class configured_tokens {
public:
    configured_tokens(tokenizer_definition& definition, tokenizer_config const& config)
        : definition_(definition), config_(config) {
        const auto add = [&](tokenizer_definition::token const& token, kind is) {
            all_.push_back({token.text, token.id, is, 0});
        };
        for (auto const& token : definition.vocabulary) add(token, kind::vocabulary);
        for (auto const& token : definition.frozen) add(token, kind::frozen);
        for (std::size_t i = 0; i < definition.added.size(); ++i)
            all_.push_back({definition.added[i].text, definition.added[i].id, kind::added, i});
        for (std::size_t i = 0; i < all_.size(); ++i) by_text_.add(all_[i].text, i);
        by_text_.sort();
    }

    void apply() {
        auto tokens = config_.added_tokens();
        const auto listed = [&](tokenizer_definition::token const& token) {
            return std::ranges::binary_search(tokens, token.id, {}, &tokenizer_definition::added_token::id);
        };
        std::erase_if(definition_.unused, listed);
        for (auto& token : tokens) take(std::move(token));
        if (const auto adds = config_.value<bool>("add_bos_token")) definition_.adds_bos = *adds;
        const auto name = config_.token("bos_token");
        if (!name) return;
        if (known const* const token = find(*name)) definition_.bos = token->id;
        for (auto const& token : definition_.added) // those that have come
            if (token.text == *name) definition_.bos = token.id;
    }

    /// Errors: format_error where an added_tokens.json, as transformers once wrote it, has more than there is: it does
    /// not say how they are found in a text.
    void check_old_list(std::filesystem::path const& path) const {
        const json tokens = read_json_file(path);
        const std::string who = path.string();
        for (auto const& [text, id] : expect_object(tokens, who).items())
            if (!find(text) && std::ranges::find(definition_.added, text, &tokenizer_definition::added_token::text) ==
                                   definition_.added.end())
                throw format_error(who + ": the token " + in_quotes(text) +
                                   " is added, but not how it is found in a text; an added_tokens_decoder in " +
                                   config_.who() + " is expected");
    }

private:
    enum class kind : std::uint8_t { vocabulary, frozen, added };
    struct known {
        std::string text;
        std::int32_t id;
        kind is;
        std::size_t place; // of an added one
    };

    known const* find(std::string_view text) const noexcept {
        const auto place = by_text_.find(text);
        return place ? &all_[*place] : nullptr;
    }

    void take(tokenizer_definition::added_token token) {
        known const* const same = find(token.text);
        if (same && same->id != token.id)
            throw format_error(config_.who() + ": added_tokens_decoder: " + in_quotes(token.text) + " has the id " +
                               std::to_string(token.id) + "; in " + definition_.who + " it is " +
                               std::to_string(same->id));
        if (same && same->is == kind::frozen) return; // found in every text already
        if (same && same->is == kind::added)
            definition_.added[same->place] = std::move(token);
        else
            definition_.added.push_back(std::move(token));
    }

    tokenizer_definition& definition_;
    tokenizer_config const& config_;
    std::vector<known> all_;
    name_index by_text_;
};

/// What tokenizers of byte-level BPE do that are named in tokenizer_config.json and have no file that says it.
inline word_rules rules_of_class(tokenizer_config const& config, std::filesystem::path const& folder) {
    const auto name = config.value<std::string>("tokenizer_class");
    if (!name)
        throw format_error(folder.string() +
                           ": vocab.json and merges.txt do not say how words are split, and there is "
                           "no tokenizer_class in " +
                           config.who() + " that does; a name as in tokenizer.ggml.pre of GGUF files can");
    word_rules rules;
    if (config.value<bool>("add_prefix_space").value_or(false))
        rules.pre_tokenizer.push_back(pre_tokenizer::leading_space{});
    if (*name == "GPT2Tokenizer" || *name == "GPT2TokenizerFast") {
        rules.pre_tokenizer.push_back(split_rule::gpt2);
    } else if (*name == "Qwen2Tokenizer" || *name == "Qwen2TokenizerFast") {
        rules.normalizer.push_back(normalizer::compose{});
        rules.pre_tokenizer.push_back(split_rule::qwen2);
    } else {
        throw format_error(config.who() + ": key \"tokenizer_class\": " + in_quotes(*name) +
                           " is not known where there are only vocab.json and merges.txt; known are: GPT2Tokenizer, "
                           "Qwen2Tokenizer");
    }
    return rules;
}

/// A byte-level tokenizer as GPT-2 was published: vocab.json and merges.txt.
inline tokenizer_definition read_vocabulary_and_merges(std::filesystem::path const& folder, word_rules rules) {
    tokenizer_definition out;
    const auto vocabulary_path = folder / "vocab.json", merges_path = folder / "merges.txt";
    out.who = vocabulary_path.string();
    out.normalizer = std::move(rules.normalizer);
    out.pre_tokenizer = std::move(rules.pre_tokenizer);
    out.prefers_whole_words = rules.prefers_whole_words;
    const json vocabulary = read_json_file(vocabulary_path);
    for (auto const& [text, id] : expect_object(vocabulary, out.who).items())
        out.vocabulary.push_back({text, required<std::int32_t>(vocabulary, text, out.who)});
    line_reader lines(merges_path);
    std::size_t number = 0;
    for (std::string_view line; lines.next(line);) {
        if (++number == 1 && line.starts_with("#version")) continue;
        const std::size_t space = line.find(' ');
        if (space == line.npos || line.find(' ', space + 1) != line.npos)
            throw format_error(merges_path.string() + ": line " + std::to_string(number) +
                               ": two parts with one space between are expected, " + in_quotes(line) + " was found");
        out.merges.push_back({std::string(line.substr(0, space)), std::string(line.substr(space + 1))});
    }
    return out;
}

inline constexpr std::string_view tokenizer_kinds =
    "a tokenizer.json, a tokenizer.model of SentencePiece or tiktoken, a tekken.json, a GGUF file, or the folder of a "
    "model";

/// The definition in a JSON file other than tokenizer.json. Errors: format_error for what is none.
[[noreturn]] inline void refuse_tokenizer_json(json const& file, std::filesystem::path const& path) {
    const auto is_id = [](json const& value) { return value.is_number_integer(); };
    const bool is_vocabulary = file.is_object() && !file.empty() && std::ranges::all_of(file, is_id);
    std::string found = is_vocabulary ? "a vocabulary without its merges" : "other JSON";
    if (file.is_object() && file.contains("tokenizer_class")) found = "the configuration of a tokenizer";
    throw format_error(path.string() + ": " + std::string(tokenizer_kinds) + " is expected, " + found + " was found" +
                       (found == "other JSON" ? "" : "; give the folder that it is in"));
}

/// Reads one file or folder, with what the caller says of its words.
class tokenizer_loader {
public:
    tokenizer_loader(std::filesystem::path path, std::string_view pre) : path_(std::move(path)), pre_(pre) {}

    tokenizer load() {
        tokenizer found = std::filesystem::is_directory(path_) ? load_folder() : load_file();
        if (!pre_.empty() && !rules_used_)
            throw option_error(path_.string() + ": the tokenizer's own file says how words are split; " +
                               in_quotes(pre_) + " is of no use");
        return found;
    }

private:
    tokenizer load_file() {
        const mapped_file file(path_);
        const std::string_view text = as_text(file.bytes());
        if (text.starts_with("GGUF")) return tokenizer::from_gguf(gguf_file(path_));
        if (begins_as_json(text)) {
            const json parsed = parse_json(text, path_.string());
            if (is_tekken(parsed)) return tokenizer(read_tekken(parsed, path_.string()));
            if (parsed.is_object() && parsed.contains("model")) return tokenizer::from_json(parsed, path_.string());
            refuse_tokenizer_json(parsed, path_);
        }
        return tokenizer(read_model(path_, file.bytes()));
    }

    tokenizer load_folder() {
        const tokenizer_config config(path_);
        if (is_there(path_ / "tokenizer.json")) {
            const auto path = path_ / "tokenizer.json";
            const json parsed = read_json_file(path);
            tokenizer_definition definition = read_tokenizer(parsed, path.string());
            if (const auto name = config.token("bos_token"); name && !definition.bos)
                definition.bos = id_of(definition, *name);
            return tokenizer(std::move(definition));
        }
        tokenizer_definition definition = definition_in_folder(config);
        configured_tokens configured(definition, config);
        configured.apply();
        if (is_there(path_ / "added_tokens.json")) configured.check_old_list(path_ / "added_tokens.json");
        return tokenizer(std::move(definition));
    }

    tokenizer_definition definition_in_folder(tokenizer_config const& config) {
        if (const auto path = path_ / "tokenizer.model"; is_there(path))
            return read_model(path, mapped_file(path).bytes());
        if (const auto path = path_ / "tekken.json"; is_there(path))
            return read_tekken(read_json_file(path), path.string());
        if (is_there(path_ / "vocab.json") && is_there(path_ / "merges.txt")) {
            if (auto rules = rules_of_caller()) return read_vocabulary_and_merges(path_, std::move(*rules));
            return read_vocabulary_and_merges(path_, rules_of_class(config, path_));
        }
        std::string others;
        for (const char* name : {"vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "vocab.txt"})
            if (is_there(path_ / name)) others += (others.empty() ? "" : ", ") + in_quotes(name);
        throw io_error(path_.string() +
                       ": holds no tokenizer.json, tokenizer.model or tekken.json, nor both of vocab.json and "
                       "merges.txt" +
                       (others.empty() ? "" : "; " + others + " alone is not read") +
                       "; AutoTokenizer of transformers writes a tokenizer.json when it loads and saves the folder's "
                       "tokenizer");
    }

    /// A tokenizer.model: text of tiktoken, or else a message of SentencePiece.
    tokenizer_definition read_model(std::filesystem::path const& path, std::span<const std::byte> bytes) {
        refuse_foreign(bytes, path.string(), tokenizer_kinds);
        if (is_tiktoken(as_text(bytes))) {
            const auto rules = rules_of_caller();
            return read_tiktoken(bytes, path.string(), rules ? &*rules : nullptr);
        }
        constexpr auto first_piece = std::byte{0x0A}; // the tag of the field that all models begin with
        if (bytes[0] != first_piece)
            throw format_error(path.string() + ": " + std::string(tokenizer_kinds) + " is expected, none was found");
        return read_sentencepiece(bytes, path.string());
    }

    std::optional<word_rules> rules_of_caller() {
        if (pre_.empty()) return std::nullopt;
        rules_used_ = true;
        auto rules = find_word_rules(pre_);
        if (!rules)
            throw option_error(path_.string() + ": " + in_quotes(pre_) +
                               " names no rule that splits words; known are: " + word_rule_names());
        return rules;
    }

    static bool begins_as_json(std::string_view text) {
        text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
        return text.starts_with('{') || text.starts_with('[');
    }

    static std::optional<std::int32_t> id_of(tokenizer_definition const& definition, std::string_view text) {
        for (auto const& token : definition.added)
            if (token.text == text) return token.id;
        for (auto const& token : definition.vocabulary)
            if (token.text == text) return token.id;
        return std::nullopt;
    }

    std::filesystem::path path_;
    std::string_view pre_;
    bool rules_used_ = false;
};

} // namespace detail

/// The tokenizer at a path. A file: tokenizer.json, tokenizer.model (SentencePiece or tiktoken), tekken.json, or GGUF,
/// told by its bytes. A folder: the first of tokenizer.json, tokenizer.model, tekken.json, vocab.json with merges.txt,
/// and its tokenizer_config.json. No weight is looked at.
///
/// `pre` names, as tokenizer.ggml.pre does, how words are split where the files leave that open: tiktoken's, and
/// vocab.json with merges.txt.
/// Errors: io_error where there is nothing; format_error saying what was found, and as the readers of each kind;
/// option_error for a `pre` that is of no use.
inline tokenizer load_tokenizer(std::filesystem::path const& path, std::string_view pre = {}) {
    return detail::tokenizer_loader(path, pre).load();
}

/// Those files of a folder that decide what load_tokenizer gives.
inline std::vector<std::filesystem::path> tokenizer_files(std::filesystem::path const& folder) {
    std::vector<std::filesystem::path> files;
    const auto take = [&](std::string_view name) {
        if (!is_there(folder / name)) return false;
        files.push_back(folder / name);
        return true;
    };
    take("tokenizer_config.json");
    if (take("tokenizer.json")) return files;
    take("added_tokens.json");
    if (take("tokenizer.model") || take("tekken.json")) return files;
    take("vocab.json");
    take("merges.txt");
    return files;
}

} // namespace bitlens
