/// What `bitlens perplexity` says, beside the logits of the library.

#include "shell.hpp"
#include "tiny_model.hpp"

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/hooks/record.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/models/transformer.hpp"
#include "bitlens/quantizers/absmax.hpp"
#include "bitlens/quantizers/rtn.hpp"
#include "bitlens/recipes/quantize_layers.hpp"
#include "bitlens/sweep/sweep.hpp"
#include "bitlens/text/tokenizer.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <numbers>
#include <optional>
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

constexpr std::size_t window = 8, layers = 2;
constexpr const char* text =
    "A line of words, and another one.\nMore words follow the first ones, again and again, caf\u00e9 or not.\n";
const std::vector<std::string> names{"full", "rtn3-g64", "mine"};

using three_bits = uniform<3, 64>;
using four_levels = normal_float<4, 64>;
using weight = mixed_matrix<dense<float>, three_bits, four_levels>;
using model_type = transformer<llama, weight>;

/// A folder with a model in it, and what the command is called with.
struct setting {
    test::temporary_folder folder;
    fs::path model = folder / "model", text_file = folder.write("text.txt", text);

    explicit setting(float gain) { test::write_tiny_model(model, layers, gain); }
    std::string line(std::string const& more, std::size_t tokens = window) const {
        return "bitlens perplexity --model " + model.string() + " --text " + text_file.string() + " --window " +
               std::to_string(tokens) + " " + more;
    }
    json measured(std::string const& more, std::size_t tokens = window) const {
        const auto result = shell(line(more + " --json 2>/dev/null", tokens));
        REQUIRE_MESSAGE(result.code == 0, result.text);
        return parse_json(result.text, "standard output");
    }
    tokenizer words() const { return tokenizer::from_json(model / "tokenizer.json"); }

    /// Losses by model, window and position: the full model, rtn3-g64 and nf4-g64.
    std::vector<std::vector<std::vector<double>>> losses() const {
        const model_type full(checkpoint(model), true);
        const std::vector<model_type> models{
            full, full.with_layers(quantize_layers(*full.layers(), layers, rtn<three_bits>{})),
            full.with_layers(quantize_layers(*full.layers(), layers, absmax<four_levels>{}))};
        const auto ids = words().encode(text);
        std::vector<std::vector<std::vector<double>>> all(models.size());
        for (std::size_t v = 0; v < models.size(); ++v)
            for (std::size_t n = 0; n < ids.size() / window; ++n) {
                record<hook::logits> kept;
                models[v].forward({ids.data() + window * n, window}, kept);
                auto& losses = all[v].emplace_back();
                for (std::size_t t = 0; t + 1 < window; ++t)
                    losses.push_back(loss(matrix_view<const float>(kept.get<hook::logits>()).row(t),
                                          static_cast<std::size_t>(ids[window * n + t + 1])));
            }
        return all;
    }

private:
    static double loss(std::span<const float> logits, std::size_t target) {
        const double largest = *std::ranges::max_element(logits);
        double sum = 0;
        for (const float l : logits) sum += std::exp(double{l} - largest);
        return largest + std::log(sum) - double{logits[target]};
    }
};

setting const& here() {
    static const setting s(1);
    return s;
}

double mean_of(std::vector<double> const& x) {
    double sum = 0;
    for (const double v : x) sum += v;
    return sum / static_cast<double>(x.size());
}

double error_of_mean(std::vector<double> const& x) {
    double squares = 0;
    for (const double v : x) squares += (v - mean_of(x)) * (v - mean_of(x));
    const auto n = static_cast<double>(x.size());
    return std::sqrt(squares / (n - 1) / n);
}

std::vector<std::string> keys_of(json const& object) {
    std::vector<std::string> keys;
    for (auto const& [key, value] : object.items()) keys.push_back(key);
    return keys;
}

} // namespace

TEST_CASE("perplexity of several methods is that of the windows' logits") {
    const auto all = here().measured("--methods rtn3-g64,mine=nf4-g64");
    const auto losses = here().losses();
    const std::size_t windows = losses[0].size();
    REQUIRE(windows > 3);
    CHECK(all["windows"] == windows);
    CHECK(all["window"] == window);
    CHECK(all["scored"] == windows * (window - 1));
    CHECK(all["model"] == here().model.string());
    CHECK(all["text"] == here().text_file.string());
    CHECK(all["bos"] == false);
    CHECK(all["join_lines"] == false);
    CHECK(all["arithmetic"].get<std::string>().starts_with("float32, "));

    const auto t = here().words();
    const auto ids = t.encode(text);
    CHECK(all["tokens"] == ids.size());
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < windows * window; ++i)
        if (i % window != 0) bytes += t.token_bytes(ids[i]).size();
    CHECK(all["bytes"] == bytes);

    std::vector<double> of_full;
    REQUIRE(all["methods"].size() == losses.size());
    for (std::size_t v = 0; v < losses.size(); ++v) {
        json const& m = all["methods"][v];
        CAPTURE(m.dump());
        std::vector<double> nll, difference;
        for (auto const& of_window : losses[v]) nll.push_back(mean_of(of_window));
        if (v == 0) of_full = nll;
        for (std::size_t n = 0; n < windows; ++n) difference.push_back(nll[n] - of_full[n]);
        // The command is compiled with other flags, so its sums may be fused elsewhere.
        const auto is = [&](const char* key, double expected) {
            CAPTURE(key);
            CHECK(std::abs(m[key].get<double>() - expected) <= 1e-5 * std::max(1.0, std::abs(expected)));
        };
        CHECK(m["name"] == names[v]);
        CHECK(m["spec"] == (v == 2 ? "nf4-g64" : names[v]));
        is("nll", mean_of(nll));
        is("nll_standard_error", error_of_mean(nll));
        is("perplexity", std::exp(mean_of(nll)));
        is("difference", mean_of(difference));
        is("difference_standard_error", error_of_mean(difference));
        is("bits_per_byte",
           mean_of(nll) * static_cast<double>(windows * (window - 1)) / std::numbers::ln2 / static_cast<double>(bytes));
    }
    CHECK(all["methods"][0]["difference"] == 0.0);
    CHECK(all["methods"][1]["difference"] != 0.0);
}

TEST_CASE("a method has the same digits alone and beside others, and the JSON has all of them") {
    const auto both = here().measured("--methods rtn3-g64,mine=nf4-g64"), alone = here().measured(""),
               second = here().measured("--methods mine=nf4-g64");
    CHECK(alone["methods"].size() == 1);
    CHECK(alone["methods"][0] == both["methods"][0]);
    CHECK(second["methods"][1] == both["methods"][2]);
    CHECK(both["methods"] == here().measured("--methods rtn3-g64,mine=nf4-g64 --threads 1")["methods"]);

    const double nll = alone["methods"][0]["nll"];
    char line[160];
    std::snprintf(line, sizeof line, "%zu windows of %zu tokens: nll %.6f nats per token, perplexity %.4f\n",
                  alone["windows"].get<std::size_t>(), window, nll, std::exp(nll));
    CHECK(shell(here().line("2>/dev/null")).text == line);
    CHECK(std::exp(nll) == alone["methods"][0]["perplexity"].get<double>());
}

TEST_CASE("several methods are a table, and progress counts a model run of each") {
    const auto all = here().measured("--methods rtn3-g64,mine=nf4-g64");
    const auto printed = shell(here().line("--methods rtn3-g64,mine=nf4-g64 2>/dev/null")).text;
    CAPTURE(printed);
    std::size_t at = 0;
    for (json const& m : all["methods"])
        for (auto const& column : std::vector<std::pair<std::string, int>>{{"nll", 6},
                                                                           {"nll_standard_error", 6},
                                                                           {"perplexity", 4},
                                                                           {"difference", 6},
                                                                           {"difference_standard_error", 6},
                                                                           {"bits_per_byte", 4}}) {
            if (column.first == "nll") at = printed.find("\n" + m["name"].get<std::string>() + " ", at);
            char number[64];
            std::snprintf(number, sizeof number, " %.*f", column.second, m[column.first].get<double>());
            at = printed.find(number, at);
            CAPTURE(column.first);
            REQUIRE(at != std::string::npos);
        }
    const std::string runs = std::to_string(3 * all["windows"].get<std::size_t>());
    check(here().line("--methods rtn3-g64,mine=nf4-g64 --json >/dev/null"), 0, {runs + " of " + runs + " model runs"});
}

TEST_CASE("the JSON has the keys that the page shows") {
    const auto page =
        read_json_file(fs::path(BITLENS_TEST_DATA) / ".." / ".." / "docs" / "examples" / "perplexity.json");
    const auto all = here().measured("--methods rtn3-g64");
    CHECK(keys_of(all) == keys_of(page));
    REQUIRE(page["methods"].size() == 3);
    for (json const& m : page["methods"]) CHECK(keys_of(m) == keys_of(all["methods"][0]));
}

TEST_CASE("the memory plan counts every method") {
    const auto needed = [](std::string const& methods) {
        const auto result = shell(here().line("--memory 1K --threads 1 " + methods));
        CHECK_MESSAGE(result.code == 2, result.text);
        constexpr std::string_view before = "at least ";
        const auto at = result.text.find(before);
        REQUIRE_MESSAGE(at != std::string::npos, result.text);
        return std::stod(result.text.substr(at + before.size())) * 1e6;
    };
    const model_config config = checkpoint(here().model).config();
    const std::size_t windows = here().losses()[0].size();
    const auto fixed = [&](std::size_t variants) {
        const auto m = plan_sweep_memory(config, window, sweep_load::of_models(variants, config.layers));
        return static_cast<double>(m.per_example + m.per_thread + m.once + windows * variants * sizeof(double) +
                                   score_measurement::bytes(window - 1, variants));
    };
    double codes = 0, groups = 0; // of the linear layers of one block
    for (std::size_t p = 0; p < projection_count; ++p) {
        const auto [rows, cols] = shape_of(static_cast<projection>(p), config.block);
        codes += static_cast<double>(rows * cols);
        groups += static_cast<double>(rows * cols) / 64;
    }
    const double rtn3 = codes * 3 / 8 + groups * 5, nf4 = codes / 2 + groups * 5;
    constexpr double rounding = 1.1e4; // both are printed in hundredths of a megabyte
    const double one = needed("--methods rtn3-g64"), two = needed("--methods rtn3-g64,mine=nf4-g64");
    CHECK(std::abs(two - one - (fixed(3) - fixed(2) + nf4)) < rounding);
    CHECK(std::abs(one - needed("") - (fixed(2) - fixed(1) + rtn3)) < rounding);
}

TEST_CASE("a loss that is no number ends perplexity with its method, window and position") {
    const setting large(9.3e37f);
    const auto losses = large.losses();
    std::string first;
    for (std::size_t n = 0; n < losses[0].size() && first.empty(); ++n)
        for (std::size_t v = 0; v < losses.size() && first.empty(); ++v)
            for (std::size_t t = 0; t + 1 < window && first.empty(); ++t)
                if (!std::isfinite(losses[v][n][t]))
                    first = "method " + names[v] + ", window " + std::to_string(n) + ", position " + std::to_string(t) +
                            " (both from 0): the loss is ";
    CAPTURE(first);
    REQUIRE(first.find("method full") == std::string::npos); // so that all three are looked for
    REQUIRE(first.find("window 0") == std::string::npos);
    REQUIRE(first.find("position 0") == std::string::npos);
    for (const char* json : {"", " --json"}) {
        const auto result = shell(large.line("--methods rtn3-g64,mine=nf4-g64" + std::string(json)));
        CHECK_MESSAGE(result.code == 1, result.text);
        CHECK_MESSAGE(result.text.find("bitlens: " + first) != std::string::npos, result.text);
        CHECK_MESSAGE(result.text.find("perplexity") == std::string::npos, result.text);
    }
    const setting larger(2e38f);
    check(larger.line(""), 1, {"method full, window 0, position 0 (both from 0): the loss is not a number"});
}

TEST_CASE("a perplexity beyond all numbers, one window and bytes that are not known are not defined") {
    const setting steep(1e6f);
    check(steep.line(""), 0, {"perplexity not defined"});
    const auto all = steep.measured("--methods rtn3-g64");
    CHECK(all["methods"][0]["nll"].get<double>() > 1000);
    CHECK(all["methods"][0]["perplexity"]["not_defined"] == "the perplexity is beyond all numbers");

    const auto one = here().measured("", 40);
    CHECK(one["windows"] == 1);
    CHECK(one["methods"][0]["nll_standard_error"].contains("not_defined"));
    check(here().line("--methods rtn3-g64", 40), 0, {"1 window of 40 tokens", "not defined"});

    const setting composing(1); // its tokenizer composes what the text has in two characters
    json file = read_json_file(composing.model / "tokenizer.json");
    file["normalizer"] = {{"type", "NFC"}};
    composing.folder.write("model/tokenizer.json", file.dump());
    CHECK(composing.measured("")["bytes"] == here().measured("")["bytes"]);
    composing.folder.write("text.txt", std::string("cafe\u0301 ") + text);
    const auto composed = composing.measured("--methods rtn3-g64");
    CHECK(composed["bytes"].is_null());
    CHECK(composed["methods"][1]["bits_per_byte"].contains("not_defined"));
}

TEST_CASE("perplexity refuses the methods that study refuses, before the model is read") {
    check(here().line("--methods rtn3-g64,rtn3-g64"), 2, {"two methods are called 'rtn3-g64'"});
    check(here().line("--methods full"), 2, {"the model as it is stored is no method, and runs without being named"});
    check(here().line("--methods rtn3-g64,nf4-g128"), 1, {"layer 0 q_proj, nf4-g128: nf4-g128 matrix: 64 columns"});
    check(here().line("--method rtn3-g64"), 2, {"there is no option \"--method\""});
}
