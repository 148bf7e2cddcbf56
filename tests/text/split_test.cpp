#include "bitlens/text/split.hpp"

#include <doctest/doctest.h>
#include <string>
#include <string_view>
#include <vector>

using namespace bitlens;

namespace {

using words = std::vector<std::string>;

words split(std::vector<split_rule> const& rules, std::string_view text) {
    words all;
    for_each_word(rules, text, [&](std::string_view word) { all.emplace_back(word); });
    return all;
}
words gpt2(std::string_view text) { return split({split_rule::gpt2}, text); }
words qwen2_words(std::string_view text) { return split({split_rule::qwen2}, text); }
words smollm(std::string_view text) { return split({split_rule::single_digits, split_rule::gpt2}, text); }

} // namespace

// Expected by reading the patterns in split.hpp; the goldens of the tokenizers test the rest.
TEST_CASE("gpt2: a word takes one space before it, the last of several") {
    CHECK(gpt2("") == words{});
    CHECK(gpt2("Hello world, it's 2024!") == words{"Hello", " world", ",", " it", "'s", " 2024", "!"});
    CHECK(gpt2("a   b") == words{"a", "  ", " b"});
    CHECK(gpt2("a\n\nb  ") == words{"a", "\n", "\n", "b", "  "});
    CHECK(gpt2("'S 'sx 'll") == words{"'", "S", " '", "sx", " '", "ll"});
    CHECK(gpt2("x'llama") == words{"x", "'ll", "ama"});
    CHECK(gpt2(" \u3000a") == words{" ", "\u3000", "a"});
}

TEST_CASE("qwen2: single numbers, any case, a line end ends spaces") {
    CHECK(qwen2_words("Hello world, it'S 20!") == words{"Hello", " world", ",", " it", "'S", " ", "2", "0", "!"});
    CHECK(qwen2_words("(foo)\n\nbar") == words{"(foo", ")\n\n", "bar"});
    CHECK(qwen2_words("a \n \n  b") == words{"a", " \n \n", " ", " b"});
    CHECK(qwen2_words("a\t\tb\r\n") == words{"a", "\t", "\tb", "\r\n"});
    CHECK(qwen2_words("\nx") == words{"\n", "x"});
    CHECK(qwen2_words("'\u017Fa 'VEx") == words{"'\u017F", "a", " '", "VEx"});
    CHECK(qwen2_words(" ...\n") == words{" ...\n"});
}

TEST_CASE("smollm: digits first, then gpt2 within what lies between") {
    CHECK(smollm("on 17 May") == words{"on", " ", "1", "7", " May"});
    CHECK(smollm("x  1") == words{"x", "  ", "1"});
    CHECK(smollm("\u00bd\u0661") == words{"\u00bd", "\u0661"});
}

TEST_CASE("words are the text, in order, under every rule") {
    std::string text;
    for (char32_t c = 0; c < 0x3000; ++c) append_utf8(text, c * 7919 % 0x3000);
    for (auto const& p : split_patterns) {
        std::string joined;
        for (auto const& word : split({p.rule}, text)) joined += word;
        CHECK(joined == text);
    }
    CHECK(split({}, "one word") == words{"one word"});
}

TEST_CASE("long runs take linear time") {
    const std::size_t n = 3'000'000;
    for (auto const& p : split_patterns) {
        CAPTURE(p.name);
        std::size_t words_found = 0;
        for (std::string_view unit : {" ", "\n", "a", "'", "\t", "\u3000"}) {
            std::string text;
            for (std::size_t i = 0; i < n; ++i) text += unit;
            text += "b ";
            for_each_word(std::vector{p.rule}, text, [&](std::string_view) { ++words_found; });
        }
        CHECK(words_found > 0);
    }
}
