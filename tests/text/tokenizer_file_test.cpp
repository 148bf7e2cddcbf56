#include "bitlens/text/tokenizer_file.hpp"

#include "io/files.hpp"
#include "sentencepiece_model.hpp"
#include "temporary_folder.hpp"
#include "tiktoken_text.hpp"

#include <doctest/doctest.h>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

using ids = std::vector<std::int32_t>;
namespace fs = std::filesystem;

const fs::path data = fs::path(BITLENS_TEST_DATA) / "text";

const std::string sentencepiece = piece("<unk>", 0, unknown) + piece("<s>", 0, control) + piece("</s>", 0, control) +
                                  piece("a", -1) + piece("\u2581", -2) + piece("\u2581a", -3) + trainer() +
                                  normalizer_spec();

std::string tekken_text() {
    json list = json::array();
    for (auto const& token : byte_tokens({"ab"}))
        list.push_back({{"rank", list.size()}, {"token_bytes", base64_of(token)}, {"token_str", nullptr}});
    return json{{"config",
                 {{"pattern", split_patterns[static_cast<std::size_t>(split_rule::tekken)].regex},
                  {"default_vocab_size", 277},
                  {"default_num_special_tokens", 20},
                  {"version", "v3"}}},
                {"vocab", list}}
        .dump();
}

/// The 256 bytes in GPT-2's alphabet, "ab" and "<|end|>".
std::string vocabulary_text() {
    json vocabulary = json::object();
    for (unsigned b = 0; b < 256; ++b) vocabulary[in_byte_alphabet(static_cast<unsigned char>(b))] = b;
    vocabulary["ab"] = 256;
    vocabulary["<|end|>"] = 257;
    return vocabulary.dump();
}

std::string refusal(fs::path const& path, std::string_view pre = {}) {
    return files::error_of<error>([&] { load_tokenizer(path, pre); });
}

} // namespace

TEST_CASE("a file is read as what its bytes say, whatever its name is") {
    const temporary_folder folder;
    CHECK(load_tokenizer(folder.write("a", sentencepiece)).encode("a") == ids{5});
    CHECK(load_tokenizer(folder.write("b", tekken_text())).encode("ab") == ids{276});
    CHECK(load_tokenizer(folder.write("c", tiktoken_text({"ab"})), "qwen2").encode("ab") == ids{256});
    fs::copy_file(data / "tiny_smollm.json", folder / "d");
    CHECK(load_tokenizer(folder / "d").encode("model") ==
          tokenizer::from_json(data / "tiny_smollm.json").encode("model"));
    fs::copy_file(fs::path(BITLENS_TEST_DATA) / ".." / "fuzz" / "corpus" / "tokenizer_gguf" / "valid.gguf",
                  folder / "e");
    CHECK(load_tokenizer(folder / "e").vocabulary_size() > 0);
}

TEST_CASE("what is no tokenizer is refused, saying what it is") {
    const temporary_folder folder;
    CHECK(refusal(folder / "nothing").find("cannot be opened") != std::string::npos);
    CHECK_MESSAGE(refusal(folder.write("empty", "")).find("an empty file was found") != std::string::npos,
                  refusal(folder / "empty"));
    CHECK(refusal(folder.write("zip", "PK\x03\x04")).find("a zip archive was found") != std::string::npos);
    CHECK(refusal(folder.write("text", "hello\n")).ends_with("is expected, none was found"));
    CHECK(refusal(folder.write("list", "[1]")).ends_with("is expected, other JSON was found"));
    CHECK(refusal(folder.write("vocab.json", vocabulary_text()))
              .ends_with("a vocabulary without its merges was found; give the folder that it is in"));
    CHECK(refusal(folder.write("config", R"({"tokenizer_class": "x"})"))
              .ends_with("the configuration of a tokenizer was found; give the folder that it is in"));
    for (const char* name : {"text", "list"})
        CHECK(refusal(folder / name).starts_with((folder / name).string() + ": a tokenizer.json, "));
}

TEST_CASE("of the files of a folder the first decides") {
    const temporary_folder folder;
    const auto names = [&] {
        std::vector<std::string> all;
        for (auto const& file : tokenizer_files(folder.path())) all.push_back(file.filename());
        return all;
    };
    using list = std::vector<std::string>;
    CHECK(names().empty());
    CHECK(refusal(folder.path())
              .find("holds no tokenizer.json, tokenizer.model or tekken.json, nor both of vocab.json "
                    "and merges.txt; AutoTokenizer") != std::string::npos);
    folder.write("vocab.json", vocabulary_text());
    CHECK(refusal(folder.path()).find("; \"vocab.json\" alone is not read;") != std::string::npos);
    folder.write("merges.txt", "#version: 0.2\na b\n");
    folder.write("tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer"})");
    CHECK(load_tokenizer(folder.path()).encode("ab") == ids{256});
    CHECK(names() == list{"tokenizer_config.json", "vocab.json", "merges.txt"});
    folder.write("tekken.json", tekken_text());
    CHECK(load_tokenizer(folder.path()).encode("ab") == ids{276});
    CHECK(names() == list{"tokenizer_config.json", "tekken.json"});
    folder.write("tokenizer.model", sentencepiece);
    CHECK(load_tokenizer(folder.path()).encode("a") == ids{5});
    CHECK(names() == list{"tokenizer_config.json", "tokenizer.model"});
    fs::copy_file(data / "tiny_smollm.json", folder / "tokenizer.json");
    CHECK(load_tokenizer(folder.path()).encode("a") == tokenizer::from_json(data / "tiny_smollm.json").encode("a"));
    CHECK(names() == list{"tokenizer_config.json", "tokenizer.json"});
}

TEST_CASE("vocab.json and merges.txt are split as the class of tokenizer_config.json does, or as the caller says") {
    const temporary_folder folder;
    folder.write("vocab.json", vocabulary_text());
    folder.write("merges.txt", "a b");
    CHECK(refusal(folder.path()).find("there is no tokenizer_class in ") != std::string::npos);
    CHECK(load_tokenizer(folder.path(), "qwen2").encode("ab1") == ids{256, '1'});
    const auto with_class = [&](std::string const& name, std::string const& more = "") {
        folder.write("tokenizer_config.json", R"({"tokenizer_class": ")" + name + "\"" + more + "}");
        return folder.path();
    };
    // U+0065 U+0301 is composed for Qwen2 alone.
    const ids composed{0xC3, 0xA9}, as_it_is{'e', 0xCC, 0x81};
    for (const char* name : {"Qwen2Tokenizer", "Qwen2TokenizerFast"})
        CHECK(load_tokenizer(with_class(name)).encode("e\u0301") == composed);
    for (const char* name : {"GPT2Tokenizer", "GPT2TokenizerFast"})
        CHECK(load_tokenizer(with_class(name)).encode("e\u0301") == as_it_is);
    CHECK(load_tokenizer(with_class("GPT2Tokenizer", R"(, "add_prefix_space": true)")).encode("ab") == ids{' ', 256});
    CHECK(refusal(with_class("BertTokenizer"))
              .find("\"BertTokenizer\" is not known where there are only vocab.json and "
                    "merges.txt; known are: GPT2Tokenizer, Qwen2Tokenizer") != std::string::npos);
    for (const char* line : {"a", "a b c", ""}) {
        folder.write("merges.txt", "#version: 0.2\n" + std::string(line) + "\n");
        CHECK(refusal(with_class("GPT2Tokenizer"))
                  .find("merges.txt: line 2: two parts with one space between are expected") != std::string::npos);
    }
}

TEST_CASE("tokens of tokenizer_config.json come to those of the vocabulary") {
    const temporary_folder folder;
    folder.write("vocab.json", vocabulary_text());
    folder.write("merges.txt", "a b\n");
    folder.write("tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer", "bos_token": {"content": "<|end|>"},
        "added_tokens_decoder": {"257": {"content": "<|end|>", "special": true},
                                 "258": {"content": "<tool>", "special": false, "rstrip": true}}})");
    const auto t = load_tokenizer(folder.path());
    CHECK(t.special_tokens() == ids{257});
    CHECK(t.encode("ab<tool> ab") == ids{256, 258, 256});
    CHECK(t.encode("<|end|>", true) == ids{257});
    CHECK(t.encode("<|end|>").size() == 7);
    CHECK(t.bos() == 257);
    CHECK_FALSE(t.adds_bos());
    folder.write("added_tokens.json", R"({"<tool>": 258})");
    CHECK(load_tokenizer(folder.path()).vocabulary_size() == 259);
    folder.write("added_tokens.json", R"({"<tool>": 258, "<more>": 259})");
    CHECK(refusal(folder.path()).find("added_tokens.json: the token \"<more>\" is added, but not how it is found") !=
          std::string::npos);
    fs::remove(folder / "added_tokens.json");
    folder.write("tokenizer_config.json",
                 R"({"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": {"300": {"content": "ab"}}})");
    CHECK(refusal(folder.path()).find("added_tokens_decoder: \"ab\" has the id 300; in ") != std::string::npos);
    folder.write("tokenizer_config.json",
                 R"({"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": {"x": {"content": "ab"}}})");
    CHECK(refusal(folder.path()).find("added_tokens_decoder: \"x\": an id is expected") != std::string::npos);
}

TEST_CASE(
    "whether a SentencePiece folder's texts begin with a mark is what its configuration says, or else that they do") {
    const temporary_folder folder;
    folder.write("tokenizer.model", sentencepiece);
    CHECK(load_tokenizer(folder.path()).encode_with_bos("a") == ids{1, 5});
    folder.write("tokenizer_config.json", R"({"add_bos_token": false, "bos_token": "</s>"})");
    const auto t = load_tokenizer(folder.path());
    CHECK(t.encode_with_bos("a") == ids{5});
    CHECK(t.bos() == 2);
    folder.write("tokenizer_config.json", R"({"add_bos_token": true})");
    CHECK(load_tokenizer(folder.path()).encode_with_bos("a") == ids{1, 5});
    folder.write("tokenizer_config.json",
                 R"({"added_tokens_decoder": {"2": {"content": "</s>", "special": true, "rstrip": true},
                                              "6": {"content": "<end>", "special": true, "normalized": false}}})");
    const auto more = load_tokenizer(folder.path());
    CHECK(more.special_tokens() == ids{0, 1, 2, 6});
    CHECK(more.encode("a</s> a", true) == ids{5, 2, 5});
}

TEST_CASE("how words are split is not said twice") {
    const temporary_folder folder;
    folder.write("tekken.json", tekken_text());
    for (auto const& path : {folder.path(), folder / "tekken.json"})
        CHECK(refusal(path, "qwen2")
                  .ends_with(": the tokenizer's own file says how words are split; \"qwen2\" is of no use"));
    CHECK(refusal(folder.write("tokenizer.model", tiktoken_text({})), "deepseek")
              .find("\"deepseek\" names no rule that splits words; known are: gpt-2, ") != std::string::npos);
}

TEST_CASE("the ids of tiny tokenizers are those of the programs that their files are made for, and texts come back") {
    struct golden {
        std::string name, file, pre;
    };
    for (golden const& g :
         {golden{"llama", "tiny_llama.model", ""}, golden{"gemma", "tiny_gemma.model", ""},
          golden{"llama3", "tiny_llama3.model", "llama-bpe"}, golden{"tekken", "tiny_tekken.json", ""}}) {
        const auto t = load_tokenizer(data / g.file, g.pre);
        line_reader lines(data / "file_goldens.jsonl");
        int compared = 0;
        for (std::string_view line; lines.next(line); ++compared) {
            const json golden_line = parse_json(line, "file_goldens.jsonl");
            const auto text = required<std::string>(golden_line, "text", g.file);
            const auto expected = required<ids>(golden_line, g.name, g.file);
            const ids found = t.encode(text);
            CHECK_MESSAGE(found == expected, g.file, ": ", json(text).dump());
            // SentencePiece writes a space as U+2581, and so cannot tell the two apart.
            const bool has_mark =
                text.find("\u2581") != std::string::npos && g.file.ends_with(".model") && g.pre.empty();
            if (!has_mark) CHECK_MESSAGE(t.decode(found) == text, g.file, ": ", json(text).dump());
        }
        CHECK(compared == 187);
    }
}
