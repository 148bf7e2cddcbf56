#include "bitlens/text/tokenizer_tiktoken.hpp"

#include "io/files.hpp"
#include "tiktoken_text.hpp"

#include <doctest/doctest.h>
#include <string>
#include <string_view>
#include <variant>

using namespace bitlens;
using bitlens::test::base64_of;
using bitlens::test::tiktoken_text;

namespace {

const word_rules rules{{normalizer::compose{}}, {split_rule::qwen2}, false};

tokenizer_definition read_ranks(std::string const& text, word_rules const* with = &rules) {
    return read_tiktoken(as_bytes(text), "x.model", with);
}

} // namespace

TEST_CASE("a line gives a token's bytes and its rank, which is its id") {
    const auto d = read_ranks(tiktoken_text({"ab", " the"}));
    REQUIRE(d.vocabulary.size() == 258);
    for (unsigned b = 0; b < 256; ++b) {
        CHECK(d.vocabulary[b].text == std::string(1, static_cast<char>(static_cast<unsigned char>(b))));
        CHECK(d.vocabulary[b].id == static_cast<std::int32_t>(b));
    }
    CHECK(d.vocabulary[256].text == "ab");
    CHECK(d.vocabulary[257].text == " the");
    CHECK(d.spelling == token_spelling::bytes);
    CHECK(d.order == merge_order::by_id);
    CHECK(d.prefers_whole_words);
    CHECK(d.added.empty());
    CHECK_FALSE(d.bos);
    CHECK(d.normalizer.size() == 1);
    REQUIRE(d.pre_tokenizer.size() == 1);
    CHECK(std::get<split_rule>(d.pre_tokenizer[0]) == split_rule::qwen2);
}

TEST_CASE("line ends of Windows, blank lines and a last line without an end change nothing") {
    std::string text = tiktoken_text({"ab"});
    const auto expected = read_ranks(text).vocabulary.size();
    std::string other = "\n";
    for (const char c : text) other += c == '\n' ? std::string("\r\n\r\n") : std::string(1, c);
    CHECK(read_ranks(other).vocabulary.size() == expected);
    text.pop_back();
    CHECK(read_ranks(text).vocabulary.size() == expected);
}

TEST_CASE("a file of which nothing more is known asks for rules") {
    CHECK_REFUSED(read_ranks(tiktoken_text({"ab"}), nullptr),
                  "x.model: a tiktoken file of 257 tokens says neither how words are split nor which tokens are "
                  "special, and this is none of those of which that is known (Llama 3, cl100k_base",
                  "tokenizer.ggml.pre");
}

TEST_CASE("lines that are none are refused with their number") {
    const auto refused = [](std::string const& more) {
        return files::error_of([&] { read_ranks(tiktoken_text({}) + more); });
    };
    CHECK(refused("YWI=\n") ==
          "x.model: line 257: a token in base64, a space and a rank are expected, \"YWI=\" was found");
    CHECK(refused("YWI 256\n") == "x.model: line 257: \"YWI\" is no token in base64");
    CHECK(refused(" 256\n") == "x.model: line 257: \"\" is no token in base64");
    CHECK(refused("YWI= 255\n") == "x.model: line 257: the rank 256 is expected, \"255\" was found");
    CHECK(refused("YWI= 257\n") == "x.model: line 257: the rank 256 is expected, \"257\" was found");
    CHECK(refused("YWI= 0256\n") == "x.model: line 257: the rank 256 is expected, \"0256\" was found");
    CHECK(refused("YWI= 256 \n") == "x.model: line 257: the rank 256 is expected, \"256 \" was found");
    CHECK(refused("YWI= -1\n") == "x.model: line 257: the rank 256 is expected, \"-1\" was found");
    CHECK(files::error_of([] { read_ranks("AA== 0\n"); }) ==
          "x.model: 255 of the 256 bytes are no tokens; all are expected");
    CHECK(files::error_of([] { read_ranks(""); }) == "x.model: 256 of the 256 bytes are no tokens; all are expected");
}

TEST_CASE("such a file is told from others by its first line") {
    for (const std::string_view text : {"IQ== 0", "IQ== 0\n", "IQ== 0\r\nIg== 1\r\n", "AAAA 0\n", "\n\r\nIQ== 0\n"})
        CHECK(is_tiktoken(text));
    for (const std::string_view text :
         {"", "\n", "IQ==", "IQ== 1\n", "IQ= 0\n", " 0\n", "\x0A\x0E\x0A\x05<unk>", "{\"a\": 0}"})
        CHECK_FALSE(is_tiktoken(text));
}
