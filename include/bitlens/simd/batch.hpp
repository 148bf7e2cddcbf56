#pragma once
/// batch: a vector register of numbers, for every instruction set of simd/arch.hpp with the same words.

#include "bitlens/simd/arch.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace bitlens::simd {

/// A register of one lane.
template <class T>
struct scalar_batch {
    static constexpr std::size_t size = 1;
    T value = 0;

    scalar_batch() = default;
    explicit scalar_batch(T x) noexcept : value(x) {}
    static scalar_batch load_unaligned(const T* p) noexcept { return scalar_batch(*p); }
    void store_unaligned(T* p) const noexcept { *p = value; }
    friend scalar_batch operator+(scalar_batch a, scalar_batch b) noexcept { return scalar_batch(a.value + b.value); }
    friend scalar_batch operator-(scalar_batch a, scalar_batch b) noexcept { return scalar_batch(a.value - b.value); }
    friend scalar_batch operator*(scalar_batch a, scalar_batch b) noexcept { return scalar_batch(a.value * b.value); }
    friend scalar_batch operator/(scalar_batch a, scalar_batch b) noexcept { return scalar_batch(a.value / b.value); }
    friend scalar_batch operator-(scalar_batch a) noexcept { return scalar_batch(-a.value); }
};

namespace detail {
template <class T, class Arch>
struct batch_of {
    using type = xsimd::batch<T, Arch>;
};
template <class T>
struct batch_of<T, scalar> {
    using type = scalar_batch<T>;
};
} // namespace detail

/// `size` numbers of type T, as many as fit a register.
template <class T, class Arch>
using batch = typename detail::batch_of<T, Arch>::type;

/// Lanes of float, and of std::int32_t.
template <class Arch>
inline constexpr std::size_t lanes = batch<float, Arch>::size;

/// a · b + c, rounded once where the instruction set can (xsimd before 9 multiplies and adds with AVX-512).
template <class Arch>
xsimd::batch<float, Arch> fma(xsimd::batch<float, Arch> const& a, xsimd::batch<float, Arch> const& b,
                              xsimd::batch<float, Arch> const& c) noexcept {
#ifdef __AVX512F__
    if constexpr (avx512_arch<Arch>)
        return _mm512_fmadd_ps(a, b, c);
    else
#endif
        return xsimd::fma(a, b, c);
}
inline scalar_batch<float> fma(scalar_batch<float> a, scalar_batch<float> b, scalar_batch<float> c) noexcept {
#ifdef FP_FAST_FMAF
    return scalar_batch<float>(std::fma(a.value, b.value, c.value));
#else
    return a * b + c; // no instruction for it, so no compiler can fuse it behind our back
#endif
}

/// The sum of all lanes, in an order that depends on the instruction set alone.
template <class Arch>
float sum(xsimd::batch<float, Arch> const& a) noexcept {
#if XSIMD_VERSION_MAJOR >= 10
    return xsimd::reduce_add(a);
#else
    return xsimd::hadd(a);
#endif
}
inline float sum(scalar_batch<float> a) noexcept { return a.value; }

/// The same of four registers, each in the same order, which need not be that of `sum`.
template <class Arch>
std::array<float, 4> sums(batch<float, Arch> const* a) noexcept {
#ifdef __AVX512F__
    if constexpr (avx512_arch<Arch>) {
        // Parts of 128 bits: halves of two registers together, then a part of each of the four.
        const auto low = [](__m512 x, __m512 y) { return _mm512_maskz_shuffle_f32x4(all_lanes, x, y, 0x44); };
        const auto high = [](__m512 x, __m512 y) { return _mm512_maskz_shuffle_f32x4(all_lanes, x, y, 0xEE); };
        const __m512 first = _mm512_add_ps(low(a[0], a[1]), high(a[0], a[1]));
        const __m512 second = _mm512_add_ps(low(a[2], a[3]), high(a[2], a[3]));
        const __m512 four = _mm512_add_ps(_mm512_maskz_shuffle_f32x4(all_lanes, first, second, 0x88),
                                          _mm512_maskz_shuffle_f32x4(all_lanes, first, second, 0xDD));
        const __m512 pairs = _mm512_add_ps(four, _mm512_maskz_permute_ps(all_lanes, four, 0xB1));
        std::array<float, 16> each;
        _mm512_storeu_ps(each.data(), _mm512_add_ps(pairs, _mm512_maskz_permute_ps(all_lanes, pairs, 0x4E)));
        return {each[0], each[4], each[8], each[12]};
    } else
#endif
        return {sum(a[0]), sum(a[1]), sum(a[2]), sum(a[3])};
}

template <class Arch>
xsimd::batch<float, Arch> max(xsimd::batch<float, Arch> const& a, xsimd::batch<float, Arch> const& b) noexcept {
    return xsimd::max(a, b);
}
inline scalar_batch<float> max(scalar_batch<float> a, scalar_batch<float> b) noexcept {
    return a.value < b.value ? b : a;
}

/// e^x, relative error < 2.4e-7; what float cannot hold is 0 or ∞.
template <class Arch>
xsimd::batch<float, Arch> exp(xsimd::batch<float, Arch> const& x) noexcept {
    return xsimd::exp(x);
}
inline scalar_batch<float> exp(scalar_batch<float> x) noexcept { return scalar_batch<float>(std::exp(x.value)); }

/// tanh x, relative error < 2.5e-7.
template <class Arch>
xsimd::batch<float, Arch> tanh(xsimd::batch<float, Arch> const& x) noexcept {
    return xsimd::tanh(x);
}
inline scalar_batch<float> tanh(scalar_batch<float> x) noexcept { return scalar_batch<float>(std::tanh(x.value)); }

template <class Arch>
xsimd::batch<float, Arch> to_float(xsimd::batch<std::int32_t, Arch> const& a) noexcept {
#ifdef __AVX512F__
    if constexpr (avx512_arch<Arch>)
        return _mm512_maskz_cvtepi32_ps(all_lanes, a);
    else
#endif
        return xsimd::to_float(a);
}
inline scalar_batch<float> to_float(scalar_batch<std::int32_t> a) noexcept {
    return scalar_batch<float>(static_cast<float>(a.value));
}

} // namespace bitlens::simd
