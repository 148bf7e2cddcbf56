#pragma once
/// The families of models, one type each. What r, h, γ and o of the paper are in each: docs/hook-points.md.

#include "bitlens/core/error.hpp"
#include "bitlens/models/model_family.hpp"
#include "bitlens/report/visible_text.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace bitlens {

/// What a model's type says of its family: see docs/add-an-architecture.md.
template <class A>
concept architecture = requires {
    { A::description } -> std::convertible_to<model_family const&>;
};

/// Llama 2 and 3, SmolLM2, and others of their build: norms before attention and MLP, grouped heads, a SiLU gate.
struct llama {
    static constexpr auto parameters = joined(separate_weights, norms_before, attention_biases, mlp_biases);
    static constexpr auto config_keys = std::to_array<std::string_view>({"attention_bias", "mlp_bias"});
    static constexpr model_family description{
        .name = "llama",
        .hugging_face_class = "LlamaForCausalLM",
        .gguf_name = "llama",
        .parameters = parameters,
        .defaults =
            {.vocabulary = 32000, .width = 4096, .ffn_width = 11008, .layers = 32, .heads = 32, .context = 2048},
        .config_keys = config_keys,
        .gguf_interleaves_heads = true,
    };
};

/// Mistral 7B and NeMo: as llama, with a window in some. Their GGUF files are llama's, and say nothing of a window.
struct mistral {
    static constexpr auto parameters = joined(separate_weights, norms_before);
    static constexpr auto config_keys = std::to_array<std::string_view>({"sliding_window"});
    static constexpr model_family description{
        .name = "mistral",
        .hugging_face_class = "MistralForCausalLM",
        .gguf_name = "llama",
        .parameters = parameters,
        .defaults = {.vocabulary = 32000,
                     .width = 4096,
                     .ffn_width = 14336,
                     .layers = 32,
                     .heads = 32,
                     .kv_heads = 8,
                     .context = 131072,
                     .window = 4096},
        .windows = window_layers::all,
        .config_keys = config_keys,
        .gguf_interleaves_heads = true,
    };
};

/// Ministral 8B of 2024: as mistral, with layers that have a window and layers that have none.
struct ministral {
    static constexpr auto config_keys = std::to_array<std::string_view>({"layer_types", "sliding_window"});
    static constexpr model_family description = [] {
        model_family f = mistral::description;
        f.name = "ministral";
        f.hugging_face_class = "MinistralForCausalLM";
        f.config_keys = config_keys;
        return f;
    }();
};

/// Ministral 3 of 2025: as mistral, with queries that grow with their position.
struct ministral3 {
    static constexpr auto parameters = joined(separate_weights, norms_before);
    static constexpr auto config_keys = std::to_array<std::string_view>({"llama_4_scaling_beta", "sliding_window"});
    static constexpr auto keys_of_images = std::to_array<std::string_view>(
        {"image_token_id", "image_token_index", "multimodal_projector_bias", "projector_hidden_act",
         "spatial_merge_size", "vision_config", "vision_feature_layer"});
    static constexpr model_family description{
        .name = "ministral3",
        .hugging_face_class = "Ministral3ForCausalLM",
        .gguf_name = "mistral3",
        .parameters = parameters,
        .defaults = {.vocabulary = 131072,
                     .width = 4096,
                     .ffn_width = 14336,
                     .layers = 34,
                     .heads = 32,
                     .kv_heads = 8,
                     .head_dim = 128,
                     .norm_eps = 1e-5,
                     .context = 262144,
                     .rope_theta = 1e6},
        .windows = window_layers::all,
        .config_keys = config_keys,
        .wrapper = {"mistral3", "Mistral3ForConditionalGeneration", keys_of_images},
        .gguf_interleaves_heads = true,
    };
};

/// Qwen 2 and 2.5: as llama, with biases on q, k and v.
struct qwen2 {
    static constexpr auto parameters = joined(separate_weights, norms_before, attention_biases);
    static constexpr auto config_keys =
        std::to_array<std::string_view>({"layer_types", "max_window_layers", "sliding_window", "use_sliding_window"});
    static constexpr model_family description{
        .name = "qwen2",
        .hugging_face_class = "Qwen2ForCausalLM",
        .gguf_name = "qwen2",
        .parameters = parameters,
        .defaults = {.vocabulary = 151936,
                     .width = 4096,
                     .ffn_width = 22016,
                     .layers = 32,
                     .heads = 32,
                     .kv_heads = 32,
                     .context = 32768,
                     .window = 4096,
                     .first_window = 28},
        .windows = window_layers::switched,
        .biases = only(projection::q, projection::k, projection::v),
        .config_keys = config_keys,
    };
};

/// Qwen 3 (dense): as llama, with a norm of each query and key head.
struct qwen3 {
    static constexpr auto parameters =
        joined(separate_weights, norms_before, norms_of_queries_and_keys, attention_biases);
    static constexpr auto config_keys = std::to_array<std::string_view>(
        {"attention_bias", "layer_types", "max_window_layers", "sliding_window", "use_sliding_window"});
    static constexpr model_family description{
        .name = "qwen3",
        .hugging_face_class = "Qwen3ForCausalLM",
        .gguf_name = "qwen3",
        .form = {.queries_keys = query_key_norm::each_head},
        .parameters = parameters,
        .defaults = {.vocabulary = 151936,
                     .width = 4096,
                     .ffn_width = 22016,
                     .layers = 32,
                     .heads = 32,
                     .kv_heads = 32,
                     .head_dim = 128,
                     .context = 32768,
                     .window = 4096,
                     .first_window = 28},
        .windows = window_layers::switched,
        .config_keys = config_keys,
    };
};

/// Gemma 2: norms around attention and MLP, a GELU gate, soft caps, every second layer with a window.
struct gemma2 {
    static constexpr auto parameters = joined(separate_weights, norms_around, attention_biases);
    static constexpr auto config_keys = std::to_array<std::string_view>(
        {"attention_bias", "attn_logit_softcapping", "final_logit_softcapping", "hidden_activation", "layer_types",
         "query_pre_attn_scalar", "sliding_window", "sliding_window_size"});
    static constexpr model_family description{
        .name = "gemma2",
        .hugging_face_class = "Gemma2ForCausalLM",
        .gguf_name = "gemma2",
        .form = {.norms = norm_places::around, .gate = activation::gelu_tanh},
        .parameters = parameters,
        .defaults = {.vocabulary = 256000,
                     .width = 2304,
                     .ffn_width = 9216,
                     .layers = 26,
                     .heads = 8,
                     .kv_heads = 4,
                     .head_dim = 256,
                     .context = 8192,
                     .window = 4096,
                     .window_period = 2,
                     .query_scalar = 256,
                     .attention_soft_cap = 50,
                     .logit_soft_cap = 30,
                     .ties_head = true},
        .windows = window_layers::periodic,
        .config_keys = config_keys,
        .scales_embedding = true,
        .stores_gamma_less_one = true,
        .gguf_depth_of_wide_scores = 46,
    };
};

/// Gemma 3, the models of text: as Gemma 2, with norms of each query and key head in place of the caps, and another
/// base of the rotary embedding in layers with a window, five of six.
struct gemma3 {
    static constexpr auto parameters =
        joined(separate_weights, norms_around, norms_of_queries_and_keys, attention_biases);
    static constexpr auto config_keys = std::to_array<std::string_view>(
        {"attention_bias", "final_logit_softcapping", "hidden_activation", "layer_types", "query_pre_attn_scalar",
         "rope_local_base_freq", "sliding_window", "sliding_window_pattern"});
    static constexpr auto keys_of_images =
        std::to_array<std::string_view>({"boi_token_index", "eoi_token_index", "image_token_id", "image_token_index",
                                         "mm_tokens_per_image", "vision_config"});
    static constexpr model_family description{
        .name = "gemma3_text",
        .hugging_face_class = "Gemma3ForCausalLM",
        .gguf_name = "gemma3",
        .form = {norm_places::around, query_key_norm::each_head, activation::gelu_tanh},
        .parameters = parameters,
        .defaults = {.vocabulary = 262208,
                     .width = 2304,
                     .ffn_width = 9216,
                     .layers = 26,
                     .heads = 8,
                     .kv_heads = 4,
                     .head_dim = 256,
                     .context = 131072,
                     .window = 4096,
                     .window_period = 6,
                     .rope_theta = 1e6,
                     .local_rope_theta = 10000,
                     .query_scalar = 256,
                     .ties_head = true},
        .windows = window_layers::periodic,
        .config_keys = config_keys,
        .wrapper = {"gemma3", "Gemma3ForConditionalGeneration", keys_of_images},
        .scales_embedding = true,
        .stores_gamma_less_one = true,
        .gguf_depth_of_wide_scores = 62,
    };
};

/// OLMo 2: norms of what attention and MLP give, none before them, and of all query and key heads together.
struct olmo2 {
    static constexpr auto parameters =
        joined(separate_weights, norms_after, norms_of_queries_and_keys, attention_biases);
    static constexpr auto config_keys = std::to_array<std::string_view>({"attention_bias"});
    static constexpr model_family description{
        .name = "olmo2",
        .hugging_face_class = "Olmo2ForCausalLM",
        .gguf_name = "olmo2",
        .form = {.norms = norm_places::after, .queries_keys = query_key_norm::all_heads},
        .parameters = parameters,
        .defaults = {.vocabulary = 50304,
                     .width = 4096,
                     .ffn_width = 11008,
                     .layers = 32,
                     .heads = 32,
                     .norm_eps = 1e-5,
                     .context = 2048},
        .config_keys = config_keys,
    };
};

/// Phi 3 and 4 mini: as llama, q, k and v in one tensor, gate and up in another; a part of each head may turn.
struct phi3 {
    static constexpr auto parameters =
        joined(std::to_array<block_parameter>({
                   {weight_of{projection::q}, "self_attn.qkv_proj.weight", "attn_qkv.weight"},
                   {weight_of{projection::k}, "self_attn.qkv_proj.weight", "attn_qkv.weight"},
                   {weight_of{projection::v}, "self_attn.qkv_proj.weight", "attn_qkv.weight"},
                   {weight_of{projection::o}, "self_attn.o_proj.weight", "attn_output.weight"},
                   {weight_of{projection::gate}, "mlp.gate_up_proj.weight", "ffn_up.weight"},
                   {weight_of{projection::up}, "mlp.gate_up_proj.weight", "ffn_up.weight"},
                   {weight_of{projection::down}, "mlp.down_proj.weight", "ffn_down.weight"},
               }),
               norms_before);
    static constexpr auto config_keys = std::to_array<std::string_view>(
        {"original_max_position_embeddings", "partial_rotary_factor", "sliding_window"});
    static constexpr auto longrope_names = std::to_array<std::string_view>({"su", "yarn"});
    static constexpr model_family description{
        .name = "phi3",
        .hugging_face_class = "Phi3ForCausalLM",
        .gguf_name = "phi3",
        .parameters = parameters,
        .defaults = {.vocabulary = 32064,
                     .width = 3072,
                     .ffn_width = 8192,
                     .layers = 32,
                     .heads = 32,
                     .norm_eps = 1e-5,
                     .context = 4096,
                     .original_context = 4096},
        .windows = window_layers::all,
        .config_keys = config_keys,
        .longrope_names = longrope_names,
    };
};

/// All of them. Of those whose GGUF files say the same, the first is what a file is read as.
using architectures = std::tuple<llama, mistral, ministral, ministral3, qwen2, qwen3, gemma2, gemma3, olmo2, phi3>;

/// Their descriptions, in that order.
inline constexpr auto families = []<class... A>(std::tuple<A...> const*) {
    return std::array<model_family const*, sizeof...(A)>{&A::description...};
}(static_cast<architectures const*>(nullptr));

/// "llama, mistral, … and phi3".
inline std::string names_of(std::span<model_family const* const> some) {
    std::string text;
    for (std::size_t i = 0; i < some.size(); ++i)
        text += (i == 0 ? "" : i + 1 == some.size() ? " and " : ", ") + std::string(some[i]->name);
    return text;
}

/// One of each form: what a program that chooses when it runs is compiled for. The rest of a family is data.
using architectures_by_form = std::tuple<llama, qwen3, gemma2, gemma3, olmo2>;

/// f(llama{}) or f(qwen3{}) …: with the architecture whose blocks have the form of those of the named family.
/// Errors: format_error for another name, listing those that exist.
template <class F>
decltype(auto) visit_architecture(std::string_view name, F const& f) {
    model_family const* const named = find_family(families, name);
    if (named == nullptr)
        throw format_error("architecture '" + visible_text(name.substr(0, 100)) + "' is not supported; there are " +
                           names_of(families));
    const auto visit = [&]<class First, class... Rest>(auto const& self,
                                                       std::tuple<First, Rest...> const*) -> decltype(auto) {
        if constexpr (sizeof...(Rest) == 0)
            return f(First{});
        else if (named->form == First::description.form)
            return f(First{});
        else
            return self(self, static_cast<std::tuple<Rest...> const*>(nullptr));
    };
    return visit(visit, static_cast<architectures_by_form const*>(nullptr));
}

namespace detail {

template <class... A>
constexpr bool have_all_forms(std::tuple<A...> const*) noexcept {
    for (model_family const* const f : families)
        if (!((f->form == A::description.form) || ...)) return false;
    return true;
}
static_assert(have_all_forms(static_cast<architectures_by_form const*>(nullptr)));

} // namespace detail

} // namespace bitlens
