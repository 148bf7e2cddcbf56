#include "bitlens/recipes/method_documents.hpp"

#include "bitlens/recipes/method.hpp"

#include "temporary_folder.hpp"

#include <cstddef>
#include <doctest/doctest.h>
#include <filesystem>
#include <string>
#include <vector>

using namespace bitlens;

namespace bitlens::test::documents_of_methods {

namespace {

tokenizer const& tiny_tokenizer() {
    static const tokenizer t =
        tokenizer::from_json(std::filesystem::path(BITLENS_TEST_DATA) / "text" / "tiny_smollm.json");
    return t;
}

/// Six texts of 300 digits, each a token, under a key.
std::string six_texts(std::string const& key) {
    std::string all;
    for (int i = 0; i < 6; ++i) all += json{{key, std::string(300, static_cast<char>('0' + i))}}.dump() + "\n";
    return all;
}

calibration_model reader() { return {.text = &tiny_tokenizer(), .vocabulary = tiny_tokenizer().vocabulary_size()}; }

/// Quantizes as round to nearest does, and looks at documents of its own kind.
struct short_method : rtn_method {
    static constexpr method_usage usage{"short", 2, 8, ""};
    static constexpr calibration_preset calibration{.name = "short",
                                                    .texts = 2,
                                                    .counts_kept = true,
                                                    .strips_space = false,
                                                    .fewest = 1,
                                                    .most = 100,
                                                    .cuts_longer = true};
    static short_method read(method_words& words) { return {rtn_method::read(words)}; }
    std::string text() const { return "short" + rtn_method::text().substr(3); }
};

} // namespace

TEST_CASE("each method is calibrated as its own preset has it, and those of one preset share a set") {
    const test::temporary_folder folder;
    method_documents documents({.file = folder.write("c.jsonl", six_texts("text"))}, reader(), nullptr);
    std::vector<std::string> said;
    const auto say = [&](calibration_set const& s) { said.push_back(s.summary()); };
    const auto gptq = documents.of(parse_method("gptq3-g64"), say);
    const auto awq = documents.of(parse_method("awq3-g64"), say);
    CHECK(documents.of(parse_method("gptq4-row"), say) == gptq);
    CHECK((gptq->documents.size() == 6 && gptq->documents[0].size() == 300));
    CHECK((awq->documents.size() == 3 && awq->documents[0].size() == 512)); // of 1800 tokens
    CHECK(said.size() == 2);

    using own = basic_method<rtn_method, gptq_method, short_method>;
    const auto of_own = documents.of(parse_method<own>("short3-g64"));
    CHECK((of_own->documents.size() == 2 && of_own->documents[0].size() == 100));
    std::vector<std::string> names;
    for (auto const* preset : own::calibrations()) names.emplace_back(preset->name);
    CHECK(names == std::vector<std::string>{"gptq", "short"});
    CHECK(parse_method<own>("rtn3-g64").calibration() == nullptr);
}

TEST_CASE("numbers are for all presets, or for those that are named") {
    const test::temporary_folder folder;
    calibration_request asked{.file = folder.write("c.jsonl", six_texts("text"))};
    asked.texts.others = 4;
    asked.tokens.named["awq"] = 600;
    method_documents documents(asked, reader(), nullptr);
    const auto gptq = documents.of(parse_method("gptq3-g64")), awq = documents.of(parse_method("awq3-g64"));
    CHECK((gptq->texts.size() == 4 && gptq->tokens() == 1200));
    CHECK((awq->texts.size() == 2 && awq->tokens() == 512));
}

TEST_CASE("the text may have another key; no file, and a key that is not there, are errors") {
    const test::temporary_folder folder;
    const auto path = folder.write("c.jsonl", six_texts("content"));
    method_documents documents({.file = path, .text_key = "content"}, reader(), nullptr);
    CHECK(documents.of(parse_method("gptq3-g64"))->texts.size() == 6);
    method_documents usual({.file = path}, reader(), nullptr);
    CHECK_THROWS_WITH_AS(usual.of(parse_method("gptq3-g64")),
                         doctest::Contains("c.jsonl: line 1: the key \"text\" is missing"), format_error);
    method_documents none({}, reader(), nullptr);
    CHECK_THROWS_WITH_AS(none.of(parse_method("mine=gptq3-g64")),
                         doctest::Contains("--calibration: method mine, gptq3-g64, looks at what the model reads"),
                         option_error);
}

} // namespace bitlens::test::documents_of_methods
