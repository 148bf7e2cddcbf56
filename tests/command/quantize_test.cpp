/// `bitlens quantize`, and what the other verbs do with what it leaves: the same numbers, whoever quantized.

#include "shell.hpp"
#include "tiny_model.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/io/npy.hpp"
#include "bitlens/report/csv.hpp"

#include "temporary_folder.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <string>

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
