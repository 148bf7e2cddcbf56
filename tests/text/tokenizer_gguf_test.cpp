#include "bitlens/text/tokenizer.hpp"

#include "temporary_folder.hpp"

#include <doctest/doctest.h>
#include <functional>
#include <map>
#include <string>
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
    void erase(std::string const& key) { values_.erase(key); }

    tokenizer read() const {
        std::string bytes = "GGUF" + number(3u) + number(std::uint64_t{0}) + number(std::uint64_t{values_.size()});
        for (auto const& [key, value] : values_) bytes += text(key) + value;
        const test::temporary_folder folder;
        return tokenizer::from_model(folder.write("tokenizer.gguf", bytes));
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
    for (std::string key : {"model", "pre", "tokens", "token_type", "merges"})
        says("tokenizer.ggml." + key, [&](small_gguf& f) { f.erase("tokenizer.ggml." + key); });
    says("\"llama\" is not known; known are: gpt2",
         [](small_gguf& f) { f.set("tokenizer.ggml.model", std::string("llama")); });
    says("\"dbrx\" is not known; known are: smollm, qwen2",
         [](small_gguf& f) { f.set("tokenizer.ggml.pre", std::string("dbrx")); });
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
