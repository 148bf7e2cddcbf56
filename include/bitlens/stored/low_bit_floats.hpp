#pragma once
/// Floats of 8 bits, as checkpoints hold them.   Source: OCP Microscaling Formats 1.0.

#include <bit>
#include <cstdint>
#include <limits>

namespace bitlens {

/// E4M3 without infinities: 0x7F and 0xFF are NaN.
constexpr float e4m3_value(std::uint8_t bits) noexcept {
    const unsigned exponent = bits >> 3 & 15u, mantissa = bits & 7u;
    if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
    const float scale = std::bit_cast<float>((exponent == 0 ? 1 + 117u : exponent + 117u) << 23); // 2^(exponent − 10)
    const float size = scale * static_cast<float>(exponent == 0 ? mantissa : 8 + mantissa);
    return (bits & 0x80u) != 0 ? -size : size;
}
static_assert(e4m3_value(0x7E) == 448 && e4m3_value(0x38) == 1 && e4m3_value(0x81) == -0x1p-9f);

/// E8M0, a power of two: 2^(bits − 127); 255 is NaN.
constexpr float e8m0_value(std::uint8_t bits) noexcept {
    if (bits == 255) return std::numeric_limits<float>::quiet_NaN();
    return bits == 0 ? 0x1p-127f : std::bit_cast<float>(std::uint32_t{bits} << 23);
}
static_assert(e8m0_value(127) == 1 && e8m0_value(1) == 0x1p-126f);

} // namespace bitlens
