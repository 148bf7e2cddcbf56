#include "bitlens/models/config.hpp"

#include "config_for_test.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

using namespace bitlens;

using namespace bitlens::test;

namespace {

json qwen2_config() { return config_of(qwen2::description); }

} // namespace

TEST_CASE("a configuration as transformers 4 writes it") {
    const auto c = good(llama_config());
    CHECK(c == model_config{"llama", 2, 40, 64, {24, 4, 2, 6, 32, 1e-5f}, true, {rope_rule{5000.0}}});
    CHECK(c.remarks.texts.empty());
}

TEST_CASE("a configuration as transformers 5 writes it") {
    auto file = without(llama_config(), "rope_theta");
    file["rope_parameters"] = {{"rope_theta", 5000.0}, {"rope_type", "default"}};
    file["dtype"] = "bfloat16";
    file["head_dim"] = 8;
    const auto c = good(file);
    CHECK(c.ropes == std::vector{rope_rule{5000.0}});
    CHECK(c.block.head_dim == 8);
}

TEST_CASE("what the families say where a file says nothing") {
    CHECK(good(without(llama_config(), "num_key_value_heads")).block.kv_heads == 4);
    CHECK(good(without(llama_config(), "rope_theta")).ropes[0].theta == 10000.0);
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
        refused(with(llama_config(), key, nullptr), std::string("key \"") + key + "\"");
    }
    refused(with(llama_config(), "rms_norm_eps", 0), "a positive epsilon");
    refused(with(llama_config(), "rms_norm_eps", -1e-5), "a positive epsilon");
    refused(with(llama_config(), "rms_norm_eps", 1e-60), "a positive epsilon"); // no float
    refused(with(llama_config(), "rms_norm_eps", nullptr), "key \"rms_norm_eps\"");
    refused(with(llama_config(), "rope_theta", 0), "a positive rope theta");
    refused(with(llama_config(), "rope_theta", -10000.0), "a positive rope theta");
    refused(with(llama_config(), "rope_theta", "NaN"), "rope_theta");
    refused(with(llama_config(), "rope_theta", true), "rope_theta");
}

TEST_CASE("what would change the result and is not supported is refused by name") {
    refused(without(llama_config(), "model_type"), "the key \"model_type\" is missing");
    refused(with(llama_config(), "architectures", {"LlamaForSequenceClassification"}), "LlamaForCausalLM is expected");
    refused(with(llama_config(), "architectures", json::array()), "LlamaForCausalLM is expected, nothing");
    refused(with(llama_config(), "partial_rotary_factor", 0.5), "partial_rotary_factor is 0.5");
    refused(with(llama_config(), "rope_interleaved", true), "rope_interleaved is true");
    refused(with(llama_config(), "logit_scale", 2), "logit_scale is 2, which is not supported; only 1 is");
    good(with(llama_config(), "logit_scale", nullptr)); // as Hugging Face writes "not set"
    good(with(llama_config(), "use_cache", true));
    // Keys of other families are not known to this one.
    for (const char* key : {"query_pre_attn_scalar", "rope_local_base_freq", "sliding_window_pattern",
                            "sliding_window_size", "hidden_activation"})
        refused(with(llama_config(), key, 2), "the key \"" + std::string(key) + "\" is not known");
}

TEST_CASE("an activation is known by every name that means it") {
    for (const char* name : {"silu", "swish"}) good(with(llama_config(), "hidden_act", name));
    for (const char* name : {"gelu", "gelu_pytorch_tanh", "relu"})
        refused(with(llama_config(), "hidden_act", name),
                "hidden_act \"" + std::string(name) + "\" is not supported; only \"silu\" is");
    refused(with(llama_config(), "hidden_act", nullptr), "hidden_act");
    // Gemma's class looks at the other key; what is beside it says nothing, unless it is alone.
    const json gemma = config_of(gemma2::description);
    for (const char* name : {"gelu", "silu", "gelu_pytorch_tanh"}) good(with(gemma, "hidden_act", name));
    good(without(without(gemma, "hidden_activation"), "hidden_act"));
    good(with(without(gemma, "hidden_activation"), "hidden_act", "gelu_pytorch_tanh"));
    refused(with(without(gemma, "hidden_activation"), "hidden_act", "gelu"),
            "hidden_act \"gelu\" is not supported; only \"gelu_pytorch_tanh\" is");
    refused(with(gemma, "hidden_activation", "gelu"), "hidden_activation \"gelu\" is not supported");
}

TEST_CASE("configurations as they were published load, with the keys that their writers leave behind") {
    struct published {
        const char* model;
        json keys; // beside those of a small llama or qwen2
    };
    const std::vector<published> llamas{
        {"transformers 4.31",
         {{"bos_token_id", 1},
          {"eos_token_id", 2},
          {"pad_token_id", 0},
          {"max_length", 4096},
          {"pretraining_tp", 1},
          {"temperature", 0.6},
          {"top_p", 0.9},
          {"do_sample", true},
          {"torch_dtype", "float16"}}},
        {"SmolLM2, as transformers 5 writes it",
         {{"unk_token_id", 0},
          {"pad_token_id", nullptr},
          {"dtype", "float32"},
          {"rope_interleaved", false},
          {"rope_parameters", {{"rope_theta", 5000.0}, {"rope_type", "default"}}},
          {"is_llama_config", true},
          {"transformers.js_config", {{"dtype", "q4"}}}}},
        {"a fine-tuned one",
         {{"_model_name_or_path", "x"},
          {"_name_or_path", "x"},
          {"unsloth_version", "1"},
          {"unsloth_next", true},
          {"use_cache", false},
          {"eos_token_id", {1, 2}},
          {"max_sequence_length", 2048},
          {"auto_map", json::object()}}},
        {"a window that is none",
         {{"sliding_window", nullptr},
          {"use_sliding_window", false},
          {"layer_types", {"full_attention", "full_attention"}}}},
        {"a length that nothing is stretched from", {{"original_max_position_embeddings", 32}}},
        {"scaling by nothing", {{"rope_scaling", {{"type", "linear"}, {"factor", 1.0}}}}},
        {"scaling by nothing, with all its settings",
         {{"rope_scaling",
           {{"rope_type", "llama3"},
            {"factor", 1},
            {"low_freq_factor", 1.0},
            {"high_freq_factor", 4.0},
            {"original_max_position_embeddings", 8192}}}}},
        {"yarn by nothing",
         {{"rope_parameters",
           {{"rope_type", "yarn"},
            {"factor", 1.0},
            {"attention_factor", 1.0},
            {"beta_fast", 32},
            {"rope_theta", 5000.0}}}}},
        {"a default that names a factor", {{"rope_scaling", {{"rope_type", "default"}, {"factor", 1.0}}}}},
        {"switches that are off",
         {{"attention_bias", false},
          {"mlp_bias", false},
          {"pruned_heads", json::object()},
          {"clip_qkv", nullptr},
          {"num_experts", 0},
          {"logit_scale", 1.0},
          {"residual_multiplier", 1},
          {"mlp_only_layers", json::array()},
          {"partial_rotary_factor", 1.0},
          {"final_logit_softcapping", nullptr},
          {"hidden_act", "swish"},
          {"is_causal", true},
          {"use_bidirectional_attention", false}}},
        {"bitsandbytes, switched off",
         {{"quantization_config",
           {{"quant_method", "bitsandbytes"}, {"load_in_4bit", false}, {"load_in_8bit", false}}}}},
    };
    for (published const& p : llamas) {
        CAPTURE(p.model);
        json file = llama_config();
        file.update(p.keys);
        CHECK(good(file) == good(llama_config()));
    }
    // Qwen2.5's base models: a window and its switch, mrope and its switch.
    json qwen = qwen2_config();
    qwen.update(json{{"use_mrope", false},
                     {"use_sliding_window", false},
                     {"sliding_window", 131072},
                     {"max_window_layers", 28},
                     {"attention_dropout", 0.0},
                     {"initializer_range", 0.02}});
    CHECK(good(qwen) == good(qwen2_config()));
    CHECK(good(with(qwen2_config(), "sliding_window", 32768)) == good(qwen2_config())); // the switch is off by default
}

TEST_CASE("a value that changes the result is named, with what is supported") {
    refused(with(qwen2_config(), "use_mrope", true), "use_mrope is true, which is not supported; only false or 0 is");
    refused(with(llama_config(), "residual_multiplier", 0.22), "residual_multiplier is 0.22, which");
    refused(with(llama_config(), "num_experts", 8), "num_experts is 8");
    refused(with(llama_config(), "pruned_heads", {{"0", {1}}}), "pruned_heads is object");
    refused(with(llama_config(), "is_causal", false), "is_causal is false, which is not supported; only true is");
    refused(with(llama_config(), "clip_qkv", 8.0), "clip_qkv is 8.0");
    refused(with(qwen2_config(), "attention_bias", true), "attention_bias is true");
    refused(with(config_of(mistral::description), "mlp_bias", true), "mlp_bias is true");
    for (model_family const* const family : families)
        refused(with(config_of(*family), "use_bidirectional_attention", true), "use_bidirectional_attention is true");
    refused(with(llama_config(), "no_rope_layers", {1, 0}), "no_rope_layers is array");
    refused(with(llama_config(), "llama_4_scaling_beta", 0.1), "llama_4_scaling_beta is 0.1");
}

TEST_CASE("an architecture that is not supported is the one refusal of its configuration") {
    const auto other = [](json keys) {
        json file = {{"vocab_size", 100},
                     {"odd_key", 1},
                     {"hidden_size", 32},
                     {"rope_theta", 7.0},
                     {"rope_scaling", {{"type", "yarn"}}},
                     {"architectures", {"XForCausalLM"}}};
        file.update(keys);
        return file;
    };
    const std::string there_are =
        "is not supported; there are llama, mistral, ministral, ministral3, qwen2, qwen3, gemma2, "
        "gemma3_text, olmo2 and phi3";
    for (const char* name : {"gemma", "olmo", "phi", "gpt2", "gemma3n_text", "qwen3_5"})
        refused(other({{"model_type", name}}), "config.json: architecture '" + std::string(name) + "' " + there_are);
    for (const char* name : {"mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "phimoe", "deepseek_v2", "deepseek_v3",
                             "gpt_oss", "llama4", "granitemoe", "dbrx"})
        refused(other({{"model_type", name}}), there_are + "; this one is a mixture of experts");
    refused(other({{"model_type", "new_one"}, {"num_local_experts", 8}}),
            there_are + "; this one is a mixture of experts (num_local_experts is 8)");
    refused(other({{"model_type", "bert"}, {"architectures", {"BertForMaskedLM"}}}),
            there_are + "; this one (\"BertForMaskedLM\") does not predict the next token");
    refused(other({{"model_type", "t5"}, {"is_encoder_decoder", true}}), there_are + "; this one is an encoder with");
    refused(other({{"model_type", "llava"}, {"text_config", {{"model_type", "llama"}}}}),
            there_are + "; this one wraps a language model (text_config, of type \"llama\")");
    problem_list problems;
    const auto c = read_config(other({{"model_type", "gemma"}}), "config.json", problems);
    CHECK(c.vocabulary == 100); // what it states is there to be shown
    CHECK(c.ropes[0].theta == 7.0);
    CHECK(c.block.norm_eps == 0);
    const auto both = problems_of(other({{"model_type", "gemma"}, {"quantization_config", {{"bits", 4}}}}));
    REQUIRE(both.size() == 2);
    CHECK(both[1].find("quantized") != std::string::npos);
}

TEST_CASE("quantized weights are named by method and bits, before what else is odd") {
    const auto first = [](json quantization, const char* key = "quantization_config") {
        auto file = with(llama_config(), key, std::move(quantization));
        file["odd_key"] = 1;
        const auto problems = problems_of(file);
        REQUIRE(problems.size() == 2);
        return problems[0];
    };
    const auto names = [](std::string const& text, std::string const& words) {
        CAPTURE(text);
        CHECK(text.find(words) != std::string::npos);
        CHECK(text.find("not read yet") != std::string::npos);
    };
    names(first({{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 128}}),
          "by \"gptq\" to 4 bits in groups of 128");
    names(first({{"quant_method", "awq"}, {"w_bit", 3}, {"q_group_size", 64}}), "by \"awq\" to 3 bits in groups of 64");
    names(first({{"quant_method", "bitsandbytes"}, {"load_in_4bit", false}, {"load_in_8bit", true}}),
          "by \"bitsandbytes\" to 8 bits");
    names(first({{"quant_method", "compressed-tensors"},
                 {"config_groups", {{"group_0", {{"weights", {{"num_bits", 8}, {"group_size", nullptr}}}}}}}}),
          "by \"compressed-tensors\" to 8 bits are");
    names(first({{"quant_method", "fp8"}, {"weight_block_size", {128, 128}}}), "by \"fp8\" are");
    names(first({{"group_size", 64}, {"bits", 4}}, "quantization"), "by MLX to 4 bits in groups of 64");
    names(first("gptq"), "by a method without a name");
    for (json const& nothing : {json(), json::object(), json(false)})
        good(with(llama_config(), "quantization_config", nothing));
}

TEST_CASE("a key that is not known is passed over for who names it") {
    const auto problems_allowing = [](json const& file, std::vector<std::string> const& allowed) {
        problem_list problems;
        read_config(file, "config.json", problems, allowed);
        return problems.texts();
    };
    auto file = with(llama_config(), "odd_key", 2);
    file["rope_scaling"] = {{"type", "default"}, {"finetuned", true}};
    const auto refusals = problems_of(file);
    REQUIRE(refusals.size() == 2);
    CHECK(refusals[0].find("\"rope_scaling.finetuned\" is not known") != std::string::npos);
    CHECK(refusals[1] == "config.json: the key \"odd_key\" is not known, and could change what the model computes (its "
                         "value is 2); --allow-key \"odd_key\" passes over it");
    CHECK(problems_allowing(file, {"odd_key"}).size() == 1);
    CHECK(problems_allowing(file, {"odd_key", "rope_scaling.finetuned", "odd_key"}).empty());
    CHECK_THROWS_WITH_AS(problems_allowing(file, {"odd_keys"}),
                         "config.json: there is no key \"odd_keys\" that could be passed over", option_error);
    for (const char* known : {"hidden_act", "rope_scaling", "rope_scaling.type", "use_cache", "mlp_bias"})
        CHECK_THROWS_WITH_AS(
            problems_allowing(with(with(file, "use_cache", true), "mlp_bias", false), {known}),
            ("config.json: the key \"" + std::string(known) + "\" is known, and not passed over").c_str(),
            option_error);
    // What is known and refused is not to be passed over either.
    CHECK_THROWS_AS(problems_allowing(with(llama_config(), "use_mrope", true), {"use_mrope"}), option_error);
}

TEST_CASE("all problems are reported at once") {
    auto c = with(with(llama_config(), "hidden_act", "relu"), "clip_qkv", 8);
    c["rope_scaling"] = {{"type", "other"}};
    CHECK(problems_of(with(c, "vocab_size", "many")).size() == 4);
    CHECK(problems_of(json::array()).size() == 1);
    CHECK(problems_of(json(3)).size() == 1);
    CHECK(problems_of(json::object()).size() == 1); // whose configuration it is
}
