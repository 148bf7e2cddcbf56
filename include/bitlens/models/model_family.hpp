#pragma once
/// model_family: what is said of a family of models, as data: the loader, the readers of configurations and random
/// models go through it, and know no family themselves.

#include "bitlens/layers/block.hpp"
#include "bitlens/layers/block_form.hpp"
#include "bitlens/layers/linear.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

namespace bitlens {

/// What a tensor of a block is: the weight or the bias of a linear layer, or γ of a norm.
struct weight_of {
    projection linear;
    bool operator==(weight_of const&) const = default;
};
struct bias_of {
    projection linear;
    bool operator==(bias_of const&) const = default;
};
using block_part = std::variant<weight_of, bias_of, block_norm>;

/// A part of a block and the tensor that holds it. Parts of one name are stacked in one tensor, row by row, in the
/// order in which they are listed. A bias is there where the configuration says so, all else always.
struct block_parameter {
    block_part part;
    std::string_view hugging_face; // below "model.layers.<k>."
    std::string_view gguf;         // below "blk.<k>."
};

/// What a configuration means where its file says nothing: the defaults of the family's class in transformers.
struct config_defaults {
    std::size_t vocabulary, width, ffn_width, layers, heads;
    std::size_t kv_heads = 0; // 0: one for each head
    std::size_t head_dim = 0; // 0: width / heads
    double norm_eps = 1e-6;
    std::size_t context;
    std::size_t original_context = 0; // before positions were stretched; 0: `context`
    std::size_t window = 0;           // 0: none
    std::size_t window_period = 0;    // of window_layers::periodic
    std::size_t first_window = 0;     // of window_layers::switched
    double rope_theta = 10000;
    double local_rope_theta = 0; // of layers with a window; 0: as all others
    double query_scalar = 0;     // scores are divided by its root; 0: by that of head_dim
    float attention_soft_cap = no_soft_cap, logit_soft_cap = no_soft_cap;
    bool ties_head = false;
};

/// Which layers see a window of positions only, where the configuration has one and does not list them.
enum class window_layers : std::uint8_t {
    none,     ///< the family knows no window
    all,      ///< every layer
    switched, ///< from layer `first_window` (max_window_layers) on, if use_sliding_window is true
    periodic, ///< all but every n-th, n = `window_period`: 2 means layers 0, 2, 4 …
};

/// A config.json of a model of other things than text too, which keeps the family's own in "text_config".
struct wrapped_config {
    std::string_view name;                    // model_type; empty: there is no such model
    std::string_view hugging_face_class;      // architectures
    std::span<const std::string_view> keys{}; // of the other things
};

struct model_family {
    std::string_view name;               // config.json: model_type
    std::string_view hugging_face_class; // config.json: architectures
    std::string_view gguf_name;          // general.architecture
    block_form form{};
    std::span<const block_parameter> parameters;
    config_defaults defaults;
    window_layers windows = window_layers::none;
    projection_set biases{};                            // that every model of the family has
    std::span<const std::string_view> config_keys{};    // of config.json, beside those that all families read
    std::span<const std::string_view> longrope_names{}; // older names of the scaling "longrope"
    wrapped_config wrapper{};
    bool scales_embedding = false;             // the embedding is multiplied with √width
    bool stores_gamma_less_one = false;        // Hugging Face files hold γ − 1
    bool gguf_interleaves_heads = false;       // GGUF files store the rows of q and k in pairs (i, i + head_dim/2)
    std::size_t gguf_depth_of_wide_scores = 0; // with so many layers scores are divided by √(width / heads): GGUF files
                                               // do not say it

    /// Whether config.json has the key for this family, beside those that all read.
    constexpr bool reads(std::string_view key) const noexcept {
        return std::ranges::find(config_keys, key) != config_keys.end();
    }
};

/// The first of that name, or nullptr.
constexpr model_family const* find_family(std::span<model_family const* const> known, std::string_view name) noexcept {
    for (model_family const* const f : known)
        if (f->name == name) return f;
    return nullptr;
}

/// Lists of parameters, one after the other.
template <std::size_t... N>
constexpr auto joined(std::array<block_parameter, N> const&... lists) noexcept {
    std::array<block_parameter, (N + ...)> all{};
    auto to = all.begin();
    const auto append = [&](auto const& list) {
        for (auto const& each : list) *to++ = each;
    };
    (append(lists), ...);
    return all;
}

// Lists that several families have.

inline constexpr auto separate_weights = std::to_array<block_parameter>({
    {weight_of{projection::q}, "self_attn.q_proj.weight", "attn_q.weight"},
    {weight_of{projection::k}, "self_attn.k_proj.weight", "attn_k.weight"},
    {weight_of{projection::v}, "self_attn.v_proj.weight", "attn_v.weight"},
    {weight_of{projection::o}, "self_attn.o_proj.weight", "attn_output.weight"},
    {weight_of{projection::gate}, "mlp.gate_proj.weight", "ffn_gate.weight"},
    {weight_of{projection::up}, "mlp.up_proj.weight", "ffn_up.weight"},
    {weight_of{projection::down}, "mlp.down_proj.weight", "ffn_down.weight"},
});
inline constexpr auto norms_before = std::to_array<block_parameter>({
    {block_norm::attn, "input_layernorm.weight", "attn_norm.weight"},
    {block_norm::mlp, "post_attention_layernorm.weight", "ffn_norm.weight"},
});
inline constexpr auto norms_after = std::to_array<block_parameter>({
    {block_norm::attn_out, "post_attention_layernorm.weight", "post_attention_norm.weight"},
    {block_norm::mlp_out, "post_feedforward_layernorm.weight", "post_ffw_norm.weight"},
});
inline constexpr auto norms_around = std::to_array<block_parameter>({
    {block_norm::attn, "input_layernorm.weight", "attn_norm.weight"},
    {block_norm::attn_out, "post_attention_layernorm.weight", "post_attention_norm.weight"},
    {block_norm::mlp, "pre_feedforward_layernorm.weight", "ffn_norm.weight"},
    {block_norm::mlp_out, "post_feedforward_layernorm.weight", "post_ffw_norm.weight"},
});
inline constexpr auto norms_of_queries_and_keys = std::to_array<block_parameter>({
    {block_norm::query, "self_attn.q_norm.weight", "attn_q_norm.weight"},
    {block_norm::key, "self_attn.k_norm.weight", "attn_k_norm.weight"},
});
inline constexpr auto attention_biases = std::to_array<block_parameter>({
    {bias_of{projection::q}, "self_attn.q_proj.bias", "attn_q.bias"},
    {bias_of{projection::k}, "self_attn.k_proj.bias", "attn_k.bias"},
    {bias_of{projection::v}, "self_attn.v_proj.bias", "attn_v.bias"},
    {bias_of{projection::o}, "self_attn.o_proj.bias", "attn_output.bias"},
});
inline constexpr auto mlp_biases = std::to_array<block_parameter>({
    {bias_of{projection::gate}, "mlp.gate_proj.bias", "ffn_gate.bias"},
    {bias_of{projection::up}, "mlp.up_proj.bias", "ffn_up.bias"},
    {bias_of{projection::down}, "mlp.down_proj.bias", "ffn_down.bias"},
});

} // namespace bitlens
