#pragma once
/// The names and shapes of a model's tensors, from what its family lists.

#include "bitlens/core/utf8.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/models/config.hpp"
#include "bitlens/models/model_family.hpp"

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <variant>
#include <vector>

namespace bitlens::detail {

/// The names of a model's tensors, as Hugging Face files of most families have them. A weight or bias that a file keeps
/// in one tensor with others goes by its own name here.
inline constexpr std::string_view embedding_name = "model.embed_tokens.weight", final_norm_name = "model.norm.weight",
                                  head_name = "lm_head.weight";
inline std::string layer_prefix(std::size_t k) { return "model.layers." + std::to_string(k) + "."; }
inline std::string name_below_layer(block_parameter const& parameter) {
    const auto linear_name = [](projection p, const char* end) {
        return (p <= projection::o ? "self_attn." : "mlp.") + std::string(name(p)) + end;
    };
    if (auto const* const weight = std::get_if<weight_of>(&parameter.part))
        return linear_name(weight->linear, ".weight");
    if (auto const* const bias = std::get_if<bias_of>(&parameter.part)) return linear_name(bias->linear, ".bias");
    return std::string(parameter.hugging_face);
}

/// Whether models of this configuration have the parameter.
inline bool has_parameter(model_config const& c, block_parameter const& parameter) {
    auto const* const bias = std::get_if<bias_of>(&parameter.part);
    return bias == nullptr || has(c.block.biases, bias->linear);
}

inline std::vector<std::size_t> shape_of(block_parameter const& parameter, block_form form, block_shape const& s) {
    if (auto const* const weight = std::get_if<weight_of>(&parameter.part)) {
        const auto [rows, cols] = bitlens::shape_of(weight->linear, s);
        return {rows, cols};
    }
    if (auto const* const bias = std::get_if<bias_of>(&parameter.part))
        return {bitlens::shape_of(bias->linear, s).rows};
    return {size_of(std::get<block_norm>(parameter.part), form, s)};
}

/// f(name, shape) for every tensor of a model.
template <class F>
void for_each_tensor(model_family const& family, model_config const& c, F const& f) {
    using shape = std::vector<std::size_t>;
    f(std::string(embedding_name), shape{c.vocabulary, c.block.width});
    f(std::string(final_norm_name), shape{c.block.width});
    if (!c.tied_head) f(std::string(head_name), shape{c.vocabulary, c.block.width});
    for (std::size_t k = 0; k < c.layers; ++k)
        for (auto const& parameter : family.parameters)
            if (has_parameter(c, parameter))
                f(layer_prefix(k) + name_below_layer(parameter), shape_of(parameter, family.form, c.block));
}

/// The number of a layer and what follows it, of "model.layers.3.mlp.up_proj.weight" after "model.layers.".
struct name_in_layer {
    std::string_view layer, rest;
};
inline std::optional<name_in_layer> split_layer_name(std::string_view name, std::string_view prefix) {
    if (!name.starts_with(prefix)) return std::nullopt;
    name.remove_prefix(prefix.size());
    const auto dot = name.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    return name_in_layer{name.substr(0, dot), name.substr(dot + 1)};
}

/// A tensor of a block.
struct place_in_block {
    std::size_t layer;
    block_parameter const* parameter;
};
/// Nothing for a name, as for_each_tensor has them, that no block has.
inline std::optional<place_in_block> find_in_blocks(model_family const& family, std::string_view name) {
    const auto split = split_layer_name(name, "model.layers.");
    if (!split) return std::nullopt;
    std::size_t layer = 0;
    const char* const last = split->layer.data() + split->layer.size();
    if (const auto [end, problem] = std::from_chars(split->layer.data(), last, layer);
        end != last || problem != std::errc())
        return std::nullopt;
    for (auto const& parameter : family.parameters)
        if (name_below_layer(parameter) == split->rest) return place_in_block{layer, &parameter};
    return std::nullopt;
}

} // namespace bitlens::detail

namespace bitlens {

/// How many numbers a model is made of: embedding, norms, biases, weights; a head that is the embedding once.
struct parameter_count {
    std::uint64_t all = 0, blocks = 0; // `blocks`: of them, those in its blocks

    bool operator==(parameter_count const&) const = default;
};

inline parameter_count count_parameters(model_family const& family, model_config const& c) {
    parameter_count count;
    detail::for_each_tensor(family, c, [&](std::string const& name, std::vector<std::size_t> const& shape) {
        std::uint64_t numbers = 1;
        for (const std::size_t n : shape) numbers *= n;
        count.all += numbers;
        if (name.starts_with("model.layers.")) count.blocks += numbers;
    });
    return count;
}

} // namespace bitlens
