#pragma once
/// stored_linears: which tensors of a folder together are linear layers in the layouts of others, told by their names,
/// types and shapes; what the folder says of itself decides only what those leave open.

#include "bitlens/core/error.hpp"
#include "bitlens/io/safetensors.hpp"
#include "bitlens/stored/auto_round.hpp"
#include "bitlens/stored/awq_linear.hpp"
#include "bitlens/stored/bitsandbytes_linear.hpp"
#include "bitlens/stored/byte_codes_linear.hpp"
#include "bitlens/stored/compressed_linear.hpp"
#include "bitlens/stored/efficient_qat_linear.hpp"
#include "bitlens/stored/float4_linear.hpp"
#include "bitlens/stored/flute_linear.hpp"
#include "bitlens/stored/gptq_linear.hpp"
#include "bitlens/stored/linear_tensors.hpp"
#include "bitlens/stored/mlx_linear.hpp"
#include "bitlens/stored/quantization_description.hpp"
#include "bitlens/stored/stored_linear.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace bitlens {

namespace detail {

/// What follows a layer's name in that of a tensor which only such layers have; "weight" is one beside such a part
/// alone.
inline constexpr auto stored_linear_parts = std::to_array<std::string_view>({
    // of GPTQ, AWQ and AutoRound
    "qweight",
    "qzeros",
    "scales",
    "g_idx",
    "scaled_zeros",
    // of compressed-tensors and ModelOpt
    "weight_packed",
    "weight_scale",
    "weight_scale_2",
    "weight_zero_point",
    "weight_shape",
    "weight_g_idx",
    "weight_global_scale",
    "input_scale",
    "input_global_scale",
    "input_zero_point",
    "output_scale",
    // of bitsandbytes
    "weight.absmax",
    "weight.quant_map",
    "weight.nested_absmax",
    "weight.nested_quant_map",
    bitsandbytes_linear::state_parts[0],
    bitsandbytes_linear::state_parts[1],
    "SCB",
    "weight_format",
    // of FLUTE
    "tables",
    "tables2",
    // of MLX, and of all that keep codes in the place of the weight
    "biases",
    "qbiases",
    "weight",
});
/// The parts by which a layer is known.
inline constexpr auto stored_linear_marks = std::to_array<std::string_view>(
    {"qweight", "weight_packed", "weight_scale", "weight.absmax", bitsandbytes_linear::state_parts[0],
     bitsandbytes_linear::state_parts[1], "SCB", "tables", "scales"});

/// The part that a tensor is, and the name of its layer before that; empty where it is none.
inline std::pair<std::string_view, std::string_view> split_part(std::string_view name) {
    std::string_view longest;
    for (const std::string_view part : stored_linear_parts)
        if (part.size() > longest.size() && name.size() > part.size() && name.ends_with(part) &&
            name[name.size() - part.size() - 1] == '.')
            longest = part;
    if (longest.empty()) return {};
    return {name.substr(0, name.size() - longest.size() - 1), longest};
}

inline std::shared_ptr<const stored_linear> with_qweight(linear_tensors t, quantization_description const& d) {
    using enum safetensors_type;
    if (t.has("weight"))
        throw format_error(t.who("weight") + ": the layer's qweight is there too; one weight of each is expected");
    t.allow_only({"qweight", "qzeros", "scales", "g_idx", "scaled_zeros"});
    auto const& codes = t.require("qweight", {i32, i16}, 2);
    auto const& scales = t.require("scales", float_types, 2);
    if (codes.type == i16) return std::make_shared<awq_fast_linear>(std::move(t), d);
    // Nobody has as many groups as there are words of codes.
    if (codes.shape[0] == scales.shape[0]) return std::make_shared<awq_gemv_linear>(std::move(t), d);
    if (codes.shape[1] == scales.shape[1]) {
        if (is_auto_round(d)) return std::make_shared<gptq_linear>(std::move(t), auto_round_layout(d));
        if (const auto bits = efficient_qat_linear::bits_of(t, d))
            return std::make_shared<efficient_qat_linear>(std::move(t), *bits);
        return std::make_shared<gptq_linear>(std::move(t), gptq_layout::of(d));
    }
    if (const auto bits = awq_gemm_linear::bits_of(t, d)) return std::make_shared<awq_gemm_linear>(std::move(t), *bits);
    throw format_error(t.who("qweight") + ": codes " + shape_text(codes.shape) + " and scales " +
                       shape_text(scales.shape) + " are those of no layout that is known");
}

inline std::shared_ptr<const stored_linear> with_weight_packed(linear_tensors t, quantization_description const& d) {
    auto const& codes = t.require("weight_packed", {safetensors_type::i32, safetensors_type::u8}, 2);
    if (codes.type == safetensors_type::u8) return std::make_shared<float4_linear>(std::move(t), d);
    return std::make_shared<compressed_linear>(std::move(t), d);
}
inline std::shared_ptr<const stored_linear> with_weight_scale(linear_tensors t, quantization_description const& d) {
    using enum safetensors_type;
    auto const& codes = t.require("weight", {i8, f8_e4m3, u8, f16, bf16, f32}, 2);
    if (codes.type == u8) return std::make_shared<float4_linear>(std::move(t), d);
    if (codes.type == f16 || codes.type == bf16 || codes.type == f32)
        throw format_error(t.who("weight") + ": the weight is in full precision, and " + t.who("weight_scale") +
                           " lies beside it: it is not in codes yet");
    return std::make_shared<byte_codes_linear>(std::move(t), d);
}

} // namespace detail

/// The tensors of a folder's linear layers that are stored in several, by the layers' names as the files have them.
inline std::map<std::string, linear_tensors, std::less<>>
find_linear_tensors(std::span<const placed_safetensors_tensor> tensors) {
    std::map<std::string, linear_tensors, std::less<>> found;
    for (auto const& t : tensors)
        if (const auto [layer, part] = detail::split_part(t.tensor->name); !part.empty())
            found.try_emplace(std::string(layer), linear_tensors(std::string(layer)))
                .first->second.add(std::string(part), t);
    std::erase_if(found, [](auto const& layer) {
        return std::ranges::none_of(detail::stored_linear_marks,
                                    [&](std::string_view mark) { return layer.second.has(mark); });
    });
    return found;
}

/// A layer of those tensors.   Errors: format_error for tensors that fit no layout that is read.
inline std::shared_ptr<const stored_linear> find_stored_linear(linear_tensors tensors,
                                                               quantization_description const& description) {
    if (tensors.has("SCB"))
        throw format_error(tensors.who("SCB") +
                           " belongs to a layer of LLM.int8, which rounds activations too and is not read; NF4 and FP4 "
                           "of bitsandbytes are");
    if (tensors.has("qweight")) return detail::with_qweight(std::move(tensors), description);
    if (tensors.has("weight_packed")) return detail::with_weight_packed(std::move(tensors), description);
    if (tensors.has("weight_scale")) return detail::with_weight_scale(std::move(tensors), description);
    if (tensors.has("tables")) return std::make_shared<flute_linear>(std::move(tensors), description);
    if (tensors.has("scales")) return std::make_shared<mlx_linear>(std::move(tensors), description);
    return std::make_shared<bitsandbytes_linear>(std::move(tensors));
}

} // namespace bitlens
