#pragma once
/// Pairs of bf16 numbers: the operands of dot-product instructions.

#include "bitlens/core/half.hpp"
#include "bitlens/core/intrinsics.hpp"

#include <cstddef>
#include <cstdint>

namespace bitlens::simd {

/// Two neighbouring columns of a row, the first in the low half.
struct bf16_pair {
    std::uint32_t bits;
};

/// Pairs that fill a register of 512 bits.
inline constexpr std::size_t bf16_pairs = 16;

#if defined(__x86_64__)
/// pairs ← x rounded to the nearest bf16, ties to even, subnormal numbers to 0; then zeros up to whole registers.
/// Needs a machine with AVX512_BF16, whatever this program is compiled for.
[[gnu::target("avx512f,avx512bw,avx512vl,avx512bf16")]] inline void
round_to_pairs(const float* x, std::size_t n, bf16_pair* pairs, std::size_t stride = bf16_pairs) noexcept {
    constexpr std::size_t lanes = bf16_pairs, columns = 2 * lanes;
    for (; n >= columns; n -= columns, x += columns, pairs += stride)
        _mm512_storeu_si512(pairs, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + lanes), _mm512_loadu_ps(x)));
    if (n == 0) return;
    const std::uint32_t used = (1u << n) - 1u;
    const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(used), x),
                 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(used >> lanes), x + lanes);
    _mm512_storeu_si512(pairs, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/// One half of 16 pairs each, 0 the low one, ← x rounded as by round_to_pairs. Needs such a machine, too.
[[gnu::target("avx512f,avx512bw,avx512vl,avx512bf16")]] inline void round_to_halves(const float* x, std::size_t half,
                                                                                    bf16_pair* pairs) noexcept {
    const __m512i rounded = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x)));
    if (half == 0)
        _mm512_mask_storeu_epi16(pairs, 0x55555555u, rounded);
    else
        _mm512_mask_storeu_epi16(pairs, 0xAAAAAAAAu, _mm512_slli_epi32(rounded, 16));
}
#endif

} // namespace bitlens::simd
