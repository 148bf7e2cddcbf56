#pragma once
/// How a text becomes words, for files that leave it to the program that reads them.

#include "bitlens/text/normalizer.hpp"
#include "bitlens/text/pre_tokenizer.hpp"
#include "bitlens/text/tokenizer_gguf.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

struct word_rules {
    std::vector<normalizer::step> normalizer;
    std::vector<pre_tokenizer::step> pre_tokenizer;
};

/// Those that GGUF files give a name, in tokenizer.ggml.pre.
/// Errors: format_error in the name of `who` for another name, with those that are known.
inline word_rules find_word_rules(std::string_view name, std::string const& who) {
    detail::gguf_pre const& pre = detail::find_gguf_pre(name, who);
    word_rules rules;
    if (pre.composes) rules.normalizer.push_back(normalizer::compose{});
    rules.pre_tokenizer.assign(pre.splits.begin(), pre.splits.end());
    return rules;
}

} // namespace bitlens
