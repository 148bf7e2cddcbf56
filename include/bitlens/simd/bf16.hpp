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
    for (std::size_t i = 0; i < n; i += 2 * bf16_pairs, pairs += stride) {
        const std::size_t rest = n - i;
        const auto mask = [](std::size_t count) {
            return static_cast<__mmask16>(count >= 16 ? 0xFFFFu : (1u << count) - 1);
        };
        const __m512 low = _mm512_maskz_loadu_ps(mask(rest), x + i),
                     high = rest > 16 ? _mm512_maskz_loadu_ps(mask(rest - 16), x + i + 16) : _mm512_setzero_ps();
        _mm512_storeu_si512(pairs, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
}
#endif

} // namespace bitlens::simd
