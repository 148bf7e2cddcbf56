/// What `bitlens generate` prints, beside what the library generates.

#include "shell.hpp"
#include "temporary_folder.hpp"
#include "tiny_model.hpp"

#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/npy.hpp"
#include "bitlens/models/generate.hpp"
#include "bitlens/quantizers/rtn.hpp"
#include "bitlens/recipes/quantize_layers.hpp"
#include "bitlens/text/tokenizer.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;
using test::check, test::shell;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t layers = 2, context = 256;
using weight = mixed_matrix<dense<float>, uniform<3, 64>>;

struct setting {
    test::temporary_folder folder;
    fs::path model = folder / "model";

    setting() { test::write_tiny_model(model, layers, 1, 3); }
    std::string line(std::string const& more) const {
        const char* const threads = more.find("--threads") == more.npos ? "--threads 1 " : "";
        return "bitlens generate --model '" + model.string() + "' " + threads + more;
    }
    tokenizer words() const { return tokenizer::from_json(model / "tokenizer.json"); }
    /// The objects that a call prints.
    std::vector<json> printed(std::string const& more) const {
        const auto result = shell(line(more) + " 2>/dev/null");
        REQUIRE_MESSAGE(result.code == 0, result.text);
        std::vector<json> all;
        for (std::size_t at = 0, end; (end = result.text.find('\n', at)) != std::string::npos; at = end + 1)
            all.push_back(parse_json(std::string_view(result.text).substr(at, end - at), "standard output"));
        return all;
    }
    fs::path prompts(std::string const& name, std::vector<json> const& lines) const {
        std::string text;
        for (auto const& each : lines) text += each.dump() + "\n";
        return folder.write(name, text);
    }
};

setting const& here() {
    static const setting s;
    return s;
}

/// To rounding: the command is compiled by other rules than this test.
bool near(std::vector<double> const& a, std::vector<double> const& b) {
    return std::ranges::equal(a, b, [](double x, double y) { return std::abs(x - y) < 1e-4; });
}

void check_line(json const& line, std::size_t number, std::vector<std::int32_t> const& prompt,
                generated_text const& made) {
    CHECK(line.at("prompt").get<std::size_t>() == number);
    CHECK(line.at("prompt_tokens").get<std::size_t>() == prompt.size());
    CHECK(line.at("ids").get<std::vector<std::int32_t>>() == made.ids);
    CHECK(near(line.at("loss").get<std::vector<double>>(), made.nll));
    CHECK(near(line.at("margin").get<std::vector<double>>(), {made.margin.begin(), made.margin.end()}));
    CHECK(line.at("stopped").get<std::string>() == name(made.stopped));
}

} // namespace

TEST_CASE("a prompt and its options give what the library does") {
    const auto words = here().words();
    const transformer<llama, weight> model(checkpoint(here().model), true);
    const auto low = model.with_layers(quantize_layers(*model.layers(), layers, rtn<uniform<3, 64>>{}));
    const auto ids = words.encode("A line of words");
    const generation_end nine{.most_tokens = 9};
    for (auto const& each : std::vector<std::pair<std::string, generated_text>>{
             {"", generate(model, ids, nine)},
             {"--exact", generate(model, ids, nine, row_products::matmul)},
             {"--exact --threads 2", generate(model, ids, nine, row_products::matmul)},
             {"--method rtn3-g64", generate(low, ids, nine)},
             {"--method rtn3-g64 --exact", generate(low, ids, nine, row_products::matmul)}}) {
        std::string const& more = each.first;
        CAPTURE(more);
        const auto lines = here().printed("--prompt 'A line of words' --tokens 9 " + more);
        REQUIRE(lines.size() == 1);
        check_line(lines[0], 0, ids, each.second);
        CHECK_FALSE(lines[0].contains("id"));
    }
    CHECK(here().printed("--prompt 'A line of words'")[0].at("ids").size() == 64);
    const std::string exact = "--prompt 'A line of words' --exact --threads ";
    CHECK(here().printed(exact + "1") == here().printed(exact + "2")); // every digit

    const auto made = generate(model, ids, nine);
    const std::string stop = std::to_string(made.ids[4]);
    const auto by_id = here().printed("--prompt 'A line of words' --stop-ids 0," + stop + " --stop nowhere")[0];
    CHECK(by_id.at("stopped") == "id");
    CHECK(by_id.at("ids").size() <= 5);
}

TEST_CASE("prompts of a file, in their order, side by side or not") {
    const auto words = here().words();
    const transformer<llama, weight> model(checkpoint(here().model), true);
    const std::vector<std::string> texts{"A line of words", "x", "And another one, and more words follow it again",
                                         "x"};
    const auto file = here().prompts("prompts.jsonl", {{{"text", texts[0]}, {"id", "first"}},
                                                       {{"text", texts[1]}},
                                                       {{"text", texts[2]}, {"id", 7}},
                                                       {{"text", texts[3]}}});
    std::vector<generated_text> expected, exact;
    for (auto const& text : texts) {
        expected.push_back(generate(model, words.encode(text), {.most_tokens = 12}));
        exact.push_back(generate(model, words.encode(text), {.most_tokens = 12}, row_products::matmul));
    }
    for (const std::string more : {"", "--at-once 1", "--at-once 3 --threads 2", "--exact", "--exact --at-once 3"}) {
        CAPTURE(more);
        const auto lines = here().printed("--prompts '" + file.string() + "' --tokens 12 " + more);
        REQUIRE(lines.size() == 4);
        for (std::size_t n = 0; n < 4; ++n)
            check_line(lines[n], n, words.encode(texts[n]), more.starts_with("--exact") ? exact[n] : expected[n]);
        CHECK(lines[0].at("id") == "first");
        CHECK_FALSE(lines[1].contains("id"));
        CHECK(lines[2].at("id") == "7");
    }
    const auto other_key = here().prompts("questions.jsonl", {{{"question", "x"}, {"name", "n"}}});
    const auto asked =
        here().printed("--prompts '" + other_key.string() + "' --text-key question --id-key name --tokens 12 --bos no");
    check_line(asked[0], 0, words.encode("x"), expected[1]);
    CHECK(asked[0].at("id") == "n");

    const auto rows = here().folder / "rows.npy";
    const auto ids = words.encode(texts[0]);
    write_npy(rows, std::array{std::size_t{1}, ids.size()}, std::span<const std::int32_t>(ids));
    check_line(here().printed("--prompts '" + rows.string() + "' --tokens 12")[0], 0, ids, expected[0]);
}

TEST_CASE("a prompt that is none is named, with why") {
    const std::string long_text = [] {
        std::string text;
        for (int i = 0; i < 400; ++i) text += " word" + std::to_string(i);
        return text;
    }();
    check(here().line("--prompt ''"), 1, {"--prompt: an empty prompt, expected at least one token"});
    check(here().line("--prompt '" + long_text + "'"), 1,
          {"--prompt: a prompt of ", " tokens; at most 256, on which the model was trained, are read, or --positions"});
    check(here().line("--prompt 'A line of words' --positions 2"), 1,
          {"--prompt: a prompt of ", " tokens; at most 2, as --positions says, are read"});
    CHECK(here()
              .printed("--prompts '" + here().prompts("over.jsonl", {{{"text", long_text}}}).string() +
                       "' --tokens 2 --positions 5000")[0]
              .at("ids")
              .size() == 2);
    check(here().line("--prompt \"$(printf 'a\\377')\""), 1, {"UTF-8"});
    check(here().line(""), 2, {"--prompt"});
    check(here().line("--prompt a --prompts '" + here().model.string() + "'"), 2, {"--prompt"});
    check(here().line("--prompt a --tokens 0"), 2, {"--tokens: a whole number from 1 to 1048576 is expected"});
    check(here().line("--prompt a --stop ''"), 2, {"--stop: a text is expected, an empty one was found"});
    check(here().line("--prompt a --stop-ids 1,-2"), 2,
          {"--stop-ids: token ids joined by commas are expected, as in 0,2; \"-2\" was found"});
    check(here().line("--prompt a --stop-ids 100000"), 2, {"--stop-ids: the id 100000 is none of the "});
    check(here().line("--prompt a --method gptq4-g32"), 2, {"`bitlens quantize` writes it"});
    check(here().line("--prompt a --bos yes"), 2, {"--bos yes"});

    const auto empty = here().prompts("empty.jsonl", {{{"text", "a"}}, {{"text", ""}, {"id", "second"}}});
    check(here().line("--prompts '" + empty.string() + "'"), 1,
          {"empty.jsonl: line 2, document 1 (id \"second\"): an empty prompt, expected at least one token"});
    const auto too_long = here().prompts("long.jsonl", {{{"text", "a"}}, {{"text", long_text}}});
    check(here().line("--prompts '" + too_long.string() + "'"), 1,
          {"long.jsonl: line 2, document 1: a prompt of ", " are read"});
    check(here().line("--prompts '" + here().folder.write("none.jsonl", "").string() + "'"), 2,
          {"none.jsonl: at least one prompt is expected, none was found"});
    check(here().line("--prompts '" + here().folder.write("no.jsonl", "{\"prompt\": \"a\"}\n").string() + "'"), 1,
          {"no.jsonl", "line 1", "the key \"text\" is missing"});
    check(here().line("--prompts '" + empty.string() + "' --id-key nobody"), 1, {"an empty prompt"});
    const auto good = here().prompts("good.jsonl", {{{"text", "a"}}});
    check(here().line("--prompts '" + good.string() + "' --id-key nobody"), 2,
          {"good.jsonl: none of the 1 prompts has the key \"nobody\""});
    const auto rows = here().folder / "foreign.npy";
    const std::array<std::int32_t, 2> ids{1, 99999};
    write_npy(rows, std::array{std::size_t{1}, ids.size()}, std::span<const std::int32_t>(ids));
    check(here().line("--prompts '" + rows.string() + "'"), 1, {"foreign.npy: row 0, column 1: a token id from 0 to"});
}

TEST_CASE("a character that the tokenizer has no tokens for is no prompt") {
    const test::temporary_folder folder;
    test::write_tiny_model(folder / "model", 1);
    json tokenizer_file = read_json_file(folder / "model" / "tokenizer.json");
    json& vocabulary = tokenizer_file.at("model").at("vocab"); // the byte F0, which rare planes begin with, as ð
    REQUIRE(vocabulary.contains("\u00f0"));
    vocabulary.erase("\u00f0");
    json kept = json::array();
    for (json const& merge : tokenizer_file.at("model").at("merges")) // none of it may need that byte
        if (merge.dump().find("\u00f0") == std::string::npos) kept.push_back(merge);
    tokenizer_file.at("model")["merges"] = kept;
    std::ofstream(folder / "model" / "tokenizer.json") << tokenizer_file.dump();
    check("bitlens generate --model '" + (folder / "model").string() + "' --prompt 'a \U0001F600 b'", 1,
          {"--prompt: the tokenizer has no tokens for all of this text; its ids stand for \"a "});
}

TEST_CASE("a text may end at the model's last position, and losses that are no numbers end the command") {
    const auto words = here().words();
    const auto rows = here().folder / "full.npy";
    const std::vector<std::int32_t> ids(context, 5);
    write_npy(rows, std::array{std::size_t{1}, ids.size()}, std::span<const std::int32_t>(ids));
    const auto lines = here().printed("--prompts '" + rows.string() + "' --tokens 12");
    CHECK(lines[0].at("stopped") == "context");
    CHECK(lines[0].at("ids").size() == 1);

    const test::temporary_folder folder;
    test::write_tiny_model(folder / "loud", layers, 1e38f);
    check("bitlens generate --threads 1 --model '" + (folder / "loud").string() + "' --prompt 'A line'", 1,
          {"--prompt: the loss of new token ", " is not finite: the model's numbers overflow"});
}
