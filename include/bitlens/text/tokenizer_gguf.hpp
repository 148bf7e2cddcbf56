#pragma once
/// Reads the tokenizer of a GGUF file from its metadata.

#include "bitlens/core/error.hpp"
#include "bitlens/core/name_index.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/text/byte_pair_model.hpp"
#include "bitlens/text/normalizer.hpp"
#include "bitlens/text/tokenizer_definition.hpp"
#include "bitlens/text/tokenizer_json.hpp"
#include "bitlens/text/word_rules.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// One reading of one file's metadata.
class tokenizer_gguf_reader {
public:
    explicit tokenizer_gguf_reader(gguf_file const& file) : file_(file) { out_.who = file.path().string(); }

    tokenizer_definition read() {
        if (const auto whole = file_.if_present<std::string>("tokenizer.huggingface.json"))
            return read_embedded(*whole);
        const auto model = file_.required<std::string>("tokenizer.ggml.model");
        if (model != "gpt2" && model != "llama")
            throw format_error(out_.who + ": key \"tokenizer.ggml.model\": " + in_quotes(model) +
                               " is not known; known are: gpt2 (byte-level BPE), llama (SentencePiece BPE)");
        tokens_ = file_.required<std::vector<std::string_view>>("tokenizer.ggml.tokens");
        types_ = file_.required<std::vector<std::int32_t>>("tokenizer.ggml.token_type");
        require_size("token_type", types_.size());
        if (model == "gpt2")
            read_byte_level();
        else
            read_sentencepiece();
        return std::move(out_);
    }

private:
    /// The kinds that token_type tells apart.
    enum type : std::int32_t { normal = 1, unknown, control, user_defined, unused, byte };

    static std::string key(std::string_view name) { return "key \"tokenizer.ggml." + std::string(name) + "\""; }
    [[noreturn]] void fail(std::string const& reason) const { throw format_error(out_.who + ": " + reason); }
    void require_size(std::string const& name, std::size_t size) const {
        if (size != tokens_.size())
            fail("tokenizer.ggml.tokens has " + std::to_string(tokens_.size()) + " elements and tokenizer.ggml." +
                 name + " " + std::to_string(size));
    }

    /// tokenizer.json as it was, of which the other keys tell only a part.
    tokenizer_definition read_embedded(std::string const& text) const {
        const std::string who = out_.who + ": key \"tokenizer.huggingface.json\"";
        tokenizer_definition out = read_tokenizer(parse_json(text, who), who);
        if (!out.bos) out.bos = file_.if_present<std::int32_t>("tokenizer.ggml.bos_token_id");
        out.adds_bos = file_.if_present<bool>("tokenizer.ggml.add_bos_token").value_or(out.adds_bos);
        return out;
    }

    void read_byte_level() {
        const bool adds_bos = read_pre(file_.if_present<std::string>("tokenizer.ggml.pre"));
        if (file_.if_present<bool>("tokenizer.ggml.add_space_prefix").value_or(false))
            fail(key("add_space_prefix") + ": true is not supported in byte-level BPE");
        for (std::size_t i = 0; i < tokens_.size(); ++i) {
            const auto id = static_cast<std::int32_t>(i); // arrays have at most 2³⁰ elements
            if (types_[i] == byte)
                fail(key("token_type") + ": element " + std::to_string(i) +
                     " is 6; 1 … 5 are expected (6 belongs to SentencePiece)");
            if (types_[i] == user_defined)
                out_.added.push_back({std::string(tokens_[i]), id, false, false});
            else
                add_token(id, 0);
        }
        read_merges();
        read_bos(adds_bos);
        constexpr std::int32_t of_absent_key = 11; // what a reader takes where a file names none, "," in most
        if (out_.bos == of_absent_key && !out_.adds_bos && tokens_.size() > 11 && types_[11] == normal)
            out_.bos = std::nullopt;
    }

    /// What a value of tokenizer.ggml.pre stands for. Returns whether a beginning-of-text token is added where no other
    /// key says it.
    bool read_pre(std::optional<std::string> const& name) {
        if (!name || name == "default")
            fail(
                key("pre") + ": " + (name ? "it is \"default\"" : "it is missing") +
                ", so how words are split is not known: files that older converters wrote split numbers otherwise than "
                "their models learnt; convert the model again, or give the tokenizer.json. Known are: " +
                word_rule_names());
        auto rules = find_word_rules(*name);
        if (!rules) fail(key("pre") + ": " + in_quotes(*name) + " is not known; known are: " + word_rule_names());
        out_.normalizer = std::move(rules->normalizer);
        out_.pre_tokenizer = std::move(rules->pre_tokenizer);
        out_.prefers_whole_words = rules->prefers_whole_words;
        return *name == "llama-bpe" || *name == "llama3" || *name == "llama-v3" || *name == "tekken";
    }

    void read_sentencepiece() {
        const auto pre = file_.if_present<std::string>("tokenizer.ggml.pre");
        if (pre && pre != "default")
            fail(key("pre") + ": " + in_quotes(*pre) + " is not known with the model \"llama\"; known is: default");
        const auto scores = file_.required<std::vector<float>>("tokenizer.ggml.scores");
        require_size("scores", scores.size());
        const bool space_prefix = file_.if_present<bool>("tokenizer.ggml.add_space_prefix").value_or(true);
        out_.spelling = token_spelling::characters;
        out_.byte_fallback = true;
        out_.fuses_unknown = true;
        const bool removes_spaces = file_.if_present<bool>("tokenizer.ggml.remove_extra_whitespaces").value_or(false);
        if (removes_spaces) out_.normalizer.push_back(normalizer::collapse_spaces{});
        if (space_prefix) out_.normalizer.push_back(normalizer::prepend{mark});
        out_.normalizer.push_back(normalizer::replace{" ", mark});
        if (removes_spaces) out_.normalizer.push_back(normalizer::strip_end{mark}); // also one that is of the text

        for (std::size_t i = 0; i < tokens_.size(); ++i) {
            const auto id = static_cast<std::int32_t>(i);
            if (types_[i] == user_defined)
                add_user_defined(id, space_prefix);
            else
                add_token(id, scores[i]);
        }
        find_unknown();
        find_order(scores);
        read_bos(true);
        constexpr std::int32_t usual_bos = 1;
        if (!out_.bos && tokens_.size() > usual_bos && types_[usual_bos] == control) out_.bos = usual_bos;
    }

    /// User-defined pieces stand in the file with spaces as spaces. Where a text has a space put before it, so has what
    /// follows such a piece, as after any added token; where none is, they are the frozen pieces of SentencePiece.
    void add_user_defined(std::int32_t id, bool space_prefix) {
        const std::string text(tokens_[static_cast<std::size_t>(id)]);
        const auto replaced = [&](std::string const& from, std::string const& to) {
            return normalize(std::array<normalizer::step, 1>{normalizer::replace{from, to}}, text);
        };
        if (space_prefix)
            out_.added.push_back({replaced(mark, " "), id, false, false});
        else
            out_.frozen.push_back({replaced(" ", mark), id});
    }

    void find_unknown() {
        out_.unknown = file_.if_present<std::int32_t>("tokenizer.ggml.unknown_token_id");
        for (std::size_t i = 0; i < types_.size() && !out_.unknown; ++i)
            if (types_[i] == unknown) out_.unknown = static_cast<std::int32_t>(i);
        const auto bytes = std::count(types_.begin(), types_.end(), byte);
        if (!out_.unknown && bytes != 256)
            fail("there are " + std::to_string(bytes) +
                 " byte tokens (type 6) and no token for what is unknown (type 2, or " + key("unknown_token_id") +
                 "); all 256, or one, are expected");
    }

    /// By score; where a converter that did not know them wrote the same one everywhere, by the list of merges.
    void find_order(std::vector<float> const& scores) {
        std::optional<float> first;
        std::size_t count = 0;
        bool differ = false;
        for (std::size_t i = 0; i < types_.size(); ++i) {
            if (types_[i] != normal) continue;
            ++count;
            if (!first) first = scores[i];
            differ = differ || scores[i] != *first;
        }
        out_.order = merge_order::by_score;
        if (differ || count < 2) return;
        if (!file_.find_value("tokenizer.ggml.merges"))
            fail(key("scores") + ": all " + std::to_string(count) +
                 " normal tokens have the same score, so the order of merging is lost, and there is no key "
                 "\"tokenizer.ggml.merges\"; convert the model again with its tokenizer.model");
        out_.order = merge_order::listed;
        read_merges();
        for (auto& merge : out_.merges) merge = {with_spaces(merge.left), with_spaces(merge.right)};
    }

    void add_token(std::int32_t id, float score) {
        const auto i = static_cast<std::size_t>(id);
        std::string text(tokens_[i]);
        switch (types_[i]) {
        case normal:
            out_.vocabulary.push_back({std::move(text), id, score});
            return;
        case byte:
            if (!byte_of_fallback_token(text))
                fail(key("tokens") + ": element " + std::to_string(id) + " is " + in_quotes(text) +
                     ", and its type is that of a byte, as in \"<0x0A>\"");
            out_.vocabulary.push_back({std::move(text), id, score});
            return;
        case unknown:
        case control:
            out_.added.push_back({std::move(text), id, true, false});
            return;
        case unused:
            out_.unused.push_back({std::move(text), id, score});
            return;
        default:
            fail(key("token_type") + ": element " + std::to_string(id) + " is " + std::to_string(types_[i]) +
                 "; 1 … 6 are expected");
        }
    }

    void read_merges() {
        const auto merges = file_.required<std::vector<std::string_view>>("tokenizer.ggml.merges");
        out_.merges.reserve(merges.size());
        for (std::string_view merge : merges) {
            const std::size_t space = merge.find(' ');
            if (space == std::string_view::npos || merge.find(' ', space + 1) != std::string_view::npos)
                fail(key("merges") + ": element " + std::to_string(out_.merges.size()) + " is " + in_quotes(merge) +
                     "; two parts with one space between are expected");
            out_.merges.push_back({std::string(merge.substr(0, space)), std::string(merge.substr(space + 1))});
        }
    }

    /// A part of a merge, where a space within it is written Ġ (U+0120): that is its own character in a vocabulary of
    /// bytes alone.
    std::string with_spaces(std::string const& part) {
        if (part.find(byte_alphabet_space) == std::string::npos) return part;
        if (names_.entries().empty()) {
            for (std::size_t i = 0; i < tokens_.size(); ++i) names_.add(tokens_[i], i);
            names_.sort();
        }
        if (names_.find(part)) return part;
        return normalize(std::array<normalizer::step, 1>{normalizer::replace{std::string(byte_alphabet_space), " "}},
                         part);
    }

    void read_bos(bool adds_by_default) {
        out_.bos = file_.if_present<std::int32_t>("tokenizer.ggml.bos_token_id");
        out_.adds_bos = file_.if_present<bool>("tokenizer.ggml.add_bos_token").value_or(adds_by_default);
    }

    static constexpr char mark[] = "\u2581"; // ▁
    static constexpr std::string_view byte_alphabet_space = "\u0120";

    gguf_file const& file_;
    std::vector<std::string_view> tokens_;
    std::vector<std::int32_t> types_;
    name_index names_; // of tokens_, once asked for
    tokenizer_definition out_;
};

} // namespace detail

/// What the metadata of a GGUF file say of its tokenizer: tokenizer.huggingface.json where it is there, else
/// tokenizer.ggml.*. Control tokens are special, user-defined ones added.
/// Errors: format_error for a missing key, lists of unequal length, and what is not known here: a model but "gpt2" and
/// "llama", a value of `pre` (with those that are known), scores that are all the same without merges.
inline tokenizer_definition read_tokenizer(gguf_file const& file) { return detail::tokenizer_gguf_reader(file).read(); }

} // namespace bitlens
