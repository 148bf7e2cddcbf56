#pragma once
/// The grids of equally spaced levels that RTN and GPTQ, and AWQ, lay over a group of weights.

#include "bitlens/formats/uniform.hpp"
#include "bitlens/quantizers/rows.hpp"

#include <algorithm>
#include <array>
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
    /// What the code of x decodes to.
    float nearest(float x, float largest) const noexcept {
        return scale * (std::clamp(std::nearbyint(x / scale) + zero, 0.0f, largest) - zero);
    }
};

/// The codes of a grid, at run time: formats that differ in their groups alone share what is compiled.
struct affine_codes {
    float largest; // 2^bits − 1
    bool symmetric;

    template <quant_format F>
        requires is_uniform<F>
    static constexpr affine_codes of() noexcept { return {static_cast<float>(F::codebook.size() - 1), !F::has_zero}; }
    float middle() const noexcept { return (largest + 1) / 2; }
};

namespace detail {

/// What the grid of a group reaches from and to.
inline value_range grid_range(std::span<const float> group, affine_codes codes) noexcept {
    auto [lo, hi] = range_with_zero(group);
    if (codes.symmetric) {
        hi = std::max(hi, -lo); // in this order a NaN stays one
        if (lo < 0) lo = -hi;
    }
    if ((hi - lo) / codes.largest == 0) return {-1, 1};
    return {lo, hi};
}

inline affine_grid grid_over(value_range range, affine_codes codes) noexcept {
    affine_grid grid{(range.hi - range.lo) / codes.largest, codes.middle()};
    if (!codes.symmetric) grid.zero = std::min(std::nearbyint(-range.lo / grid.scale), codes.largest);
    return grid;
}

} // namespace detail

/// The grid over a group, in float32 with a rounding after every operation:
///   lo = min(min w, 0), hi = max(max w, 0), scale = (hi − lo)/(2^b − 1), zero = rne(−lo/scale);
///   symmetric: a = max(|lo|, hi), hi = a, lo = −a only where lo < 0, zero = 2^(b−1) always (so a group without
///   negative weights saturates above (2^(b−1) − 1)·scale, as the original does).
/// A group of zeros, or of numbers so small that the scale would be 0, gets the range −1 … 1 and decodes to zeros.
/// Where subnormal scales are so coarse that the zero would leave the codes, it stays at the largest code.
/// Errors: the scale is infinite when the range overflows, and not finite when a weight is not; the caller looks.
/// Source: GPTQ's quantizer (IST-DASLab/gptq:quant.py).
inline affine_grid min_max_grid(std::span<const float> group, affine_codes codes) noexcept {
    return detail::grid_over(detail::grid_range(group, codes), codes);
}
template <quant_format F>
    requires is_uniform<F> affine_grid min_max_grid(std::span<const float> group)
noexcept { return min_max_grid(group, affine_codes::of<F>()); }

/// Of the grids over p · (lo … hi), p = 1, 0.99, … 0.21, the one with the smallest Σ |ŵ − w|^exponent, the widest among
/// equals. With two bits and a stored zero, the integer on the other side of −lo/scale is tried too.
/// Errors: as min_max_grid.   Source: GPTQ's quantizer, as GPTQModel has it (quantization/quantizer.py).
inline affine_grid searched_grid(std::span<const float> group, affine_codes codes, double exponent) noexcept {
    constexpr int steps = 100, tried = 80;
    const auto [lo, hi] = detail::grid_range(group, codes);
    affine_grid best = detail::grid_over({lo, hi}, codes);
    double smallest = std::numeric_limits<double>::infinity();
    const auto meet = [&](affine_grid grid) {
        double sum = 0;
        for (const float w : group)
            sum += double{std::pow(std::abs(grid.nearest(w, codes.largest) - w), static_cast<float>(exponent))};
        if (sum < smallest) {
            smallest = sum;
            best = grid;
        }
    };
    for (int i = 0; i < tried; ++i) {
        const float p = static_cast<float>(1 - static_cast<double>(i) / steps);
        const detail::value_range range{p * lo, p * hi};
        const affine_grid grid = detail::grid_over(range, codes);
        meet(grid);
        if (!codes.symmetric && codes.largest == 3) {
            const float ideal = -range.lo / grid.scale;
            const float below = std::clamp(std::floor(ideal), 0.0f, codes.largest);
            const float above = std::clamp(std::ceil(ideal), 0.0f, codes.largest);
            meet({grid.scale, grid.zero == below ? above : below});
        }
    }
    return best;
}

/// AWQ's grid over a group whose weights lie in lo … hi, which need not include 0, in float32:
///   scale = max(hi − lo, 1e-5)/(2^b − 1), zero = clip(−rne(lo/scale), 0, 2^b − 1): a group of weights of one sign is
///   cut off where 0 … 2^b − 1 ends;
///   symmetric: scale = max(|lo|, |hi|, 1e-5)/(2^(b−1) − 1), zero = 2^(b−1).
/// A group whose weights all are one number w ≠ 0 decodes to at most 1e-5, as the original's does.
/// Errors: the scale is infinite when the range overflows, and not finite when a weight is not; the caller looks.
/// Source: llm-awq:awq/quantize/quantizer.py; symmetric, which that has no way to reach: AutoAWQ's file of that name.
inline affine_grid spanning_grid(float lo, float hi, affine_codes codes) noexcept {
    const auto at_least = [](float range) { return range < 1e-5f ? 1e-5f : range; }; // NaN stays one
    if (codes.symmetric)
        return {at_least(detail::largest_magnitude(std::array{lo, hi})) / (codes.middle() - 1), codes.middle()};
    const float scale = at_least(hi - lo) / codes.largest;
    return {scale, std::clamp(-std::nearbyint(lo / scale), 0.0f, codes.largest)};
}
template <quant_format F>
    requires is_uniform<F> affine_grid spanning_grid(std::span<const float> group)
noexcept {
    const auto [lo, hi] = detail::range_of(group);
    return spanning_grid(lo, hi, affine_codes::of<F>());
}

} // namespace bitlens
