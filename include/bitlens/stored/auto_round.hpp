#pragma once
/// What AutoRound says of its layers, which lie in the layouts of GPTQ, AWQ, compressed-tensors and MLX.

#include "bitlens/core/error.hpp"
#include "bitlens/stored/gptq_linear.hpp"
#include "bitlens/stored/quantization_description.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitlens::detail {

inline bool is_auto_round(quantization_description const& d) {
    return d.method() == "auto-round" || d.method() == "intel/auto-round";
}

/// How layers in GPTQ's words have their zeros and codes of 5 to 7 bits.
inline gptq_layout auto_round_layout(quantization_description const& d) {
    gptq_layout layout;
    const std::string packing = d.text({"packing_format", "backend"}).value_or("auto");
    const bool is_plain = packing == "auto_round" || packing == "auto_round:gptqmodel";
    layout.zeros = is_plain ? gptq_zeros::plain : gptq_zeros::each_less_one;
    layout.five_to_seven_bits = word_layout::continuous;
    if (const auto group = d.integer({"group_size"}); group && *group > 0)
        layout.group = static_cast<std::size_t>(*group);
    layout.symmetric = d.flag({"sym"});
    return layout;
}

/// What of a description is not read; nothing where all is.
inline std::optional<std::string> auto_round_refusal(quantization_description const& d) {
    constexpr std::array<std::string_view, 20> read{"auto",
                                                    "auto_round",
                                                    "auto_round:gptqmodel",
                                                    "auto_round:auto_gptq",
                                                    "auto_round:gptq",
                                                    "auto_round:gptq:exllamav2",
                                                    "auto_round:exllamav2",
                                                    "auto_gptq",
                                                    "gptq",
                                                    "gptq:exllamav2",
                                                    "auto_round:auto_awq",
                                                    "auto_round:awq",
                                                    "auto_awq",
                                                    "awq",
                                                    "auto_round:fake",
                                                    "mlx",
                                                    "auto_round:mlx",
                                                    "nvfp4-pack-quantized",
                                                    "mxfp4-pack-quantized",
                                                    "pack-quantized"};
    const std::string packing = d.text({"packing_format", "backend"}).value_or("auto");
    if (std::ranges::find(read, std::string_view(packing)) == read.end() &&
        (!packing.starts_with("auto_round:llm_compressor") || packing.find("e5m3") != packing.npos))
        return "layers in the layout " + in_quotes(packing);
    if (d.find({"rotation_config", "transform_config"}) != nullptr &&
        !d.find({"rotation_config", "transform_config"})->empty())
        return "rotations";
    const auto bits = d.integer({"act_bits"});
    if (bits && *bits < 16) return "activations are quantized too, to " + std::to_string(*bits) + " bits";
    json const* const own = d.find({"extra_config"});
    if (own == nullptr) return std::nullopt;
    if (!own->is_object()) throw format_error(d.who() + ": extra_config: an object is expected");
    for (auto const& [name, layer] : own->items()) {
        const auto layer_bits =
            quantization_description(layer, d.who() + ": extra_config: " + in_quotes(name)).integer({"act_bits"});
        if (layer_bits && *layer_bits < 16)
            return "activations of " + in_quotes(name) + " are quantized too, to " + std::to_string(*layer_bits) +
                   " bits";
    }
    return std::nullopt;
}

} // namespace bitlens::detail
