#pragma once
/// The grid of equally spaced levels that RTN and GPTQ lay over a group of weights.

#include "bitlens/formats/uniform.hpp"
#include "bitlens/quantizers/rows.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace bitlens {

template <class F>
inline constexpr bool is_uniform = false;
template <int Bits, std::size_t GroupSize, zero_kind Zero>
inline constexpr bool is_uniform<uniform<Bits, GroupSize, Zero>> = true;

/// ŵ = scale · (code − zero); `zero` is an integer 0 … 2^bits − 1, also where the format keeps it in its codebook.
struct affine_grid {
    float scale = 0, zero = 0;

    /// clip(rne(x/scale) + zero, 0, largest): rounded first (half to even), moved then. No product meets a sum here, so
    /// that a compiler's fused multiply-add cannot change a code.
    std::uint32_t code(float x, float largest) const noexcept {
        const float q = std::nearbyint(x / scale) + zero;
        return static_cast<std::uint32_t>(static_cast<std::int32_t>(std::clamp(q, 0.0f, largest)));
    }
};

/// The grid over a group, in float32 with a rounding after every operation:
///   lo = min(min w, 0), hi = max(max w, 0), scale = (hi − lo)/(2^b − 1), zero = rne(−lo/scale);
///   symmetric: a = max(|lo|, hi), hi = a, lo = −a only where lo < 0, zero = 2^(b−1) always (so a group without
///   negative weights saturates above (2^(b−1) − 1)·scale, as the original does).
/// A group of zeros, or of numbers so small that the scale would be 0, gets the range −1 … 1 and decodes to zeros.
/// Where subnormal scales are so coarse that the zero would leave the codes, it stays at the largest code.
/// Errors: the scale is infinite when the range overflows, and not finite when a weight is not; the caller looks.
/// Source: GPTQ's quantizer (IST-DASLab/gptq:quant.py).
template <quant_format F>
    requires is_uniform<F> affine_grid min_max_grid(std::span<const float> group)
noexcept {
    constexpr float largest = static_cast<float>(F::codebook.size() - 1);
    auto [lo, hi] = detail::range_with_zero(group);
    if constexpr (!F::has_zero) {
        hi = std::max(hi, -lo); // in this order a NaN stays one
        if (lo < 0) lo = -hi;
    }
    affine_grid grid{(hi - lo) / largest, 0};
    if (grid.scale == 0) {
        lo = -1;
        grid.scale = 2.0f / largest;
    }
    if constexpr (F::has_zero)
        grid.zero = std::min(std::nearbyint(-lo / grid.scale), largest);
    else
        grid.zero = (largest + 1) / 2;
    return grid;
}

} // namespace bitlens
