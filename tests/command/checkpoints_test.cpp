/// Checkpoints of others as methods: what `bitlens quantize --format` writes, read again as anybody's.

#include "shell.hpp"
#include "tiny_model.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/io/npy.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/report/csv.hpp"

#include "temporary_folder.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include <doctest/doctest.h>

using namespace bitlens;
namespace fs = std::filesystem;
using test::check;

namespace {

struct checkpoint_setting {
    test::temporary_folder folder;
    fs::path model = folder / "model", louder = folder / "louder", data = folder / "ids.npy",
             calibration = folder / "calibration.npy";

    checkpoint_setting() {
        const std::size_t vocabulary = test::write_tiny_model(model, 2);
        test::write_tiny_model(louder, 2, 2);
        write_ids(data, 12, 12, vocabulary, 1);
        write_ids(calibration, 12, 40, vocabulary, 2);
    }
    static void write_ids(fs::path const& file, std::size_t rows, std::size_t columns, std::size_t vocabulary,
                          std::uint64_t seed) {
        matrix<std::int32_t> ids(rows, columns);
        random_generator random(seed);
        for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.below(vocabulary));
        write_npy(file, std::array{rows, columns}, std::as_const(ids).span());
    }
    std::string quantize(std::string const& method, std::string const& more) const {
        return "bitlens quantize --threads 1 --model '" + model.string() + "' --methods '" + method +
               "' --calibration '" + calibration.string() + "' --out '" + (folder / "q").string() + "' " + more;
    }
    std::string study(fs::path const& of, std::string const& methods, std::string const& out,
                      std::string const& more = "") const {
        return "bitlens study --threads 1 --tokens 12 --model '" + of.string() + "' --data '" + data.string() +
               "' --methods '" + methods + "' --out '" + (folder / out).string() + "' " + more;
    }
    csv_table table(std::string const& run, std::string const& name = "examples.csv") const {
        const mapped_file file(folder / run / name);
        return csv_table(std::string(as_text(file.bytes())), name);
    }
};
checkpoint_setting const& setting_of_checkpoints() {
    static const checkpoint_setting s;
    return s;
}

} // namespace

TEST_CASE("what is written for the packages of others is the same model when it is read again") {
    auto const& s = setting_of_checkpoints();
    struct written {
        const char *method, *format, *scales;
    };
    for (auto const& w :
         {written{"gptq3-g32", "gptq", "--scales f32"}, written{"gptq4-g32-asym", "gptq_v2", "--scales f32"},
          written{"rtn4-g64-sym", "gptq", "--scales f32"}, written{"awq4-g32", "awq", "--scales f32"},
          written{"nf4-g64", "bnb", ""}, written{"rtn3-g32", "compressed-tensors", "--scales f32"},
          written{"rtn8-row-sym", "compressed-tensors", "--scales f32"}}) {
        const std::string method = w.method, format = w.format, asked = "--format " + format + " " + w.scales;
        CAPTURE(method);
        CAPTURE(format);
        const std::string name = method + "_" + format;
        check(s.quantize(name + "=" + method, asked), 0, {name + "-" + format});
        const std::string there = (s.folder / "q" / name).string();
        check(s.study(s.model, "ours=" + there + ",theirs=" + there + "-" + format, "of_" + name), 0, {"theirs: "});
        const auto table = s.table("of_" + name);
        CHECK(table.numbers("nll_ours") == table.numbers("nll_theirs"));
        CHECK(table.numbers("nll_ours") != table.numbers("nll_full"));
        check(s.quantize(name + "=" + method, asked), 2, {"is there already"});
    }
}

TEST_CASE("a layout that would lose something is refused with what, and nothing is left of it") {
    auto const& s = setting_of_checkpoints();
    check(s.quantize("lost=rtn4-g32", "--format awq"), 2,
          {"--format awq: lost: layer 0 q_proj: ", "--scales f16, bf16 or f32 says what scales are rounded to"});
    CHECK_FALSE(fs::exists(s.folder / "q" / "lost-awq"));
    check(s.quantize("lost3=rtn3-g32", "--format awq --scales f16"), 2, {"--format awq: lost3: layer 0 q_proj: "});
    check(s.quantize("lost5=rtn4-g32", "--format gguf"), 2, {"a GGUF file is expected"});
    check(s.quantize("half=rtn4-g32-sym", "--format gptq --scales f16"), 0, {"half-gptq"});
    check(s.study(s.model, "exact=rtn4-g32-sym,half=" + (s.folder / "q" / "half-gptq").string(), "of_half"), 0, {});
    const auto table = s.table("of_half");
    const auto exact = table.numbers("nll_exact"), half = table.numbers("nll_half");
    for (std::size_t n = 0; n < exact.size(); ++n) {
        CHECK(half[n] == doctest::Approx(exact[n]).epsilon(0.01));
        CHECK(half[n] != exact[n]);
    }
}

TEST_CASE("what is concluded of a checkpoint against its label is told, and the label decides nothing") {
    auto const& s = setting_of_checkpoints();
    check(s.quantize("label=rtn4-g32-sym", "--format gptq --scales f16"), 0, {"label-gptq"});
    const auto right = s.folder / "q" / "label-gptq", wrong = s.folder / "q" / "wrong-label";
    fs::copy(right, wrong);
    json config = read_json_file(wrong / "config.json");
    config["quantization_config"]["checkpoint_format"] = "gptq_v2";
    std::ofstream(wrong / "config.json") << config.dump();
    const std::string told = "14 matrices: zeros are stored less one, whatever its label says";
    check("bitlens inspect '" + wrong.string() + "'", 0, {"concluded     " + told, "as uniform4-g32"});
    CHECK(test::shell("bitlens inspect '" + right.string() + "'").text.find("concluded") == std::string::npos);
    check(s.study(s.model, "right=" + right.string() + ",wrong=" + wrong.string(), "of_label"), 0,
          {"note: wrong: " + told});
    const auto table = s.table("of_label");
    CHECK(table.numbers("nll_right") == table.numbers("nll_wrong"));
    CHECK(read_json_file(s.folder / "of_label" / "manifest.json")["methods"][1]["origin"].get<std::string>().ends_with(
        "; " + told));
}

TEST_CASE("any checkpoint of the same sizes is a method, with its own embedding, final norm and head") {
    auto const& s = setting_of_checkpoints();
    check(s.study(s.model, "same=" + s.model.string() + ",louder=" + s.louder.string(), "mixed"), 0, {"louder: "});
    check(s.study(s.louder, "rtn3-g32", "alone"), 0, {});
    const auto mixed = s.table("mixed"), alone = s.table("alone");
    CHECK(mixed.numbers("nll_same") == mixed.numbers("nll_full"));
    CHECK(mixed.numbers("nll_louder") == alone.numbers("nll_full"));
    // Later verbs go on from the run, which has a link to it.
    check("bitlens locate '" + (s.folder / "mixed").string() + "' --threads 1 --model '" + s.model.string() +
              "' --on all --experiments exit,patch --methods louder",
          0, {});
    const auto located = s.table("mixed", "locate.csv");
    CHECK(located.numbers("nll_louder") == alone.numbers("nll_full"));
    check(s.study(s.model, "louder=" + s.model.string(), "mixed"), 2, {"is another quantized model there"});

    const auto longer = s.folder / "longer";
    test::write_tiny_model(longer, 3);
    check(s.study(s.model, "mine=" + longer.string(), "none"), 1,
          {"longer: layers 3", "a model of the same architecture and sizes is expected"});
    check(s.study(s.model, "mine=" + (s.folder / "nowhere").string(), "none"), 1,
          {"nowhere: there is no such file or folder"});
}

TEST_CASE("a GGUF file is a method too, of a study and of what goes on from it, and standard output stays JSON") {
    auto const& s = setting_of_checkpoints();
    const auto file = s.folder / "other.gguf";
    const model_config config = checkpoint(s.model).config();
    auto tensors = test::make_tensors(config, safetensors_type::f16); // in 16 bits: another model
    test::write_gguf(file, config, tensors);
    check(s.study(s.model, "mine=" + file.string(), "of_gguf"), 0, {"mine: GGUF"});
    check(s.study(s.model, "mine=" + file.string(), "of_gguf"), 0, {}); // what is there is taken up
    const json manifest = read_json_file(s.folder / "of_gguf" / "manifest.json");
    CHECK(manifest["methods"][0]["origin"] == "GGUF, linear layers F16, embedding F16, tied head");
    CHECK(
        test::read_bytes(s.folder / "of_gguf" / "report.html").find("<dt>Where from</dt><dd><bdi>mine: GGUF, linear") !=
        std::string::npos);
    check("bitlens locate '" + (s.folder / "of_gguf").string() + "' --threads 1 --model '" + s.model.string() +
              "' --on all --experiments exit",
          0, {});
    const auto study = s.table("of_gguf"), located = s.table("of_gguf", "locate.csv");
    CHECK(located.numbers("nll_mine") == study.numbers("nll_mine"));
    CHECK(study.numbers("nll_mine") != study.numbers("nll_full"));

    const auto text = s.folder / "text.txt";
    test::write_text(text, "Some words to score, and then some more of them, so that there is a window.");
    const auto printed =
        test::shell("bitlens perplexity --json --threads 1 --model '" + s.model.string() + "' --text '" +
                    text.string() + "' --window 8 --methods 'mine=" + file.string() + "' 2>/dev/null");
    CHECK(printed.code == 0);
    CHECK(parse_json(printed.text, "standard output")["methods"].size() == 2);
}

TEST_CASE("a source that is in codes itself is not written for others") {
    auto const& s = setting_of_checkpoints();
    check(s.quantize("coded=nf4-g64", "--format bnb"), 0, {});
    check("bitlens quantize --threads 1 --model '" + (s.folder / "q" / "coded-bnb").string() +
              "' --methods rtn4-g64-sym --out '" + (s.folder / "twice").string() + "' --format gptq --scales f16",
          2, {"a model in full precision is expected"});
    CHECK_FALSE(fs::exists(s.folder / "twice" / "rtn4-g64-sym-gptq"));
}

TEST_CASE("methods are run a second time on groups that begin elsewhere") {
    auto const& s = setting_of_checkpoints();
    check(s.study(s.model, "rtn3-g32,nf4-g64,rtn4-row", "shifted", "--shift-grid"), 0, {});
    const auto table = s.table("shifted");
    CHECK(table.has("nll_rtn3-g32-shift"));
    CHECK(table.has("nll_nf4-g64-shift"));
    CHECK_FALSE(table.has("nll_rtn4-row-shift"));
    CHECK(table.numbers("nll_rtn3-g32-shift") != table.numbers("nll_rtn3-g32"));
}
