#include "bitlens/models/config.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

json llama_config() {
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
json qwen2_config() {
    json c = llama_config();
    c["architectures"] = {"Qwen2ForCausalLM"};
    c["model_type"] = "qwen2";
    return c;
}
json with(json c, std::string const& key, json value) {
    c[key] = std::move(value);
    return c;
}
json without(json c, std::string const& key) {
    c.erase(key);
    return c;
}

std::vector<std::string> problems_of(json const& c) {
    problem_list problems;
    read_config(c, "config.json", problems);
    return problems.texts();
}
model_config good(json const& c) {
    problem_list problems;
    auto config = read_config(c, "config.json", problems);
    CHECK(problems.texts() == std::vector<std::string>{});
    return config;
}
/// Exactly one problem, and these words in it.
void refused(json const& c, std::string const& words) {
    const auto problems = problems_of(c);
    CAPTURE(words);
    CAPTURE(problems);
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].find(words) != std::string::npos);
}

} // namespace

TEST_CASE("a configuration as transformers 4 writes it") {
    const auto c = good(llama_config());
    CHECK(c == model_config{"llama", 2, 40, 64, {24, 4, 2, 6, 32, 1e-5f, 5000.0}, true});
}

TEST_CASE("a configuration as transformers 5 writes it") {
    auto file = without(llama_config(), "rope_theta");
    file["rope_parameters"] = {{"rope_theta", 5000.0}, {"rope_type", "default"}};
    file["dtype"] = "bfloat16";
    file["head_dim"] = 8;
    const auto c = good(file);
    CHECK(c.block.rope_theta == 5000.0);
    CHECK(c.block.head_dim == 8);
}

TEST_CASE("what the families say where a file says nothing") {
    CHECK(good(without(llama_config(), "num_key_value_heads")).block.kv_heads == 4);
    CHECK(good(without(llama_config(), "rope_theta")).block.rope_theta == 10000.0);
    CHECK_FALSE(good(without(llama_config(), "tie_word_embeddings")).tied_head);
    good(with(llama_config(), "rope_scaling", nullptr));
    good(with(llama_config(), "rope_scaling", {{"type", "default"}}));
    auto qwen2 = with(qwen2_config(), "use_sliding_window", false);
    qwen2["sliding_window"] = 32;
    qwen2["max_window_layers"] = 1;
    qwen2["layer_types"] = {"full_attention", "full_attention"};
    CHECK(good(qwen2).architecture == "qwen2");
}

TEST_CASE("sizes that make no model are refused") {
    refused(with(llama_config(), "num_attention_heads", 5), "num_attention_heads must divide hidden_size; 5 and 24");
    refused(with(llama_config(), "num_key_value_heads", 8), "a multiple of the 8 key and value heads");
    refused(with(llama_config(), "num_key_value_heads", 3), "a multiple of the 3 key and value heads");
    refused(with(llama_config(), "num_key_value_heads", 0), "a number of key and value heads from 1");
    refused(with(llama_config(), "num_attention_heads", 0), "must divide");
    refused(with(llama_config(), "head_dim", 7), "an even head dimension");
    refused(with(llama_config(), "head_dim", 0), "a number of head dimension from 1");
    for (const char* key : {"num_hidden_layers", "vocab_size", "max_position_embeddings", "intermediate_size"}) {
        refused(with(llama_config(), key, 0), "from 1 to 2^30 is expected, 0 was found");
        refused(with(llama_config(), key, std::uint64_t{1} << 63), "from 1 to 2^30 is expected, 9223372036854775808");
        refused(with(llama_config(), key, -1), std::string("key \"") + key + "\"");
        refused(with(llama_config(), key, "12"), std::string("key \"") + key + "\"");
        refused(without(llama_config(), key), std::string("the key \"") + key + "\" is missing");
    }
    refused(with(llama_config(), "rms_norm_eps", 0), "a positive epsilon");
    refused(with(llama_config(), "rms_norm_eps", -1e-5), "a positive epsilon");
    refused(with(llama_config(), "rms_norm_eps", 1e-60), "a positive epsilon"); // no float
    refused(without(llama_config(), "rms_norm_eps"), "the key \"rms_norm_eps\" is missing");
    refused(with(llama_config(), "rope_theta", 0), "a positive rope theta");
    refused(with(llama_config(), "rope_theta", -10000.0), "a positive rope theta");
    refused(with(llama_config(), "rope_theta", "NaN"), "rope_theta");
    refused(with(llama_config(), "rope_theta", true), "rope_theta");
}

TEST_CASE("what would change the result and is not supported is refused by name") {
    refused(with(llama_config(), "model_type", "gemma2"),
            "architecture 'gemma2' is not supported; there are llama and qwen2");
    refused(without(llama_config(), "model_type"), "the key \"model_type\" is missing");
    refused(with(llama_config(), "architectures", {"LlamaForSequenceClassification"}), "LlamaForCausalLM is expected");
    refused(with(llama_config(), "architectures", json::array()), "LlamaForCausalLM is expected, nothing");
    refused(with(llama_config(), "rope_scaling", {{"rope_type", "llama3"}, {"factor", nullptr}}),
            "rope scaling of type \"llama3\" is not supported");
    refused(with(llama_config(), "rope_scaling", {{"type", "linear"}}), "rope scaling of type \"linear\"");
    refused(with(llama_config(), "rope_scaling", {{"factor", 2.0}}), "the key \"factor\" is not known");
    refused(with(llama_config(), "rope_parameters", {{"rope_theta", 7.0}}), "rope_theta 7.000000 and elsewhere 5000");
    refused(with(llama_config(), "rope_parameters", {{"full_attention", {{"rope_theta", 1.0}}}}), "\"full_attention\"");
    refused(with(llama_config(), "partial_rotary_factor", 0.5), "partial_rotary_factor");
    refused(with(llama_config(), "rope_interleaved", true), "rope_interleaved is true");
    refused(with(llama_config(), "attention_bias", true), "attention_bias is true");
    refused(with(llama_config(), "mlp_bias", true), "mlp_bias is true");
    refused(with(llama_config(), "hidden_act", "gelu"), "hidden_act \"gelu\"");
    refused(without(llama_config(), "hidden_act"), "hidden_act");
    refused(with(llama_config(), "sliding_window", 4096), "sliding_window is set");
    refused(with(qwen2_config(), "use_sliding_window", true), "use_sliding_window is true");
    refused(with(qwen2_config(), "layer_types", {"full_attention", "sliding_attention"}), "\"sliding_attention\"");
    refused(with(llama_config(), "quantization_config", {{"quant_method", "gptq"}}), "the key \"quantization_config\"");
    refused(with(llama_config(), "logit_scale", 2), "the key \"logit_scale\" is not known");
    good(with(llama_config(), "logit_scale", nullptr)); // as Hugging Face writes "not set"
    good(with(llama_config(), "use_cache", true));
}

TEST_CASE("all problems are reported at once") {
    auto c = with(with(llama_config(), "hidden_act", "relu"), "mlp_bias", true);
    CHECK(problems_of(without(c, "vocab_size")).size() == 3);
    CHECK(problems_of(json::array()).size() == 1);
    CHECK(problems_of(json(3)).size() == 1);
    CHECK(problems_of(json::object()).size() >= 7);
}
