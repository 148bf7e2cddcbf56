// The rotary embedding as transformers 4 and 5 write it.
#include "bitlens/models/config.hpp"

#include "config_for_test.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

/// transformers 4: rope_theta beside rope_scaling, of which the kind is "type" in older files.
json older(json scaling, model_family const& family = llama::description) {
    return with(config_of(family), "rope_scaling", std::move(scaling));
}
/// transformers 5: all in rope_parameters.
json newer(json scaling, model_family const& family = llama::description) {
    scaling["rope_theta"] = 5000.0;
    return with(without(config_of(family), "rope_theta"), "rope_parameters", std::move(scaling));
}

/// Both spellings give the rule.
void means(json const& scaling, rope_scaling const& expected, model_family const& family = llama::description) {
    CAPTURE(scaling.dump());
    const std::vector rules{rope_rule{5000.0, 0, expected}};
    CHECK(good(newer(scaling, family)).ropes == rules);
    CHECK(good(older(scaling, family)).ropes == rules);
    json renamed = scaling;
    renamed["type"] = scaling.at("rope_type");
    CHECK(good(older(without(renamed, "rope_type"), family)).ropes == rules);
    renamed["type"] = "linear"; // the other name decides
    CHECK(good(older(renamed, family)).ropes == rules);
}

/// In both spellings.
void is_refused(json const& scaling, std::string const& words, model_family const& family = llama::description) {
    CAPTURE(scaling.dump());
    refused(older(scaling, family), words);
    refused(newer(scaling, family), words);
}

const json llama3_scaling = {{"rope_type", "llama3"},
                             {"factor", 8.0},
                             {"low_freq_factor", 1.0},
                             {"high_freq_factor", 4.0},
                             {"original_max_position_embeddings", 32}};

} // namespace

TEST_CASE("every kind of scaling is read, in either spelling, in any family") {
    for (model_family const* const family : {&llama::description, &qwen2::description, &olmo2::description}) {
        means({{"rope_type", "default"}}, rope_unscaled{}, *family);
        means({{"rope_type", "linear"}, {"factor", 4}}, rope_linear{4}, *family);
        means({{"rope_type", "dynamic"}, {"factor", 2.0}}, rope_dynamic{2, 64}, *family);
        means(llama3_scaling, rope_llama3{8, 1, 4, 32}, *family);
        means({{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32}},
              rope_yarn{4, 32, 32, 1, true, {}}, *family);
        means({{"rope_type", "longrope"},
               {"factor", 2.0},
               {"short_factor", {1, 1.5, 2}},
               {"long_factor", {1, 4, 8}},
               {"original_max_position_embeddings", 32}},
              rope_longrope{{1, 1.5, 2}, {1, 4, 8}, 32, 2, {}}, *family);
    }
}

TEST_CASE("all numbers of yarn and longrope") {
    means({{"rope_type", "yarn"},
           {"factor", 40},
           {"original_max_position_embeddings", 16},
           {"beta_fast", 16},
           {"beta_slow", 2},
           {"mscale", 0.707},
           {"mscale_all_dim", 1.0},
           {"truncate", false},
           {"attention_factor", 1.25}},
          rope_yarn{40, 16, 16, 2, false, 1.25, 0.707, 1});
    means({{"rope_type", "yarn"}, {"factor", 4}, {"beta_fast", 0}, {"beta_slow", nullptr}, {"mscale", nullptr}},
          rope_yarn{4, 64, 32, 1, true, {}}); // of 0 and null the usual; the whole context where no other is stated
    means({{"rope_type", "yarn"}, {"factor", 4}, {"attention_factor", 1.0}},
          rope_yarn{4, 64, 32, 1, true, 1.0}); // 1 is not none
    means({{"rope_type", "yarn"}, {"factor", nullptr}, {"original_max_position_embeddings", 16}},
          rope_yarn{4, 16, 32, 1, true, {}});
    json longrope = {{"rope_type", "longrope"}, {"short_factor", {1, 1, 1}}, {"long_factor", {2, 2, 2}}};
    means(longrope, rope_longrope{{1, 1, 1}, {2, 2, 2}, 64, 1, {}});
    longrope["original_max_position_embeddings"] = 16;
    means(longrope, rope_longrope{{1, 1, 1}, {2, 2, 2}, 16, 4, {}}); // factor: how much longer the context is
    means(with(longrope, "attention_factor", 1.5), rope_longrope{{1, 1, 1}, {2, 2, 2}, 16, 4, 1.5});
}

TEST_CASE("scaling by nothing is none") {
    means({{"rope_type", "default"}, {"factor", 1.0}}, rope_unscaled{});
    means({{"rope_type", "linear"}, {"factor", 1.0}}, rope_unscaled{});
    means(with(llama3_scaling, "factor", 1), rope_unscaled{});
    means({{"rope_type", "yarn"}, {"factor", 1.0}, {"attention_factor", 1.0}}, rope_unscaled{});
    means({{"rope_type", "yarn"}, {"factor", 1.0}, {"attention_factor", 1.2}}, rope_yarn{1, 64, 32, 1, true, 1.2});
    means({{"rope_type", "dynamic"}, {"factor", 1.0}}, rope_dynamic{1, 64}); // changes long texts all the same
    for (json const& nothing : {json(), json::object()}) CHECK(good(older(nothing)) == good(llama_config()));
}

TEST_CASE("a kind that is not known is refused, and what one kind does not know") {
    const std::string known = "is not known; known are \"default\", \"linear\", \"dynamic\", \"llama3\", \"yarn\" and "
                              "\"longrope\"";
    for (const char* type : {"mrope", "su", "proportional", "ntk"})
        is_refused({{"rope_type", type}, {"factor", 2}, {"mrope_section", {16, 24}}},
                   "rope scaling of type \"" + std::string(type) + "\" " + known);
    is_refused({{"rope_type", "linear"}}, "the key \"factor\" is missing");
    is_refused({{"rope_type", "dynamic"}}, "the key \"factor\" is missing");
    is_refused({{"rope_type", "yarn"}}, "the key \"factor\" is missing");
    is_refused({{"rope_type", "longrope"}, {"long_factor", {1, 1, 1}}}, "the key \"short_factor\" is missing");
    for (const char* key : {"factor", "low_freq_factor", "high_freq_factor"})
        is_refused(without(llama3_scaling, key), "the key \"" + std::string(key) + "\" is missing");
    is_refused({{"rope_type", "default"}, {"factor", 4}}, "of type \"default\" has a factor of 4");
    is_refused({{"factor", 2.0}}, "rope scaling without a type has a factor of 2.0");
    const std::vector<json> unknown{with(llama3_scaling, "beta_fast", 32),
                                    {{"rope_type", "linear"}, {"factor", 2}, {"beta_fast", 2}},
                                    {{"rope_type", "dynamic"}, {"factor", 2}, {"beta_fast", 3}},
                                    {{"rope_type", "default"}, {"beta_fast", 3}}};
    for (json const& scaling : unknown) {
        refused(older(scaling), "the key \"rope_scaling.beta_fast\" is not known");
        refused(newer(scaling), "the key \"rope_parameters.beta_fast\" is not known");
    }
    for (const char* key : {"short_mscale", "long_mscale", "finetuned", "mrope_section"})
        refused(older({{"rope_type", "yarn"}, {"factor", 2}, {key, 1}}),
                "the key \"rope_scaling." + std::string(key) + "\" is not known");
    refused(older({{"type", "linear"}, {"factor", "2"}}), "key \"factor\"");
    refused(older({{"type", 3}}), "key \"type\"");
    refused(older("linear"), "rope_scaling");
}

TEST_CASE("numbers that no rope turns by are refused") {
    is_refused({{"rope_type", "linear"}, {"factor", 0}}, "factor");
    is_refused({{"rope_type", "linear"}, {"factor", -2}}, "factor");
    is_refused(with(llama3_scaling, "high_freq_factor", 1.0), "high");
    is_refused(with(llama3_scaling, "original_max_position_embeddings", 0), "original_context");
    is_refused({{"rope_type", "yarn"}, {"factor", 2}, {"attention_factor", 0}}, "magnitude");
    is_refused({{"rope_type", "longrope"}, {"short_factor", {1, 1}}, {"long_factor", {1, 1, 1}}}, "short_factors");
    is_refused({{"rope_type", "longrope"}, {"short_factor", {1, 1, 0}}, {"long_factor", {1, 1, 1}}}, "short_factors");
    is_refused({{"rope_type", "longrope"}, {"short_factor", {1, 1, 1}}, {"long_factor", {1, 1, 1, 1}}}, "long_factors");
}

TEST_CASE("one theta, wherever it is stated") {
    json file = with(without(llama_config(), "rope_theta"), "rope_parameters", {{"rope_type", "default"}});
    const auto c = good(file);
    CHECK(c.ropes[0].theta == 10000);
    REQUIRE(c.remarks.texts.size() == 1);
    CHECK(c.remarks.texts[0].find("says nothing of rope_theta") != std::string::npos);
    CHECK(good(with(file, "rope_theta", 7)).ropes[0].theta == 7);
    refused(with(llama_config(), "rope_parameters", {{"rope_theta", 7.0}}), "rope_theta 7.000000 and elsewhere 5000");
    refused(with(llama_config(), "rope_scaling", {{"rope_theta", 7.0}, {"type", "default"}}), "and elsewhere 5000");
    // rope_scaling comes before rope_parameters, which must not hide another theta then.
    const json linear = {{"type", "linear"}, {"factor", 2}};
    file = with(newer({{"rope_type", "default"}}), "rope_scaling", linear);
    refused(file, "rope_parameters: rope_theta 5000.000000 and elsewhere 10000");
    CHECK(good(with(file, "rope_theta", 5000)).ropes == std::vector{rope_rule{5000, 0, rope_linear{2}}});
    file["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 3}, {"rope_theta", 10000}};
    CHECK(good(file).ropes == std::vector{rope_rule{10000, 0, rope_linear{2}}});
}

TEST_CASE("the length that positions were stretched from") {
    // Most families know the one in the scaling only.
    CHECK(good(older(without(llama3_scaling, "original_max_position_embeddings"))).ropes[0].scaling ==
          rope_scaling(rope_llama3{8, 1, 4, 64}));
    good(with(older(llama3_scaling), "original_max_position_embeddings", 32));
    refused(with(older(llama3_scaling), "original_max_position_embeddings", 16),
            "16 was found where it is not read; what is read comes to 32");
    // Phi's class reads the one at the top, and has a default for it.
    json longrope = {{"type", "longrope"}, {"short_factor", {1, 1, 1}}, {"long_factor", {2, 2, 2}}};
    const auto original = [](json const& file) {
        return std::get<rope_longrope>(good(file).ropes[0].scaling).original_context;
    };
    json file = with(older(longrope, phi3::description), "max_position_embeddings", 8192);
    CHECK(original(file) == 4096);
    CHECK(std::get<rope_longrope>(good(file).ropes[0].scaling).factor == 2);
    CHECK(original(with(file, "original_max_position_embeddings", 2048)) == 2048);
    file["rope_scaling"]["original_max_position_embeddings"] = 1024;
    CHECK(original(with(file, "original_max_position_embeddings", 2048)) == 2048);
    refused(file, "1024 was found where it is not read; what is read comes to 4096");
}

TEST_CASE("Phi's older names of longrope") {
    for (const char* type : {"su", "yarn", "longrope"}) {
        const json scaling = {{"type", type}, {"short_factor", {1, 1, 1}}, {"long_factor", {2, 2, 2}}};
        CHECK(std::get<rope_longrope>(good(older(scaling, phi3::description)).ropes[0].scaling).long_factors ==
              std::vector<double>{2, 2, 2});
    }
    refused(older({{"type", "su"}, {"short_factor", {1, 1, 1}}, {"long_factor", {2, 2, 2}}, {"short_mscale", 1.1}},
                  phi3::description),
            "\"rope_scaling.short_mscale\" is not known");
}

TEST_CASE("a part of each head turns in Phi alone") {
    const auto rotated = [](json const& file) { return good(file).ropes[0].rotated; };
    const json file = with(config_of(phi3::description), "head_dim", 16);
    CHECK(rotated(file) == 0); // all
    CHECK(rotated(with(file, "partial_rotary_factor", 1)) == 0);
    CHECK(rotated(with(file, "partial_rotary_factor", 0.75)) == 12);
    CHECK(rotated(with(file, "partial_rotary_factor", 0.4)) == 6); // 6.4
    CHECK(rotated(with(without(file, "rope_theta"), "rope_parameters",
                       {{"rope_type", "default"}, {"rope_theta", 5000}, {"partial_rotary_factor", 0.5}})) == 8);
    refused(with(file, "partial_rotary_factor", 0.45), "7 dimensions of a head turn");
    for (double wrong : {0.0, 0.1, 1.5, -0.5})
        refused(with(file, "partial_rotary_factor", wrong), "partial_rotary_factor: a part of the head dimension (16)");
    refused(with(with(file, "partial_rotary_factor", 0.5), "rope_scaling",
                 {{"type", "default"}, {"partial_rotary_factor", 0.75}}),
            "partial_rotary_factor 0.750000 and elsewhere 0.500000");
    refused(with(llama_config(), "partial_rotary_factor", 0.5), "partial_rotary_factor is 0.5");
    refused(with(llama_config(), "rope_parameters", {{"rope_type", "default"}, {"partial_rotary_factor", 0.5}}),
            "partial_rotary_factor is 0.5");
}

TEST_CASE("Gemma 3 turns layers with a window by a theta of their own, which nothing scales") {
    const json file = with(without(config_of(gemma3::description), "rope_theta"), "sliding_window_pattern", 2);
    const rope_rule global{1e6}, local{1e4};
    CHECK(good(file).ropes == std::vector{global, local});
    const auto c = good(file);
    CHECK(c.block_of(0).rope == 1);
    CHECK(c.block_of(0).window == 4096);
    CHECK(c.block_of(1).rope == 0);
    CHECK(c.block_of(1).window == attention_rule::everything);
    const std::vector scaled{rope_rule{5e5, 0, rope_linear{8}}, rope_rule{7000}};
    json four = with(with(file, "rope_theta", 5e5), "rope_local_base_freq", 7000);
    CHECK(good(four).ropes == std::vector{rope_rule{5e5}, rope_rule{7000}});
    four["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 8}};
    CHECK(good(four).ropes == scaled);
    json five = file;
    five["rope_parameters"] = {{"full_attention", {{"rope_type", "linear"}, {"factor", 8}, {"rope_theta", 5e5}}},
                               {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 7000}}}};
    CHECK(good(five).ropes == scaled);
    five["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 4}}; // of the full layers, with their theta
    CHECK(good(five).ropes == std::vector{rope_rule{5e5, 0, rope_linear{4}}, rope_rule{7000}});
    json partial = with(file, "rope_parameters", {{"sliding_attention", {{"rope_theta", 7000}}}});
    CHECK(good(partial).ropes == std::vector{global, rope_rule{7000}});
    CHECK(good(with(four, "rope_scaling", nullptr)).block_of(1).rope == 0);
    CHECK(good(with(with(file, "rope_theta", 1e4), "sliding_window_pattern", 2)).ropes == std::vector{local}); // alike
    CHECK(good(with(file, "sliding_window_pattern", 1)).ropes == std::vector{global}); // no layer has a window

    refused(with(file, "rope_parameters", {{"rope_theta", 1e6}}),
            "the key \"rope_parameters.rope_theta\" is not known");
    refused(with(four, "rope_parameters", {{"full_attention", {{"rope_theta", 1.0}}}}), "and elsewhere 500000");
    refused(with(four, "rope_parameters", {{"sliding_attention", {{"rope_theta", 1.0}}}}), "and elsewhere 7000");
    refused(with(file, "rope_parameters", {{"full_attention", {{"rope_type", "linear"}, {"factor", 2}, {"odd", 2}}}}),
            "\"rope_parameters.full_attention.odd\" is not known");
    refused(with(llama_config(), "rope_parameters", {{"full_attention", {{"rope_theta", 5000.0}}}}),
            "the key \"rope_parameters.full_attention\" is not known");
}
