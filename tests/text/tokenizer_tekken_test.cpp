#include "bitlens/text/tokenizer_tekken.hpp"

#include "io/files.hpp"
#include "tiktoken_text.hpp"

#include <doctest/doctest.h>
#include <functional>
#include <string>
#include <string_view>
#include <variant>

using namespace bitlens;
using namespace bitlens::test;

namespace {

const std::string pattern(split_patterns[static_cast<std::size_t>(split_rule::tekken)].regex);

json list_of(std::vector<std::string> const& tokens) {
    json list = json::array();
    for (std::size_t i = 0; i < tokens.size(); ++i)
        list.push_back({{"rank", i}, {"token_bytes", base64_of(tokens[i])}, {"token_str", nullptr}});
    return list;
}

/// 30 special tokens and 258 others, of which the last is one more than is used.
json file() {
    return {{"config",
             {{"pattern", pattern},
              {"num_vocab_tokens", 259},
              {"default_vocab_size", 287},
              {"default_num_special_tokens", 30},
              {"version", "v3"}}},
            {"vocab", list_of(byte_tokens({"ab", "abc"}))}};
}
json file_of_words(std::string const& words) {
    json f = file();
    f.erase("vocab");
    f["bpe_ranks"] = words;
    return f;
}
std::string words_of(std::vector<std::string> const& tokens, std::size_t first = 0) {
    std::string words = "! " + std::to_string(first);
    for (auto const& token : tokens) words += " " + base64_of(token);
    return words;
}

tokenizer_definition read(json const& f) { return read_tekken(f, "tekken.json"); }
std::string refusal(std::function<void(json&)> const& spoil) {
    json f = file();
    spoil(f);
    return files::error_of([&] { read(f); });
}

void check(tokenizer_definition const& d) {
    REQUIRE(d.vocabulary.size() == 257);
    CHECK(d.vocabulary[0].text == std::string(1, '\0'));
    CHECK(d.vocabulary[0].id == 30);
    CHECK(d.vocabulary[256].text == "ab");
    CHECK(d.vocabulary[256].id == 286);
    REQUIRE(d.added.size() == 30);
    CHECK(d.added[0].text == "<unk>");
    CHECK(d.added[3].text == "[INST]");
    CHECK(d.added[19].text == "[TOOL_CONTENT]");
    CHECK(d.added[20].text == "<SPECIAL_20>");
    for (std::size_t i = 0; i < 30; ++i) {
        CHECK(d.added[i].id == static_cast<std::int32_t>(i));
        CHECK(d.added[i].special);
    }
    CHECK(d.bos == 1);
    CHECK(d.adds_bos);
    CHECK(d.spelling == token_spelling::bytes);
    CHECK(d.order == merge_order::by_id);
    CHECK(d.prefers_whole_words);
    CHECK(d.normalizer.empty());
    REQUIRE(d.pre_tokenizer.size() == 1);
    CHECK(std::get<split_rule>(d.pre_tokenizer[0]) == split_rule::tekken);
}

} // namespace

TEST_CASE("ids begin with the special tokens, and tokens beyond the size that is said are not used") {
    CHECK(is_tekken(file()));
    check(read(file()));
}

TEST_CASE("both layouts of the tokens give the same") {
    const auto tokens = byte_tokens({"ab", "abc"});
    CHECK(is_tekken(file_of_words(words_of(tokens))));
    check(read(file_of_words(words_of(tokens))));
    const std::vector<std::string> begin(tokens.begin(), tokens.begin() + 100),
        rest(tokens.begin() + 100, tokens.end());
    check(read(file_of_words(words_of(begin) + "\n" + words_of(rest, 100) + "\n")));
}

TEST_CASE("special tokens are those that the file lists, and of later files there must be a list") {
    json f = file();
    f["special_tokens"] = {{{"rank", 0}, {"token_str", "<a>"}, {"is_control", true}},
                           {{"rank", 1}, {"token_str", "<b>"}, {"is_control", true}},
                           {{"rank", 2}, {"token_str", "<s>"}, {"is_control", true}}};
    f["config"]["version"] = "v13";
    const auto d = read(f);
    CHECK(d.added.size() == 30);
    CHECK(d.added[1].text == "<b>");
    CHECK(d.added[3].text == "<SPECIAL_3>");
    CHECK(d.bos == 2);
    f["special_tokens"][2]["token_str"] = "<c>";
    CHECK_FALSE(read(f).bos);
    CHECK_FALSE(read(f).adds_bos);
    CHECK(refusal([](json& g) { g["config"]["version"] = "v13"; }) ==
          "tekken.json: there is no list special_tokens, which files of version \"v13\" need");
}

TEST_CASE("what contradicts itself is refused") {
    CHECK(refusal([](json& f) {
              f["config"]["pattern"] = "(a+)+$";
          }).starts_with("tekken.json: config: the pattern\n  (a+)+$\nis not known; known are:"));
    CHECK(refusal([](json& f) { f["config"].erase("pattern"); }) ==
          "tekken.json: config: the key \"pattern\" is missing");
    CHECK(refusal([](json& f) { f["config"]["default_vocab_size"] = 289; }) ==
          "tekken.json: 258 tokens were found; config says 259");
    CHECK(refusal([](json& f) { f["config"]["default_vocab_size"] = 30; }).find("the first must be greater") !=
          std::string::npos);
    CHECK(refusal([](json& f) { f["config"]["default_num_special_tokens"] = -1; }).find("neither negative") !=
          std::string::npos);
    CHECK(refusal([](json& f) {
              f["config"]["default_num_special_tokens"] = 10;
              f["config"]["default_vocab_size"] = 267;
          }) == "tekken.json: 20 special tokens were found; config says 10");
    CHECK(refusal([](json& f) { f["config"]["default_vocab_size"] = 130; }) ==
          "tekken.json: 156 of the 256 bytes are no tokens; all are expected");
    CHECK(refusal([](json& f) {
              f["config"]["default_vocab_size"] = 2147483647;
              f["config"]["default_num_special_tokens"] = 2147483646;
          }) == "tekken.json: config: default_num_special_tokens is 2147483646; at most 10000 are read");
    CHECK(refusal([](json& f) { f["vocab"][5]["rank"] = 6; }) ==
          "tekken.json: vocab[5]: the rank must be the place in the list");
    CHECK(refusal([](json& f) { f["vocab"][5]["token_bytes"] = "B"; }) ==
          "tekken.json: vocab[5]: token 5, \"B\", is no token in base64");
    CHECK(refusal([](json& f) { f["vocab"][5].erase("token_bytes"); }) ==
          "tekken.json: vocab[5]: the key \"token_bytes\" is missing");
    CHECK(refusal([](json& f) { f["vocab"] = 5; }) == "tekken.json: vocab: an array is expected");
    CHECK(refusal([](json& f) {
              f["special_tokens"] = {{{"rank", 1}, {"token_str", "<a>"}}};
          }) == "tekken.json: special_tokens[0]: the rank must be the place in the list");
    const auto words = [](std::string const& text) { return files::error_of([&] { read(file_of_words(text)); }); };
    CHECK(words("") == "tekken.json: 0 tokens were found; config says 257");
    CHECK(words("AA==") == "tekken.json: bpe_ranks: \"! 0\" is expected, \"AA==\" was found");
    CHECK(words("! 1 AA==") == "tekken.json: bpe_ranks: \"! 0\" is expected, \"1\" was found");
    CHECK(words("! 0 AA== ! 5") == "tekken.json: bpe_ranks: \"! 1\" is expected, \"5\" was found");
    CHECK(words("! 0 AA== ?") == "tekken.json: bpe_ranks: token 1, \"?\", is no token in base64");
}
