// What the metadata of GGUF files means, family by family.
#include "bitlens/models/config.hpp"

#include "config_for_test.hpp"
#include "written_model.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

/// Apart, since tests of a folder may be compiled as one file.
namespace metadata {

using change = std::function<void(gguf_writer&, std::string const& prefix)>;

const change nothing = [](gguf_writer&, std::string const&) {};

struct sizes {
    std::size_t layers = 6, context = 64, width = 24, heads = 4, head_dim = 8;
};

/// The metadata of a family's file, and what else is written.
struct written {
    temporary_folder folder;
    written(std::string const& architecture, change const& more, sizes const& n = {}) {
        model_config c{architecture, n.layers, 40, n.context, {n.width, n.heads, 2, n.head_dim, 32, 1e-5f}};
        c.ropes[0].theta = 5000;
        gguf_writer file = gguf_metadata(c);
        file.number(architecture + ".vocab_size", 40);
        more(file, architecture + ".");
        file.write(folder / "model.gguf");
    }
    model_config read(problem_list& problems) const { return read_config(gguf_file(folder / "model.gguf"), problems); }
};

model_config good_file(std::string const& architecture, change const& more = nothing, sizes const& n = {}) {
    problem_list problems;
    auto c = written(architecture, more, n).read(problems);
    CHECK(problems.texts() == std::vector<std::string>{});
    return c;
}
/// Exactly one problem, and these words in it.
void refused_file(std::string const& architecture, change const& more, std::string const& words) {
    problem_list problems;
    written(architecture, more).read(problems);
    CAPTURE(words);
    CAPTURE(problems.texts());
    REQUIRE(problems.texts().size() == 1);
    CHECK(problems.texts()[0].find(words) != std::string::npos);
}

void tensor(gguf_writer& file, std::string const& name, std::vector<float> const& values) {
    const auto bytes = std::as_bytes(std::span(values));
    file.tensor(name, {values.size()}, 0, {bytes.begin(), bytes.end()});
}

change number(std::string const& key, std::uint32_t value) {
    return [=](gguf_writer& f, std::string const& prefix) { f.number(prefix + key, value); };
}
change real(std::string const& key, float value) {
    return [=](gguf_writer& f, std::string const& prefix) { f.real(prefix + key, value); };
}
change text(std::string const& key, std::string const& value) {
    return [=](gguf_writer& f, std::string const& prefix) { f.text(prefix + key, value); };
}
change factors(std::string const& name, std::vector<float> const& values) {
    return [=](gguf_writer& f, std::string const&) { tensor(f, name, values); };
}
change all_of(std::vector<change> const& changes) {
    return [=](gguf_writer& f, std::string const& prefix) {
        for (auto const& each : changes) each(f, prefix);
    };
}

rope_scaling scaling_of(std::vector<change> const& changes, std::string const& architecture = "llama") {
    return good_file(architecture, all_of(changes)).ropes[0].scaling;
}

const change windowed = number("attention.sliding_window", 5); // as gemma3 must say

} // namespace metadata

} // namespace

TEST_CASE("an architecture is read as the first family whose files say it") {
    using namespace metadata;
    for (model_family const* const family : families) {
        if (family == &mistral::description || family == &ministral::description) continue; // their files say llama
        const std::string stated(family->gguf_name);
        const auto c = good_file(stated, stated == "gemma3" ? windowed : nothing);
        CHECK(c.architecture == family->name);
        CHECK(c.block.head_dim == 8);
        CHECK(c.ropes[0] == rope_rule{5000});
        CHECK(c.tied_head);
        CHECK(c.block.biases == family->biases);
    }
    CHECK_FALSE(good_file("llama", factors("output.weight", {1, 2})).tied_head);
    problem_list problems;
    static constexpr std::array one{&mistral::description};
    const written file("llama", nothing);
    CHECK(read_config(gguf_file(file.folder / "model.gguf"), problems, {}, one).architecture == "mistral");
    CHECK(problems.empty());
    const std::string there_are =
        "is not supported; there are llama, mistral, ministral, ministral3, qwen2, qwen3, gemma2, "
        "gemma3_text, olmo2 and phi3";
    refused_file("gemma", nothing, "architecture 'gemma' " + there_are);
    for (const char* name : {"qwen2moe", "qwen3moe", "olmoe", "phimoe", "deepseek2", "gpt-oss", "llama4", "granitemoe"})
        refused_file(name, nothing, there_are + "; this one is a mixture of experts");
    refused_file("llama", number("expert_count", 8), "llama.expert_count is 8, which is not supported");
}

TEST_CASE("biases of a GGUF file are those whose tensors are there") {
    using namespace metadata;
    CHECK(good_file("llama").block.biases.none());
    const auto biases =
        good_file("llama", all_of({factors("blk.0.attn_q.bias", {1}), factors("blk.0.attn_output.bias", {1}),
                                   factors("blk.0.ffn_down.bias", {1})}))
            .block.biases;
    CHECK(biases == only(projection::q, projection::o, projection::down));
    CHECK(good_file("qwen2").block.biases == only(projection::q, projection::k, projection::v));
}

TEST_CASE("scaling of positions in GGUF") {
    using namespace metadata;
    CHECK(scaling_of({}) == rope_scaling());
    CHECK(scaling_of({text("rope.scaling.type", "none"), real("rope.scaling.factor", 1)}) == rope_scaling());
    CHECK(scaling_of({real("rope.scaling.factor", 0)}) == rope_scaling());
    CHECK(scaling_of({text("rope.scaling.type", "linear"), real("rope.scaling.factor", 1)}) == rope_scaling());
    CHECK(scaling_of({text("rope.scaling.type", "linear"), real("rope.scaling.factor", 4)}) ==
          rope_scaling(rope_linear{4}));
    CHECK(scaling_of({real("rope.scaling.factor", 4)}) == rope_scaling(rope_linear{4})); // the older spelling
    const change yarn = text("rope.scaling.type", "yarn"), four = real("rope.scaling.factor", 4);
    CHECK(scaling_of({yarn, four}) == rope_scaling(rope_yarn{4, 64, 32, 1, true, {}}));
    CHECK(scaling_of({yarn}) == rope_scaling());
    CHECK(scaling_of({yarn, four, number("rope.scaling.original_context_length", 16),
                      real("rope.scaling.yarn_beta_fast", 8), real("rope.scaling.yarn_beta_slow", 2),
                      real("rope.scaling.yarn_ext_factor", 1)}) == rope_scaling(rope_yarn{4, 16, 8, 2, true, {}}));
    CHECK(scaling_of({yarn, four, real("rope.scaling.yarn_attn_factor", 1.25)}) ==
          rope_scaling(rope_yarn{4, 64, 32, 1, true, 1.25}));
    CHECK(scaling_of({yarn, four, real("rope.scaling.yarn_log_multiplier", 0.5)}) ==
          rope_scaling(rope_yarn{4, 64, 32, 1, true, {}, 1, 0.5})); // m(4, 1) / m(4, 0.5)
    refused_file("llama", text("rope.scaling.type", "dynamic"),
                 "rope scaling of type \"dynamic\" is not known; known are");
    refused_file("llama", all_of({text("rope.scaling.type", "none"), four}), "of type \"none\" has a factor of 4");
    refused_file("llama", all_of({yarn, four, real("rope.scaling.yarn_ext_factor", 0)}),
                 "yarn_ext_factor\": 1 is expected of rope scaling \"yarn\", 0 was found");
    refused_file("llama", real("rope.scaling.yarn_ext_factor", 1),
                 "0 is expected of rope scaling \"none\", 1 was found");
    refused_file("llama", real("rope.scaling.yarn_attn_factor", 1.5), "only rope scaling of type \"yarn\" reads");
    refused_file("llama", all_of({yarn, four, real("rope.scaling.attn_factor", 1.5)}),
                 "only rope scaling of type \"longrope\" reads");
    refused_file("llama", real("rope.scaling.factor", -2), "factor");
    refused_file("llama", text("rope.scaling.factor", "2"), "a number is expected, \"2\" was found");
    refused_file("llama", real("rope.scaling.alpha", 2), "rope.scaling.alpha is 2");
}

TEST_CASE("what llama3 computes is read from its tensor, and from there alone") {
    using namespace metadata;
    CHECK(scaling_of({factors("rope_freqs.weight", {1, 1, 2, 8})}) == rope_scaling(rope_divided{{1, 1, 2, 8}}));
    CHECK(scaling_of({factors("rope_freqs.weight", {1, 1, 1, 1})}) == rope_scaling());
    const change ones = factors("rope_freqs.weight", {1, 1, 1, 1});
    CHECK(scaling_of({ones, real("rope.scaling.factor", 4)}) == rope_scaling(rope_linear{4}));
    refused_file("llama", factors("rope_freqs.weight", {1, 2, 8}),
                 "tensor \"rope_freqs.weight\": 4 numbers of type F32 are expected, 3 of type F32 were found");
    refused_file(
        "llama", [](gguf_writer& f, auto const&) { f.tensor("rope_freqs.weight", {4}, 1, std::vector<std::byte>(8)); },
        "4 numbers of type F32 are expected, 4 of type F16 were found");
    refused_file("llama", factors("rope_freqs.weight", {1, 2, 8, 0}), "divisors");
    refused_file("llama", factors("rope_freqs.weight", {1, 2, 8, std::numeric_limits<float>::quiet_NaN()}), "divisors");
    refused_file("llama", all_of({factors("rope_freqs.weight", {1, 2, 4, 8}), real("rope.scaling.factor", 4)}),
                 "scales positions, and so does the metadata");
}

TEST_CASE("longrope is two tensors and its magnitude") {
    using namespace metadata;
    const change original = number("rope.scaling.original_context_length", 16);
    const change both = all_of({factors("rope_factors_short.weight", {1, 1, 1.5, 2}),
                                factors("rope_factors_long.weight", {1, 2, 4, 8}), original});
    CHECK(scaling_of({both}, "phi3") == rope_scaling(rope_longrope{{1, 1, 1.5, 2}, {1, 2, 4, 8}, 16, 4, {}}));
    CHECK(scaling_of({both, text("rope.scaling.type", "longrope"), real("rope.scaling.attn_factor", 1.25)}, "phi3") ==
          rope_scaling(rope_longrope{{1, 1, 1.5, 2}, {1, 2, 4, 8}, 16, 4, 1.25}));
    refused_file("phi3", all_of({original, factors("rope_factors_short.weight", {1, 1, 1, 1})}),
                 "tensor \"rope_factors_long.weight\": 4 numbers of type F32 are expected, no such tensor was found");
    refused_file("phi3", all_of({original, text("rope.scaling.type", "longrope")}), "no such tensor was found");
    refused_file("phi3", all_of({both, text("rope.scaling.type", "yarn")}), "but its type is \"yarn\"");
    refused_file(
        "phi3",
        all_of({factors("rope_factors_short.weight", {1, 1, 1, 1}), factors("rope_factors_long.weight", {1, 1, 1, 1})}),
        "rope.scaling.original_context_length");
    // Factors of the dimensions that turn.
    const auto c = good_file(
        "phi3", all_of({original, number("rope.dimension_count", 4), factors("rope_factors_short.weight", {1, 1}),
                        factors("rope_factors_long.weight", {1, 2})}));
    CHECK(c.ropes[0].rotated == 4);
}

TEST_CASE("dimensions of a head: as long as its keys, but where a part of them may turn") {
    using namespace metadata;
    for (const char* key : {"rope.dimension_count", "rope.dimension_count_swa", "attention.key_length_swa",
                            "attention.value_length_swa"}) {
        good_file("llama", number(key, 8));
        refused_file("llama", number(key, 6), "\"llama." + std::string(key) + "\": 8");
    }
    CHECK(good_file("phi3", number("rope.dimension_count", 6)).ropes[0].rotated == 6);
    CHECK(good_file("phi3", number("rope.dimension_count", 8)).ropes[0].rotated == 0);
    refused_file("phi3", number("rope.dimension_count", 10), "8 or less is expected");
    refused_file("phi3", number("rope.dimension_count", 0), "8 or less is expected");
    refused_file("phi3", number("rope.dimension_count", 5), "5 dimensions of a head turn");
}

TEST_CASE("windows in GGUF") {
    using namespace metadata;
    for (const char* name : {"llama", "qwen2", "qwen3", "olmo2"}) {
        good_file(name, number("attention.sliding_window", 0));
        refused_file(name, windowed,
                     "a sliding window of " + std::string(name) + " is not supported in GGUF; 5 was found");
    }
    CHECK(windows_of(good_file("phi3")) == std::vector<std::size_t>(6, 0));
    CHECK(windows_of(good_file("phi3", number("attention.sliding_window", 0))) == std::vector<std::size_t>(6, 0));
    CHECK(good_file("phi3", windowed).block.window == 5);
    CHECK(windows_of(good_file("gemma2", windowed)) == std::vector<std::size_t>{5, 0, 5, 0, 5, 0});
    CHECK(windows_of(good_file("gemma2", number("attention.sliding_window", 0))) == std::vector<std::size_t>(6, 0));
    const auto usual = good_file("gemma2"); // which older files leave out
    CHECK(windows_of(usual) == std::vector<std::size_t>{4096, 0, 4096, 0, 4096, 0});
    REQUIRE(usual.remarks.texts.size() == 1);
    CHECK(usual.remarks.texts[0].find("says nothing of gemma2.attention.sliding_window: 4096 is taken") !=
          std::string::npos);
    CHECK(windows_of(good_file("gemma3", windowed)) == std::vector<std::size_t>{5, 5, 5, 5, 5, 0});
    const auto pattern = [](std::uint32_t n) {
        return windows_of(good_file("gemma3", all_of({windowed, number("attention.sliding_window_pattern", n)})));
    };
    CHECK(pattern(2) == std::vector<std::size_t>{5, 0, 5, 0, 5, 0});
    CHECK(pattern(6) == std::vector<std::size_t>{5, 5, 5, 5, 5, 0});
    CHECK(pattern(1) == std::vector<std::size_t>(6, 0));
    CHECK(pattern(0) == std::vector<std::size_t>(6, 5));
    const auto flags = [](std::vector<bool> const& values) -> change {
        return [values](gguf_writer& f, std::string const& prefix) {
            f.flags(prefix + "attention.sliding_window_pattern", values);
        };
    };
    CHECK(windows_of(good_file("gemma3", all_of({windowed, flags({false, true, true, false, false, true})}))) ==
          std::vector<std::size_t>{0, 5, 5, 0, 0, 5});
    refused_file("gemma3", all_of({windowed, flags({true, false})}),
                 "one for each of 6 layers is expected, 2 were found");
    refused_file("gemma3", nothing, "the key \"gemma3.attention.sliding_window\" is missing");
    refused_file("gemma3", number("attention.sliding_window", 0),
                 "a window is expected, as layers with one turn by a theta");
    refused_file("gemma3", real("attention.sliding_window", 4), "attention.sliding_window");
}

TEST_CASE("Gemma 3's two thetas in GGUF") {
    using namespace metadata;
    CHECK(good_file("gemma3", windowed).ropes == std::vector{rope_rule{5000}, rope_rule{10000}});
    const auto c = good_file("gemma3", all_of({windowed, real("rope.freq_base_swa", 700),
                                               real("rope.scaling.factor", 8), text("rope.scaling.type", "linear")}));
    CHECK(c.ropes == std::vector{rope_rule{5000, 0, rope_linear{8}}, rope_rule{700}}); // the second is never scaled
    CHECK(c.block_of(4).rope == 1);
    CHECK(c.block_of(5).rope == 0);
    good_file("gemma2", real("rope.freq_base_swa", 5000));
    refused_file("gemma2", real("rope.freq_base_swa", 10000), "5000.000000 is expected, as in all layers of gemma2");
}

TEST_CASE("Gemma's caps and scales in GGUF") {
    using namespace metadata;
    const auto usual = good_file("gemma2");
    CHECK(usual.block.attention_soft_cap == 50); // which older files leave out
    CHECK(usual.logit_soft_cap == 30);
    const auto other =
        good_file("gemma2", all_of({real("attn_logit_softcapping", 20), real("final_logit_softcapping", 0)}));
    CHECK(other.block.attention_soft_cap == 20);
    CHECK(other.logit_soft_cap == no_soft_cap);
    refused_file("gemma2", real("attn_logit_softcapping", -1), "a positive soft cap");
    CHECK(good_file("gemma3", windowed).block.attention_soft_cap == no_soft_cap);
    CHECK(good_file("gemma3", all_of({windowed, real("final_logit_softcapping", 30)})).logit_soft_cap == 30);
    refused_file("gemma3", all_of({windowed, real("attn_logit_softcapping", 50)}), "attn_logit_softcapping is 50");
    refused_file("llama", real("final_logit_softcapping", 30), "final_logit_softcapping is 30");
    CHECK(usual.embedding_scale == std::sqrt(24.0f));
    CHECK(good_file("llama").embedding_scale == 1);

    // What scores are divided by is not stored: √head_dim, but in the largest model of either family.
    CHECK(usual.block.attention_scale == std::nullopt);
    CHECK(good_file("gemma2", nothing, {46, 64, 576, 4, 8}).block.attention_scale == 1.0f / 12); // 144 = 576 / 4
    CHECK(good_file("gemma3", windowed, {62, 64, 576, 4, 8}).block.attention_scale == 1.0f / 12);
    CHECK(good_file("gemma2", nothing, {62, 64, 576, 4, 8}).block.attention_scale == std::nullopt);
    CHECK(good_file("gemma3", windowed, {46, 64, 576, 4, 8}).block.attention_scale == std::nullopt);
    CHECK(good_file("llama", nothing, {46, 64, 576, 4, 8}).block.attention_scale == std::nullopt);
}

TEST_CASE("Ministral 3's growth of queries in GGUF") {
    using namespace metadata;
    const change original = number("rope.scaling.original_context_length", 16);
    CHECK(good_file("mistral3").block.growth == query_growth{});
    CHECK(good_file("mistral3", all_of({original, real("attention.temperature_scale", 0.125f)})).block.growth ==
          query_growth{0.125, 16});
    refused_file("mistral3", real("attention.temperature_scale", 0.1f), "rope.scaling.original_context_length");
    refused_file("mistral3", all_of({original, real("attention.temperature_scale", -1)}), "a growth of queries");
    refused_file("llama", real("attention.temperature_scale", 0.1f), "attention.temperature_scale is 0.1");
}

TEST_CASE("that a Mistral's GGUF file does not say its window is remarked") {
    using namespace metadata;
    const auto named = [](std::string const& name) {
        return good_file("llama", [name](gguf_writer& f, std::string const&) { f.text("general.name", name); })
            .remarks.texts;
    };
    for (const char* name : {"Mistral-7B-v0.1", "mistralai_mistral-7b-instruct-v0.1", "Ministral-8B-Instruct-2410"}) {
        REQUIRE(named(name).size() == 1);
        CHECK(named(name)[0].find("do not say whether its layers have a window, and none is taken") !=
              std::string::npos);
    }
    CHECK(named("Llama 3.2").empty());
    CHECK(good_file("llama").remarks.texts.empty());
}

TEST_CASE("a number of layers that is only claimed takes no memory") {
    using namespace metadata;
    problem_list problems;
    const written file("gemma2", nothing, {1'000'000'000});
    file.read(problems);
    REQUIRE(problems.texts().size() == 1);
    CHECK(problems.texts()[0].find("at most 65536 layers are expected where some have a window") != std::string::npos);
}
