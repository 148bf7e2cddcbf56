// Tokenizers against the real files of ../shared/data, where they are.

#include "bitlens/io/gzip.hpp"
#include "bitlens/io/npy.hpp"
#include "bitlens/text/tokenizer.hpp"

#include <doctest/doctest.h>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

using namespace bitlens;

namespace {

using ids = std::vector<std::int32_t>;

const std::filesystem::path shared = BITLENS_SHARED_DATA;

bool present(std::filesystem::path const& path) {
    if (std::filesystem::exists(path)) return true;
    MESSAGE("skipped: ", path.string(), " is not there");
    return false;
}

/// Qwen2.5 from vocab.json and merges.txt.
tokenizer qwen25() {
    const auto folder = shared / "tokenizers" / "qwen2.5";
    tokenizer_definition definition;
    definition.who = folder.string();
    definition.splits = {split_rule::qwen2};
    definition.composes = true;
    const mapped_file vocabulary(folder / "vocab.json");
    const json parsed = parse_json(as_text(vocabulary.bytes()), definition.who);
    for (auto const& [text, id] : parsed.items()) definition.vocabulary.push_back({text, id.get<std::int32_t>()});
    line_reader lines(folder / "merges.txt");
    for (std::string_view line; lines.next(line);) {
        const std::size_t space = line.find(' ');
        if (line.starts_with("#version")) continue;
        REQUIRE(space != std::string_view::npos);
        definition.merges.push_back({std::string(line.substr(0, space)), std::string(line.substr(space + 1))});
    }
    return tokenizer(std::move(definition));
}

} // namespace

TEST_CASE("Qwen2.5: the 46 test vectors") {
    const auto folder = shared / "tokenizers" / "qwen2.5";
    if (!present(folder)) return;
    const tokenizer t = qwen25();
    const mapped_file inputs(folder / "test_vectors.inp");
    line_reader outputs(folder / "test_vectors.out");
    const std::string_view mark = "\n__ggml_vocab_test__\n";
    std::string_view rest = as_text(inputs.bytes());
    int compared = 0;
    for (std::string_view line; outputs.next(line); ++compared) {
        const std::size_t end = rest.find(mark);
        REQUIRE(end != std::string_view::npos);
        std::istringstream numbers{std::string(line)};
        const ids expected{std::istream_iterator<std::int32_t>(numbers), {}};
        CHECK(t.encode(rest.substr(0, end)) == expected);
        rest.remove_prefix(end + mark.size());
    }
    CHECK(compared == 46);
}

TEST_CASE("Qwen2.5: the paper's documents give their ids again") {
    const auto folder = shared / "qerror";
    if (!present(folder) || !present(shared / "tokenizers" / "qwen2.5")) return;
    const tokenizer t = qwen25();
    for (std::string split : {"ctrl", "large"}) {
        const npy_array rows = read_npy(folder / "Qwen2.5-7B" / ("awq3-" + split + ".npy"));
        REQUIRE(rows.shape == std::vector<std::size_t>{1000, 512});
        const ids all = rows.values<std::int32_t>();
        line_reader lines(folder / ("Qwen2.5-7B-awq3-" + split + ".jsonl.gz"));
        std::size_t row = 0, equal = 0;
        for (std::string_view line; lines.next(line); ++row) {
            const auto text = required<std::string>(parse_json(line, split), "text", split);
            const ids expected(&all[row * 512], &all[row * 512] + 512);
            const bool cut = text.ends_with("\uFFFD"); // a character cut at the 512th id
            if (t.encode(text) == expected)
                ++equal;
            else
                CHECK(cut);
        }
        CHECK(row == 1000);
        CHECK(equal >= 997); // README of the data: three rows of all files together end in a cut character
    }
}

TEST_CASE("SmolLM2's tokenizer.json: ids of Hugging Face, and C4 documents come back") {
    const auto path = shared / "tokenizers" / "smollm2" / "tokenizer.json";
    if (!present(path)) return;
    const tokenizer t = tokenizer::from_json(path);
    CHECK(t.vocabulary_size() == 49152);
    CHECK(t.special_tokens().size() == 17);
    CHECK(t.token_bytes(0) == "<|endoftext|>");
    line_reader goldens(std::filesystem::path(BITLENS_TEST_DATA) / "text" / "goldens.jsonl");
    for (std::string_view line; goldens.next(line);) {
        const json golden = parse_json(line, "goldens.jsonl");
        const auto text = golden.at("text").get<std::string>();
        json const& expected = golden.at("smollm2");
        CAPTURE(text);
        CHECK(t.encode(text) == expected.at("plain").get<ids>());
        CHECK(t.encode(text, true) == expected.value("special", expected.at("plain")).get<ids>());
    }
    const auto documents = shared / "c4" / "c4-en-first1000.jsonl.gz";
    if (!present(documents)) return;
    line_reader lines(documents);
    for (std::string_view line; lines.next(line);) {
        const auto text = required<std::string>(parse_json(line, "C4"), "text", "C4");
        if (t.decode(t.encode(text)) != text) FAIL(text);
    }
}

TEST_CASE("a SentencePiece vocabulary is refused for now") {
    const auto path = shared / "tokenizers" / "llama-2" / "ggml-vocab-llama-spm.gguf";
    if (!present(path)) return;
    CHECK_THROWS_WITH_AS(tokenizer::from_gguf(gguf_file(path)), doctest::Contains("\"llama\" is not known"),
                         format_error);
}
