#pragma once
/// config.json files as values, and what the reader says of them.

#include "bitlens/io/json.hpp"
#include "bitlens/models/config.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

namespace bitlens::test {

inline json llama_config() {
    return {{"architectures", {"LlamaForCausalLM"}},
            {"model_type", "llama"},
            {"hidden_act", "silu"},
            {"hidden_size", 24},
            {"intermediate_size", 32},
            {"num_hidden_layers", 2},
            {"num_attention_heads", 4},
            {"num_key_value_heads", 2},
            {"vocab_size", 40},
            {"max_position_embeddings", 64},
            {"rms_norm_eps", 1e-5},
            {"rope_theta", 5000.0},
            {"tie_word_embeddings", true}};
}
/// The same sizes for another family, whatever else its class has.
inline json config_of(model_family const& family) {
    json c = llama_config();
    c["architectures"] = {std::string(family.hugging_face_class)};
    c["model_type"] = std::string(family.name);
    if (family.reads("hidden_activation")) c["hidden_activation"] = "gelu_pytorch_tanh";
    if (family.reads("llama_4_scaling_beta")) c["rope_parameters"] = {{"rope_type", "default"}}; // has no usual one
    return c;
}
inline json with(json c, std::string const& key, json value) {
    c[key] = std::move(value);
    return c;
}
inline json without(json c, std::string const& key) {
    c.erase(key);
    return c;
}

inline std::vector<std::string> problems_of(json const& c) {
    problem_list problems;
    read_config(c, "config.json", problems);
    return problems.texts();
}
inline model_config good(json const& c) {
    problem_list problems;
    auto config = read_config(c, "config.json", problems);
    CHECK(problems.texts() == std::vector<std::string>{});
    return config;
}
/// Exactly one problem, and these words in it.
inline void refused(json const& c, std::string const& words) {
    const auto problems = problems_of(c);
    CAPTURE(words);
    CAPTURE(problems);
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].find(words) != std::string::npos);
}

/// The windows of all layers; 0 where there is none.
inline std::vector<std::size_t> windows_of(model_config const& c) {
    std::vector<std::size_t> windows;
    for (std::size_t k = 0; k < c.layers; ++k) {
        const std::size_t window = c.block_of(k).window;
        windows.push_back(window == attention_rule::everything ? 0 : window);
    }
    return windows;
}

} // namespace bitlens::test
