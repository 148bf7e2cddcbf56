#pragma once
/// block_form: how the blocks of a family are built. A template argument, since inner loops differ by it.

#include "bitlens/layers/gated_mlp.hpp"
#include "bitlens/layers/linear.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace bitlens {

/// Where the RMS norms of a block stand, z its residual stream, r that after attention:
enum class norm_places : std::uint8_t {
    before, ///< r = z + attn(norm z), z' = r + mlp(norm r): Llama and most others
    after,  ///< r = z + norm(attn z), z' = r + norm(mlp r): OLMo 2
    around, ///< r = z + norm(attn(norm z)), z' = r + norm(mlp(norm r)): Gemma 2 and 3
};

/// What is normalised of queries and keys before they are turned.
enum class query_key_norm : std::uint8_t {
    none,
    each_head, ///< each head by itself, with one γ for all: Qwen 3, Gemma 3
    all_heads, ///< all heads of a position as one vector: OLMo 2
};

struct block_form {
    norm_places norms = norm_places::before;
    query_key_norm queries_keys = query_key_norm::none;
    activation gate = activation::silu;

    bool operator==(block_form const&) const = default;
};

/// The norms that a block may have, by what reads them or what they read.
enum class block_norm : std::uint8_t {
    attn,     ///< what q, k and v read
    attn_out, ///< what attention adds to the stream
    mlp,      ///< what gate and up read: h of the paper
    mlp_out,  ///< what the MLP adds to the stream
    query,
    key,
};
inline constexpr std::size_t block_norm_count = 6;

constexpr std::string_view name(block_norm n) noexcept {
    constexpr std::array<std::string_view, block_norm_count> names{"attn_norm",    "attn_out_norm", "mlp_norm",
                                                                   "mlp_out_norm", "q_norm",        "k_norm"};
    return names[static_cast<std::size_t>(n)];
}

constexpr bool has_norm(block_form form, block_norm n) noexcept {
    switch (n) {
    case block_norm::attn:
    case block_norm::mlp:
        return form.norms != norm_places::after;
    case block_norm::attn_out:
    case block_norm::mlp_out:
        return form.norms != norm_places::before;
    case block_norm::query:
    case block_norm::key:
        break;
    }
    return form.queries_keys != query_key_norm::none;
}

/// Linear layers that read the same numbers, and where these come from: a norm of the residual stream, the outputs of
/// another linear layer one by one (weighted over positions, or gated), or else the residual stream itself. Their
/// weights are quantized against one input, and it can be scaled where the source can take the scale.
struct input_group {
    projection_set readers;
    std::optional<block_norm> norm;
    std::optional<projection> linear;
};

/// In the order in which they come to be; heads of v serve heads / kv_heads heads of o's input each.
constexpr std::array<input_group, 4> input_groups(block_form form) noexcept {
    const auto norm_if_there = [form](block_norm n) {
        return has_norm(form, n) ? std::optional(n) : std::optional<block_norm>();
    };
    return {{{only(projection::q, projection::k, projection::v), norm_if_there(block_norm::attn), {}},
             {only(projection::o), {}, projection::v},
             {only(projection::gate, projection::up), norm_if_there(block_norm::mlp), {}},
             {only(projection::down), {}, projection::up}}};
}

} // namespace bitlens
