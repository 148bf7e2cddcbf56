#include "files.hpp"
#include "targets.hpp"

#include "bitlens/text/documents.hpp"
#include "bitlens/text/tokenizer.hpp"
#include "bitlens/text/tokenizer_file.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace bitlens::fuzz {

namespace {

/// Encodes and decodes a little of everything: a tokenizer that was taken has an answer to any text.
void use(tokenizer const& t) {
    must(!t.description().empty(), "a tokenizer without a description");
    for (std::string_view text : {"", "a b  ab\n\n12 it's I'LL", "\u00e9 e\u0301 \u4e2d\u6587 \U0001F600\u3000",
                                  "<s>a</s>", "aab  \u2581\u2581a aab", " it "})
        for (const bool special : {false, true}) t.decode(t.encode(text, special));
    for (const std::int32_t id : t.special_tokens()) t.token_bytes(id);
}

/// All 256 bytes, a few merges and a special token.
tokenizer make_tokenizer(split_rule rule, bool composes) {
    tokenizer_definition d;
    d.who = "a tokenizer of all bytes";
    std::int32_t id = 0;
    for (unsigned b = 0; b < 256; ++b) d.vocabulary.push_back({in_byte_alphabet(static_cast<unsigned char>(b)), id++});
    for (auto const& [left, right] :
         {std::pair{"a", "a"}, {"aa", "aa"}, {"a", "b"}, {"\u0120", "a"}, {"\u0120", "\u0120"}}) {
        d.vocabulary.push_back({std::string(left) + right, id++});
        d.merges.push_back({left, right});
    }
    d.added.push_back({"<|end|>", id++, true, false});
    d.pre_tokenizer = {rule};
    if (composes) d.normalizer = {normalizer::compose{}};
    return tokenizer(std::move(d));
}

/// All bytes as tokens, spaces as ▁, a few pieces, a frozen one and a special one: SentencePiece.
tokenizer make_sentencepiece() {
    tokenizer_definition d;
    d.who = "a tokenizer of characters";
    d.spelling = token_spelling::characters;
    d.order = merge_order::by_score;
    d.byte_fallback = true;
    d.normalizer = {normalizer::prepend{"\u2581"}, normalizer::replace{" ", "\u2581"}};
    std::int32_t id = 0;
    const std::string_view digits = "0123456789ABCDEF";
    for (std::size_t b = 0; b < 256; ++b)
        d.vocabulary.push_back({std::string("<0x") + digits[b / 16] + digits[b % 16] + ">", id++});
    float score = 0;
    for (std::string text : {"a", "b", "\u2581", "aa", "\u2581a", "ab", "aaaa", "\u2581\u2581"})
        d.vocabulary.push_back({text, id++, --score});
    d.unused.push_back({"aab", id++, --score});
    d.frozen.push_back({"\n\n", id++});
    d.added.push_back({"<|end|>", id++, true, false});
    return tokenizer(std::move(d));
}

} // namespace

void tokenizer_json(input bytes) {
    static const folder place;
    use(tokenizer::from_json(place.write("tokenizer.json", bytes)));
}

void tokenizer_gguf(input bytes) {
    static const folder place;
    use(tokenizer::from_gguf(gguf_file(place.write("vocabulary.gguf", bytes))));
}

void tokenizer_sentencepiece(input bytes) {
    static const folder place;
    use(load_tokenizer(place.write("tokenizer.model", bytes)));
}

void tokenizer_tiktoken(input bytes) {
    static const folder place;
    use(load_tokenizer(place.write("tokenizer.model", bytes), "qwen2"));
}

void tokenizer_tekken(input bytes) {
    static const folder place;
    use(load_tokenizer(place.write("tekken.json", bytes)));
}

void tokenizer_merges(input bytes) {
    static const folder place{{"vocab.json", "tokenizer_vocabulary/vocab.json"}};
    place.write("merges.txt", bytes);
    use(load_tokenizer(place.path(), "qwen2"));
}

void tokenizer_added(input bytes) {
    static const folder place{{"tokenizer.model", "tokenizer_sentencepiece/valid.model"}};
    place.write("tokenizer_config.json", bytes);
    use(load_tokenizer(place.path()));
}

void text(input bytes) {
    static const folder place;
    static const tokenizer as_is = make_tokenizer(split_rule::gpt2, false),
                           composing = make_tokenizer(split_rule::qwen2, true),
                           by_case = make_tokenizer(split_rule::o200k, false), sentencepiece = make_sentencepiece();
    document_reader reader(place.write("text.txt", bytes));
    document d;
    must(reader.next(d) && !reader.next(d), "a text is not one document");
    if (reader.holds_ids()) return;
    static const std::int32_t special = as_is.special_tokens().front();
    const auto ids = as_is.encode(d.text);
    must(std::ranges::find(ids, special) == ids.end(), "a special token that is text");
    must(as_is.decode(ids) == d.text, "another text after encoding and decoding");
    must(as_is.decode(as_is.encode(d.text, true)) == d.text, "another text after encoding and decoding special tokens");
    must(by_case.decode(by_case.encode(d.text)) == d.text, "another text after encoding and decoding words by case");
    const std::array<normalizer::step, 1> to_space{normalizer::replace{"\u2581", " "}};
    must(sentencepiece.decode(sentencepiece.encode(d.text)) == normalize(to_space, d.text),
         "another text after encoding and decoding pieces");
    must(composing.decode(composing.encode(d.text)) == compose_nfc(d.text), "not the normal form of the text");
}

} // namespace bitlens::fuzz
