#pragma once
/// write_bitsandbytes: a matrix of NF4 as bitsandbytes keeps it.

#include "bitlens/formats/coded_matrix.hpp"
#include "bitlens/formats/normal_float.hpp"
#include "bitlens/io/safetensors.hpp"
#include "bitlens/stored/bitsandbytes_linear.hpp"
#include "bitlens/stored/written_part.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// The tensors of a layer of NF4 whose matrix this is, not nested. `dtype` is what programs dequantize to: they round
/// every weight to it, so that only "float32" gives them the weights themselves.
/// Errors: shape_error for a matrix that the layout does not hold exactly, saying what would be lost.
inline std::vector<written_part> write_bitsandbytes(coded_matrix const& m, std::string_view dtype = "float32") {
    const detail::writable_matrix w(m, "bitsandbytes NF4");
    constexpr auto& nf4 = detail::normal_float_levels<4>;
    if (m.bits != 4 || !std::ranges::equal(m.levels, nf4)) w.refuse("the levels of NF4 are expected, these are others");
    if (m.rows() == 0 || m.cols() == 0) w.refuse("an empty matrix has no blocks");
    w.require_no_offsets();
    w.require_no_order();
    for (const float zero : m.zeros.span())
        if (zero != 0) w.refuse("zeros of groups are not held");

    // The longest blocks over the flattened matrix that each have one scale.
    constexpr std::array<std::size_t, 8> blocks{4096, 2048, 1024, 512, 256, 128, 64, 32};
    const std::size_t cols = m.cols(), elements = m.rows() * cols;
    const auto scale_of = [&](std::size_t i) { return m.scales(i / cols, i % cols / m.group_columns); };
    const auto holds = [&](std::size_t block) {
        for (std::size_t i = 1; i < elements; ++i)
            if (i % block != 0 && (i % cols == 0 || i % cols % m.group_columns == 0) && scale_of(i) != scale_of(i - 1))
                return false;
        return true;
    };
    const auto block = std::ranges::find_if(blocks, holds);
    if (block == blocks.end())
        w.refuse("blocks of 32 to 4096 elements of the flattened matrix with one scale each are expected; groups of " +
                 std::to_string(m.group_columns) + " in rows of " + std::to_string(cols) + " are others");

    std::vector<float> scales;
    for (std::size_t i = 0; i < elements; i += *block) {
        scales.push_back(scale_of(i));
        if (!std::isfinite(scales.back())) w.refuse("the scale of row " + std::to_string(i / cols) + " is not finite");
    }
    std::vector<std::byte> codes(elements / 2 + elements % 2);
    for (std::size_t i = 0; i < 2 * codes.size(); ++i) {
        const unsigned code = i < elements ? m.codes(i / cols, i % cols) : 7u; // the level 0 fills the last byte up
        codes[i / 2] |= static_cast<std::byte>(i % 2 == 0 ? code << 4 : code);
    }
    const std::string state = R"({"quant_type": "nf4", "blocksize": )" + std::to_string(*block) + R"(, "dtype": ")" +
                              std::string(dtype) + R"(", "shape": [)" + std::to_string(m.rows()) + ", " +
                              std::to_string(cols) + "]}";
    const auto bytes = [](auto const& numbers) { return detail::bytes_of_numbers(numbers); };
    const std::size_t code_bytes = codes.size();
    return {{"weight", safetensors_type::u8, {code_bytes, 1}, std::move(codes)},
            {"weight.absmax", safetensors_type::f32, {scales.size()}, bytes(scales)},
            {"weight.quant_map", safetensors_type::f32, {nf4.size()}, bytes(nf4)},
            {std::string(bitsandbytes_linear::state_parts[0]), safetensors_type::u8, {state.size()}, bytes(state)}};
}

} // namespace bitlens
