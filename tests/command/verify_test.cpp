/// `bitlens verify`: exit codes, what is said of two models, and of one that is expected to be a quantization.

#include "shell.hpp"
#include "tiny_model.hpp"

#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"

#include "temporary_folder.hpp"

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

using namespace bitlens;
namespace fs = std::filesystem;
using test::check, test::shell;

namespace {

constexpr std::size_t verified_layers = 6;

struct verify_setting {
    test::temporary_folder folder;
    fs::path model = folder / "model", copy = folder / "copy", narrow = folder / "narrow", moved = folder / "moved";

    verify_setting() {
        test::write_tiny_model(model, verified_layers);
        test::write_tiny_model(copy, verified_layers);
        test::write_tiny_model(narrow, verified_layers - 1);
        test::write_tiny_model(moved, verified_layers, 2); // another final norm
    }
    std::string line(fs::path const& a, fs::path const& b, std::string const& more = "") const {
        return "bitlens verify '" + a.string() + "' '" + b.string() + "' --threads 1 " + more;
    }
};
verify_setting const& setting_of_verify() {
    static const verify_setting s;
    return s;
}

} // namespace

TEST_CASE("verify ends with 0 for the same model, 1 for another, 2 where nothing can be compared") {
    auto const& s = setting_of_verify();
    check(s.line(s.model, s.copy), 0, {"the same model, value for value", "0 differ"});
    check(s.line(s.model, s.moved), 1, {"not the same model", "model.norm.weight", "1 differ", "row 0, column 0: "});
    check(s.line(s.model, s.narrow), 2, {"layers 5", "a model of the same architecture and sizes is expected"});
    check(s.line(s.model, s.folder / "absent"), 2, {"there is no such file or folder"});
    check("bitlens verify '" + s.model.string() + "'", 2, {"B is required"});
    check(s.line(s.model, s.copy, "--expect gptq9-g64"), 2, {"gptq9"});
    check(s.line(s.model, s.copy, "--expect " + s.copy.string()), 2, {"the name of a method is expected"});
    const auto broken = s.folder.write("broken.gguf", "GGUF");
    check(s.line(s.model, broken), 2, {"broken.gguf"});
}

TEST_CASE("verify as JSON has all that differs") {
    auto const& s = setting_of_verify();
    const auto result = shell(s.line(s.model, s.moved, "--json"));
    REQUIRE_MESSAGE(result.code == 1, result.text);
    const json all = json::parse(result.text);
    CHECK(all.at("same") == false);
    REQUIRE(all.at("tensors").size() == 1);
    CHECK(all["tensors"][0].at("name") == "model.norm.weight");
    CHECK(all["tensors"][0].at("unequal") == 64);
    CHECK(all["tensors"][0].at("relative_error").get<double>() == doctest::Approx(1)); // twice as large
    CHECK(all.at("kinds").size() == 9);
}

TEST_CASE("verify reads folders that quantize wrote, and says what they are expected to be and are not") {
    auto const& s = setting_of_verify();
    check("bitlens quantize --threads 1 --model '" + s.model.string() + "' --methods rtn4-g32,rtn3-g32 --out '" +
              (s.folder / "q").string() + "'",
          0, {});
    const auto four = s.folder / "q" / "rtn4-g32";
    check(s.line(s.model, four), 1, {"written by 'bitlens quantize', rtn4-g32", "uniform4-g32", "42 differ"});
    check(s.line(s.model, four, "--expect rtn4-g32"), 0, {"plausible: all 42 weights look like rtn4-g32 of A"});
    check(s.line(s.model, four, "--expect gptq4-g32-asym"), 0, {"plausible: "});
    check(s.line(s.model, s.folder / "q" / "rtn3-g32", "--expect rtn4-g32"), 1,
          {"not plausible: 42 of 42 weights do not look like rtn4-g32 of A: fewer bits (42)",
           "fewer bits: no row has more than", "more; --all lists them"});
    check(s.line(s.model, s.copy, "--expect rtn4-g32"), 1, {"not quantized: equal (42)"});
    check(s.line(four, s.model), 2, {"which holds a model only beside its full one"});
    check(s.line(s.moved, four), 2, {"another model was quantized into this folder"});
    const json all = json::parse(shell(s.line(s.model, four, "--json --expect rtn4-g32")).text);
    CHECK(all.at("plausible") == true);
    CHECK(all.at("weights").size() == 42);
}

TEST_CASE("verify names a number that is not finite") {
    auto const& s = setting_of_verify();
    const auto broken = s.folder / "nan";
    fs::copy(s.copy, broken);
    std::string bytes(as_text(mapped_file(broken / "model.safetensors").bytes()));
    const float nan = std::stof("nan");
    std::memcpy(&bytes[bytes.size() - sizeof nan], &nan, sizeof nan); // of the last tensor in the file
    std::ofstream(broken / "model.safetensors", std::ios::binary) << bytes;
    check(s.line(s.model, broken), 1, {"1 cannot be compared", "holds a number that is not finite", "not the same"});
}
