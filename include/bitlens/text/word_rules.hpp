#pragma once
/// How a text becomes words, for files that give it a name or leave it to the program that reads them.

#include "bitlens/text/normalizer.hpp"
#include "bitlens/text/pre_tokenizer.hpp"
#include "bitlens/text/split.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

struct word_rules {
    std::vector<normalizer::step> normalizer;
    std::vector<pre_tokenizer::step> pre_tokenizer;
    bool prefers_whole_words = false; // where tokens are merged by a list
};

namespace detail {

/// The names that GGUF files use, in tokenizer.ggml.pre; what they mean comes from the model families' own files.
struct named_word_rules {
    std::string_view name;
    split_rule split;
    bool single_digits, composes, prefers_whole_words;
};
inline constexpr std::array<named_word_rules, 9> known_word_rules{{
    {"gpt-2", split_rule::gpt2, false, false, false},
    {"olmo", split_rule::gpt2, false, false, false},
    {"smollm", split_rule::gpt2, true, false, false},
    {"llama-bpe", split_rule::llama3, false, false, true},
    {"llama3", split_rule::llama3, false, false, true},
    {"llama-v3", split_rule::llama3, false, false, true},
    {"dbrx", split_rule::llama3, false, false, false},
    {"qwen2", split_rule::qwen2, false, true, false},
    {"tekken", split_rule::tekken, false, false, true},
}};

} // namespace detail

/// The rules of a name, or nothing where it is not known.
inline std::optional<word_rules> find_word_rules(std::string_view name) {
    for (auto const& known : detail::known_word_rules) {
        if (known.name != name) continue;
        word_rules rules;
        if (known.composes) rules.normalizer.push_back(normalizer::compose{});
        if (known.single_digits) rules.pre_tokenizer.push_back(split_rule::single_digits);
        rules.pre_tokenizer.push_back(known.split);
        rules.prefers_whole_words = known.prefers_whole_words;
        return rules;
    }
    return std::nullopt;
}

/// "gpt-2, olmo, …".
inline std::string word_rule_names() {
    std::string names;
    for (auto const& known : detail::known_word_rules) names += (names.empty() ? "" : ", ") + std::string(known.name);
    return names;
}

} // namespace bitlens
