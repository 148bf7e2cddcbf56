#include "bitlens/text/tokenizer.hpp"

#include "bitlens/io/gzip.hpp"

#include "temporary_folder.hpp"

#include <doctest/doctest.h>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace bitlens;

namespace {

using ids = std::vector<std::int32_t>;

const std::filesystem::path data = std::filesystem::path(BITLENS_TEST_DATA) / "text";

json read(std::string const& name) {
    const mapped_file file(data / name);
    return parse_json(as_text(file.bytes()), name);
}
tokenizer tiny(std::string const& name) { return tokenizer::from_json(data / ("tiny_" + name + ".json")); }

template <class OnLine>
void for_each_golden(OnLine on_line) {
    line_reader lines(data / "goldens.jsonl");
    for (std::string_view line; lines.next(line);) on_line(parse_json(line, "goldens.jsonl"));
}

/// The message of the error that a change of tiny_qwen2.json causes; empty if there is none.
std::string refusal(std::function<void(json&)> const& change) {
    json file = read("tiny_qwen2.json");
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
    const tokenizer named = tokenizer::from_json(data / "tiny_smollm.json", 1);
    CHECK(named.bos() == 1);
    CHECK(!named.adds_bos());
    CHECK_THROWS_AS(tokenizer::from_json(data / "tiny_smollm.json", 100'000), format_error);
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
        const std::string found = refusal(change);
        CAPTURE(found);
        CAPTURE(words);
        CHECK(found.rfind("FILE: ", 0) == 0);
        CHECK(found.find(words) != std::string::npos);
    };
    CHECK(refusal([](json&) {}) == "");
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
        const std::string found = refusal(change);
        CAPTURE(found);
        CHECK(found.find(words) != std::string::npos);
    };
    const auto split = [](json& f) -> json& { return f["pre_tokenizer"]["pretokenizers"][0]; };
    says("\\w+|\\s+\nis not known; known are:\n  gpt2: 's|'t|",
         [&](json& f) { split(f)["pattern"]["Regex"] = "\\w+|\\s+"; });
    says("the behavior \"Removed\"", [&](json& f) { split(f)["behavior"] = "Removed"; });
    says("the key \"String\" is not known", [&](json& f) { split(f)["pattern"] = {{"String", " "}}; });
    says("the type \"Metaspace\" is not known; known are: Sequence, Digits", [&](json& f) {
        split(f) = {{"type", "Metaspace"}};
    });
    says("the last step must be ByteLevel", [](json& f) { f["pre_tokenizer"]["pretokenizers"].erase(1); });
    says("pre_tokenizer: there is none", [](json& f) { f["pre_tokenizer"] = nullptr; });
    says("add_prefix_space", [](json& f) { f["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true; });
    says("individual_digits", [&](json& f) { split(f) = {{"type", "Digits"}, {"individual_digits", false}}; });
    says("9 steps", [&](json& f) { f["pre_tokenizer"]["pretokenizers"] = json::array_t(9, split(f)); });
    says("the type \"NFKC\" is not known; known are: NFC", [](json& f) { f["normalizer"]["type"] = "NFKC"; });
    says("no array \"normalizers\"", [](json& f) { f["normalizer"]["type"] = "Sequence"; });
    says("the type \"Unigram\" is not known", [](json& f) { f["model"]["type"] = "Unigram"; });
    says("dropout", [](json& f) { f["model"]["dropout"] = 0.1; });
    says("end_of_word_suffix", [](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; });
    says("the key \"speed\" is not known", [](json& f) { f["model"]["speed"] = 1; });
    says("lstrip = true", [](json& f) { f["added_tokens"][0]["lstrip"] = true; });
    says("the type \"WordPiece\"", [](json& f) { f["decoder"]["type"] = "WordPiece"; });
    says("the type \"RobertaProcessing\"", [](json& f) { f["post_processor"] = {{"type", "RobertaProcessing"}}; });
    // With a token for each byte, what happens to unknown ones does not matter; without, it does.
    CHECK(refusal([](json& f) { f["model"]["unk_token"] = "!"; }) == "");
    json smollm = read("tiny_smollm.json");
    smollm["model"]["byte_fallback"] = true;
    CHECK_THROWS_WITH_AS(tokenizer::from_json(smollm, "FILE"),
                         doctest::Contains("model.byte_fallback is set and 3 bytes"), format_error);
    CHECK(refusal([](json& f) {
              f["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}}}};
          }) == "");
}

TEST_CASE("a folder with a tokenizer and nothing else has one, whose beginning of text another file may name") {
    const test::temporary_folder folder;
    std::filesystem::copy_file(std::filesystem::path(BITLENS_TEST_DATA) / "text" / "tiny_smollm.json",
                               folder / "tokenizer.json");
    CHECK_FALSE(tokenizer::from_model(folder.path()).bos());
    folder.write("tokenizer_config.json", R"({"bos_token": {"content": "<|im_end|>"}})");
    CHECK(tokenizer::from_model(folder.path()).bos() == 2);
    std::filesystem::remove(folder / "tokenizer.json");
    CHECK_THROWS_WITH_AS(tokenizer::from_model(folder.path()), doctest::Contains("tokenizer.json"), io_error);
}
