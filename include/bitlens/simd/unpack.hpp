#pragma once
/// unpack: 32 codes of `Bits` bits from 4 · Bits bytes into registers of std::int32_t.
///
/// The layout, that of formats/code_chunk.hpp: the bits of a code are cut, from the lowest up, into parts of 8, 4, 2
/// and 1 bits, the parts of all 32 codes one part after the other. In a part of p bits code i has
///     p = 8: byte i     p = 4: byte i mod 16, shift 4·⌊i/16⌋     p = 2: byte i mod 8, shift 2·⌊i/8⌋     p = 1: bit i.

#include "bitlens/simd/batch.hpp"

#include <array>
#include <cstring>

namespace bitlens::simd {

/// 32 codes in order: register v holds codes v · lanes … (v + 1) · lanes − 1.
template <class Arch>
using codes = std::array<batch<std::int32_t, Arch>, 32 / lanes<Arch>>;

namespace detail {

/// Where the part of `Width` bits begins, in bytes.
template <int Bits, int Width>
inline constexpr std::size_t part_offset = std::size_t{4} * (Bits & ~(2 * Width - 1));

template <class T>
T load_as(const std::uint8_t* p) noexcept {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
}

/// Any instruction set: one code after the other.
template <int Bits, class Arch>
struct unpacker {
    static codes<Arch> run(const std::uint8_t* chunk) noexcept {
        std::array<std::int32_t, 32> q{};
        if constexpr ((Bits & 8) != 0)
            for (std::size_t i = 0; i < 32; ++i) q[i] = chunk[i];
        if constexpr ((Bits & 4) != 0)
            for (std::size_t i = 0; i < 32; ++i) q[i] = (chunk[i % 16] >> (4 * (i / 16))) & 15;
        if constexpr ((Bits & 2) != 0)
            for (std::size_t i = 0; i < 32; ++i)
                q[i] |= ((chunk[part_offset<Bits, 2> + i % 8] >> (2 * (i / 8))) & 3) << (Bits & 4);
        if constexpr ((Bits & 1) != 0) {
            const auto plane = load_as<std::uint32_t>(chunk + part_offset<Bits, 1>);
            for (std::size_t i = 0; i < 32; ++i) q[i] |= static_cast<std::int32_t>((plane >> i) & 1u) << (Bits - 1);
        }
        codes<Arch> result;
        for (std::size_t v = 0; v < result.size(); ++v)
            result[v] = batch<std::int32_t, Arch>::load_unaligned(&q[v * lanes<Arch>]);
        return result;
    }
    static codes<Arch> run_unmasked(const std::uint8_t* chunk) noexcept { return run(chunk); }
};

#ifdef __AVX512F__
template <int Bits, avx512_arch Arch>
struct unpacker<Bits, Arch> {
    static codes<Arch> run(const std::uint8_t* chunk) noexcept {
        __m512i low = _mm512_setzero_si512(), high = low;
        if constexpr ((Bits & 8) != 0) {
            low = _mm512_maskz_cvtepu8_epi32(all_lanes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(chunk)));
            high = _mm512_maskz_cvtepu8_epi32(all_lanes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(chunk + 16)));
        }
        if constexpr ((Bits & 4) != 0) {
            const __m512i both =
                _mm512_maskz_cvtepu8_epi32(all_lanes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(chunk)));
            low = _mm512_and_si512(both, _mm512_set1_epi32(15));
            high = _mm512_maskz_srli_epi32(all_lanes, both, 4);
        }
        if constexpr ((Bits & 2) != 0) {
            constexpr int at = Bits & 4; // place of this part in a code
            const __m128i eight = _mm_set1_epi64x(load_as<long long>(chunk + part_offset<Bits, 2>));
            const __m512i all = _mm512_maskz_slli_epi32(all_lanes, _mm512_maskz_cvtepu8_epi32(all_lanes, eight),
                                                        at); // bytes 0 … 7, twice
            const __m512i mask = _mm512_set1_epi32(3 << at);
            low = _mm512_or_si512(low, _mm512_and_si512(_mm512_maskz_srlv_epi32(all_lanes, all, halves(0, 2)), mask));
            high = _mm512_or_si512(high, _mm512_and_si512(_mm512_maskz_srlv_epi32(all_lanes, all, halves(4, 6)), mask));
        }
        if constexpr ((Bits & 1) != 0) {
            const auto plane = load_as<std::uint32_t>(chunk + part_offset<Bits, 1>);
            const __m512i bit = _mm512_set1_epi32(1 << (Bits - 1));
            low = _mm512_mask_or_epi32(low, static_cast<__mmask16>(plane), low, bit);
            high = _mm512_mask_or_epi32(high, static_cast<__mmask16>(plane >> 16), high, bit);
        }
        return {batch<std::int32_t, Arch>(low), batch<std::int32_t, Arch>(high)};
    }
    static codes<Arch> run_unmasked(const std::uint8_t* chunk) noexcept {
        using out = batch<std::int32_t, Arch>;
        if constexpr (Bits == 4) {
            const __m512i both =
                _mm512_maskz_cvtepu8_epi32(all_lanes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(chunk)));
            return {out(both), out(_mm512_maskz_srli_epi32(all_lanes, both, 4))};
        } else if constexpr (Bits == 2 || Bits == 3) {
            const __m512i all = _mm512_maskz_cvtepu8_epi32(all_lanes, _mm_set1_epi64x(load_as<long long>(chunk)));
            __m512i low = _mm512_maskz_srlv_epi32(all_lanes, all, halves(0, 2));
            __m512i high = _mm512_maskz_srlv_epi32(all_lanes, all, halves(4, 6));
            if constexpr (Bits == 3) { // the plane is turned until a lane's bit is its bit 2, and the rest replaced
                const __m512i plane = _mm512_set1_epi32(load_as<std::int32_t>(chunk + part_offset<Bits, 1>));
                const __m512i turn = _mm512_setr_epi32(2, 1, 0, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19);
                const __m512i two_bits = _mm512_set1_epi32(3);
                constexpr int mask_chooses = 0xE4;
                low = _mm512_maskz_ternarylogic_epi32(all_lanes, low, _mm512_maskz_rolv_epi32(all_lanes, plane, turn),
                                                      two_bits, mask_chooses);
                high = _mm512_maskz_ternarylogic_epi32(
                    all_lanes, high,
                    _mm512_maskz_rolv_epi32(all_lanes, plane, _mm512_xor_si512(turn, _mm512_set1_epi32(16))), two_bits,
                    mask_chooses);
            }
            return {out(low), out(high)};
        } else {
            return run(chunk);
        }
    }

private:
    static __m512i halves(int a, int b) noexcept {
        return _mm512_setr_epi32(a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b);
    }
};
#endif

#ifdef __AVX2__
template <int Bits, avx2_arch Arch>
struct unpacker<Bits, Arch> {
    static codes<Arch> run(const std::uint8_t* chunk) noexcept {
        __m256i q[4];
#pragma GCC unroll 4
        for (auto& v : q) v = _mm256_setzero_si256();
        if constexpr ((Bits & 8) != 0)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < 4; ++v) q[v] = eight_bytes(chunk + 8 * v);
        if constexpr ((Bits & 4) != 0)
#pragma GCC unroll 2
            for (std::size_t v = 0; v < 2; ++v) {
                const __m256i both = eight_bytes(chunk + 8 * v);
                q[v] = _mm256_and_si256(both, _mm256_set1_epi32(15));
                q[v + 2] = _mm256_srli_epi32(both, 4);
            }
        if constexpr ((Bits & 2) != 0) {
            constexpr int at = Bits & 4; // place of this part in a code
            const __m256i all = _mm256_slli_epi32(eight_bytes(chunk + part_offset<Bits, 2>), at);
            const __m256i mask = _mm256_set1_epi32(3 << at);
#pragma GCC unroll 4
            for (std::size_t v = 0; v < 4; ++v)
                q[v] = _mm256_or_si256(q[v], _mm256_and_si256(_mm256_srli_epi32(all, static_cast<int>(2 * v)), mask));
        }
        if constexpr ((Bits & 1) != 0) {
            const __m256i plane = _mm256_set1_epi32(load_as<std::int32_t>(chunk + part_offset<Bits, 1>));
            const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
#pragma GCC unroll 4
            for (std::size_t v = 0; v < 4; ++v) {
                const __m256i bit =
                    _mm256_srlv_epi32(plane, _mm256_add_epi32(lane, _mm256_set1_epi32(static_cast<int>(8 * v))));
                q[v] = _mm256_or_si256(q[v], _mm256_slli_epi32(_mm256_and_si256(bit, _mm256_set1_epi32(1)), Bits - 1));
            }
        }
        using out = batch<std::int32_t, Arch>;
        return {out(q[0]), out(q[1]), out(q[2]), out(q[3])};
    }
    static codes<Arch> run_unmasked(const std::uint8_t* chunk) noexcept {
        using out = batch<std::int32_t, Arch>;
        if constexpr (Bits == 2) {
            const __m256i all = eight_bytes(chunk);
            return {out(all), out(_mm256_srli_epi32(all, 2)), out(_mm256_srli_epi32(all, 4)),
                    out(_mm256_srli_epi32(all, 6))};
        } else if constexpr (Bits == 3) {
            const __m256i all = eight_bytes(chunk), two_bits = _mm256_set1_epi32(0x33);
            const __m256i even = _mm256_and_si256(all, two_bits); // of registers 0 and, 4 bits higher, 2
            const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(all, 2), two_bits); // of 1 and 3
            const __m256i plane = _mm256_set1_epi32(load_as<std::int32_t>(chunk + part_offset<Bits, 1>));
            const __m256i of_lane = _mm256_srlv_epi32(plane, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
            // Byte v: the third bit of register v.
            const __m256i third = _mm256_and_si256(_mm256_slli_epi32(of_lane, 2), _mm256_set1_epi32(0x04040404));
            return {out(_mm256_or_si256(even, third)), out(_mm256_or_si256(odd, _mm256_srli_epi32(third, 8))),
                    out(_mm256_or_si256(_mm256_srli_epi32(even, 4), _mm256_srli_epi32(third, 16))),
                    out(_mm256_or_si256(_mm256_srli_epi32(odd, 4), _mm256_srli_epi32(third, 24)))};
        } else {
            return run(chunk);
        }
    }

private:
    static __m256i eight_bytes(const std::uint8_t* p) noexcept {
        return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    }
};
#endif

#ifdef __SSE4_1__
template <int Bits, sse4_arch Arch>
struct unpacker<Bits, Arch> {
    static codes<Arch> run(const std::uint8_t* chunk) noexcept {
        __m128i q[8];
#pragma GCC unroll 8
        for (auto& v : q) v = _mm_setzero_si128();
        if constexpr ((Bits & 8) != 0)
#pragma GCC unroll 8
            for (std::size_t v = 0; v < 8; ++v) q[v] = four_bytes(chunk + 4 * v);
        if constexpr ((Bits & 4) != 0)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < 4; ++v) {
                const __m128i both = four_bytes(chunk + 4 * v);
                q[v] = _mm_and_si128(both, _mm_set1_epi32(15));
                q[v + 4] = _mm_srli_epi32(both, 4);
            }
        if constexpr ((Bits & 2) != 0) {
            constexpr int at = Bits & 4; // place of this part in a code
            const __m128i mask = _mm_set1_epi32(3 << at);
#pragma GCC unroll 8
            for (std::size_t v = 0; v < 8; ++v) {
                const __m128i all = _mm_slli_epi32(four_bytes(chunk + part_offset<Bits, 2> + 4 * (v % 2)), at);
                q[v] = _mm_or_si128(q[v], _mm_and_si128(_mm_srli_epi32(all, static_cast<int>(2 * (v / 2))), mask));
            }
        }
        if constexpr ((Bits & 1) != 0) {
            const __m128i plane = _mm_set1_epi32(load_as<std::int32_t>(chunk + part_offset<Bits, 1>));
#pragma GCC unroll 8
            for (std::size_t v = 0; v < 8; ++v) {
                const __m128i bit = _mm_slli_epi32(_mm_setr_epi32(1, 2, 4, 8), static_cast<int>(4 * v));
                const __m128i is_set = _mm_cmpeq_epi32(_mm_and_si128(plane, bit), bit);
                q[v] = _mm_or_si128(q[v], _mm_and_si128(is_set, _mm_set1_epi32(1 << (Bits - 1))));
            }
        }
        codes<Arch> result;
#pragma GCC unroll 8
        for (std::size_t v = 0; v < 8; ++v) result[v] = batch<std::int32_t, Arch>(q[v]);
        return result;
    }
    static codes<Arch> run_unmasked(const std::uint8_t* chunk) noexcept { return run(chunk); }

private:
    static __m128i four_bytes(const std::uint8_t* p) noexcept {
        return _mm_cvtepu8_epi32(_mm_cvtsi32_si128(load_as<std::int32_t>(p)));
    }
};
#endif

} // namespace detail

/// The 32 codes of the chunk at `chunk` (4 · Bits bytes, at any address).
template <int Bits, class Arch>
codes<Arch> unpack(const std::uint8_t* chunk) noexcept {
    static_assert(Bits >= 1 && Bits <= 8);
    return detail::unpacker<Bits, Arch>::run(chunk);
}

/// The same, but for the bits of each lane from `Bits` on, which may be anything: enough to look up in a fast table.
template <int Bits, class Arch>
codes<Arch> unpack_unmasked(const std::uint8_t* chunk) noexcept {
    static_assert(Bits >= 1 && Bits <= 8);
    return detail::unpacker<Bits, Arch>::run_unmasked(chunk);
}

} // namespace bitlens::simd
