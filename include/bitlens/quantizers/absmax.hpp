#pragma once
/// absmax: the nearest level of a NormalFloat codebook that is stretched to the largest weight of each group.

#include "bitlens/formats/normal_float.hpp"
#include "bitlens/quantizers/dynamic_map.hpp"
#include "bitlens/quantizers/quantizer.hpp"
#include "bitlens/quantizers/rows.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace bitlens {

template <class F>
inline constexpr bool is_normal_float = false;
template <int Bits, std::size_t GroupSize>
inline constexpr bool is_normal_float<normal_float<Bits, GroupSize>> = true;

/// Midpoints of neighbouring levels, in float32: code(x) = #{k : x > threshold_k}, so that a tie goes to the lower
/// code.
template <quant_format F>
inline constexpr auto decision_thresholds = [] {
    std::array<float, F::codebook.size() - 1> threshold{};
    for (std::size_t k = 0; k < threshold.size(); ++k) threshold[k] = (F::codebook[k] + F::codebook[k + 1]) / 2;
    return threshold;
}();

namespace detail {

/// x → x/scale, as the kernels of each width have it.
template <int Bits>
auto stretch_of(float scale) noexcept {
    if constexpr (Bits == 4)
        return [reciprocal = 1.0f / std::max(scale, 1e-38f)](float x) { return x * reciprocal; };
    else
        return [divisor = scale > 0 ? scale : 1.0f](float x) { return x / divisor; };
}

/// w to the nearest levels of its groups, with the codebook of RowFormat.
template <quant_format RowFormat>
void round_to_levels(matrix_view<const float> w, packed_arrays& packed) {
    for_each_row(w, [&](std::size_t r) {
        const row_storage row = packed.row(r);
        for (std::size_t g = 0; g < row.scales.size(); ++g) {
            const auto group = group_of_row(w.row(r), row, g);
            const float scale = row.scales[g] = largest_magnitude(group);
            if (!std::isfinite(scale)) check_finite("absmax", group, r, g * row.group_columns);
            set_codes<RowFormat::bits>(group, row, g, [stretch = stretch_of<RowFormat::bits>(scale)](float x) {
                const float y = stretch(x);
                std::uint32_t code = 0;
                for (const float threshold : decision_thresholds<RowFormat>) code += y > threshold ? 1u : 0u;
                return code;
            });
        }
    });
}

} // namespace detail

/// scale = max|w| of the group; code = the level nearest to w/scale.
/// Four bits follow bitsandbytes bit for bit: w · (1/max(scale, 1e-38)); groups run along rows, which is the same as
/// its blocks over the flattened matrix whenever it is allowed here. Three bits follow FLUTE in float32: w/scale. A
/// group of zeros gets scale 0 and the code of level 0.
template <class F>
struct absmax {
    static_assert(is_normal_float<F>,
                  "bitlens: absmax<F> quantizes to a normal_float<bits, group_size>; uniform formats "
                  "are what rtn<F> rounds to");
    using format = F;

    /// Quantize the scales too: the stored float32 scales are then the decoded ones (dynamic_map.hpp). Codes are those
    /// of the scales before that.
    bool nested_scales = false;

    /// Shapes: w (out, in).
    /// Errors: shape_error when `in` is not a multiple of the group size; format_error for a weight that is not finite.
    packed_matrix<F> operator()(matrix_view<const float> w) const {
        packed_matrix<F> packed(w.rows, w.cols);
        detail::round_to_levels<detail::row_format<F>>(w, packed.arrays());
        if (nested_scales) nest_scales(packed.arrays().scales.span());
        return packed;
    }
};

static_assert(quantizer<absmax<normal_float<3, 64>>> && quantizer<absmax<normal_float<4, 64>>>);
// Known answers: the literals of bitsandbytes' kernel and of FLUTE's pivots.
static_assert(decision_thresholds<normal_float<4, 64>>[0] == std::bit_cast<float>(0xBF591CD8u) &&
              decision_thresholds<normal_float<4, 64>>[14] == std::bit_cast<float>(0x3F5C89DAu) &&
              decision_thresholds<normal_float<3, 64>>[3] == std::bit_cast<float>(0x3DA4CADFu));

} // namespace bitlens
