#pragma once
/// lookup: T[q] for every lane, from a table of a few floats that stays in registers where the instruction set can.

#include "bitlens/simd/batch.hpp"

#include <array>

namespace bitlens::simd {

/// A table of Size floats (a power of two). `map` makes another one from it; `operator[]` looks up a register of codes.
/// Any instruction set: the table is in memory.
template <std::size_t Size, class Arch>
class table {
public:
    using vec = batch<float, Arch>;
    /// Whether a lookup is a single instruction, which reads no more bits of a code than it needs: T[q mod Size].
    static constexpr bool is_fast = false;

    explicit table(std::array<float, Size> const& values) noexcept : values_(values) {}

    /// The table of f(v) for its values v; f works on registers.
    template <class F>
    table map(F const& f) const noexcept {
        table result(values_);
        if constexpr (Size >= vec::size) {
            for (std::size_t i = 0; i < Size; i += vec::size)
                f(vec::load_unaligned(&values_[i])).store_unaligned(&result.values_[i]);
        } else {
            std::array<float, vec::size> padded{};
            for (std::size_t i = 0; i < Size; ++i) padded[i] = values_[i];
            f(vec::load_unaligned(padded.data())).store_unaligned(padded.data());
            for (std::size_t i = 0; i < Size; ++i) result.values_[i] = padded[i];
        }
        return result;
    }
    /// T[q]; every q < Size.
    vec operator[](batch<std::int32_t, Arch> const& q) const noexcept {
        std::array<std::int32_t, vec::size> index;
        std::array<float, vec::size> found;
        q.store_unaligned(index.data());
        for (std::size_t i = 0; i < vec::size; ++i) found[i] = values_[static_cast<std::size_t>(index[i])];
        return vec::load_unaligned(found.data());
    }

private:
    std::array<float, Size> values_;
};

namespace detail {
/// The values over and over until a register is full.
template <std::size_t Lanes, std::size_t Size>
std::array<float, Lanes> repeated(std::array<float, Size> const& values) noexcept {
    std::array<float, Lanes> all;
    for (std::size_t i = 0; i < Lanes; ++i) all[i] = values[i % Size];
    return all;
}
} // namespace detail

#ifdef __AVX512F__
template <std::size_t Size, avx512_arch Arch>
    requires(Size <= 16)
class table<Size, Arch> {
public:
    using vec = batch<float, Arch>;
    static constexpr bool is_fast = true;

    explicit table(std::array<float, Size> const& values) noexcept
        : values_(vec::load_unaligned(detail::repeated<16>(values).data())) {}
    template <class F>
    table map(F const& f) const noexcept {
        return table(f(values_));
    }
    vec operator[](batch<std::int32_t, Arch> const& q) const noexcept {
        return vec(_mm512_maskz_permutexvar_ps(all_lanes, static_cast<__m512i>(q), static_cast<__m512>(values_)));
    }

private:
    explicit table(vec const& values) noexcept : values_(values) {}
    vec values_;
};
#endif

#ifdef __AVX2__
template <std::size_t Size, avx2_arch Arch>
    requires(Size <= 8)
class table<Size, Arch> {
public:
    using vec = batch<float, Arch>;
    static constexpr bool is_fast = true;

    explicit table(std::array<float, Size> const& values) noexcept
        : values_(vec::load_unaligned(detail::repeated<8>(values).data())) {}
    template <class F>
    table map(F const& f) const noexcept {
        return table(f(values_));
    }
    vec operator[](batch<std::int32_t, Arch> const& q) const noexcept {
        return vec(_mm256_permutevar8x32_ps(static_cast<__m256>(values_), static_cast<__m256i>(q)));
    }

private:
    explicit table(vec const& values) noexcept : values_(values) {}
    vec values_;
};

/// Two registers, and bit 3 of the code chooses between them.
template <avx2_arch Arch>
class table<16, Arch> {
public:
    using vec = batch<float, Arch>;
    static constexpr bool is_fast = false;

    explicit table(std::array<float, 16> const& values) noexcept
        : low_(vec::load_unaligned(values.data())), high_(vec::load_unaligned(values.data() + 8)) {}
    template <class F>
    table map(F const& f) const noexcept {
        return table(f(low_), f(high_));
    }
    vec operator[](batch<std::int32_t, Arch> const& q) const noexcept {
        const __m256i index = static_cast<__m256i>(q);
        const __m256 low = _mm256_permutevar8x32_ps(static_cast<__m256>(low_), index);
        const __m256 high = _mm256_permutevar8x32_ps(static_cast<__m256>(high_), index);
        return vec(_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28))));
    }

private:
    table(vec const& low, vec const& high) noexcept : low_(low), high_(high) {}
    vec low_, high_;
};
#endif

} // namespace bitlens::simd
