#include "bitlens/text/pre_tokenizer.hpp"

#include "bitlens/io/gzip.hpp"
#include "bitlens/io/json.hpp"

#include <doctest/doctest.h>
#include <filesystem>
#include <forward_list>
#include <string>
#include <string_view>
#include <vector>

using namespace bitlens;

namespace {

using words = std::vector<std::string>;

words split(std::vector<pre_tokenizer::step> const& steps, std::string_view text, bool first = true) {
    words all;
    std::forward_list<std::string> rewritten;
    for_each_word(steps, text, first, rewritten, [&](std::string_view word) { all.emplace_back(word); });
    return all;
}
words gpt2(std::string_view text) { return split({split_rule::gpt2}, text); }
words qwen2_words(std::string_view text) { return split({split_rule::qwen2}, text); }
words llama3(std::string_view text) { return split({split_rule::llama3}, text); }
words tekken(std::string_view text) { return split({split_rule::tekken}, text); }
words o200k(std::string_view text) { return split({split_rule::o200k}, text); }
words smollm(std::string_view text) { return split({split_rule::single_digits, split_rule::gpt2}, text); }

} // namespace

// Expected by reading the patterns in split.hpp; the goldens test the rest.
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

TEST_CASE("llama3: up to three numbers") {
    CHECK(llama3("a 12345678 b") == words{"a", " ", "123", "456", "78", " b"});
    CHECK(llama3("\u00bd\u0663\u0664\u0665x") == words{"\u00bd\u0663\u0664", "\u0665", "x"});
    CHECK(llama3("it'S 1\n") == words{"it", "'S", " ", "1", "\n"});
    CHECK(llama3("//\n/x") == words{"//\n", "/x"});
    CHECK(llama3("a\n 1  2") == words{"a", "\n", " ", "1", " ", " ", "2"});
}

TEST_CASE("tekken: capitals, then small letters; letters without case and marks are both") {
    CHECK(tekken("fooBARBaz/HTTPServer//\n/x") == words{"foo", "BARBaz", "/HTTPServer", "//\n/", "x"});
    CHECK(tekken("ABc") == words{"ABc"});
    CHECK(tekken("aB") == words{"a", "B"});
    CHECK(tekken("I'LL don't") == words{"I", "'LL", " don", "'t"});
    CHECK(tekken("12") == words{"1", "2"});
    CHECK(tekken("\u4e2dABC") == words{"\u4e2d", "ABC"}); // capitals are given back up to one that may be small
    CHECK(tekken("AB\u4e2dCD") == words{"AB\u4e2d", "CD"});
    CHECK(tekken("AB\u4e2dCDe") == words{"AB\u4e2dCDe"});
    CHECK(tekken("\u0301AB") == words{"\u0301", "AB"}); // a mark that leads is small sooner than capitals go without
    CHECK(tekken("\u0301ab") == words{"\u0301ab"});
    CHECK(tekken("\u0301.") == words{"\u0301", "."});
    CHECK(tekken("!!\u0301a") == words{"!!\u0301", "a"});
    CHECK(tekken(" \u0301\u0301 x") == words{" \u0301\u0301", " x"});
    CHECK(tekken("\u01c5a\u02b0B") == words{"\u01c5a\u02b0", "B"}); // a titlecase letter is a capital
}

TEST_CASE("o200k: as tekken, with contractions after words and up to three numbers") {
    CHECK(o200k("don't DON'T 12345") == words{"don't", " DON'T", " ", "123", "45"});
    CHECK(o200k("'t x'llama's") == words{"'t", " x'll", "ama's"});
    CHECK(o200k("!'s") == words{"!'", "s"});
}

TEST_CASE("runs of digits") {
    CHECK(split({split_rule::digit_runs}, "on 17 May\u00bd2") == words{"on ", "17", " May", "\u00bd2"});
}

// Pieces of Hugging Face tokenizers 0.23.3; see tests/data/text/make_split_goldens.py.
TEST_CASE("every rule cuts as its regular expression does") {
    line_reader lines(std::filesystem::path(BITLENS_TEST_DATA) / "text" / "split_goldens.jsonl");
    std::size_t compared = 0;
    for (std::string_view line; lines.next(line); ++compared) {
        const json golden = parse_json(line, "split_goldens.jsonl");
        const auto text = golden.at("text").get<std::string>();
        CAPTURE(text);
        for (auto const& p : split_patterns) {
            if (p.regex.empty()) continue;
            CAPTURE(p.name);
            std::vector<std::size_t> sizes;
            for (auto const& word : split({p.rule}, text)) sizes.push_back(word.size());
            CHECK(sizes == golden.at(std::string(p.name)).get<std::vector<std::size_t>>());
        }
    }
    CHECK(compared >= 500);
}

TEST_CASE("a pattern that is not known is refused with its text") {
    for (auto const& p : split_patterns)
        if (!p.regex.empty()) CHECK(find_split_rule(p.regex) == p.rule);
    CHECK_THROWS_WITH_AS(find_split_rule("\\w+"),
                         doctest::Contains("the pattern\n  \\w+\nis not known; known are:\n  gpt2:"), option_error);
}

TEST_CASE("split_at: what becomes of the text where it cuts") {
    using pre_tokenizer::occurrence;
    const auto at = [](occurrence becomes, std::string_view text) {
        return split({pre_tokenizer::split_at{"--", becomes}}, text);
    };
    const std::string text = "--a----b---";
    CHECK(at(occurrence::isolated, text) == words{"--", "a", "--", "--", "b", "--", "-"});
    CHECK(at(occurrence::removed, text) == words{"a", "b", "-"});
    CHECK(at(occurrence::with_previous, text) == words{"--", "a--", "--", "b--", "-"});
    CHECK(at(occurrence::with_next, text) == words{"--a", "--", "--b", "---"});
    CHECK(at(occurrence::removed, "----") == words{});
    CHECK(at(occurrence::isolated, "") == words{});
}

TEST_CASE("metaspace: a mark for each space, and one before the text or before each piece") {
    using pre_tokenizer::metaspace, pre_tokenizer::prefix;
    const auto with = [](prefix before, bool splits, std::string_view text, bool first = true) {
        return split({metaspace{"_", before, splits}}, text, first);
    };
    CHECK(with(prefix::always, false, "a b") == words{"_a_b"});
    CHECK(with(prefix::always, false, " a b", false) == words{"_a_b"});
    CHECK(with(prefix::always, false, "_a") == words{"_a"});
    CHECK(with(prefix::first, false, "a b") == words{"_a_b"});
    CHECK(with(prefix::first, false, "a b", false) == words{"a_b"});
    CHECK(with(prefix::never, false, "a b") == words{"a_b"});
    CHECK(with(prefix::always, true, "a  b ") == words{"_a", "_", "_b", "_"});
    CHECK(with(prefix::never, true, "a b") == words{"a", "_b"});
    CHECK(with(prefix::always, true, "") == words{});
    // Only the piece that begins the text is the first.
    const pre_tokenizer::split_at comma{",", pre_tokenizer::occurrence::isolated};
    CHECK(split({comma, metaspace{"_", prefix::first, false}}, "a,b") == words{"_a", ",", "b"});
    CHECK(split({comma, metaspace{"_", prefix::always, false}}, "a,b") == words{"_a", "_,", "_b"});
}

TEST_CASE("a leading space, where there is none") {
    CHECK(split({pre_tokenizer::leading_space{}, split_rule::gpt2}, "a b") == words{" a", " b"});
    CHECK(split({pre_tokenizer::leading_space{}, split_rule::gpt2}, " a") == words{" a"});
    CHECK(split({split_rule::single_digits, pre_tokenizer::leading_space{}}, "a1") == words{" a", " 1"});
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
        for (std::string_view unit :
             {" ", "\n", "a", "A", "'", "\t", "\u3000", "\u0301", "1", " 1", "\u0301A", "\n/", " \n1"}) {
            std::string text;
            while (text.size() < n) text += unit;
            text += "b ";
            std::forward_list<std::string> rewritten;
            for_each_word(std::vector<pre_tokenizer::step>{p.rule}, text, true, rewritten,
                          [&](std::string_view) { ++words_found; });
        }
        CHECK(words_found > 0);
    }
}
