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

const std::filesystem::path folder_of_all = shared / "tokenizers";

/// Qwen2.5 from vocab.json and merges.txt.
tokenizer qwen25(bool composes = true) {
    const auto folder = folder_of_all / "qwen2.5";
    tokenizer_definition definition;
    definition.who = folder.string();
    definition.pre_tokenizer = {split_rule::qwen2};
    if (composes) definition.normalizer = {normalizer::compose{}};
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

std::string from_base64(std::string_view text) {
    const std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : text) {
        const std::size_t digit = digits.find(c);
        if (digit == std::string_view::npos) break;
        bits = bits << 6 | static_cast<std::uint32_t>(digit);
        count += 6;
        if (count >= 8) bytes += static_cast<char>(bits >> (count -= 8) & 255);
    }
    return bytes;
}

tokenizer_definition ranked(split_rule rule) {
    tokenizer_definition definition;
    definition.who = "test";
    definition.pre_tokenizer = {rule};
    definition.spelling = token_spelling::bytes;
    definition.order = merge_order::by_id;
    definition.prefers_whole_words = true;
    return definition;
}

/// Llama 3 from its ranks.
tokenizer llama3_tokenizer(bool prefers_whole_words = true) {
    tokenizer_definition definition = ranked(split_rule::llama3);
    definition.prefers_whole_words = prefers_whole_words;
    line_reader lines(folder_of_all / "llama-3" / "tokenizer.model");
    for (std::string_view line; lines.next(line);)
        if (!line.empty())
            definition.vocabulary.push_back(
                {from_base64(line), static_cast<std::int32_t>(definition.vocabulary.size())});
    return tokenizer(std::move(definition));
}

/// Mistral Nemo from its ranks; the first 1000 ids are special.
tokenizer nemo_tokenizer(split_rule rule = split_rule::tekken) {
    tokenizer_definition definition = ranked(rule);
    const json file = read_json_file(folder_of_all / "mistral-nemo" / "tekken_240718.json");
    CHECK(find_split_rule(file.at("config").at("pattern").get<std::string>()) == split_rule::tekken);
    std::istringstream words(file.at("bpe_ranks").get<std::string>());
    std::string word;
    words >> word >> word; // "!" and an offset
    while (words >> word)
        definition.vocabulary.push_back(
            {from_base64(word), 1000 + static_cast<std::int32_t>(definition.vocabulary.size())});
    return tokenizer(std::move(definition));
}

std::filesystem::path llama2_file() { return folder_of_all / "llama-2" / "ggml-vocab-llama-spm.gguf"; }
tokenizer llama2_tokenizer() { return tokenizer::from_gguf(gguf_file(llama2_file())); }

void check_vectors(std::string const& name, tokenizer const& t) {
    const mapped_file inputs(folder_of_all / name / "test_vectors.inp");
    line_reader outputs(folder_of_all / name / "test_vectors.out");
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

/// The paper's documents, whose ids begin with `special` ids that are not of the text.
void check_documents(std::string const& model, tokenizer const& t, std::ptrdiff_t special) {
    const auto folder = shared / "qerror";
    for (std::string split : {"ctrl", "large"}) {
        const npy_array rows = read_npy(folder / model / ("awq3-" + split + ".npy"));
        REQUIRE(rows.shape == std::vector<std::size_t>{1000, 512});
        const ids all = rows.values<std::int32_t>();
        line_reader lines(folder / (model + "-awq3-" + split + ".jsonl.gz"));
        std::size_t at = 0, equal = 0;
        for (std::string_view line; lines.next(line); ++at) {
            const auto text = required<std::string>(parse_json(line, split), "text", split);
            const ids expected(&all[at * 512] + special, &all[at * 512] + 512);
            const ids found = t.encode(text);
            const bool cut = text.ends_with("\uFFFD"); // a character cut at the 512th id
            if (found == expected)
                ++equal;
            else
                CHECK(cut);
            CHECK(t.decode(found) == text);
        }
        CHECK(at == 1000);
        CHECK(equal >= 999); // README of the data: one row of three files ends in a cut character
    }
}

} // namespace

TEST_CASE("twelve strings, as the original programs encode them") {
    if (!present(folder_of_all)) return;
    const json known = read_json_file(std::filesystem::path(BITLENS_TEST_DATA) / "text" / "known_answers.json");
    const auto check = [&](std::string const& name, tokenizer const& t) {
        for (std::size_t i = 0; i < 12; ++i) {
            const auto text = known.at("strings")[i].get<std::string>();
            CAPTURE(name);
            CAPTURE(text);
            const ids found = t.encode(text);
            CHECK(found == known.at("ids").at(name)[i].get<ids>());
            if (name != "smollm2" && name != "llama-2" && i != 4) CHECK(t.decode(found) == text);
            if (name == "llama-2" && i != 8) CHECK(t.decode(found) == text); // U+2581 is a space there
        }
        CHECK(t.encode("") == ids{});
    };
    check("llama-2", llama2_tokenizer());
    check("llama-3", llama3_tokenizer());
    check("mistral-nemo", nemo_tokenizer());
    check("qwen2.5", qwen25());
    check("smollm2", tokenizer::from_json(folder_of_all / "smollm2" / "tokenizer.json"));
    // What single settings change.
    CHECK(llama3_tokenizer(false).encode(" Vi\u1ec7t") == ids{11655, 26298, 83});
    CHECK(qwen25(false).encode("e\u0301 \u00e9 \ufb01") == ids{68, 53839, 3958, 32495, 70731});
    CHECK(qwen25(true).encode("\u212b") == ids{144044});
    CHECK(qwen25(false).encode("\u212b") == ids{147485});
    CHECK(nemo_tokenizer(split_rule::llama3).encode("fooBARBaz/HTTPServer//\n/x") !=
          known.at("ids").at("mistral-nemo")[11].get<ids>());
    CHECK(llama2_tokenizer().encode_with_bos("a") == ids{1, 263});
    CHECK(llama2_tokenizer().encode("<0x0A>") == ids{529, 29900, 29916, 29900, 29909, 29958});
}

TEST_CASE("the test vectors of Llama 2, Llama 3 and Qwen2.5") {
    if (!present(folder_of_all)) return;
    check_vectors("llama-2", llama2_tokenizer());
    check_vectors("llama-3", llama3_tokenizer());
    check_vectors("qwen2.5", qwen25());
}

TEST_CASE("the paper's documents give their ids again, and ids the documents") {
    if (!present(shared / "qerror") || !present(folder_of_all)) return;
    check_documents("Meta-Llama-3-8B", llama3_tokenizer(), 1);
    check_documents("Mistral-Nemo-Base-2407", nemo_tokenizer(), 1);
    check_documents("Qwen2.5-7B", qwen25(), 0);
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

namespace {

struct added_case {
    std::string text, flag;
    ids legacy, first;
};

/// Llama 2's vocabulary as its tokenizer.json has it, with 32000 = "<|u|>" under a flag.
tokenizer llama2_with_added(std::string const& flag, bool legacy) {
    tokenizer_definition definition = read_tokenizer(gguf_file(llama2_file()));
    if (!legacy) {
        definition.normalizer.clear();
        definition.pre_tokenizer = {pre_tokenizer::metaspace{"\u2581", pre_tokenizer::prefix::first, false}};
    }
    definition.added.push_back(
        {"<|u|>", 32000, false, flag == "normalized", flag == "lstrip", flag == "rstrip", flag == "single_word"});
    return tokenizer(std::move(definition));
}

} // namespace

// Numbers of Hugging Face tokenizers 0.23.3.
TEST_CASE("added tokens: white space, single words, normalization, and what follows them") {
    if (!present(llama2_file())) return;
    const ids apart{263, 29966, 29989, 29884, 29989, 29958, 29890};
    const std::vector<added_case> cases{
        {"a <|u|> \n b", "none", {263, 29871, 32000, 259, 13, 289}, {263, 29871, 32000, 29871, 13, 289}},
        {"a <|u|> \n b", "rstrip", {263, 29871, 32000, 289}, {263, 29871, 32000, 29890}},
        {"a <|u|> \n b", "lstrip", {263, 32000, 259, 13, 289}, {263, 32000, 29871, 13, 289}},
        {"a <|u|> \n b", "normalized", {263, 32000, 29871, 13, 289}, {263, 29871, 32000, 29871, 13, 289}},
        {"a<|u|>b", "none", {263, 32000, 289}, {263, 32000, 29890}},
        {"a<|u|>b", "rstrip", {263, 32000, 289}, {263, 32000, 29890}},
        {"a<|u|>b", "lstrip", {263, 32000, 289}, {263, 32000, 29890}},
        {"a<|u|>b", "single_word", apart, apart},
        {"a<|u|>b", "normalized", apart, {263, 32000, 29890}},
        {"<|u|> b", "none", {32000, 29871, 289}, {32000, 289}},
        {"<|u|> b", "rstrip", {32000, 289}, {32000, 29890}}};
    for (auto const& c : cases) {
        CAPTURE(c.text);
        CAPTURE(c.flag);
        CHECK(llama2_with_added(c.flag, true).encode(c.text) == c.legacy);
        CHECK(llama2_with_added(c.flag, false).encode(c.text) == c.first);
    }
}

TEST_CASE("Llama 2's documents come back, and long texts take linear time") {
    const auto documents = shared / "c4" / "c4-en-first1000.jsonl.gz";
    if (!present(llama2_file()) || !present(documents)) return;
    const tokenizer t = llama2_tokenizer();
    line_reader lines(documents);
    for (std::string_view line; lines.next(line);) {
        const auto text = required<std::string>(parse_json(line, "C4"), "text", "C4");
        if (t.decode(t.encode(text)) != text) FAIL(text);
    }
    CHECK(t.encode(std::string(1'000'000, 'a')).size() == 250'002);
    CHECK(t.encode(std::string(1'000'000, '\n')).size() == 1'000'001);
}
