#pragma once
/// gather: numbers from as many places as a register has lanes; field: bits of each lane.

#include "bitlens/simd/batch.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace bitlens::simd {

namespace detail {

/// Any instruction set: one lane after the other.
template <class Arch>
struct gatherer {
    using ints = batch<std::int32_t, Arch>;
    using floats = batch<float, Arch>;

    template <class T>
    static batch<T, Arch> run(const T* numbers, ints const& index) noexcept {
        std::array<T, lanes<Arch>> found;
        const auto places = each(index);
        auto const* const bytes = reinterpret_cast<const std::byte*>(numbers); // of codes, too
        for (std::size_t i = 0; i < found.size(); ++i)
            std::memcpy(&found[i], bytes + sizeof(T) * static_cast<std::uint32_t>(places[i]), sizeof(T));
        return batch<T, Arch>::load_unaligned(found.data());
    }
    static ints field(ints const& x, ints const& shift, std::int32_t mask) noexcept {
        auto bits = each(x);
        const auto by = each(shift);
        for (std::size_t i = 0; i < bits.size(); ++i)
            bits[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(bits[i]) >> by[i]) & mask;
        return ints::load_unaligned(bits.data());
    }

private:
    static std::array<std::int32_t, lanes<Arch>> each(ints const& x) noexcept {
        std::array<std::int32_t, lanes<Arch>> lane;
        x.store_unaligned(lane.data());
        return lane;
    }
};

#ifdef __AVX512F__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion" // of the mask, in what these intrinsics are at -O0
template <avx512_arch Arch>
struct gatherer<Arch> {
    using ints = batch<std::int32_t, Arch>;
    using floats = batch<float, Arch>;

    static ints run(const std::int32_t* numbers, ints const& index) noexcept {
        return ints(_mm512_mask_i32gather_epi32(_mm512_setzero_si512(), all_lanes, static_cast<__m512i>(index), numbers,
                                                sizeof *numbers));
    }
    static floats run(const float* numbers, ints const& index) noexcept {
        return floats(_mm512_mask_i32gather_ps(_mm512_setzero_ps(), all_lanes, static_cast<__m512i>(index), numbers,
                                               sizeof *numbers));
    }
    static ints field(ints const& x, ints const& shift, std::int32_t mask) noexcept {
        const __m512i bits = _mm512_maskz_srlv_epi32(all_lanes, static_cast<__m512i>(x), static_cast<__m512i>(shift));
        return ints(_mm512_and_si512(bits, _mm512_set1_epi32(mask)));
    }
};
#pragma GCC diagnostic pop
#endif

#ifdef __AVX2__
template <avx2_arch Arch>
struct gatherer<Arch> {
    using ints = batch<std::int32_t, Arch>;
    using floats = batch<float, Arch>;

    static ints run(const std::int32_t* numbers, ints const& index) noexcept {
        return ints(_mm256_i32gather_epi32(numbers, static_cast<__m256i>(index), sizeof *numbers));
    }
    static floats run(const float* numbers, ints const& index) noexcept {
        return floats(_mm256_i32gather_ps(numbers, static_cast<__m256i>(index), sizeof *numbers));
    }
    static ints field(ints const& x, ints const& shift, std::int32_t mask) noexcept {
        const __m256i bits = _mm256_srlv_epi32(static_cast<__m256i>(x), static_cast<__m256i>(shift));
        return ints(_mm256_and_si256(bits, _mm256_set1_epi32(mask)));
    }
};
#endif

} // namespace detail

/// numbers[index] of each lane; every index ≥ 0.
template <class Arch, class T>
batch<T, Arch> gather(const T* numbers, batch<std::int32_t, Arch> const& index) noexcept {
    static_assert(sizeof(T) == sizeof(std::int32_t));
    return detail::gatherer<Arch>::run(numbers, index);
}

/// (x >> shift) & mask of each lane, 0 ≤ shift < 32, zeros coming in.
template <class Arch>
batch<std::int32_t, Arch> field(batch<std::int32_t, Arch> const& x, batch<std::int32_t, Arch> const& shift,
                                std::int32_t mask) noexcept {
    return detail::gatherer<Arch>::field(x, shift, mask);
}

} // namespace bitlens::simd
