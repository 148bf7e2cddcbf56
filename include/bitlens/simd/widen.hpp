#pragma once
/// widen: a register of floats from floats, 16-bit floats or bytes in memory. Exact.

#include "bitlens/core/half.hpp"
#include "bitlens/simd/batch.hpp"

#include <array>

namespace bitlens::simd {

namespace detail {
template <class Arch, class T>
batch<float, Arch> widen_one_by_one(const T* p) noexcept {
    std::array<float, lanes<Arch>> numbers;
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(p[i]);
    return batch<float, Arch>::load_unaligned(numbers.data());
}
} // namespace detail

template <class Arch>
batch<float, Arch> widen(const float* p) noexcept {
    return batch<float, Arch>::load_unaligned(p);
}

template <class Arch>
batch<float, Arch> widen(const bf16* p) noexcept {
#ifdef __AVX512F__
    if constexpr (avx512_arch<Arch>) {
        const __m512i bits =
            _mm512_maskz_cvtepu16_epi32(all_lanes, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
        return batch<float, Arch>(_mm512_castsi512_ps(_mm512_maskz_slli_epi32(all_lanes, bits, 16)));
    } else
#endif
#ifdef __AVX2__
        if constexpr (avx2_arch<Arch>) {
        const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
        return batch<float, Arch>(_mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)));
    } else
#endif
        return detail::widen_one_by_one<Arch>(p);
}

template <class Arch>
batch<float, Arch> widen(const f16* p) noexcept {
#ifdef __AVX512F__
    if constexpr (avx512_arch<Arch>) {
        return batch<float, Arch>(
            _mm512_maskz_cvtph_ps(all_lanes, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
    } else
#endif
#if defined(__AVX2__) && defined(__F16C__)
        if constexpr (avx2_arch<Arch>) {
        return batch<float, Arch>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
    } else
#endif
        return detail::widen_one_by_one<Arch>(p);
}

template <class Arch>
batch<float, Arch> widen(const std::uint8_t* p) noexcept {
#ifdef __AVX512F__
    if constexpr (avx512_arch<Arch>) {
        return batch<float, Arch>(_mm512_maskz_cvtepi32_ps(
            all_lanes, _mm512_maskz_cvtepu8_epi32(all_lanes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))));
    } else
#endif
#ifdef __AVX2__
        if constexpr (avx2_arch<Arch>) {
        return batch<float, Arch>(
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))));
    } else
#endif
        return detail::widen_one_by_one<Arch>(p);
}

} // namespace bitlens::simd
