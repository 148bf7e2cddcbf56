#include "bitlens/text/tokenizer.hpp"

#include "bitlens/io/gzip.hpp"

#include <doctest/doctest.h>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using namespace bitlens;

namespace {

using ids = std::vector<std::int32_t>;

const std::filesystem::path text_data = std::filesystem::path(BITLENS_TEST_DATA) / "text";

json tiny_file(std::string const& name) {
    const mapped_file file(text_data / name);
    return parse_json(as_text(file.bytes()), name);
}
tokenizer tiny(std::string const& name) { return tokenizer::from_json(text_data / ("tiny_" + name + ".json")); }

template <class OnLine>
void for_each_golden(OnLine on_line) {
    line_reader lines(text_data / "goldens.jsonl");
    for (std::string_view line; lines.next(line);) on_line(parse_json(line, "goldens.jsonl"));
}

/// The message of the error that a change of tiny_qwen2.json causes; empty if there is none.
std::string refusal_of_tiny(std::function<void(json&)> const& change) {
    json file = tiny_file("tiny_qwen2.json");
    change(file);
    try {
        tokenizer::from_json(file, "FILE");
    } catch (format_error const& e) {
        return e.what();
    }
    return "";
}

} // namespace

TEST_CASE("ids equal those of Hugging Face tokenizers") {
    for (std::string name : {"smollm", "qwen2", "whole_words"}) {
        const tokenizer t = tiny(name);
        std::size_t compared = 0;
        for_each_golden([&](json const& golden) {
            json const& expected = golden.at(name);
            const auto text = golden.at("text").get<std::string>();
            CAPTURE(name);
            CAPTURE(text);
            CHECK(t.encode(text) == expected.at("plain").get<ids>());
            CHECK(t.encode(text, true) == expected.value("special", expected.at("plain")).get<ids>());
            ++compared;
        });
        CHECK(compared > 300);
    }
}

TEST_CASE("decoding gives the text back, composed where the tokenizer composes") {
    const tokenizer all_bytes = tiny("whole_words"), composing = tiny("qwen2");
    for_each_golden([&](json const& golden) {
        const auto text = golden.at("text").get<std::string>();
        CHECK(all_bytes.decode(all_bytes.encode(text)) == text);
        CHECK(compose_nfc(composing.decode(composing.encode(text, true))) == compose_nfc(text));
    });
}

TEST_CASE("special tokens are text unless asked for") {
    const tokenizer t = tiny("smollm");
    CHECK(t.special_tokens() == ids{0, 1, 2});
    CHECK(t.encode("<|im_start|>", true) == ids{1});
    CHECK(t.encode("<|im_start|>").size() > 1);
    CHECK(t.decode(t.encode("a<|im_start|>b")) == "a<|im_start|>b");
    CHECK(t.token_bytes(1) == "<|im_start|>");
}

TEST_CASE("what the file says of the beginning of text") {
    const tokenizer qwen2 = tiny("qwen2"), smollm = tiny("smollm");
    REQUIRE(qwen2.bos().has_value());
    CHECK(qwen2.token_bytes(*qwen2.bos()) == "<|im_start|>");
    CHECK(qwen2.adds_bos()); // by its template
    CHECK(!smollm.bos().has_value());
    CHECK(!smollm.adds_bos());
    const tokenizer named = tokenizer::from_json(text_data / "tiny_smollm.json", 1);
    CHECK(named.bos() == 1);
    CHECK(!named.adds_bos());
    CHECK_THROWS_AS(tokenizer::from_json(text_data / "tiny_smollm.json", 100'000), format_error);
}

TEST_CASE("the description counts what a reader should know") {
    CHECK(tiny("smollm").description() ==
          "byte-level BPE, 600 tokens (3 special, 0 added, 0 unused), 344 merges; words split by single digits, then "
          "gpt2; no normalization; 3 bytes without a token, dropped; no beginning of text");
    CHECK(tiny("qwen2").description().find("; NFC; beginning of text <|im_start|> (") != std::string::npos);
    CHECK(tiny("whole_words").description().find("split by gpt2; no normalization; whole words first") !=
          std::string::npos);
}

TEST_CASE("ids that do not exist, text that is not UTF-8") {
    const tokenizer t = tiny("smollm");
    CHECK(t.vocabulary_size() == 600);
    CHECK_THROWS_AS(t.token_bytes(600), format_error);
    CHECK_THROWS_AS(t.token_bytes(-1), format_error);
    CHECK(t.text_of(1) == "<|im_start|>");
    CHECK(t.text_of(600) == "<id 600>");
    CHECK((t.has_token(0) && t.has_token(599) && !t.has_token(600) && !t.has_token(-1)));
    CHECK((t.token_count() == 600 && t.tokens_below(0) == 0 && t.tokens_below(3) == 3));
    CHECK((t.tokens_below(600) == 600 && t.tokens_below(std::size_t{1} << 40) == 600));
    CHECK_THROWS_AS(t.decode(ids{1, 2, 9999}), format_error);
    CHECK_THROWS_WITH_AS(t.encode("ab\xff"), "text is not UTF-8 at byte 2", format_error);
    CHECK_THROWS_AS(t.encode("\xed\xa0\x80"), format_error); // a surrogate
    CHECK_THROWS_AS(t.encode("\xc3"), format_error);         // cut
    CHECK(t.encode("") == ids{});
    CHECK(t.encode(std::string_view("\0", 1)).size() <= 1);
}

TEST_CASE("adversarial texts take time linear in their length") {
    const std::size_t n = 400'000;
    for (std::string name : {"smollm", "qwen2", "whole_words"}) {
        const tokenizer t = tiny(name);
        for (std::string unit : {"a", " ", "\n", "'", "7", "<", "<|im_start|", "e\u0301", "\u0323\u0301"}) {
            CAPTURE(name);
            CAPTURE(unit);
            std::string text;
            while (text.size() < n) text += unit;
            const ids found = t.encode(text);
            CHECK(!found.empty());
            CHECK(found.size() <= text.size());
            if (name == "whole_words") CHECK(t.decode(found) == text);
        }
    }
}

TEST_CASE("threads may share a tokenizer") {
    const tokenizer t = tiny("qwen2");
    std::vector<std::string> texts;
    std::vector<ids> alone;
    for_each_golden([&](json const& golden) {
        texts.push_back(golden.at("text").get<std::string>());
        alone.push_back(t.encode(texts.back()));
    });
    std::vector<ids> together(2 * texts.size());
    const auto encode_half = [&](std::size_t half) {
        for (std::size_t i = 0; i < texts.size(); ++i) together[half * texts.size() + i] = t.encode(texts[i]);
    };
    std::thread first(encode_half, 0), second(encode_half, 1);
    first.join();
    second.join();
    for (std::size_t i = 0; i < together.size(); ++i) CHECK(together[i] == alone[i % alone.size()]);
}

TEST_CASE("tokenizer.json: what contradicts itself is refused by name") {
    const auto says = [](std::string const& words, std::function<void(json&)> const& change) {
        const std::string found = refusal_of_tiny(change);
        CAPTURE(found);
        CAPTURE(words);
        CHECK(found.rfind("FILE: ", 0) == 0);
        CHECK(found.find(words) != std::string::npos);
    };
    CHECK(refusal_of_tiny([](json&) {}) == "");
    says("model: merges", [](json& f) { f["model"]["merges"][3] = "a b c"; });
    says("model: merges", [](json& f) { f["model"]["merges"][3] = 5; });
    says("merges[2]: \"zzz\" is not a token", [](json& f) { f["model"]["merges"][2] = {"zzz", "a"}; });
    says("join the same pair", [](json& f) { f["model"]["merges"][9] = f["model"]["merges"][4]; });
    says("two tokens have the id 7", [](json& f) { f["model"]["vocab"]["!"] = 7; });
    says("has the id -1", [](json& f) { f["model"]["vocab"]["!"] = -1; });
    says("model.vocab", [](json& f) { f["model"]["vocab"]["!"] = 4294967296; });
    says("model.vocab", [](json& f) { f["model"]["vocab"]["!"] = "0"; });
    says("not in the byte alphabet", [](json& f) { f["model"]["vocab"]["\u20ac"] = 5000; });
    says("\"vocab\" is missing", [](json& f) { f["model"].erase("vocab"); });
    says("no array \"merges\"", [](json& f) { f["model"].erase("merges"); });
    says("\"model\" is missing", [](json& f) { f.erase("model"); });
    says("is there twice", [](json& f) { f["added_tokens"][0]["id"] = 700, f["added_tokens"][1]["content"] = "!"; });
    says("two tokens have the id", [](json& f) { f["added_tokens"][0]["id"] = f["added_tokens"][1]["id"]; });
    says("at most 1024", [](json& f) { f["added_tokens"][0]["content"] = std::string(2000, 'x'); });
    says("no token has the id 9999",
         [](json& f) { f["post_processor"]["processors"][1]["special_tokens"]["<|im_start|>"]["ids"] = {9999}; });
}

TEST_CASE("tokenizer.json: what is not known is refused with its text and what is known") {
    const auto says = [](std::string const& words, std::function<void(json&)> const& change) {
        const std::string found = refusal_of_tiny(change);
        CAPTURE(found);
        CHECK(found.find(words) != std::string::npos);
    };
    const auto split = [](json& f) -> json& { return f["pre_tokenizer"]["pretokenizers"][0]; };
    says("\\w+|\\s+\nis not known; known are:\n  gpt2: 's|'t|",
         [&](json& f) { split(f)["pattern"]["Regex"] = "\\w+|\\s+"; });
    says("the behavior \"Removed\"", [&](json& f) { split(f)["behavior"] = "Removed"; });
    says("the key \"Glob\" is not known", [&](json& f) { split(f)["pattern"] = {{"Glob", " "}}; });
    says("the behavior \"Contiguous\"", [&](json& f) {
        split(f)["pattern"] = {{"String", " "}};
        split(f)["behavior"] = "Contiguous";
    });
    says("invert = true with a String", [&](json& f) {
        split(f)["pattern"] = {{"String", " "}};
        split(f)["invert"] = true;
    });
    says("pre_tokenizer Split: the pattern is empty", [&](json& f) { split(f)["pattern"] = {{"String", ""}}; });
    says("the type \"Whitespace\" is not known; known are: Sequence, Digits", [&](json& f) {
        split(f) = {{"type", "Whitespace"}};
    });
    const json metaspace = {{"type", "Metaspace"}, {"replacement", "_"}};
    says("the prepend_scheme \"last\" is not known; known are: always", [&](json& f) {
        split(f) = metaspace;
        split(f)["prepend_scheme"] = "last";
    });
    says("one character is expected", [&](json& f) {
        split(f) = metaspace;
        split(f)["replacement"] = "__";
    });
    says("ByteLevel is not the last step", [&](json& f) {
        f["pre_tokenizer"]["pretokenizers"].push_back({{"type", "Digits"}, {"individual_digits", true}});
    });
    says("individual_digits", [&](json& f) { split(f) = {{"type", "Digits"}}; });
    says("9 steps", [&](json& f) { f["pre_tokenizer"]["pretokenizers"] = json::array_t(9, split(f)); });
    says("the type \"NFKC\" is not known; known are: NFC", [](json& f) { f["normalizer"]["type"] = "NFKC"; });
    says("normalizer Replace: the pattern \" {2,}\" is not supported", [](json& f) {
        f["normalizer"] = {{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", "_"}};
    });
    says("key \"prepend\"", [](json& f) { f["normalizer"] = {{"type", "Prepend"}, {"prepend", 1}}; });
    says("unk_token is \"nowhere\", which is not in the vocabulary",
         [](json& f) { f["model"]["unk_token"] = "nowhere"; });
    says("no array \"normalizers\"", [](json& f) { f["normalizer"]["type"] = "Sequence"; });
    says("the type \"Unigram\" is not known", [](json& f) { f["model"]["type"] = "Unigram"; });
    says("dropout", [](json& f) { f["model"]["dropout"] = 0.1; });
    says("end_of_word_suffix", [](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; });
    says("the key \"speed\" is not known", [](json& f) { f["model"]["speed"] = 1; });
    says("lstrip", [](json& f) { f["added_tokens"][0]["lstrip"] = 1; });
    says("the type \"WordPiece\"", [](json& f) { f["decoder"]["type"] = "WordPiece"; });
    says("the type \"RobertaProcessing\"", [](json& f) { f["post_processor"] = {{"type", "RobertaProcessing"}}; });
    // With a token for each byte, what happens to unknown ones does not matter; without, it does.
    CHECK(refusal_of_tiny([](json& f) { f["model"]["unk_token"] = "!"; }) == "");
    json smollm = tiny_file("tiny_smollm.json");
    smollm["model"]["byte_fallback"] = true;
    CHECK_THROWS_WITH_AS(tokenizer::from_json(smollm, "FILE"), doctest::Contains("byte_fallback is set and 3 bytes"),
                         format_error);
    CHECK(refusal_of_tiny([](json& f) {
              f["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}}}};
          }) == "");
}

namespace {

/// Characters, "▁" for spaces, tokens of three bytes, and merges: ▁ a → ▁a, ▁a b → ▁ab, a b → ab.
json small_characters() {
    return parse_json(R"({
        "added_tokens": [{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true},
                         {"id": 20, "content": "<u>", "special": false, "normalized": false}],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
            "vocab": {"<unk>": 0, "<s>": 1, "<0xC3>": 2, "<0xA9>": 3, "<0x0A>": 4, "▁": 5, "a": 6, "b": 7, "▁a": 8,
                      "▁ab": 9, "ab": 10},
            "merges": ["▁ a", ["▁a", "b"], "a b"]}})",
                      "small");
}

} // namespace

TEST_CASE("characters: merged as listed, bytes where there is no token, and what is unknown once for a run") {
    const tokenizer t = tokenizer::from_json(small_characters(), "FILE");
    CHECK(t.encode("ab a") == ids{9, 8});
    CHECK(t.encode(" b") == ids{5, 5, 7});
    CHECK(t.encode("\u00e9\n") == ids{5, 2, 3, 4}); // é is C3 A9
    CHECK(t.encode("axyza") == ids{8, 0, 6});
    CHECK(t.encode("x\u00e9ya") == ids{5, 2, 3, 0, 6}); // as the reference does: what it owes, it writes before a token
    CHECK(t.encode("") == ids{});
    CHECK(t.encode("<unk>") == ids{5, 0});     // special tokens are text, and of this no character is known
    CHECK(t.encode("a<u>a") == ids{8, 20, 8}); // a space before each piece
    CHECK(t.encode_with_bos("a") == ids{1, 8});
    CHECK(t.token_bytes(8) == " a");
    CHECK(t.token_bytes(3) == "\xa9");
    CHECK(t.token_bytes(0) == "<unk>");
    for (std::string_view text : {"ab a", " b", "  ", "\u00e9\n", "a<u>a b<u> <u><u>ab", ""})
        CHECK(t.decode(t.encode(text)) == text);
    CHECK(t.decode(t.encode_with_bos("ab a")) == "<s>ab a");
    CHECK(t.description() ==
          "BPE of characters, 12 tokens (2 special, 1 added, 0 unused), 3 merges; words split by "
          "nothing; \u2581 before, \" \" \u2192 \u2581; bytes of unknown characters; beginning of text "
          "<s> (1), added");
}

TEST_CASE("unknown characters: one id each where they are not fused, none where no token stands for them") {
    json file = small_characters();
    file["model"]["fuse_unk"] = false;
    CHECK(tokenizer::from_json(file, "FILE").encode("axyza") == ids{8, 0, 0, 0, 6});
    file["model"]["byte_fallback"] = false;
    CHECK(tokenizer::from_json(file, "FILE").encode("\u00e9") == ids{5, 0});
    CHECK(tokenizer::from_json(file, "FILE").token_bytes(3) == "<0xA9>");
    file["model"].erase("unk_token");
    CHECK(tokenizer::from_json(file, "FILE").encode("a\u00e9xa") == ids{8, 6});
}

TEST_CASE("Metaspace puts the space before each piece, before the text, or nowhere") {
    const auto with = [](std::string const& scheme, bool split) {
        json file = small_characters();
        file["normalizer"] = nullptr;
        file["pre_tokenizer"] = {
            {"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", scheme}, {"split", split}};
        return tokenizer::from_json(file, "FILE");
    };
    for (const bool split : {false, true}) {
        CHECK(with("always", split).encode("a<u>a") == ids{8, 20, 8});
        CHECK(with("first", split).encode("a<u>a") == ids{8, 20, 6});
        CHECK(with("never", split).encode("a<u> a") == ids{6, 20, 8});
        CHECK(with("always", split).decode(ids{1, 8, 20, 8}) == "<s>a<u>a");
        CHECK(with("first", split).decode(ids{1, 8, 20, 8}) == "<s>a<u> a");
        CHECK(with("never", split).decode(ids{1, 8, 20, 8}) == "<s> a<u> a");
        CHECK(with("first", split).encode(" a") == ids{8}); // it begins with one
    }
}

TEST_CASE("a space before the text of a byte-level tokenizer") {
    json file = tiny_file("tiny_smollm.json");
    const ids spaced = tokenizer::from_json(file, "FILE").encode(" a b");
    for (auto& step : file["pre_tokenizer"]["pretokenizers"])
        if (step["type"] == "ByteLevel") step["add_prefix_space"] = true;
    CHECK(tokenizer::from_json(file, "FILE").encode("a b") == spaced);
    CHECK(tokenizer::from_json(file, "FILE").encode(" a b") == spaced);
    CHECK(tokenizer::from_json(file, "FILE").decode(spaced) == "a b");
}

namespace {

/// SentencePiece: pieces with scores; ids rise from 0.
tokenizer_definition scored(std::vector<std::pair<std::string, float>> const& pieces) {
    tokenizer_definition d;
    d.who = "FILE";
    d.spelling = token_spelling::characters;
    d.order = merge_order::by_score;
    d.fuses_unknown = true;
    std::int32_t id = 0;
    for (auto const& [text, score] : pieces) d.vocabulary.push_back({text, id++, score});
    return d;
}

} // namespace

TEST_CASE("by score: the highest first, the leftmost of equal ones, and parts that are no tokens") {
    tokenizer_definition d = scored({{"a", 0}, {"b", 0}, {"c", 0}, {"ab", -2}, {"bc", -1}, {"aa", -3}, {"xy", -4}});
    d.added.push_back({"<unk>", 9, true, false});
    d.unknown = 9;
    CHECK(tokenizer(d).encode("abc") == ids{0, 4});
    CHECK(tokenizer(d).encode("aaa") == ids{5, 0});
    CHECK(tokenizer(d).encode("axya") == ids{0, 6, 0}); // neither x nor y is a token
    CHECK(tokenizer(d).encode("ayxa") == ids{0, 9, 0});
    CHECK(tokenizer(d).encode("zyxzz") == ids{9});
    d.vocabulary[3].score = -1; // ab and bc are equal now
    CHECK(tokenizer(d).encode("abc") == ids{3, 2});
    d.vocabulary[3].score = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH_AS(tokenizer{d}, "FILE: the score of the token with id 3 is not a number", format_error);
    d.vocabulary[3].score = std::numeric_limits<float>::infinity();
    CHECK(tokenizer(d).encode("abc") == ids{3, 2});
    d.unknown = 77;
    CHECK_THROWS_WITH_AS(tokenizer{d}, doctest::Contains("has the id 77, and no token has that id"), format_error);
}

TEST_CASE("frozen pieces: the longest at each place, and no merge across them") {
    tokenizer_definition d = scored({{"a", 0}, {"b", 0}, {"ab", -1}, {"_", 0}, {"_a", -2}, {"a_", -3}});
    d.normalizer = {normalizer::replace{" ", "_"}};
    d.frozen = {{"__", 6}, {"ba", 7}, {"\n", 8}};
    const tokenizer t(d);
    CHECK(t.encode("ab") == ids{2});
    CHECK(t.encode("aba") == ids{0, 7});
    CHECK(t.encode("a   a") == ids{0, 6, 4});
    CHECK(t.encode("a a") == ids{0, 4});
    CHECK(t.encode("\n\na") == ids{8, 8, 0});
    CHECK(t.token_bytes(6) == "  ");
    CHECK(t.decode(t.encode("a   ba b\n")) == "a   ba b\n");
}

TEST_CASE("unused pieces take part in merging and are taken apart again") {
    tokenizer_definition d = scored({{"a", 0}, {"b", 0}, {"c", 0}, {"abc", -3}});
    d.unused = {{"ab", 4, -1}};
    CHECK(tokenizer(d).encode("abab") == ids{0, 1, 0, 1});
    CHECK(tokenizer(d).encode("abc") == ids{3});
    d.unused = {{"x", 5, 0}, {"ab", 4, -1}}; // of one character: as if it were not there, but for what it is part of
    d.vocabulary.push_back({"xa", 6, -2});
    d.added.push_back({"<unk>", 9, true, false});
    d.unknown = 9;
    CHECK(tokenizer(d).encode("xxab") == ids{9, 0, 1});
    CHECK(tokenizer(d).encode("xac") == ids{6, 2});
    // "aab" is a·ab or aa·b; the pair that stood side by side last in the text says which.
    tokenizer_definition two = scored({{"a", 0}, {"b", 0}, {"aa", -2}, {"ab", -1}});
    two.unused = {{"aab", 4, -3}};
    CHECK(tokenizer(two).encode("aab") == ids{0, 3});
    CHECK(tokenizer(two).encode("aab aab") == ids{0, 3, 0, 3});
}

TEST_CASE("by id: the pair with the lowest id first; the same bytes may be a token and a special token") {
    tokenizer_definition d;
    d.who = "FILE";
    d.spelling = token_spelling::bytes;
    d.order = merge_order::by_id;
    std::int32_t id = 10;
    for (unsigned b = 0; b < 256; ++b) d.vocabulary.push_back({std::string(1, static_cast<char>(b)), id++});
    for (std::string text : {"bc", "ab", "abcd", "\xc3\xa9", "<s", "<s>"}) d.vocabulary.push_back({text, id++});
    d.added.push_back({"<s>", 1, true, false});
    const tokenizer t(d);
    CHECK(t.encode("abc") == ids{'a' + 10, 266});
    CHECK(t.encode("abcd") == ids{'a' + 10, 266, 'd' + 10});
    CHECK(t.encode("\u00e9") == ids{269});
    CHECK(t.encode("<s>") == ids{271});
    CHECK(t.encode("<s>", true) == ids{1});
    CHECK(t.token_bytes(1) == t.token_bytes(271));
    d.prefers_whole_words = true;
    CHECK(tokenizer(d).encode("abcd") == ids{268});
    CHECK(t.description().find("merges by rank") != std::string::npos);
}

TEST_CASE("long texts of characters take time linear in their length") {
    tokenizer_definition d =
        scored({{"a", 0}, {"_", 0}, {"aa", -1}, {"_a", -2}, {"__", -3}, {"____", -4}, {"aaaa", -5}});
    d.normalizer = {normalizer::prepend{"_"}, normalizer::replace{" ", "_"}};
    d.frozen = {{"\n", 7}, {"\n\n", 8}};
    const tokenizer t(d);
    for (std::string unit : {"a", " ", "\n", "a ", "\na", "\u00e9"}) {
        std::string text;
        while (text.size() < 1'000'000) text += unit;
        CHECK(t.encode(text).size() <= text.size() + 1);
        if (unit != "\u00e9") CHECK(t.decode(t.encode(text)) == text);
    }
}
