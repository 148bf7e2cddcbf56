#pragma once
/// f16 and bf16: the two 16-bit floats of checkpoints, as storage. Arithmetic is always float.

#include <bit>
#include <cstdint>

namespace bitlens {

/// The top half of a float: 1 sign, 8 exponent, 7 mantissa bits.
struct bf16 {
    std::uint16_t bits = 0;

    bf16() = default;
    /// Nearest, ties to even; a NaN stays one and becomes quiet.
    constexpr explicit bf16(float x) noexcept {
        const auto u = std::bit_cast<std::uint32_t>(x);
        if ((u & 0x7FFFFFFFu) > 0x7F800000u)
            bits = static_cast<std::uint16_t>((u >> 16) | 0x40u);
        else
            bits = static_cast<std::uint16_t>((u + 0x7FFFu + ((u >> 16) & 1u)) >> 16);
    }
    static constexpr bf16 from_bits(std::uint16_t b) noexcept {
        bf16 x;
        x.bits = b;
        return x;
    }
    constexpr operator float() const noexcept { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
};

/// IEEE 754 binary16: 1 sign, 5 exponent, 10 mantissa bits.
struct f16 {
    std::uint16_t bits = 0;

    f16() = default;
    /// Nearest, ties to even; from 65520 on infinity; a NaN stays one and becomes quiet.
    constexpr explicit f16(float x) noexcept {
        const auto u = std::bit_cast<std::uint32_t>(x);
        const auto sign = static_cast<std::uint16_t>((u >> 16) & 0x8000u);
        const std::uint32_t a = u & 0x7FFFFFFFu; // |x|
        std::uint32_t h = 0;
        if (a > 0x7F800000u) {
            h = 0x7E00u | ((a >> 13) & 0x3FFu);
        } else if (a >= 0x477FF000u) { // 65520: half way between the largest f16 and 2¹⁶
            h = 0x7C00u;
        } else if (a >= 0x38800000u) { // 2⁻¹⁴: the smallest normal f16
            h = (a - 0x38000000u + 0xFFFu + ((a >> 13) & 1u)) >> 13;
        } else if (a > 0x33000000u) {                     // above 2⁻²⁵: a subnormal f16
            const std::uint32_t shift = 126u - (a >> 23); // mantissa → units of 2⁻²⁴
            const std::uint32_t mantissa = (a & 0x7FFFFFu) | 0x800000u;
            const std::uint32_t half = 1u << (shift - 1u);
            h = (mantissa + half - 1u + ((mantissa >> shift) & 1u)) >> shift;
        }
        bits = static_cast<std::uint16_t>(sign | h);
    }
    static constexpr f16 from_bits(std::uint16_t b) noexcept {
        f16 x;
        x.bits = b;
        return x;
    }
    constexpr operator float() const noexcept {
        const std::uint32_t sign = (std::uint32_t{bits} & 0x8000u) << 16;
        const std::uint32_t exponent = (std::uint32_t{bits} >> 10) & 0x1Fu;
        const std::uint32_t mantissa = std::uint32_t{bits} & 0x3FFu;
        if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000u | (mantissa << 13));
        if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
        const float magnitude = static_cast<float>(mantissa) * 0x1p-24f; // exact
        return sign ? -magnitude : magnitude;
    }
};

} // namespace bitlens
