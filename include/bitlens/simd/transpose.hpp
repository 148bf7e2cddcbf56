#pragma once
/// transpose: a square of 32-bit elements as wide as a register, rows to columns.

#include "bitlens/simd/batch.hpp"

namespace bitlens::simd {

namespace detail {

/// Squares that shuffles transpose; there is none for an instruction set without.
template <class Arch>
struct transposer;
template <class Arch>
concept has_transposer = requires {
    sizeof(transposer<Arch>);
};

#ifdef __AVX512F__
/// Columns arrive in the right 128-bit lane by loading it from there, which leaves 4 × 4 squares to the shuffles.
template <avx512_arch Arch>
struct transposer<Arch> {
    static void run(const float* in, std::size_t in_stride, float* out, std::size_t out_stride) noexcept {
        for (std::size_t j = 0; j < 16; j += 4) { // output rows j … j + 3
            const auto column = [&](std::size_t i) {
                const float* first = in + i * in_stride + j;
                __m512 v = _mm512_zextps128_ps512(_mm_loadu_ps(first));
                v = _mm512_maskz_insertf32x4(all_lanes, v, _mm_loadu_ps(first + 4 * in_stride), 1);
                v = _mm512_maskz_insertf32x4(all_lanes, v, _mm_loadu_ps(first + 8 * in_stride), 2);
                return _mm512_maskz_insertf32x4(all_lanes, v, _mm_loadu_ps(first + 12 * in_stride), 3);
            };
            const __m512 a = column(0), b = column(1), c = column(2), d = column(3);
            const __m512d ab_low = _mm512_castps_pd(_mm512_maskz_unpacklo_ps(all_lanes, a, b)),
                          ab_high = _mm512_castps_pd(_mm512_maskz_unpackhi_ps(all_lanes, a, b));
            const __m512d cd_low = _mm512_castps_pd(_mm512_maskz_unpacklo_ps(all_lanes, c, d)),
                          cd_high = _mm512_castps_pd(_mm512_maskz_unpackhi_ps(all_lanes, c, d));
            _mm512_storeu_pd(out + (j + 0) * out_stride, _mm512_maskz_unpacklo_pd(0xFF, ab_low, cd_low));
            _mm512_storeu_pd(out + (j + 1) * out_stride, _mm512_maskz_unpackhi_pd(0xFF, ab_low, cd_low));
            _mm512_storeu_pd(out + (j + 2) * out_stride, _mm512_maskz_unpacklo_pd(0xFF, ab_high, cd_high));
            _mm512_storeu_pd(out + (j + 3) * out_stride, _mm512_maskz_unpackhi_pd(0xFF, ab_high, cd_high));
        }
    }
};
#endif

#ifdef __AVX2__
template <avx2_arch Arch>
struct transposer<Arch> {
    static void run(const float* in, std::size_t in_stride, float* out, std::size_t out_stride) noexcept {
        for (std::size_t j = 0; j < 8; j += 4) { // output rows j … j + 3
            const auto column = [&](std::size_t i) {
                const float* first = in + i * in_stride + j;
                return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(first)),
                                            _mm_loadu_ps(first + 4 * in_stride), 1);
            };
            const __m256 a = column(0), b = column(1), c = column(2), d = column(3);
            const __m256 ab_low = _mm256_unpacklo_ps(a, b), ab_high = _mm256_unpackhi_ps(a, b);
            const __m256 cd_low = _mm256_unpacklo_ps(c, d), cd_high = _mm256_unpackhi_ps(c, d);
            _mm256_storeu_ps(out + (j + 0) * out_stride, _mm256_shuffle_ps(ab_low, cd_low, 0x44));
            _mm256_storeu_ps(out + (j + 1) * out_stride, _mm256_shuffle_ps(ab_low, cd_low, 0xEE));
            _mm256_storeu_ps(out + (j + 2) * out_stride, _mm256_shuffle_ps(ab_high, cd_high, 0x44));
            _mm256_storeu_ps(out + (j + 3) * out_stride, _mm256_shuffle_ps(ab_high, cd_high, 0xEE));
        }
    }
};
#endif

#ifdef __SSE4_1__
template <sse4_arch Arch>
struct transposer<Arch> {
    static void run(const float* in, std::size_t in_stride, float* out, std::size_t out_stride) noexcept {
        __m128 a = _mm_loadu_ps(in), b = _mm_loadu_ps(in + in_stride);
        __m128 c = _mm_loadu_ps(in + 2 * in_stride), d = _mm_loadu_ps(in + 3 * in_stride);
        _MM_TRANSPOSE4_PS(a, b, c, d);
        _mm_storeu_ps(out, a);
        _mm_storeu_ps(out + out_stride, b);
        _mm_storeu_ps(out + 2 * out_stride, c);
        _mm_storeu_ps(out + 3 * out_stride, d);
    }
};
#endif

} // namespace detail

/// out(j, i) = in(i, j), i, j < lanes.
template <class Arch, class T>
void transpose(const T* in, std::size_t in_stride, T* out, std::size_t out_stride) noexcept {
    static_assert(sizeof(T) == sizeof(float));
    if constexpr (detail::has_transposer<Arch>) { // only intrinsics read and write there, which may alias
        detail::transposer<Arch>::run(reinterpret_cast<const float*>(in), in_stride, reinterpret_cast<float*>(out),
                                      out_stride);
    } else {
        for (std::size_t i = 0; i < lanes<Arch>; ++i)
            for (std::size_t j = 0; j < lanes<Arch>; ++j) out[j * out_stride + i] = in[i * in_stride + j];
    }
}

} // namespace bitlens::simd
