#pragma once
/// Reads tekken.json, in which Mistral publishes its byte-level tokenizers.
/// Source of its rules: mistral-common 1.13, tokens/tokenizers/tekken.py.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/base64.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/text/split.hpp"
#include "bitlens/text/tokenizer_definition.hpp"
#include "bitlens/text/tokenizer_tiktoken.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// Whether a JSON value is such a file: it has `config` and tokens of one of the two layouts.
inline bool is_tekken(json const& file) {
    return file.is_object() && file.contains("config") && (file.contains("vocab") || file.contains("bpe_ranks"));
}

namespace detail {

/// One reading of one tekken.json. Ids begin with the special tokens; rank 0 follows them.
class tekken_reader {
public:
    tekken_reader(json const& file, std::string who) : file_(file), out_(tiktoken_definition(std::move(who))) {}

    tokenizer_definition read() {
        json const& config = required_object(file_, "config", out_.who);
        const std::string where = out_.who + ": config";
        read_pattern(required<std::string>(config, "pattern", where));
        const auto ids = required<std::int32_t>(config, "default_vocab_size", where);
        special_ = required<std::int32_t>(config, "default_num_special_tokens", where);
        if (special_ < 0 || ids <= special_)
            fail("config: default_vocab_size is " + std::to_string(ids) + " and default_num_special_tokens " +
                 std::to_string(special_) + "; the first must be greater, and neither negative");
        constexpr std::int32_t most = 10000; // each gets a name, whatever the size of the file
        if (special_ > most)
            fail("config: default_num_special_tokens is " + std::to_string(special_) + "; at most " +
                 std::to_string(most) + " are read");
        ranks_ = static_cast<std::size_t>(ids - special_);
        read_special(required<std::string>(config, "version", where));
        if (json const* const vocabulary = find_value(file_, "vocab", out_.who))
            read_list(*vocabulary);
        else
            read_words(required<std::string>(file_, "bpe_ranks", out_.who));
        if (out_.vocabulary.size() < ranks_)
            fail(std::to_string(out_.vocabulary.size()) + " tokens were found; config says " + std::to_string(ranks_));
        require_bytes(out_);
        return std::move(out_);
    }

private:
    [[noreturn]] void fail(std::string const& reason) const { throw format_error(out_.who + ": " + reason); }

    void read_pattern(std::string const& regex) {
        try {
            out_.pre_tokenizer = {find_split_rule(regex)};
        } catch (option_error const& e) {
            fail(std::string("config: ") + e.what());
        }
    }

    /// The special tokens that the file lists or, for files of up to version 7 that list none, those that all had; ids
    /// that are left are called <SPECIAL_i>.
    void read_special(std::string const& version) {
        constexpr std::array<std::string_view, 20> of_old_files{"<unk>",
                                                                "<s>",
                                                                "</s>",
                                                                "[INST]",
                                                                "[/INST]",
                                                                "[AVAILABLE_TOOLS]",
                                                                "[/AVAILABLE_TOOLS]",
                                                                "[TOOL_RESULTS]",
                                                                "[/TOOL_RESULTS]",
                                                                "[TOOL_CALLS]",
                                                                "[IMG]",
                                                                "<pad>",
                                                                "[IMG_BREAK]",
                                                                "[IMG_END]",
                                                                "[PREFIX]",
                                                                "[MIDDLE]",
                                                                "[SUFFIX]",
                                                                "[SYSTEM_PROMPT]",
                                                                "[/SYSTEM_PROMPT]",
                                                                "[TOOL_CONTENT]"};
        std::vector<std::string> texts;
        if (json const* const list = find_value(file_, "special_tokens", out_.who)) {
            if (!list->is_array()) fail("special_tokens: an array is expected");
            for (std::size_t i = 0; i < list->size(); ++i) {
                const std::string where = out_.who + ": special_tokens[" + std::to_string(i) + "]";
                if (required<std::uint64_t>((*list)[i], "rank", where) != i)
                    throw format_error(where + ": the rank must be the place in the list");
                texts.push_back(required<std::string>((*list)[i], "token_str", where));
            }
        } else {
            constexpr std::array<std::string_view, 4> old_versions{"v1", "v2", "v3", "v7"};
            if (std::ranges::find(old_versions, version) == old_versions.end())
                fail("there is no list special_tokens, which files of version " + in_quotes(version) + " need");
            texts.assign(of_old_files.begin(), of_old_files.end());
        }
        if (texts.size() > static_cast<std::size_t>(special_))
            fail(std::to_string(texts.size()) + " special tokens were found; config says " + std::to_string(special_));
        for (std::int32_t id = 0; id < special_; ++id) {
            const auto place = static_cast<std::size_t>(id);
            if (place == texts.size()) texts.push_back("<SPECIAL_" + std::to_string(id) + ">");
            if (texts[place] == "<s>") out_.bos = id;
            out_.added.push_back({texts[place], id, true, false});
        }
        out_.adds_bos = out_.bos.has_value();
    }

    /// [{"rank": 0, "token_bytes": "AA=="}, …]; those beyond the size that config says are not used.
    void read_list(json const& list) {
        if (!list.is_array()) fail("vocab: an array is expected");
        for (std::size_t i = 0; i < std::min(ranks_, list.size()); ++i) {
            const std::string where = out_.who + ": vocab[" + std::to_string(i) + "]";
            if (required<std::uint64_t>(list[i], "rank", where) != i)
                throw format_error(where + ": the rank must be the place in the list");
            add(required<std::string>(list[i], "token_bytes", where), where);
        }
    }

    /// "! 0 AA== AQ== …": the first rank of a line and its tokens.
    void read_words(std::string_view text) {
        const std::string where = out_.who + ": bpe_ranks";
        const auto next = [&]() -> std::string_view {
            constexpr std::string_view blanks = " \n";
            text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
            const std::string_view word = text.substr(0, text.find_first_of(blanks));
            text.remove_prefix(word.size());
            return word;
        };
        bool begun = false; // a line
        for (std::string_view word = next(); !word.empty() && out_.vocabulary.size() < ranks_; word = next()) {
            if (begun && word != "!") {
                add(word, where);
                continue;
            }
            const std::string_view first = word == "!" ? next() : word;
            if (word != "!" || first != std::to_string(out_.vocabulary.size()))
                throw format_error(where + ": \"! " + std::to_string(out_.vocabulary.size()) + "\" is expected, " +
                                   in_quotes(first) + " was found");
            begun = true;
        }
    }

    void add(std::string_view base64, std::string const& where) {
        auto bytes = decode_base64(base64);
        if (!bytes || bytes->empty())
            throw format_error(where + ": token " + std::to_string(out_.vocabulary.size()) + ", " + in_quotes(base64) +
                               ", is no token in base64");
        const auto rank = static_cast<std::int32_t>(out_.vocabulary.size());
        out_.vocabulary.push_back({std::move(*bytes), rank + special_});
    }

    json const& file_;
    tokenizer_definition out_;
    std::int32_t special_ = 0;
    std::size_t ranks_ = 0; // that are used
};

} // namespace detail

/// What a tekken.json says. No special token is ever found in a text; `<s>` goes before every one.
/// Errors: format_error for a missing key, a pattern that is not known, tokens that are not base64 or not in order.
inline tokenizer_definition read_tekken(json const& file, std::string who) {
    return detail::tekken_reader(file, std::move(who)).read();
}

} // namespace bitlens
