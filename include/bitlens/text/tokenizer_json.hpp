#pragma once
/// Reads Hugging Face's tokenizer.json. What is not known is refused by name, never passed over.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/text/split.hpp"
#include "bitlens/text/tokenizer_definition.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// One reading of one tokenizer.json.
class tokenizer_json_reader {
public:
    tokenizer_json_reader(json const& file, std::string who) : file_(file) { out_.who = std::move(who); }

    tokenizer_definition read() {
        only(file_, "",
             {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
              "decoder", "model"});
        read_model(required_object(file_, "model", out_.who));
        read_added_tokens();
        for (json const* step : steps("normalizer", "normalizers")) read_normalizer(*step);
        read_pre_tokenizer(steps("pre_tokenizer", "pretokenizers"));
        for (json const* step : steps("post_processor", "processors")) read_post_processor(*step);
        for (json const* step : steps("decoder", "decoders")) check_decoder(*step);
        return std::move(out_);
    }

private:
    std::string where(std::string_view part) const {
        return part.empty() ? out_.who : out_.who + ": " + std::string(part);
    }
    [[noreturn]] void fail(std::string_view part, std::string const& reason) const {
        throw format_error(where(part) + ": " + reason);
    }
    std::string type(json const& step, std::string_view part) const {
        return required<std::string>(step, "type", where(part));
    }
    [[noreturn]] void refuse_type(json const& step, std::string_view part, std::string const& known) const {
        fail(part, "the type " + in_quotes(type(step, part)) + " is not known; known are: " + known);
    }
    void only(json const& object, std::string_view part, std::initializer_list<std::string_view> known) const {
        if (!object.is_object()) fail(part, std::string("an object is expected, ") + object.type_name() + " was found");
        for (auto const& [key, value] : object.items())
            if (!value.is_null() && std::find(known.begin(), known.end(), key) == known.end())
                fail(part, "the key " + in_quotes(key) + " is not known");
    }
    bool flag(json const& object, std::string_view key, std::string_view part, bool otherwise) const {
        return if_present<bool>(object, key, where(part)).value_or(otherwise);
    }

    /// file_[key] as a list of steps: nothing, one step, or what its `Sequence`s list under `list_key`.
    std::vector<json const*> steps(std::string_view key, std::string_view list_key) const {
        std::vector<json const*> found, open; // `open` has the next step last
        if (json const* const first = find_object(file_, key, out_.who)) open.push_back(first);
        while (!open.empty()) {
            json const& step = *open.back();
            open.pop_back();
            if (type(step, key) != "Sequence") {
                found.push_back(&step);
                continue;
            }
            json const* const list = find_value(step, list_key, where(key));
            if (!list || !list->is_array()) fail(key, "the Sequence has no array " + in_quotes(list_key));
            for (auto inner = list->rbegin(); inner != list->rend(); ++inner) open.push_back(&*inner);
        }
        return found;
    }

    void read_model(json const& model) {
        if (const auto found = if_present<std::string>(model, "type", where("model")); found != "BPE")
            fail("model", "the type " + in_quotes(found.value_or("")) + " is not known; known are: BPE");
        only(model, "model",
             {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
              "byte_fallback", "ignore_merges", "vocab", "merges"});
        if (if_present<double>(model, "dropout", where("model")).value_or(0) != 0)
            fail("model", "dropout makes ids a matter of chance and is not supported");
        for (std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"})
            if (!if_present<std::string>(model, key, where("model")).value_or("").empty())
                fail("model", std::string(key) + " is not supported");
        out_.byte_fallback = flag(model, "byte_fallback", "model", false);
        out_.fuses_unknown = flag(model, "fuse_unk", "model", false);
        out_.prefers_whole_words = flag(model, "ignore_merges", "model", false);
        json const& vocabulary = required_object(model, "vocab", where("model"));
        const std::string vocabulary_name = where("model.vocab");
        out_.vocabulary.reserve(vocabulary.size());
        for (auto const& [text, id] : vocabulary.items())
            out_.vocabulary.push_back({text, required<std::int32_t>(vocabulary, text, vocabulary_name)});
        if (const auto unknown = if_present<std::string>(model, "unk_token", where("model")))
            out_.unknown = id_of_unknown(*unknown);
        json const* const merges = find_value(model, "merges", where("model"));
        if (!merges || !merges->is_array()) fail("model", "there is no array \"merges\"");
        out_.merges.reserve(merges->size());
        for (json const& merge : *merges) read_merge(merge);
    }

    std::int32_t id_of_unknown(std::string const& text) const {
        for (auto const& t : out_.vocabulary)
            if (t.text == text) return t.id;
        fail("model", "unk_token is " + in_quotes(text) + ", which is not in the vocabulary");
    }

    /// "a b", or ["a", "b"].
    void read_merge(json const& merge) {
        if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
            out_.merges.push_back({merge[0].get<std::string>(), merge[1].get<std::string>()});
            return;
        }
        const std::string text = merge.is_string() ? merge.get<std::string>() : "";
        const std::size_t space = text.find(' ');
        if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
            fail("model", "merges[" + std::to_string(out_.merges.size()) +
                              "] is neither two parts with one space between nor an array of two strings");
        out_.merges.push_back({text.substr(0, space), text.substr(space + 1)});
    }

    void read_added_tokens() {
        json const* const list = find_value(file_, "added_tokens", out_.who);
        if (!list) return;
        if (!list->is_array()) fail("added_tokens", "an array is expected");
        for (std::size_t i = 0; i < list->size(); ++i) {
            json const& token = (*list)[i];
            const std::string part = "added_tokens[" + std::to_string(i) + "]";
            only(token, part, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
            const bool special = required<bool>(token, "special", where(part));
            out_.added.push_back({required<std::string>(token, "content", where(part)),
                                  required<std::int32_t>(token, "id", where(part)), special,
                                  flag(token, "normalized", part, !special), flag(token, "lstrip", part, false),
                                  flag(token, "rstrip", part, false), flag(token, "single_word", part, false)});
        }
    }

    void read_normalizer(json const& step) {
        constexpr std::string_view part = "normalizer";
        const std::string kind = type(step, part);
        if (kind == "NFC") {
            only(step, "normalizer NFC", {"type"});
            out_.normalizer.push_back(normalizer::compose{});
        } else if (kind == "Prepend") {
            only(step, "normalizer Prepend", {"type", "prepend"});
            out_.normalizer.push_back(normalizer::prepend{required<std::string>(step, "prepend", where(part))});
        } else if (kind == "Replace") {
            only(step, "normalizer Replace", {"type", "pattern", "content"});
            out_.normalizer.push_back(normalizer::replace{literal(step, "normalizer Replace"),
                                                          required<std::string>(step, "content", where(part))});
        } else {
            refuse_type(step, part, "NFC, Prepend, Replace, Sequence");
        }
    }

    /// The text that step.pattern stands for: a String, or a Regex without anything but letters, digits and spaces.
    std::string literal(json const& step, std::string const& part) const {
        json const& pattern = required_object(step, "pattern", where(part));
        only(pattern, part + " pattern", {"Regex", "String"});
        std::string text;
        if (const auto regex = if_present<std::string>(pattern, "Regex", where(part))) {
            const bool plain = std::none_of(regex->begin(), regex->end(), [](char c) {
                return std::string_view("\\^$.|?*+()[]{}&~#-").find(c) != std::string_view::npos;
            });
            if (!plain) fail(part, "the pattern " + in_quotes(*regex) + " is not supported; only plain text is");
            text = *regex;
        } else {
            text = required<std::string>(pattern, "String", where(part));
        }
        if (text.empty()) fail(part, "the pattern is empty");
        return text;
    }

    /// Steps that split or rewrite; where the last is ByteLevel, the vocabulary is one of bytes.
    void read_pre_tokenizer(std::vector<json const*> const& list) {
        constexpr std::string_view part = "pre_tokenizer";
        constexpr std::size_t most = 8; // no tokenizer has more than three
        if (list.size() > most) fail(part, std::to_string(list.size()) + " steps; at most 8 are read");
        out_.spelling = token_spelling::characters;
        for (json const* step : list) {
            const std::string kind = type(*step, part);
            if (kind == "ByteLevel" && step != list.back()) fail(part, "ByteLevel is not the last step");
            if (kind == "Digits")
                read_digits(*step);
            else if (kind == "Split")
                read_split(*step);
            else if (kind == "Metaspace")
                read_metaspace(*step);
            else if (kind == "ByteLevel")
                read_byte_level(*step);
            else
                refuse_type(*step, part, "Sequence, Digits, Split, Metaspace, ByteLevel");
        }
    }

    void read_digits(json const& step) {
        only(step, "pre_tokenizer Digits", {"type", "individual_digits"});
        out_.pre_tokenizer.push_back(required<bool>(step, "individual_digits", where("pre_tokenizer Digits"))
                                         ? split_rule::single_digits
                                         : split_rule::digit_runs);
    }

    void read_split(json const& step) {
        constexpr std::string_view part = "pre_tokenizer Split";
        only(step, part, {"type", "pattern", "behavior", "invert"});
        json const& pattern = required_object(step, "pattern", where(part));
        const auto behavior = required<std::string>(step, "behavior", where(part));
        const bool invert = flag(step, "invert", part, false);
        if (find_value(pattern, "String", where(part))) {
            if (invert) fail(part, "invert = true with a String is not supported");
            out_.pre_tokenizer.push_back(
                pre_tokenizer::split_at{literal(step, std::string(part)), occurrence(behavior)});
            return;
        }
        only(pattern, "pre_tokenizer Split pattern", {"Regex", "String"});
        const auto regex = required<std::string>(pattern, "Regex", where(part));
        // The patterns that are known leave nothing between their matches, so these two are one.
        if (behavior != "Isolated" && !(behavior == "Removed" && invert))
            fail(part, "the behavior " + in_quotes(behavior) + (invert ? " with" : " without") +
                           " invert is not known for a Regex; known are: Isolated, Removed with invert");
        try {
            out_.pre_tokenizer.push_back(find_split_rule(regex));
        } catch (option_error const& e) {
            fail(part, e.what());
        }
    }

    pre_tokenizer::occurrence occurrence(std::string const& behavior) const {
        using pre_tokenizer::occurrence;
        if (behavior == "Isolated") return occurrence::isolated;
        if (behavior == "Removed") return occurrence::removed;
        if (behavior == "MergedWithPrevious") return occurrence::with_previous;
        if (behavior == "MergedWithNext") return occurrence::with_next;
        fail("pre_tokenizer Split",
             "the behavior " + in_quotes(behavior) +
                 " is not known; known are: Isolated, Removed, MergedWithPrevious, MergedWithNext");
    }

    void read_metaspace(json const& step) {
        constexpr std::string_view part = "pre_tokenizer Metaspace";
        only(step, part, {"type", "replacement", "prepend_scheme", "add_prefix_space", "split", "str_rep"});
        const bool prefix_by_default = flag(step, "add_prefix_space", part, true);
        const std::string scheme = if_present<std::string>(step, "prepend_scheme", where(part))
                                       .value_or(prefix_by_default ? "always" : "never");
        pre_tokenizer::metaspace out{required<std::string>(step, "replacement", where(part)),
                                     pre_tokenizer::prefix::always, flag(step, "split", part, true)};
        if (out.mark.empty() || decode_utf8(out.mark).size != out.mark.size())
            fail(part, "the replacement is " + in_quotes(out.mark) + "; one character is expected");
        if (scheme == "first")
            out.before = pre_tokenizer::prefix::first;
        else if (scheme == "never")
            out.before = pre_tokenizer::prefix::never;
        else if (scheme != "always")
            fail(part, "the prepend_scheme " + in_quotes(scheme) + " is not known; known are: always, first, never");
        out_.pre_tokenizer.push_back(std::move(out));
    }

    void read_byte_level(json const& step) {
        constexpr std::string_view part = "pre_tokenizer ByteLevel";
        only(step, part, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
        out_.spelling = token_spelling::alphabet;
        if (flag(step, "add_prefix_space", part, true)) out_.pre_tokenizer.push_back(pre_tokenizer::leading_space{});
        if (flag(step, "use_regex", part, true)) out_.pre_tokenizer.push_back(split_rule::gpt2);
    }

    /// Decoding turns encoding round, whatever the file says of it; but what it says must be of that kind.
    void check_decoder(json const& step) const {
        const std::string kind = type(step, "decoder");
        for (std::string_view known : {"ByteLevel", "Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"})
            if (kind == known) return;
        refuse_type(step, "decoder", "ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, Sequence");
    }

    void read_post_processor(json const& step) {
        constexpr std::string_view part = "post_processor";
        const std::string kind = type(step, part);
        if (kind == "ByteLevel") return; // it changes offsets, which do not exist here
        if (kind != "TemplateProcessing") refuse_type(step, part, "Sequence, ByteLevel, TemplateProcessing");
        json const* const single = find_value(step, "single", where(part));
        if (!single || !single->is_array()) fail(part, "there is no array \"single\"");
        for (json const& piece : *single) {
            if (find_value(piece, "Sequence", where(part))) return; // what follows the text is not ours to add
            json const& special = required_object(piece, "SpecialToken", where(part));
            add_leading_token(step, required<std::string>(special, "id", where(part)));
        }
        fail(part, "\"single\" has no Sequence");
    }

    void add_leading_token(json const& step, std::string const& name) {
        constexpr std::string_view part = "post_processor";
        json const& all = required_object(step, "special_tokens", where(part));
        json const& token = required_object(all, name, where("post_processor special_tokens"));
        const auto ids = required<std::vector<std::int32_t>>(token, "ids", where(part));
        if (ids.size() != 1 || out_.adds_bos) fail(part, "more than one token before the text is not supported");
        out_.bos = ids[0];
        out_.adds_bos = true;
    }

    json const& file_;
    tokenizer_definition out_;
};

} // namespace detail

/// What a tokenizer.json says. `who` is its name in messages. `truncation` and `padding` are passed over: they are
/// settings of a batch. Errors: format_error for a missing key, a value of the wrong type, and everything that is not
/// known here: a step of normalizer or pre-tokenizer, a split pattern (quoted, with those that are known), a model but
/// BPE, an option that would change ids.
inline tokenizer_definition read_tokenizer(json const& file, std::string who) {
    return detail::tokenizer_json_reader(file, std::move(who)).read();
}

} // namespace bitlens
