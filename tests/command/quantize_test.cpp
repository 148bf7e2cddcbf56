/// `bitlens quantize`, and what the other verbs do with what it leaves: the same numbers, whoever quantized.

#include "shell.hpp"
#include "tiny_model.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/io/npy.hpp"
#include "bitlens/recipes/awq_method.hpp"
#include "bitlens/report/csv.hpp"
#include "bitlens/sweep/layer_panels.hpp"
#include "bitlens/sweep/memory_plan.hpp"

#include "temporary_folder.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;
namespace fs = std::filesystem;
using test::check, test::shell;

namespace {

constexpr std::size_t quantize_layers_count = 3;

matrix<std::int32_t> random_ids(std::size_t rows, std::size_t columns, std::size_t vocabulary, std::uint64_t seed) {
    matrix<std::int32_t> ids(rows, columns);
    random_generator random(seed);
    for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.below(vocabulary));
    return ids;
}
void write_ids(fs::path const& file, matrix<std::int32_t> const& ids) {
    write_npy(file, std::array{ids.rows(), ids.cols()}, ids.span());
}

/// A model, documents and two calibration sets.
struct quantize_setting {
    test::temporary_folder folder;
    fs::path model = folder / "model", data = folder / "ids.npy", calibration = folder / "calibration.npy",
             other = folder / "other.npy";
    std::size_t vocabulary = test::write_tiny_model(model, quantize_layers_count);

    matrix<std::int32_t> study_ids = random_ids(20, 12, vocabulary, 1);

    quantize_setting() {
        write_ids(data, study_ids);
        write_ids(calibration, random_ids(12, 40, vocabulary, 2));
        write_ids(other, random_ids(12, 40, vocabulary, 3));
    }
    std::string line(std::string const& verb, std::string const& methods, fs::path const& out,
                     std::string const& more = "", char const* threads = "1") const {
        return "bitlens " + verb + " --threads " + threads + " --model '" + model.string() + "' --methods '" + methods +
               "' --out '" + out.string() + "' " +
               (verb == "study" ? "--tokens 12 --data '" + data.string() + "' " : "") + more;
    }
    std::string calibrated(fs::path const& file) const { return "--calibration '" + file.string() + "'"; }
    std::string calibrated() const { return calibrated(calibration); }
};
quantize_setting const& setting_of_quantize() {
    static const quantize_setting s;
    return s;
}

std::string text_of(fs::path const& file) { return std::string(as_text(mapped_file(file).bytes())); }

/// All files of a quantized model but its log, whose seconds differ.
std::map<std::string, std::string> files_of(fs::path const& folder) {
    std::map<std::string, std::string> files;
    for (auto const& entry : fs::directory_iterator(folder))
        if (entry.path().filename() != "modules.csv" && entry.path().filename() != ".lock")
            files[entry.path().filename()] = text_of(entry.path());
    return files;
}

} // namespace

TEST_CASE("quantize leaves a folder a method, the same for any number of threads, and whoever is quantized beside it") {
    auto const& s = setting_of_quantize();
    const std::string methods = "gptq3-g32,awq3-g32,a4=awq4-g32:clip=off,rtn3-g32,nf4-g64";
    check(s.line("quantize", methods, s.folder / "all", s.calibrated()), 0,
          {"calibration of gptq: ", "calibration of awq: ", "quantizing awq3-g32, a4: memory", "nf4-g64: "});
    for (const char* name : {"gptq3-g32", "awq3-g32", "a4", "rtn3-g32", "nf4-g64"}) {
        CAPTURE(name);
        const auto files = files_of(s.folder / "all" / name);
        CHECK(files.size() == quantize_layers_count + 1);
        const csv_table log(text_of(s.folder / "all" / name / "modules.csv"), "modules.csv");
        CHECK(log.has("relative_loss"));
    }
    check(s.line("quantize", "awq3-g32", s.folder / "alone", s.calibrated(), "2"), 0, {});
    CHECK(files_of(s.folder / "alone" / "awq3-g32") == files_of(s.folder / "all" / "awq3-g32"));
    check(s.line("quantize", "gptq3-g32", s.folder / "alone", s.calibrated(), "2"), 0, {});
    CHECK(files_of(s.folder / "alone" / "gptq3-g32") == files_of(s.folder / "all" / "gptq3-g32"));
    // A layer that is missing is made again, with the same bytes.
    const auto whole = files_of(s.folder / "alone" / "gptq3-g32");
    fs::remove(s.folder / "alone" / "gptq3-g32" / "layer-0001.safetensors");
    fs::remove(s.folder / "alone" / "gptq3-g32" / "layer-0002.safetensors");
    check(s.line("quantize", "gptq3-g32", s.folder / "alone", s.calibrated()), 0, {"layer 3 of 3"});
    CHECK(files_of(s.folder / "alone" / "gptq3-g32") == whole);
    check(s.line("quantize", "gptq3-g32", s.folder / "alone", s.calibrated(s.other)), 2,
          {"holds another quantized model: calibration.", "another folder keeps both"});
}

TEST_CASE("the same documents under another name are no other quantized model") {
    auto const& s = setting_of_quantize();
    const auto out = s.folder / "renamed", renamed = s.folder / "again.npy";
    fs::copy_file(s.calibration, renamed);
    check(s.line("quantize", "gptq3-g32", out, s.calibrated()), 0, {"layer 3 of 3"});
    const auto whole = files_of(out / "gptq3-g32");
    const json manifest = read_json_file(out / "gptq3-g32" / "manifest.json");
    CHECK(manifest["origin"]["calibration"]["file"]["name"] == "calibration.npy");
    CHECK(manifest["origin"]["model"] == json{"config.json", "model.safetensors"});
    for (json const& file : manifest["source"]["files"]) CHECK_FALSE(file.contains("name"));
    fs::remove(out / "gptq3-g32" / "layer-0002.safetensors");
    check(s.line("quantize", "gptq3-g32", out, s.calibrated(renamed)), 0, {"layer 3 of 3"});
    CHECK(files_of(out / "gptq3-g32") == whole);
    const auto run = s.folder / "of_renamed";
    check(s.line("study", "gptq3-g32", run, s.calibrated()), 0, {"report: "});
    check(s.line("study", "gptq3-g32,rtn3-g32", run, s.calibrated(renamed)), 0, {"report: "});
}

TEST_CASE("the texts of a calibration may have another key than the study's") {
    auto const& s = setting_of_quantize();
    random_generator random(12);
    std::string by_text, by_content;
    for (int n = 0; n < 8; ++n) {
        std::string text;
        for (int t = 0; t < 60; ++t) text += static_cast<char>('0' + random.below(10));
        by_text += json{{"text", text}}.dump() + "\n";
        by_content += json{{"content", text}}.dump() + "\n";
    }
    const auto usual = s.folder.write("by_text.jsonl", by_text), other = s.folder.write("by_content.jsonl", by_content);
    check(s.line("quantize", "gptq3-g32", s.folder / "by_text", s.calibrated(usual)), 0, {});
    check(s.line("quantize", "gptq3-g32", s.folder / "by_content",
                 s.calibrated(other) + " --calibration-text-key content"),
          0, {"8 documents of 480 tokens"});
    const auto layer = [&](char const* run) {
        return files_of(s.folder / run / "gptq3-g32").at("layer-0002.safetensors");
    };
    CHECK(layer("by_text") == layer("by_content")); // the same model, by its identity too
    check(s.line("study", "gptq3-g32", s.folder / "keyed", s.calibrated(other) + " --calibration-text-key content"), 0,
          {"8 documents of 480 tokens", "report: "});

    const auto refused = [&](std::string const& more, int code, std::string const& words) {
        check(s.line("quantize", "gptq3-g32", s.folder / "no_key", more), code, {words});
    };
    refused(s.calibrated(other), 1, "by_content.jsonl: line 1: the key \"text\" is missing");
    refused(s.calibrated(other) + " --calibration-text-key text_", 1, "the key \"text_\" is missing");
    refused(s.calibrated(other) + " --calibration-text-key ''", 2, "--calibration-text-key: the name of a key is");
    refused(s.calibrated() + " --calibration-text-key content", 2,
            "calibration.npy: the key \"content\" was asked for, which only lines of JSON Lines have");
    for (const char* option : {"--calibration-text-key content", "--calibration-texts 3", "--calibration-tokens 300",
                               "--calibration-shuffle 1"})
        refused(option, 2, "requires --calibration");
}

TEST_CASE("so many texts and tokens for all methods, or for those of one kind") {
    auto const& s = setting_of_quantize();
    const auto says = [&](std::string const& more, std::vector<std::string> const& words) {
        check(s.line("quantize", "gptq3-g32,awq3-g32",
                     s.folder / ("n" + std::to_string(std::hash<std::string>()(more))), s.calibrated() + " " + more),
              0, words);
    };
    says("--calibration-tokens awq=200",
         {"calibration of gptq: 12 documents of 480 tokens", "calibration of awq: 5 documents of 200 tokens"});
    says("--calibration-texts gptq=4,6", {"calibration of gptq: 4 documents", "calibration of awq: 6 documents"});
    const auto refused = [&](std::string const& value, std::string const& words) {
        check("bitlens study --calibration '" + s.calibration.string() + "' --calibration-tokens '" + value + "'", 2,
              {"--calibration-tokens: ", words});
    };
    refused("0", "a whole number from 1 to 4294967295 is expected, \"0\" was found");
    refused("awq=x", "a whole number from 1 to 4294967295 is expected, \"x\" was found");
    refused("rtn=300", "gptq or awq is expected before '=', \"rtn\" was found");
    refused("300,400", "one number for all methods is expected, two were found");
    refused("awq=300,awq=400", "two numbers for awq were found");
    refused("", "a whole number");
}

TEST_CASE("the programs of the paper calibrate each method as the command does") {
    auto const& s = setting_of_quantize();
    random_generator random(13);
    std::string texts;
    for (int n = 0; n < 8; ++n) {
        std::string text;
        for (int t = 0; t < 90; ++t) text += static_cast<char>('0' + random.below(10));
        texts += json{{"text", text}}.dump() + "\n";
    }
    const auto calibration = s.folder.write("of_paper.jsonl", texts);
    check(s.line("quantize", "gptq3-g32,awq3-g32", s.folder / "of_paper", s.calibrated(calibration)), 0,
          {"calibration of gptq: 8 documents of 720 tokens", "calibration of awq: 2 documents of 512 tokens"});
    const auto table = [&](std::string const& gptq, std::string const& awq, std::string const& more) {
        const auto said = shell("'" BITLENS_PAPER_PROGRAM "' --tokens 12 --model '" + s.model.string() + "' --data '" +
                                s.data.string() + "' --methods '" + gptq + "," + awq + "' " + more);
        CHECK_MESSAGE(said.code == 0, said.text);
        return said.text;
    };
    const std::string q = (s.folder / "of_paper").string();
    CHECK(table("gptq3-g32", "awq3-g32", s.calibrated(calibration)) ==
          table("gptq3-g32=" + q + "/gptq3-g32", "awq3-g32=" + q + "/awq3-g32", ""));
}

TEST_CASE("a study quantizes what must be, keeps it, and gives the numbers of the same folder from elsewhere") {
    auto const& s = setting_of_quantize();
    const std::string methods = "gptq3-g32,awq3-g32,rtn3-g32";
    check(s.line("study", methods, s.folder / "no", ""), 2, {"--calibration: method gptq3-g32, gptq3-g32, looks at"});
    check(s.line("study", methods, s.folder / "run", s.calibrated()), 0, {"report: "});
    const std::string table = text_of(s.folder / "run" / "examples.csv");
    check(s.line("study", methods, s.folder / "run"), 0, {"report: "}); // what is there needs no documents
    CHECK(text_of(s.folder / "run" / "examples.csv") == table);
    check(s.line("study", methods, s.folder / "run", s.calibrated(s.other)), 2, {"is another quantized model there"});

    check(s.line("quantize", methods, s.folder / "q", s.calibrated()), 0, {});
    const std::string q = (s.folder / "q").string();
    check(s.line("study", "gptq3-g32=" + q + "/gptq3-g32,awq3-g32=" + q + "/awq3-g32,rtn3-g32=" + q + "/rtn3-g32",
                 s.folder / "stored"),
          0, {"report: "});
    CHECK(text_of(s.folder / "stored" / "examples.csv") == table);

    for (const char* run : {"run", "stored"}) {
        check("bitlens locate '" + (s.folder / run).string() + "' --threads 1 --model '" + s.model.string() +
                  "' --on all --experiments exit,restore,patch,gates,sensitivity",
              0, {});
        const csv_table located(text_of(s.folder / run / "locate.csv"), "locate.csv");
        CHECK(located.has("nll_awq3-g32_scaled_full"));
        CHECK_FALSE(located.has("nll_gptq3-g32_scaled_full"));
        // A model is the same function of its tokens in any scales.
        const auto full = located.numbers("nll_full"), scaled = located.numbers("nll_awq3-g32_scaled_full");
        for (std::size_t n = 0; n < full.size(); ++n) CHECK(scaled[n] == doctest::Approx(full[n]).epsilon(1e-5));
    }
    CHECK(text_of(s.folder / "run" / "locate.csv") == text_of(s.folder / "stored" / "locate.csv"));
}

TEST_CASE("the plan of memory counts the full model's matrices in the scales of a method") {
    auto const& s = setting_of_quantize();
    const auto run = s.folder / "planned";
    check(s.line("study", "awq3-g32,gptq3-g32", run, s.calibrated()), 0, {"report: "});
    // q, k, v, gate, up and down have scales; o, of grouped queries, has none.
    constexpr block_shape shape{64, 4, 2, 16, 128, 1e-5f};
    constexpr std::uint64_t folded = (64 * 64 + 2 * 32 * 64 + 3 * 64 * 128) * sizeof(float);
    const auto expect = [&](char const* method, std::size_t models, std::uint64_t made) {
        layer_panels::matrix_counts matrices;
        matrices.fill(models);
        const std::uint64_t bytes = made + layer_panels::bytes(shape, matrices, arithmetic::f32);
        check("bitlens locate '" + run.string() + "' --threads 1 --model '" + s.model.string() +
                  "' --on all --experiments patch --methods " + method,
              0, {"work on one layer " + bytes_text(bytes) + ","});
    };
    expect("awq3-g32", 3, folded);
    expect("gptq3-g32", 2, 0);
}

TEST_CASE("the plan of memory counts matrices that stay full in the scales of a method") {
    auto const& s = setting_of_quantize();
    const auto rules = s.folder.write(
        "rules.json", R"({"rules": [{"projection": "gate_proj|o_proj", "layers": "*", "use": "full"}]})");
    const auto planned = [&](std::string const& methods, char const* out, std::string const& more) {
        return shell(s.line("study", methods, s.folder / out, more)).text;
    };
    const std::string with_rules = " --overrides '" + rules.string() + "'";
    const auto blocks = [](matrix_shape shape) { return awq_method{3, 32}.bytes(shape); };
    const std::uint64_t packed = blocks({64, 64}) + 2 * blocks({32, 64}) + blocks({128, 64}) + blocks({64, 128});
    // gate_proj reads scaled inputs, o_proj is the full model's own.
    const std::uint64_t all = quantize_layers_count * (packed + 128 * 64 * sizeof(float));
    CHECK(planned("awq3-g32", "full_gate", s.calibrated() + with_rules).find("quantized blocks " + bytes_text(all)) !=
          std::string::npos);
    const std::uint64_t of_gptq =
        quantize_layers_count * (packed + (4 * 64 + 128) * 2 * sizeof(std::uint32_t)); // and their orders
    CHECK(planned("gptq3-g32", "full_gate_gptq", s.calibrated() + with_rules)
              .find("quantized blocks " + bytes_text(of_gptq)) != std::string::npos);
    // As the folder has it, whatever this study asks for.
    const auto text =
        planned("mine=" + (s.folder / "full_gate" / "quantized" / "awq3-g32").string(), "full_gate_folder", "");
    CHECK_MESSAGE(text.find("quantized blocks " + bytes_text(all)) != std::string::npos, text);
}

TEST_CASE("other verbs take a folder, and say what to do with a method that has none yet") {
    auto const& s = setting_of_quantize();
    check(s.line("quantize", "gptq4-g32", s.folder / "verbs", s.calibrated()), 0, {});
    const std::string folder = (s.folder / "verbs" / "gptq4-g32").string();
    const std::string probe = "bitlens probe --threads 1 --model '" + s.model.string() + "' --data '" +
                              s.data.string() + "' --points logits --out '" + (s.folder / "p.npz").string() + "' ";
    check(probe + "--method '" + folder + "'", 0, {});
    check(probe + "--method gptq4-g32", 2,
          {"`bitlens quantize` writes it into a folder, which is taken here as NAME=FOLDER"});
    check(probe + "--method x=" + (s.folder / "nowhere/").string(), 1, {"nowhere/: there is no such file or folder"});
    std::ofstream(s.folder / "text.txt")
        << "Some words to score, and then some more of them, so that there is a window.";
    const std::string perplexity = "bitlens perplexity --threads 1 --model '" + s.model.string() + "' --text '" +
                                   (s.folder / "text.txt").string() + "' --window 8 --methods ";
    check(perplexity + "'mine=" + folder + "'", 0, {"mine"});
    check(perplexity + "gptq4-g32", 2, {"`bitlens quantize` writes it"});
    check(s.line("quantize", "mine=" + folder, s.folder / "verbs2"), 2, {"which is quantized already"});

    const auto other_model = s.folder / "other_model";
    test::write_tiny_model(other_model, quantize_layers_count, 2);
    check("bitlens perplexity --threads 1 --model '" + other_model.string() + "' --text '" +
              (s.folder / "text.txt").string() + "' --window 8 --methods 'mine=" + folder + "'",
          2, {"another model was quantized into this folder: source."});
}

TEST_CASE("what is wrong with a calibration is said before anything is quantized") {
    auto const& s = setting_of_quantize();
    const auto refused = [&](std::string const& more, int code, std::string const& words) {
        check(s.line("quantize", "gptq3-g32", s.folder / "refused", more), code, {words});
        CHECK_FALSE(fs::exists(s.folder / "refused" / "gptq3-g32"));
    };
    refused("", 2, "--calibration: method gptq3-g32");
    write_ids(s.folder / "few.npy", random_ids(1, 5, s.vocabulary, 1));
    refused(s.calibrated(s.folder / "few.npy"), 2, "5 tokens to calibrate on, at least");
    write_ids(s.folder / "beyond.npy", random_ids(12, 40, s.vocabulary * 2, 1));
    refused(s.calibrated(s.folder / "beyond.npy"), 1, "beyond.npy");
    std::ofstream(s.folder / "empty.jsonl") << "{\"text\": \"\"}\n{\"text\": \"  \"}\n";
    refused(s.calibrated(s.folder / "empty.jsonl"), 2, "empty");
    refused(s.calibrated() + " --memory 100K", 2, "memory: ");
}

TEST_CASE("documents of the study are left out of the calibration, and that is said") {
    auto const& s = setting_of_quantize();
    const auto both = s.folder / "both.npy";
    auto ids = random_ids(22, 12, s.vocabulary, 9);
    copy_rows(s.study_ids.view().middle_rows(3, 2), ids.view().middle_rows(7, 2));
    write_ids(both, ids);
    check(s.line("study", "gptq3-g32", s.folder / "left_out", s.calibrated(both)), 0,
          {"text 8 is left out, because the study has it in row 4", "text 9 is left out", "in the study"});
}
