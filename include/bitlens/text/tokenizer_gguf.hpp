#pragma once
/// Reads the tokenizer of a GGUF file from its metadata.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/text/split.hpp"
#include "bitlens/text/tokenizer_definition.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// What a value of tokenizer.ggml.pre stands for. The file holds the name alone, so normalization and the policy for
/// the beginning of text come from the model family's own tokenizer.json.
struct gguf_pre {
    std::string_view name;
    std::vector<split_rule> splits;
    bool composes, adds_bos;
};

inline gguf_pre const& find_gguf_pre(std::string_view name, std::string const& who) {
    static const std::array<gguf_pre, 2> known{{
        {"smollm", {split_rule::single_digits, split_rule::gpt2}, false, false},
        {"qwen2", {split_rule::qwen2}, true, false},
    }};
    std::string names;
    for (gguf_pre const& pre : known) {
        if (pre.name == name) return pre;
        names += (names.empty() ? "" : ", ") + std::string(pre.name);
    }
    throw format_error(who + ": key \"tokenizer.ggml.pre\": " + in_quotes(name) + " is not known; known are: " + names);
}

/// Sorts a token by the kind that the file gives it: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused.
inline void add_gguf_token(tokenizer_definition& out, std::string_view text, std::int32_t id, std::int32_t type) {
    switch (type) {
    case 1:
        out.vocabulary.push_back({std::string(text), id});
        return;
    case 2:
    case 3:
        out.added.push_back({std::string(text), id, true, false});
        return;
    case 4:
        out.added.push_back({std::string(text), id, false, false});
        return;
    case 5:
        out.unused.push_back({std::string(text), id});
        return;
    default:
        throw format_error(out.who + ": key \"tokenizer.ggml.token_type\": element " + std::to_string(id) + " is " +
                           std::to_string(type) + "; 1 … 5 are expected (6 belongs to SentencePiece)");
    }
}

} // namespace detail

/// What tokenizer.ggml.* of a GGUF file says. Control tokens are special, user-defined ones added.
/// Errors: format_error for a missing key, lists of unequal length, and what is not known here: a model but "gpt2", a
/// value of `pre` (with those that are known), a space before the text.
inline tokenizer_definition read_tokenizer(gguf_file const& file) {
    tokenizer_definition out;
    out.who = file.path().string();
    const auto model = file.required<std::string>("tokenizer.ggml.model");
    if (model != "gpt2")
        throw format_error(out.who + ": key \"tokenizer.ggml.model\": " + in_quotes(model) +
                           " is not known; known are: gpt2 (byte-level BPE)");
    detail::gguf_pre const& pre = detail::find_gguf_pre(file.required<std::string>("tokenizer.ggml.pre"), out.who);
    out.pre_tokenizer.assign(pre.splits.begin(), pre.splits.end());
    if (pre.composes) out.normalizer.push_back(normalizer::compose{});
    if (file.if_present<bool>("tokenizer.ggml.add_space_prefix").value_or(false))
        throw format_error(out.who + ": key \"tokenizer.ggml.add_space_prefix\": true is not supported");

    const auto tokens = file.required<std::vector<std::string_view>>("tokenizer.ggml.tokens");
    const auto types = file.required<std::vector<std::int32_t>>("tokenizer.ggml.token_type");
    if (types.size() != tokens.size())
        throw format_error(out.who + ": tokenizer.ggml.tokens has " + std::to_string(tokens.size()) +
                           " elements and tokenizer.ggml.token_type " + std::to_string(types.size()));
    for (std::size_t i = 0; i < tokens.size(); ++i)
        detail::add_gguf_token(out, tokens[i], static_cast<std::int32_t>(i),
                               types[i]); // arrays have at most 2³⁰ elements

    const auto merges = file.required<std::vector<std::string_view>>("tokenizer.ggml.merges");
    out.merges.reserve(merges.size());
    for (std::string_view merge : merges) {
        const std::size_t space = merge.find(' ');
        if (space == std::string_view::npos || merge.find(' ', space + 1) != std::string_view::npos)
            throw format_error(out.who + ": key \"tokenizer.ggml.merges\": element " +
                               std::to_string(out.merges.size()) + " is " + in_quotes(merge) +
                               "; two parts with one space between are expected");
        out.merges.push_back({std::string(merge.substr(0, space)), std::string(merge.substr(space + 1))});
    }
    out.bos = file.if_present<std::int32_t>("tokenizer.ggml.bos_token_id");
    out.adds_bos = file.if_present<bool>("tokenizer.ggml.add_bos_token").value_or(pre.adds_bos);
    return out;
}

} // namespace bitlens
