// What each family's configurations mean: defaults of their classes, windows, biases, caps and scales.
#include "bitlens/models/config.hpp"

#include "config_for_test.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

constexpr auto no_window = attention_rule::everything;

json sized(model_family const& family, std::size_t layers) {
    return with(config_of(family), "num_hidden_layers", layers);
}

model_config nothing_but_a_name(std::string const& name) { return good(json{{"model_type", name}}); }

} // namespace

TEST_CASE("where a file says nothing, sizes are those of the family's class, and that is remarked") {
    struct numbers {
        std::size_t vocabulary, width, ffn_width, layers, heads, kv_heads, head_dim, context;
        float norm_eps;
        bool tied;
    };
    const auto has = [](std::string const& name, numbers const& n) {
        CAPTURE(name);
        const auto c = nothing_but_a_name(name);
        CHECK(c.architecture == name);
        CHECK(c.vocabulary == n.vocabulary);
        CHECK(c.block.width == n.width);
        CHECK(c.block.ffn_width == n.ffn_width);
        CHECK(c.layers == n.layers);
        CHECK(c.block.heads == n.heads);
        CHECK(c.block.kv_heads == n.kv_heads);
        CHECK(c.block.head_dim == n.head_dim);
        CHECK(c.context == n.context);
        CHECK(c.block.norm_eps == n.norm_eps);
        CHECK(c.tied_head == n.tied);
        CHECK(c.block.attention_scale == std::nullopt);
        REQUIRE(c.remarks.texts.size() == 1);
        CHECK(c.remarks.texts[0].find("says nothing of num_hidden_layers, vocab_size, ") != std::string::npos);
    };
    has("llama", {32000, 4096, 11008, 32, 32, 32, 128, 2048, 1e-6f, false});
    has("mistral", {32000, 4096, 14336, 32, 32, 8, 128, 131072, 1e-6f, false});
    has("ministral", {32000, 4096, 14336, 32, 32, 8, 128, 131072, 1e-6f, false});
    has("qwen2", {151936, 4096, 22016, 32, 32, 32, 128, 32768, 1e-6f, false});
    has("qwen3", {151936, 4096, 22016, 32, 32, 32, 128, 32768, 1e-6f, false});
    has("gemma2", {256000, 2304, 9216, 26, 8, 4, 256, 8192, 1e-6f, true});
    has("gemma3_text", {262208, 2304, 9216, 26, 8, 4, 256, 131072, 1e-6f, true});
    has("olmo2", {50304, 4096, 11008, 32, 32, 32, 128, 2048, 1e-5f, false});
    has("phi3", {32064, 3072, 8192, 32, 32, 32, 96, 4096, 1e-5f, false});
}

TEST_CASE("head_dim and key heads that are not stated are the class's, or follow from the others") {
    CHECK(good(config_of(llama::description)).block.head_dim == 6);
    CHECK(good(config_of(qwen3::description)).block.head_dim == 128); // never width / heads
    CHECK(good(config_of(gemma2::description)).block.head_dim == 256);
    CHECK(good(with(config_of(qwen3::description), "head_dim", nullptr)).block.head_dim == 128);
    CHECK(good(with(config_of(qwen3::description), "head_dim", 8)).block.head_dim == 8);
    const auto mistral_file = with(with(config_of(mistral::description), "num_attention_heads", 8), "head_dim", 4);
    CHECK(good(without(mistral_file, "num_key_value_heads")).block.kv_heads == 8);
    const auto gemma_file = with(config_of(gemma3::description), "num_attention_heads", 8);
    CHECK(good(without(gemma_file, "num_key_value_heads")).block.kv_heads == 4);
    CHECK(good(with(gemma_file, "num_key_value_heads", nullptr)).block.kv_heads == 8); // null is not absent
    CHECK(good(without(config_of(olmo2::description), "num_key_value_heads")).block.kv_heads == 4);
}

TEST_CASE("a tie that is not stated is there in Gemma only") {
    for (model_family const* const family : families) {
        CAPTURE(family->name);
        CHECK(good(without(config_of(*family), "tie_word_embeddings")).tied_head == family->name.starts_with("gemma"));
        CHECK_FALSE(good(with(config_of(*family), "tie_word_embeddings", false)).tied_head);
    }
}

TEST_CASE("Mistral's window is its class's where the key is absent, and none where it is null") {
    const json file = sized(mistral::description, 3);
    const auto usual = good(file);
    CHECK(windows_of(usual) == std::vector<std::size_t>{4096, 4096, 4096});
    CHECK(usual.layer_rules.empty());
    CHECK(usual.block.window == 4096);
    REQUIRE(usual.remarks.texts.size() == 1);
    CHECK(usual.remarks.texts[0] == "config.json says nothing of sliding_window: as MistralForCausalLM has it where "
                                    "nothing is said");
    CHECK(good(with(file, "sliding_window", nullptr)).block.window == no_window);
    CHECK(good(with(file, "sliding_window", 3)).block.window == 3);
    refused(with(file, "sliding_window", 0), "a window of 1 or more is expected, or null for none; 0 was found");
    refused(with(file, "sliding_window", -1), "sliding_window");
    refused(with(file, "sliding_window", 4.5), "sliding_window");
    refused(with(file, "use_sliding_window", true), "use_sliding_window is true");
    // Its class sees the window in every layer, whatever a list says.
    good(with(file, "layer_types", {"sliding_attention", "sliding_attention", "sliding_attention"}));
    refused(with(file, "layer_types", {"sliding_attention", "full_attention", "sliding_attention"}),
            "layer_types: \"full_attention\" in layer 1, but all layers of mistral have the window");
    const json full = with(file, "sliding_window", nullptr);
    good(with(full, "layer_types", {"full_attention", "full_attention", "full_attention"}));
    refused(with(full, "layer_types", {"sliding_attention", "full_attention", "full_attention"}),
            "\"sliding_attention\" in layer 0, but there is no window");
}

TEST_CASE("a list of layers decides which have the window, in the families that read one") {
    const json types = {"full_attention", "sliding_attention", "sliding_attention"};
    for (model_family const* const family : families) {
        if (!family->reads("layer_types")) continue;
        CAPTURE(family->name);
        json file = with(with(sized(*family, 3), "layer_types", types), "sliding_window", 7);
        if (family->reads("use_sliding_window")) file["use_sliding_window"] = true;
        CHECK(windows_of(good(file)) == std::vector<std::size_t>{0, 7, 7});
        refused(with(file, "num_hidden_layers", 4), "layer_types: one for each of 4 layers is expected, 3 were found");
        refused(with(file, "layer_types", {"full_attention", "chunked_attention", "full_attention"}),
                "\"chunked_attention\" is not supported");
        refused(with(file, "layer_types", "full_attention"), "layer_types");
    }
    CHECK(windows_of(good(with(sized(ministral::description, 2), "sliding_window", 5))) ==
          std::vector<std::size_t>{5, 5});
    refused(with(with(sized(ministral::description, 3), "layer_types", types), "sliding_window", nullptr),
            "but there is no window");
    refused(with(sized(llama::description, 3), "layer_types", types), "but there is no window");
}

TEST_CASE("Qwen's window is switched, and begins with layer max_window_layers") {
    for (model_family const* const family : {&qwen2::description, &qwen3::description}) {
        CAPTURE(family->name);
        json file = with(sized(*family, 4), "sliding_window", 9);
        CHECK(windows_of(good(file)) == std::vector<std::size_t>{0, 0, 0, 0}); // off where nothing is said
        CHECK(good(file) == good(with(without(file, "sliding_window"), "use_sliding_window", false)));
        good(with(file, "sliding_window", 0)); // of a window that is off
        file["use_sliding_window"] = true;
        file["max_window_layers"] = 1;
        CHECK(windows_of(good(file)) == std::vector<std::size_t>{0, 9, 9, 9});
        CHECK(windows_of(good(with(file, "max_window_layers", 0))) == std::vector<std::size_t>{9, 9, 9, 9});
        CHECK(windows_of(good(with(file, "max_window_layers", 4))) == std::vector<std::size_t>{0, 0, 0, 0});
        CHECK(windows_of(good(without(file, "max_window_layers"))) == std::vector<std::size_t>{0, 0, 0, 0}); // 28
        CHECK(windows_of(good(with(without(file, "max_window_layers"), "num_hidden_layers", 30))).at(27) == 0);
        CHECK(windows_of(good(with(without(file, "max_window_layers"), "num_hidden_layers", 30))).at(28) == 9);
        CHECK(windows_of(good(without(file, "sliding_window"))) == std::vector<std::size_t>{0, 4096, 4096, 4096});
        CHECK(windows_of(good(with(file, "sliding_window", nullptr))) == std::vector<std::size_t>{0, 0, 0, 0});
        refused(with(file, "sliding_window", 0), "a window of 1 or more");
        refused(with(file, "use_sliding_window", 1), "use_sliding_window");
    }
}

TEST_CASE("Gemma's windows: every second layer, or five of six") {
    CHECK(windows_of(good(with(sized(gemma2::description, 5), "sliding_window", 4))) ==
          std::vector<std::size_t>{4, 0, 4, 0, 4});
    CHECK(windows_of(good(sized(gemma2::description, 2))) == std::vector<std::size_t>{4096, 0});
    CHECK(windows_of(good(with(sized(gemma2::description, 2), "sliding_window", nullptr))) ==
          std::vector<std::size_t>{0, 0});
    json two = with(with(sized(gemma2::description, 2), "sliding_window", 4), "sliding_window_size", 4);
    good(two);
    refused(with(two, "sliding_window_size", 5), "4 is expected, as sliding_window says, 5 was found");
    const json file = with(sized(gemma3::description, 8), "sliding_window", 4);
    CHECK(windows_of(good(file)) == std::vector<std::size_t>{4, 4, 4, 4, 4, 0, 4, 4});
    CHECK(windows_of(good(with(file, "sliding_window_pattern", 3))) ==
          std::vector<std::size_t>{4, 4, 0, 4, 4, 0, 4, 4});
    CHECK(windows_of(good(with(file, "sliding_window_pattern", 1))) == std::vector<std::size_t>(8, 0));
    CHECK(good(with(file, "_sliding_window_pattern", 6)) == good(file));
    refused(with(file, "sliding_window_pattern", 0), "1 or more is expected, 0 was found");
    refused(with(file, "sliding_window", nullptr),
            "a window is expected, as layers with one turn by a theta of their own");
    refused(with(file, "sliding_window", 0), "a window of 1 or more");
    // A list comes before the pattern.
    json listed = with(with(file, "num_hidden_layers", 2), "sliding_window_pattern", 2);
    listed["layer_types"] = {"full_attention", "sliding_attention"};
    CHECK(windows_of(good(listed)) == std::vector<std::size_t>{0, 4});
    refused(with(file, "num_hidden_layers", 1'000'000'000),
            "at most 65536 layers are expected where some have a window");
}

TEST_CASE("Phi's window is none where nothing is said, and of all layers where it is") {
    const json file = sized(phi3::description, 2);
    CHECK(good(file).block.window == no_window);
    CHECK(good(with(file, "sliding_window", nullptr)).block.window == no_window);
    CHECK(good(with(file, "sliding_window", 2047)).block.window == 2047);
    refused(with(file, "sliding_window", 0), "a window of 1 or more");
}

TEST_CASE("families without a window refuse one") {
    for (model_family const* const family : {&llama::description, &olmo2::description}) {
        good(with(config_of(*family), "sliding_window", nullptr));
        for (int window : {0, 4096})
            refused(with(config_of(*family), "sliding_window", window),
                    "sliding_window is set, to " + std::to_string(window) + ", but " + std::string(family->name) +
                        " has no window; only null is supported");
    }
}

TEST_CASE("biases are where the family or the file has them") {
    const auto attention = only(projection::q, projection::k, projection::v, projection::o);
    const auto mlp = only(projection::gate, projection::up, projection::down);
    CHECK(good(config_of(llama::description)).block.biases.none());
    for (model_family const* const family :
         {&llama::description, &qwen3::description, &gemma2::description, &gemma3::description, &olmo2::description}) {
        CAPTURE(family->name);
        CHECK(good(with(config_of(*family), "attention_bias", false)).block.biases.none());
        CHECK(good(with(config_of(*family), "attention_bias", true)).block.biases == attention);
        refused(with(config_of(*family), "attention_bias", 1), "attention_bias");
    }
    CHECK(good(with(config_of(llama::description), "mlp_bias", true)).block.biases == mlp);
    CHECK(good(with(with(config_of(llama::description), "attention_bias", true), "mlp_bias", true)).block.biases ==
          (attention | mlp));
    CHECK(good(config_of(qwen2::description)).block.biases == only(projection::q, projection::k, projection::v));
    for (model_family const* const family : {&mistral::description, &phi3::description, &qwen2::description})
        refused(with(config_of(*family), "attention_bias", true), "attention_bias is true");
}

TEST_CASE("Gemma's scale of scores is the root of a number of its own") {
    for (model_family const* const family : {&gemma2::description, &gemma3::description}) {
        const json file = with(config_of(*family), "head_dim", 8);
        CHECK(good(file).block.attention_scale == 1.0f / 16); // 256, whatever head_dim is
        CHECK(good(with(file, "query_pre_attn_scalar", 144)).block.attention_scale == 1.0f / 12);
        CHECK(good(with(file, "query_pre_attn_scalar", 20.25)).block.attention_scale == static_cast<float>(1 / 4.5));
        CHECK(good(with(file, "query_pre_attn_scalar", 8)).block.attention_scale == std::nullopt);
        for (json const& wrong : {json(0), json(-1), json("8"), json()})
            refused(with(file, "query_pre_attn_scalar", wrong), "query_pre_attn_scalar");
    }
    CHECK(good(config_of(gemma2::description)).block.attention_scale == std::nullopt); // head_dim is 256 too
}

TEST_CASE("soft caps: those of Gemma 2's class where nothing is said, none where null is") {
    const json file = config_of(gemma2::description);
    CHECK(good(file).block.attention_soft_cap == 50);
    CHECK(good(file).logit_soft_cap == 30);
    auto c = good(with(with(file, "attn_logit_softcapping", nullptr), "final_logit_softcapping", nullptr));
    CHECK(c.block.attention_soft_cap == no_soft_cap);
    CHECK(c.logit_soft_cap == no_soft_cap);
    c = good(with(with(file, "attn_logit_softcapping", 20), "final_logit_softcapping", 7.5));
    CHECK(c.block.attention_soft_cap == 20);
    CHECK(c.logit_soft_cap == 7.5f);
    for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping"})
        for (double wrong : {0.0, -30.0}) refused(with(file, key, wrong), key);
    const json third = config_of(gemma3::description); // has one that is never applied, and one that is
    CHECK(good(third).logit_soft_cap == no_soft_cap);
    CHECK(good(with(third, "final_logit_softcapping", 30)).logit_soft_cap == 30);
    good(with(third, "attn_logit_softcapping", nullptr));
    refused(with(third, "attn_logit_softcapping", 50), "attn_logit_softcapping is 50");
    refused(with(config_of(llama::description), "final_logit_softcapping", 30), "final_logit_softcapping is 30");
}

TEST_CASE("Gemma multiplies its embedding with the root of the width in float32") {
    const std::vector<std::pair<std::size_t, float>> scales{
        {640, 25.2982216f}, {1152, 33.941124f}, {2304, 48.0f}, {3584, 59.8665199f}, {5376, 73.3212128f}};
    for (auto const& [width, scale] : scales) {
        const auto of = [wide = width](model_family const& family) {
            return good(with(config_of(family), "hidden_size", wide)).embedding_scale;
        };
        const std::array found{of(gemma3::description), of(gemma2::description), of(llama::description)};
        const std::array expected{scale, scale, 1.0f};
        CHECK(found == expected);
    }
}

TEST_CASE("a model of images too gives its model of text") {
    json text = config_of(gemma3::description);
    text.erase("architectures");
    const json file = {{"architectures", {"Gemma3ForConditionalGeneration"}},
                       {"model_type", "gemma3"},
                       {"text_config", text},
                       {"vision_config", {{"model_type", "siglip_vision_model"}}},
                       {"mm_tokens_per_image", 256},
                       {"boi_token_index", 255999},
                       {"eoi_token_index", 256000},
                       {"image_token_index", 262144},
                       {"initializer_range", 0.02},
                       {"tie_word_embeddings", true},
                       {"torch_dtype", "bfloat16"}};
    const auto c = good(file);
    CHECK(c == good(config_of(gemma3::description)));
    CHECK(c.architecture == "gemma3_text");
    // As files state no more than what differs from the class.
    json sparse = file;
    sparse["text_config"] = {{"hidden_size", 2560},
                             {"intermediate_size", 10240},
                             {"model_type", "gemma3_text"},
                             {"num_hidden_layers", 34},
                             {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}},
                             {"sliding_window", 1024}};
    sparse.erase("tie_word_embeddings");
    const auto b4 = good(sparse);
    CHECK(b4.block.width == 2560);
    CHECK(b4.block.heads == 8);
    CHECK(b4.vocabulary == 262208);
    CHECK(b4.tied_head);
    CHECK(b4.ropes == std::vector{rope_rule{1e6, 0, rope_linear{8}}, rope_rule{1e4}});
    CHECK_FALSE(
        good(with(with(file, "text_config", without(text, "tie_word_embeddings")), "tie_word_embeddings", false))
            .tied_head);

    refused(with(file, "architectures", {"Gemma3ForCausalLM"}), "Gemma3ForConditionalGeneration is expected");
    refused(with(file, "tie_word_embeddings", false), "tie_word_embeddings is not the same here and in text_config");
    refused(with(file, "text_config", with(text, "model_type", "llama")),
            "config.json: text_config: model_type \"gemma3_text\" is expected, \"llama\" was found");
    refused(without(file, "text_config"), "the key \"text_config\" is missing");
    refused(with(file, "odd_key", 1), "the key \"odd_key\" is not known");
    refused(with(file, "use_bidirectional_attention", true), "use_bidirectional_attention is true");
    refused(with(file, "hidden_size", 24), "the key \"hidden_size\" is not known"); // not of the model of text
    refused(with(file, "text_config", with(text, "odd_key", 1)), "the key \"text_config.odd_key\" is not known");
    problem_list problems;
    read_config(with(file, "text_config", with(text, "odd_key", 1)), "config.json", problems,
                std::vector<std::string>{"text_config.odd_key"});
    CHECK(problems.empty());
    refused({{"model_type", "llava"}, {"text_config", text}}, "this one wraps a language model");
    CHECK(problems_of(with(file, "quantization_config", {{"bits", 4}})).size() == 1);
    CHECK(problems_of(with(file, "text_config", with(text, "quantization_config", {{"quant_method", "fp8"}}))).size() ==
          1);
}

TEST_CASE("Ministral 3's queries grow with their position") {
    const json rope = {{"rope_type", "yarn"},
                       {"rope_theta", 1e6},
                       {"factor", 16.0},
                       {"original_max_position_embeddings", 16384},
                       {"mscale", 1.0},
                       {"mscale_all_dim", 1.0},
                       {"llama_4_scaling_beta", 0.1}};
    const json file = with(without(config_of(ministral3::description), "rope_theta"), "rope_parameters", rope);
    const auto c = good(file);
    CHECK(c.block.growth == query_growth{0.1, 16384});
    CHECK(c.block.head_dim == 128); // as its class has it
    CHECK(c.block.window == no_window);
    CHECK(c.ropes == std::vector{rope_rule{1e6, 0, rope_yarn{16, 16384, 32, 1, true, {}, 1, 1}}});
    const std::array<std::size_t, 6> positions{0, 16383, 16384, 32767, 32768, 262143};
    const std::array expected{1.0f, 1.0f, 1.0693147f, 1.0693147f, 1.1098612f, 1.2772589f};
    for (std::size_t i = 0; i < positions.size(); ++i)
        CHECK(c.block.growth.at(positions[i]) == doctest::Approx(expected[i]).epsilon(1e-7));
    const json wrapper = {{"model_type", "mistral3"},
                          {"architectures", {"Mistral3ForConditionalGeneration"}},
                          {"text_config", without(file, "architectures")},
                          {"vision_config", json::object()}};
    CHECK(good(wrapper) == c);
    CHECK(good(with(file, "rope_parameters", without(rope, "llama_4_scaling_beta"))).block.growth == query_growth{});
    refused(with(file, "rope_parameters", with(rope, "llama_4_scaling_beta", -0.1)),
            "a growth of queries of 0 or more");
    refused(without(file, "rope_parameters"), "the key \"rope_parameters\" is missing");
    refused(with(without(config_of(llama::description), "rope_theta"), "rope_parameters", rope),
            "\"rope_parameters.llama_4_scaling_beta\" is not known");
}

TEST_CASE("configurations of the released models") {
    struct released {
        const char* name;
        json file;
        std::size_t width, heads, kv_heads, head_dim, layers;
        std::vector<std::size_t> first_windows;
    };
    const json sizes = {{"vocab_size", 1000}, {"rms_norm_eps", 1e-5}, {"max_position_embeddings", 32768}};
    const auto file = [&](const char* type, json keys) {
        json c = sizes;
        c["model_type"] = type;
        c.update(keys);
        return c;
    };
    const auto dims = [](std::size_t d, std::size_t f, std::size_t l, std::size_t h, std::size_t k) {
        return json{{"hidden_size", d},
                    {"intermediate_size", f},
                    {"num_hidden_layers", l},
                    {"num_attention_heads", h},
                    {"num_key_value_heads", k}};
    };
    const auto all = [&](json a, json const& b) {
        a.update(b);
        return a;
    };
    const std::vector<released> models{
        {"Mistral 7B v0.1",
         file("mistral", all(dims(4096, 14336, 32, 32, 8), {{"sliding_window", 4096}})),
         4096,
         32,
         8,
         128,
         32,
         {4096, 4096}},
        {"Mistral NeMo",
         file("mistral",
              all(dims(5120, 14336, 40, 32, 8), {{"head_dim", 128}, {"sliding_window", nullptr}, {"rope_theta", 1e6}})),
         5120,
         32,
         8,
         128,
         40,
         {0, 0}},
        {"Qwen2.5 7B",
         file("qwen2", all(dims(3584, 18944, 28, 28, 4), {{"use_sliding_window", false},
                                                          {"sliding_window", 131072},
                                                          {"max_window_layers", 28},
                                                          {"use_mrope", false}})),
         3584,
         28,
         4,
         128,
         28,
         {0, 0}},
        {"Qwen3 0.6B",
         file("qwen3", all(dims(1024, 3072, 28, 16, 8), {{"head_dim", 128},
                                                         {"attention_bias", false},
                                                         {"use_sliding_window", false},
                                                         {"sliding_window", nullptr},
                                                         {"max_window_layers", 28}})),
         1024,
         16,
         8,
         128,
         28,
         {0, 0}},
        {"Gemma 2 27B",
         file("gemma2", all(dims(4608, 36864, 46, 32, 16), {{"head_dim", 128},
                                                            {"query_pre_attn_scalar", 144},
                                                            {"sliding_window", 4096},
                                                            {"sliding_window_size", 4096},
                                                            {"cache_implementation", "hybrid"},
                                                            {"hidden_act", "gelu_pytorch_tanh"},
                                                            {"hidden_activation", "gelu_pytorch_tanh"}})),
         4608,
         32,
         16,
         128,
         46,
         {4096, 0}},
        {"Gemma 3 1B",
         file("gemma3_text", all(dims(1152, 6912, 26, 4, 1), {{"head_dim", 256},
                                                              {"query_pre_attn_scalar", 256},
                                                              {"sliding_window", 512},
                                                              {"sliding_window_pattern", 6},
                                                              {"rope_theta", 1000000},
                                                              {"rope_local_base_freq", 10000},
                                                              {"rope_scaling", nullptr},
                                                              {"attn_logit_softcapping", nullptr},
                                                              {"final_logit_softcapping", nullptr},
                                                              {"hidden_activation", "gelu_pytorch_tanh"}})),
         1152,
         4,
         1,
         256,
         26,
         {512, 512, 512, 512, 512, 0, 512}},
        {"OLMo 2 7B", file("olmo2", dims(4096, 11008, 32, 32, 32)), 4096, 32, 32, 128, 32, {0, 0}},
        {"Phi 3 mini 4k",
         file("phi3", all(dims(3072, 8192, 32, 32, 32), {{"sliding_window", 2047},
                                                         {"original_max_position_embeddings", 4096},
                                                         {"rope_scaling", nullptr},
                                                         {"embd_pdrop", 0.0},
                                                         {"resid_pdrop", 0.0},
                                                         {"auto_map", json::object()}})),
         3072,
         32,
         32,
         96,
         32,
         {2047, 2047}},
        {"Phi 4 mini",
         file("phi3", all(dims(3072, 8192, 32, 24, 8), {{"partial_rotary_factor", 0.75},
                                                        {"sliding_window", 262144},
                                                        {"full_attn_mod", 1},
                                                        {"interpolate_factor", 1},
                                                        {"lm_head_bias", false},
                                                        {"mlp_bias", false},
                                                        {"attention_bias", false},
                                                        {"tie_word_embeddings", true}})),
         3072,
         24,
         8,
         128,
         32,
         {262144}},
    };
    for (released const& model : models) {
        CAPTURE(model.name);
        const auto c = good(model.file);
        CHECK(c.block.width == model.width);
        CHECK(c.block.heads == model.heads);
        CHECK(c.block.kv_heads == model.kv_heads);
        CHECK(c.block.head_dim == model.head_dim);
        CHECK(c.layers == model.layers);
        auto windows = windows_of(c);
        windows.resize(model.first_windows.size());
        CHECK(windows == model.first_windows);
    }
    CHECK(good(models[4].file).block.attention_scale == 1.0f / 12);
    CHECK(good(models[8].file).ropes == std::vector{rope_rule{10000, 96}});
}

TEST_CASE("numbers that make no model are refused, wherever they come from") {
    const auto refused_for = [](auto const& change, std::string const& words) {
        model_config c = good(with(config_of(gemma3::description), "sliding_window_pattern", 2));
        REQUIRE(c.layer_rules.size() == 2);
        change(c);
        problem_list problems;
        check_config(c, "who", problems);
        CAPTURE(words);
        REQUIRE(problems.texts().size() == 1);
        CHECK(problems.texts()[0].find("who: ") == 0);
        CHECK(problems.texts()[0].find(words) != std::string::npos);
    };
    const float nan = std::nanf("");
    for (float x : {0.0f, -1.0f, nan, INFINITY}) {
        refused_for([&](auto& c) { c.block.attention_scale = x; }, "a positive scale of attention");
        refused_for([&](auto& c) { c.embedding_scale = x; }, "a positive scale of the embedding");
    }
    for (float x : {-1.0f, nan, INFINITY}) {
        refused_for([&](auto& c) { c.block.attention_soft_cap = x; }, "a positive soft cap");
        refused_for([&](auto& c) { c.logit_soft_cap = x; }, "a positive soft cap");
    }
    refused_for([](auto& c) { c.block.window = 0; }, "a window of 1 position or more is expected, 0 was found");
    refused_for([](auto& c) { c.layer_rules[1].window = 0; }, "a window of 1 position or more in layer 1");
    refused_for([](auto& c) { c.layer_rules[1].rope = 2; },
                "one of 2 rotary embeddings in layer 1 is expected, number 2");
    refused_for([](auto& c) { c.block.rope = 7; }, "number 7 was found");
    refused_for([](auto& c) { c.layer_rules.pop_back(); }, "a rule for each of 2 layers is expected, 1 was found");
    refused_for([](auto& c) { c.ropes[1].theta = -1; }, "a positive rope theta");
    refused_for([](auto& c) { c.ropes[0].rotated = 7; }, "7 dimensions of a head turn");
    refused_for([](auto& c) { c.ropes[0].rotated = 258; }, "258 dimensions of a head turn");
    refused_for([](auto& c) { c.ropes[0].scaling = rope_linear{0}; }, "factor");
}
