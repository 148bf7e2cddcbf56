#include "bitlens/text/tokenizer.hpp"

#include "temporary_folder.hpp"

#include <doctest/doctest.h>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

using namespace bitlens;

namespace {

/// A GGUF file with metadata alone, from the values in their stored form.
class small_gguf {
public:
    void set(std::string const& key, std::string const& value) { values_[key] = number(8u) + text(value); }
    void set(std::string const& key, bool value) { values_[key] = number(7u) + std::string(1, value ? '\1' : '\0'); }
    void set(std::string const& key, std::uint32_t value) { values_[key] = number(4u) + number(value); }
    void set(std::string const& key, std::vector<std::string> const& list) {
        std::string bytes = number(9u) + number(8u) + number(std::uint64_t{list.size()});
        for (auto const& s : list) bytes += text(s);
        values_[key] = bytes;
    }
    void set(std::string const& key, std::vector<std::int32_t> const& list) {
        std::string bytes = number(9u) + number(5u) + number(std::uint64_t{list.size()});
        for (auto v : list) bytes += number(v);
        values_[key] = bytes;
    }
    void set(std::string const& key, std::vector<float> const& list) {
        std::string bytes = number(9u) + number(6u) + number(std::uint64_t{list.size()});
        for (auto v : list) bytes += number(v);
        values_[key] = bytes;
    }
    void erase(std::string const& key) { values_.erase(key); }

    tokenizer read() const {
        std::string bytes = "GGUF" + number(3u) + number(std::uint64_t{0}) + number(std::uint64_t{values_.size()});
        for (auto const& [key, value] : values_) bytes += text(key) + value;
        const test::temporary_folder folder;
        return tokenizer::from_gguf(gguf_file(folder.write("tokenizer.gguf", bytes)));
    }

private:
    template <class T>
    static std::string number(T value) {
        return {reinterpret_cast<char const*>(&value), sizeof value};
    }
    static std::string text(std::string const& s) { return number(std::uint64_t{s.size()}) + s; }

    std::map<std::string, std::string> values_; // key → type and payload
};

/// 0 <s>, 1 <keep>, 2 [PAD2], then the bytes, then " a" and "aa".
small_gguf good(std::string const& pre) {
    small_gguf file;
    std::vector<std::string> tokens{"<s>", "<keep>", "[PAD2]"};
    std::vector<std::int32_t> types{3, 4, 5};
    for (unsigned b = 0; b < 256; ++b) tokens.push_back(in_byte_alphabet(static_cast<unsigned char>(b)));
    tokens.insert(tokens.end(), {"\u0120a", "aa"});
    types.resize(tokens.size(), 1);
    file.set("tokenizer.ggml.model", std::string("gpt2"));
    file.set("tokenizer.ggml.pre", pre);
    file.set("tokenizer.ggml.tokens", tokens);
    file.set("tokenizer.ggml.token_type", types);
    file.set("tokenizer.ggml.merges", std::vector<std::string>{"a a", "\u0120 a"});
    file.set("tokenizer.ggml.bos_token_id", 0u);
    return file;
}

using ids = std::vector<std::int32_t>;

} // namespace

TEST_CASE("GGUF: control tokens are special, user-defined ones are not, unused ones never come") {
    const tokenizer t = good("smollm").read();
    const auto byte = [](unsigned char b) { return std::int32_t{b} + 3; };
    CHECK(t.vocabulary_size() == 261);
    CHECK(t.encode(" aaa<keep>") == ids{byte(' '), 260, byte('a'), 1});
    CHECK(t.encode("x a") == ids{byte('x'), 259});
    CHECK(t.encode("<s>") == ids{byte('<'), byte('s'), byte('>')});
    CHECK(t.encode("<s>", true) == ids{0});
    CHECK(t.encode("[PAD2]", true).size() == 6);
    CHECK(t.token_bytes(2) == "[PAD2]");
    CHECK(t.bos() == 0);
    CHECK(!t.adds_bos());
    CHECK(t.special_tokens() == ids{0});
}

TEST_CASE("GGUF: qwen2 composes, smollm does not; add_bos_token is obeyed") {
    small_gguf file = good("qwen2");
    CHECK(file.read().encode("e\u0301") == ids{0xC3 + 3, 0xA9 + 3});
    CHECK(good("smollm").read().encode("e\u0301") == ids{'e' + 3, 0xCC + 3, 0x81 + 3});
    file.set("tokenizer.ggml.add_bos_token", true);
    CHECK(file.read().adds_bos());
    CHECK(file.read().encode_with_bos("a") == ids{0, 'a' + 3});
    CHECK(file.read().encode_with_bos("a", bos_policy::never) == ids{'a' + 3});
    CHECK(file.read().encode_with_bos("") == ids{0});
    file.erase("tokenizer.ggml.bos_token_id");
    CHECK_THROWS_WITH_AS(file.read(), doctest::Contains("none is named"), format_error);
}

TEST_CASE("a text begins with the tokenizer's own token where its file or the caller says so") {
    small_gguf file = good("smollm"); // names one, and does not add it
    CHECK(file.read().first_token(bos_policy::automatic) == std::nullopt);
    CHECK(file.read().first_token(bos_policy::always) == 0);
    CHECK(file.read().encode_with_bos("<s>") == ids{'<' + 3, 's' + 3, '>' + 3});
    CHECK(file.read().encode_with_bos("<s>", bos_policy::always) == ids{0, '<' + 3, 's' + 3, '>' + 3});
    file.erase("tokenizer.ggml.bos_token_id");
    CHECK(file.read().encode_with_bos("a") == ids{'a' + 3});
    CHECK_THROWS_WITH_AS(file.read().encode_with_bos("a", bos_policy::always),
                         doctest::Contains("has no beginning-of-text token"), option_error);
}

TEST_CASE("GGUF: what is missing, unknown or contradicts itself is refused by name") {
    const auto says = [](std::string const& words, std::function<void(small_gguf&)> const& change) {
        small_gguf file = good("smollm");
        change(file);
        CAPTURE(words);
        CHECK_THROWS_WITH_AS(file.read(), doctest::Contains(words.c_str()), format_error);
    };
    for (std::string key : {"model", "tokens", "token_type", "merges"})
        says("tokenizer.ggml." + key, [&](small_gguf& f) { f.erase("tokenizer.ggml." + key); });
    says("\"bert\" is not known; known are: gpt2",
         [](small_gguf& f) { f.set("tokenizer.ggml.model", std::string("bert")); });
    says("\"deepseek-llm\" is not known; known are: gpt-2, olmo",
         [](small_gguf& f) { f.set("tokenizer.ggml.pre", std::string("deepseek-llm")); });
    says("it is missing, so how words are split is not known", [](small_gguf& f) { f.erase("tokenizer.ggml.pre"); });
    says("it is \"default\", so how words are split is not known",
         [](small_gguf& f) { f.set("tokenizer.ggml.pre", std::string("default")); });
    says("add_space_prefix", [](small_gguf& f) { f.set("tokenizer.ggml.add_space_prefix", true); });
    says("tokenizer.ggml.token_type 2", [](small_gguf& f) { f.set("tokenizer.ggml.token_type", ids{1, 1}); });
    says("element 0 is 6", [](small_gguf& f) { f.set("tokenizer.ggml.token_type", ids(261, 6)); });
    says("not in the byte alphabet", [](small_gguf& f) {
        f.set("tokenizer.ggml.tokens", std::vector<std::string>{"a", "aa", "\u20ac"});
        f.set("tokenizer.ggml.token_type", ids{1, 1, 1});
    });
    says("is there twice", [](small_gguf& f) { f.set("tokenizer.ggml.tokens", std::vector<std::string>(261, "a")); });
    says("element 1 is \"aa\"", [](small_gguf& f) {
        f.set("tokenizer.ggml.merges", std::vector<std::string>{"a a", "aa"});
    });
    says("element 0 is", [](small_gguf& f) { f.set("tokenizer.ggml.merges", std::vector<std::string>{"a a a"}); });
    says("merges[0]: \"ab\" is not a token",
         [](small_gguf& f) { f.set("tokenizer.ggml.merges", std::vector<std::string>{"a b"}); });
    says("no token has the id 261", [](small_gguf& f) { f.set("tokenizer.ggml.bos_token_id", 261u); });
}

TEST_CASE("GGUF: a name of the pre-tokenizer stands for splits, normalization, whole words and the beginning of text") {
    const auto described = [](std::string const& pre) { return good(pre).read().description(); };
    for (std::string pre : {"llama-bpe", "llama3", "llama-v3"})
        CHECK(described(pre).find(
                  "split by llama3; no normalization; whole words first; beginning of text <s> (0), added") !=
              std::string::npos);
    CHECK(described("tekken").find(
              "split by tekken; no normalization; whole words first; beginning of text <s> (0), added") !=
          std::string::npos);
    for (std::string pre : {"gpt-2", "olmo"})
        CHECK(described(pre).find("split by gpt2; no normalization; beginning of text <s> (0), not added") !=
              std::string::npos);
    CHECK(described("dbrx").find("split by llama3; no normalization; beginning of text <s> (0), not added") !=
          std::string::npos);
}

TEST_CASE("GGUF: an id of 11 that is an ordinary token is no beginning of text") {
    small_gguf file = good("qwen2");
    file.set("tokenizer.ggml.bos_token_id", 11u);
    CHECK(file.read().bos() == std::nullopt);
    file.set("tokenizer.ggml.bos_token_id", 12u);
    CHECK(file.read().bos() == 12);
}

TEST_CASE("GGUF: the whole tokenizer.json goes first where a file has it") {
    small_gguf file = good("default"); // which alone is refused
    file.set("tokenizer.huggingface.json",
             std::string(R"({"added_tokens": [{"id": 0, "content": "<s>", "special": true}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
        "model": {"type": "BPE", "vocab": {"a": 5, "aa": 6}, "merges": ["a a"]}})"));
    CHECK(file.read().encode("aa") == ids{6});
    CHECK(file.read().bos() == 0);
    CHECK(!file.read().adds_bos());
    file.set("tokenizer.ggml.add_bos_token", true);
    CHECK(file.read().encode_with_bos("a") == ids{0, 5});
    file.set("tokenizer.huggingface.json", std::string("{"));
    CHECK_THROWS_WITH_AS(file.read(), doctest::Contains("key \"tokenizer.huggingface.json\": no valid JSON"),
                         format_error);
}

namespace {

/// 0 <unk>, 1 <s>, 2 </s>, the bytes from 3, then pieces.
small_gguf gguf_of_pieces(std::vector<std::pair<std::string, float>> const& pieces) {
    small_gguf file;
    std::vector<std::string> tokens{"<unk>", "<s>", "</s>"};
    std::vector<std::int32_t> types{2, 3, 3};
    std::vector<float> scores(259, 0.0f);
    for (unsigned b = 0; b < 256; ++b) {
        const char* const digits = "0123456789ABCDEF";
        tokens.push_back(std::string("<0x") + digits[b / 16] + digits[b % 16] + ">");
        types.push_back(6);
    }
    for (auto const& [text, score] : pieces) {
        tokens.push_back(text);
        types.push_back(text == "  " || text == "<|u|>" ? 4 : text == "[PAD]" ? 5 : 1);
        scores.push_back(score);
    }
    file.set("tokenizer.ggml.model", std::string("llama"));
    file.set("tokenizer.ggml.tokens", tokens);
    file.set("tokenizer.ggml.token_type", types);
    file.set("tokenizer.ggml.scores", scores);
    return file;
}

/// ▁ a b ▁a ab <|u|> [PAD] from 259.
small_gguf spaced() {
    return gguf_of_pieces(
        {{"\u2581", -9}, {"a", -8}, {"b", -7}, {"\u2581a", -2}, {"ab", -1}, {"<|u|>", 0}, {"[PAD]", 0}});
}

} // namespace

TEST_CASE("GGUF of SentencePiece: merged by score, a space before each piece, bytes of what is unknown") {
    const tokenizer t = spaced().read();
    CHECK(t.encode("ab a") == ids{259, 263, 262});
    CHECK(t.encode("\u00e9") == ids{259, 0xC3 + 3, 0xA9 + 3});
    CHECK(t.encode("a<|u|>a") == ids{262, 264, 262});
    CHECK(t.encode("[PAD]").size() == 6);
    CHECK(t.encode("<0x0A>").size() == 7); // bytes are no text
    CHECK(t.bos() == 1);                   // by default, as that they are added
    CHECK(t.encode_with_bos("a") == ids{1, 262});
    CHECK(t.token_bytes(262) == " a");
    CHECK(t.token_bytes(13) == "\n");
    CHECK(t.decode(t.encode("ab a\u00e9<|u|> b\n")) == "ab a\u00e9<|u|> b\n");
    small_gguf file = spaced();
    file.set("tokenizer.ggml.add_bos_token", false);
    file.set("tokenizer.ggml.bos_token_id", 2u);
    CHECK(!file.read().adds_bos());
    CHECK(file.read().bos() == 2);
}

TEST_CASE("GGUF of SentencePiece: without a space before the text, user-defined pieces are frozen") {
    small_gguf file = gguf_of_pieces({{"\u2581", -9}, {"a", -8}, {"\u2581a", -2}, {"  ", -1000}});
    file.set("tokenizer.ggml.add_space_prefix", false);
    const tokenizer t = file.read();
    CHECK(t.encode("a a") == ids{260, 261});
    CHECK(t.encode("a  a") == ids{260, 262, 260});
    CHECK(t.encode("   a") == ids{262, 261});
    CHECK(t.encode("\u2581\u2581") == ids{262});
    CHECK(t.decode(t.encode(" a   a")) == " a   a");
}

TEST_CASE("GGUF of SentencePiece: spaces that are removed") {
    small_gguf file = spaced();
    file.set("tokenizer.ggml.remove_extra_whitespaces", true);
    CHECK(file.read().encode("  a   a ") == ids{262, 262});
    CHECK(file.read().encode("a \u2581") == ids{262}); // at the end a mark that is of the text goes, too
    CHECK(file.read().encode("\u2581\u2581") == ids{});
}

TEST_CASE("GGUF of SentencePiece: scores that are all the same need merges, where a space is written as \u0120") {
    small_gguf file = gguf_of_pieces({{"\u2581", 0}, {"a", 0}, {"b", 0}, {"\u2581a", 0}, {"ab", 0}});
    CHECK_THROWS_WITH_AS(file.read(), doctest::Contains("all 5 normal tokens have the same score"), format_error);
    file.set("tokenizer.ggml.merges", std::vector<std::string>{"\u2581 a", "a b"});
    CHECK(file.read().encode("ab a") == ids{262, 261, 262});
    file.set("tokenizer.ggml.merges", std::vector<std::string>{"a b", "\u2581 a"});
    CHECK(file.read().encode("ab a") == ids{259, 263, 262});
    file = gguf_of_pieces({{"a", 0}, {" ", 0}, {"a ", 0}});
    file.set("tokenizer.ggml.add_space_prefix", false);
    file.set("tokenizer.ggml.merges", std::vector<std::string>{"a \u0120"});
    CHECK(file.read().token_bytes(261) == "a ");
    file.set("tokenizer.ggml.merges", std::vector<std::string>{"a \u0121"});
    CHECK_THROWS_WITH_AS(file.read(), doctest::Contains("is not a token"), format_error);
}

TEST_CASE("GGUF of SentencePiece: what is missing or contradicts itself is refused by name") {
    const auto says = [](std::string const& words, std::function<void(small_gguf&)> const& change) {
        small_gguf file = spaced();
        change(file);
        CAPTURE(words);
        CHECK_THROWS_WITH_AS(file.read(), doctest::Contains(words.c_str()), format_error);
    };
    says("tokenizer.ggml.scores", [](small_gguf& f) { f.erase("tokenizer.ggml.scores"); });
    says("tokenizer.ggml.scores 2", [](small_gguf& f) { f.set("tokenizer.ggml.scores", std::vector<float>{1, 2}); });
    says("\"qwen2\" is not known with the model \"llama\"",
         [](small_gguf& f) { f.set("tokenizer.ggml.pre", std::string("qwen2")); });
    says("element 0 is 7; 1 … 6 are expected", [](small_gguf& f) { f.set("tokenizer.ggml.token_type", ids(266, 7)); });
    says("its type is that of a byte", [](small_gguf& f) { f.set("tokenizer.ggml.token_type", ids(266, 6)); });
    says("there are 0 byte tokens", [](small_gguf& f) { f.set("tokenizer.ggml.token_type", ids(266, 1)); });
    says("no token has that id", [](small_gguf& f) { f.set("tokenizer.ggml.unknown_token_id", 400u); });
}
