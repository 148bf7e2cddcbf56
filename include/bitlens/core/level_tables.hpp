#pragma once
/// level_tables: levels of 4 bits that others published, by code.

#include <array>
#include <cstddef>

namespace bitlens {

/// The float of 4 bits of MXFP4 and NVFP4: sign, two bits of exponent, one of mantissa.   Source: OCP Microscaling
/// Formats 1.0.
inline constexpr std::array<float, 16> e2m1_table{0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                                  -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

/// FP4 of bitsandbytes: twelfths of 0, 1/16, 8, 12, 4, 6, 2, 3, and the same below zero.
inline constexpr auto fp4_table = [] {
    std::array<float, 16> level{0.0f, 0.0625f, 8.0f, 12.0f, 4.0f, 6.0f, 2.0f, 3.0f};
    for (std::size_t q = 0; q < 8; ++q) {
        level[q] /= 12.0f;
        level[q + 8] = -level[q];
    }
    return level;
}();

/// IQ4_NL and IQ4_XS of GGUF.
inline constexpr std::array<float, 16> iq4_table{-127.0f, -104.0f, -83.0f, -65.0f, -49.0f, -35.0f, -22.0f, -10.0f,
                                                 1.0f,    13.0f,   25.0f,  38.0f,  53.0f,  69.0f,  89.0f,  113.0f};

} // namespace bitlens
