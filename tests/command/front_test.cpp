/// What a first user meets: help, mistakes on the command line and in what it names, the scripts.

#include "shell.hpp"
#include "tiny_model.hpp"

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/io/npy.hpp"
#include "bitlens/io/npz.hpp"
#include "bitlens/recipes/method.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;
using test::check, test::shell;
namespace fs = std::filesystem;

namespace {

using test::check, test::shell;

constexpr std::size_t rows = 20, tokens = 12, width = 64, layers = 2;

/// A model and rows of ids for it.
struct setting {
    test::temporary_folder folder;
    fs::path model = folder / "model";
    std::size_t vocabulary = test::write_tiny_model(model, layers);

    /// NPY whose ids are all 1 but for one.
    fs::path ids(std::string const& name, std::size_t row, std::size_t column, std::int32_t id) const {
        std::vector<std::int32_t> all(rows * tokens, 1);
        all[row * tokens + column] = id;
        write_npy(folder / name, std::array{rows, tokens}, std::span<const std::int32_t>(all));
        return folder / name;
    }
};

setting const& here() {
    static const setting s;
    return s;
}

std::string probe_line(fs::path const& data, std::string const& more) {
    return "bitlens probe --model " + here().model.string() + " --data " + data.string() + " " + more;
}

const fs::path root = fs::path(BITLENS_TEST_DATA) / ".." / "..";

} // namespace

TEST_CASE("a word that nobody knows is named, with where to look") {
    check("bitlens stduy --model M", 2,
          {"there is no verb \"stduy\"; there are quantize, study, locate, report, inspect, tokenize, probe, "
           "perplexity, generate, popqa, verify",
           "bitlens --help"});
    check("bitlens", 2, {"a verb is expected; there are quantize, study, locate, report"});
    check("bitlens study --modle M", 2,
          {"bitlens study: there is no option \"--modle\"; 'bitlens study --help' lists the options"});
    check("bitlens --modle M study", 2, {"there is no option \"--modle\""});
    check("bitlens study word", 2, {"\"word\" is the value of no option"});
    check("bitlens study", 2, {"--model is required", "'bitlens study --help' lists the options"});
    check("bitlens --version", 0, {"."});
}

TEST_CASE("a number that cannot be is answered with those that can") {
    check("bitlens study --threads 0", 2,
          {"--threads: a whole number from 1 to 4294967295 is expected, \"0\" was found"});
    check("bitlens study --examples 0", 2, {"--examples: a whole number from 1 to"});
    check("bitlens study --examples 1.5", 2, {"\"1.5\" was found"});
    check("bitlens study --tokens 1", 2, {"--tokens: max or a whole number from 2 to 1048576 is expected, \"1\" was found"});
    check("bitlens perplexity --window 1", 2, {"--window: a whole number from 2 to 1048576 is expected"});
    for (const char* size : {"-1", "-5G", "0", "0K", "1.5G", "1e9", "G", "8X", "99999999999999999999", "16777216T"})
        check("bitlens study --memory " + std::string(size), 2,
              {"--memory: bytes, or a whole number with K, M, G or T, are expected; \"" + std::string(size) +
               "\" was found"});
    check("bitlens study --seed -1", 2, {"--seed: a whole number from 0 to 18446744073709551615 is expected"});
    check("bitlens study --seed abc", 2, {"--seed: a whole number from 0 to", "\"abc\" was found"});
    check("bitlens probe --layers 0-3", 2,
          {"--layers: numbers joined by commas are expected, as in 0,1,2; \"0-3\" was found"});
}

TEST_CASE("help says what a verb reads and how a method is written") {
    check("bitlens tokenize --help", 0, {"standard input"});
    std::vector<std::string> lines_of_methods;
    const std::string existing = method::existing();
    for (const std::string_view line : bitlens::detail::split(existing, '\n')) lines_of_methods.emplace_back(line);
    check("bitlens probe --help", 0, {"as in study: rtn3-g64, nf4-g64-dq; or full", "final_norm and logits, of"});
    for (const char* verb : {"study", "perplexity"})
        check("bitlens " + std::string(verb) + " --help", 0,
              {"comma-separated, beside the full model, which comes first:", lines_of_methods[0], lines_of_methods[3]});
    // The same lines below an error, whatever is in its text.
    const auto said = shell("bitlens perplexity --model " + here().model.string() + " --text " +
                            here().folder.write("t.txt", "x").string() + " --methods \"$(printf 'int\\n4')\"");
    CHECK(said.code == 2);
    CHECK(said.text == "bitlens: method 'int\\x0a4': there is no method 'int\\x0a4'; what exists:\n" + existing + "\n");
    check("bitlens study --help", 0, {".txt (one document)"});
}

TEST_CASE("plain text without the ending .txt is told how it was read") {
    const auto path = here().folder.write("notes.md", "# Notes\n");
    check("bitlens study --model " + here().model.string() + " --methods rtn3-g64 --data " + path.string() + " --out " +
              (here().folder / "notes").string(),
          1, {"notes.md: line 1: no valid JSON", "plain text needs the ending .txt"});
}

TEST_CASE("the plan of a study counts what is measured of each document") {
    const auto ids = here().ids("planned.npy", 0, 0, 1);
    const auto planned = [&](int examples) {
        const auto text = shell("bitlens study --model " + here().model.string() + " --data " + ids.string() +
                                " --methods rtn3-g32 --tokens 12 --threads 1 --examples " + std::to_string(examples) +
                                " --out " + (here().folder / ("planned" + std::to_string(examples))).string())
                              .text;
        const std::string before = "states of " + std::to_string(examples) + " rows ";
        const auto at = text.find(before);
        REQUIRE_MESSAGE(at != std::string::npos, text);
        return std::stod(text.substr(at + before.size())) * 1e6;
    };
    constexpr std::size_t variants = 2;
    const auto of_one =
        variants * tokens * width * sizeof(float) + document_measurement::bytes({variants, layers, tokens, width});
    CHECK(of_one > (variants + 1) * tokens * width * sizeof(float)); // residual streams, and the full model's output
    constexpr double rounding = 1.1e4;                               // both are printed in hundredths of a megabyte
    CHECK(std::abs(planned(8) - planned(1) - 7 * static_cast<double>(of_one)) < rounding);
}

TEST_CASE("probe leaves what it reads as it is, whatever name --out has for it") {
    const auto ids = here().ids("read.npy", 0, 0, 1);
    const auto link = here().folder / "link.npz";
    fs::create_symlink(here().model / "config.json", link);
    for (auto const& [out, what] : std::map<fs::path, std::string>{
             {ids, "--data"}, {here().model / "model.safetensors", "--model"}, {link, "--model"}})
        check(probe_line(ids, "--points logits --out " + out.string()), 2,
              {"--out: " + out.string() + " is read as " + what});
    check(probe_line(ids, "--points logits --out ''"), 2, {"--out: the name of a file is expected, an empty text"});
    check("bitlens study --model " + here().model.string() + " --data " + ids.string() + " --methods rtn3-g64 --out ''",
          2, {"--out: the name of a folder is expected, an empty text"});
    check(probe_line(ids, "--points final_norm --out " + (here().folder / "norm.npz").string()), 0, {});
    const npz_reader file(here().folder / "norm.npz");
    CHECK(file.names() == std::vector<std::string>{"final_norm"});
    CHECK(file.array("final_norm").shape == std::vector<std::size_t>{rows, tokens, width});
}

TEST_CASE("a JSON array is told from JSON Lines") {
    const auto path = here().folder.write("array.jsonl", "[\n {\"text\": \"a\"}]");
    check("bitlens study --model " + here().model.string() + " --methods rtn3-g64 --data " + path.string() + " --out " +
              (here().folder / "array").string(),
          1, {"array.jsonl: a JSON array was found; JSON Lines are expected, one object a line"});
}

TEST_CASE("a model's name on a hub is answered with what fetches it") {
    for (const char* verb : {"inspect ", "tokenize --model ", "study --methods rtn3-g64 --model "})
        check("bitlens " + std::string(verb) + "org/Name", 2,
              {"org/Name: there is no such file or folder", "'hf download org/Name --local-dir Name'"});
}

TEST_CASE("data of another kind are named, with what makes JSON Lines of them") {
    const auto study = [](fs::path const& data) {
        return "bitlens study --model " + here().model.string() + " --methods rtn3-g64 --data " + data.string() +
               " --out " + (here().folder / "kind").string();
    };
    check(study(here().folder.write("a.parquet", "PAR1\x15")), 1, {"a Parquet file was found", "pandas.read_parquet("});
    check(study(here().folder.write("a.tsv", "id\ttext\n1\ta\n")), 1, {"tab-separated values was found"});
    check("bitlens perplexity --model " + here().model.string() + " --text " +
              here().folder.write("a.zst", "\x28\xB5\x2F\xFD").string(),
          1, {"text is expected, a Zstandard file was found"});
}

TEST_CASE("probe says before it runs what it would end with") {
    const auto outside = here().ids("outside.npy", 3, 2, static_cast<std::int32_t>(here().vocabulary));
    const auto absent = (here().folder / "absent" / "x.npz").string();
    check(probe_line(outside, "--points logits --out " + absent), 1,
          {"--out: " + absent + ": ", "No such file or directory"});
    check(probe_line(outside, "--points logits --out " + here().folder.path().string()), 2,
          {"--out: the name of a file is expected, the folder " + here().folder.path().string() + " was found"});
    const auto out = here().folder / "x.npz";
    check(probe_line(outside, "--points logits --out " + out.string()), 1,
          {"outside.npy: row 3, column 2: a token id from 0 to " + std::to_string(here().vocabulary - 1) +
           " is expected, " + std::to_string(here().vocabulary) + " was found"});
    CHECK_FALSE(fs::exists(out));
    CHECK_FALSE(fs::exists(here().folder / ".x.npz.tmp"));
}

TEST_CASE("what probe keeps counts as memory") {
    const auto ids = here().ids("ids.npy", 0, 0, 2);
    const auto out = (here().folder / "kept.npz").string();
    // A row of logits is some nine times as wide as the residual stream; both layers of it are kept, or one. Logits of
    // the document at hand are there once more.
    const auto needed = [&](std::string const& points) {
        const auto result = shell(probe_line(ids, "--memory 1K --threads 1 --out " + out + " --points " + points));
        CHECK_MESSAGE(result.code == 2, result.text);
        constexpr std::string_view before = "at least ";
        const auto at = result.text.find(before);
        REQUIRE_MESSAGE(at != std::string::npos, result.text);
        return std::stod(result.text.substr(at + before.size())) * 1e6;
    };
    constexpr double position = rows * tokens * sizeof(float), rounding = 1e4;
    const double one_layer = needed("resid_post --layers 0");
    CHECK(needed("resid_post") - one_layer == doctest::Approx(width * position).epsilon(rounding / (width * position)));
    constexpr double key_width = width / 2; // two key heads for four heads
    CHECK(one_layer - needed("attn_k --layers 0") ==
          doctest::Approx(key_width * position).epsilon(rounding / (key_width * position)));
    const double more = static_cast<double>(here().vocabulary - width) * position +
                        static_cast<double>(here().vocabulary * tokens * sizeof(float));
    CHECK(needed("logits --layers 0") - one_layer == doctest::Approx(more).epsilon(rounding / more));
    check(probe_line(ids, "--memory 64M --points logits --out " + out), 0, {});
}

TEST_CASE("run.sh answers a call for help at once, and without HOME says what it needs") {
    const std::string script = "timeout 20 bash " + (root / "examples" / "run.sh").string();
    for (const char* call : {" --help", " -h", " --tokens 8 --help"})
        check("env -u HOME " + script + call, 0, {"bash examples/run.sh [argument of", "BITLENS_CACHE", "92 MB"});
    CHECK(shell(script + " --help").text.find('#') == std::string::npos);
    check("env -u HOME -u BITLENS_CACHE " + script, 1, {"HOME is not set", "BITLENS_CACHE", "--model"});
}

TEST_CASE("without dpkg the packages are named, and nobody is stopped") {
    check("env PATH=/nonexistent /bin/bash " + (root / ".ci" / "install").string(), 0,
          {"There is no dpkg here", "libxtensor-dev", "nothing is installed"});
}
