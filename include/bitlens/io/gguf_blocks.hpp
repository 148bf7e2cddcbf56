#pragma once
/// The tensor types of GGUF: how many elements a block of each holds in how many bytes, and its decoding to float.
///
/// In every type each product is exact in float (f16 × at most 8 bits × at most 5 bits), so that one rounding is left
/// and fused multiply-add changes nothing; only Q6_K, which has no sum, rounds a product.
/// Source: ggml d99724f2, src/ggml-common.h and dequantize_row_* of src/ggml-quants.c.

#include "bitlens/core/half.hpp"
#include "bitlens/io/byte_cursor.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bitlens {

namespace gguf_blocks {

inline float half_at(std::byte const* p) noexcept { return f16::from_bits(load<std::uint16_t>(p)); }
inline unsigned byte_at(std::byte const* p) noexcept { return std::to_integer<unsigned>(*p); }

/// y = (q − 8)·d.   18 bytes: f16 d, 16 bytes of nibbles; the low nibble of byte j is element j, the high j + 16.
inline void decode_q4_0(std::byte const* block, float* y) noexcept {
    const float d = half_at(block);
    for (std::size_t j = 0; j < 16; ++j) {
        const unsigned q = byte_at(block + 2 + j);
        y[j] = static_cast<float>(static_cast<int>(q & 15u) - 8) * d;
        y[j + 16] = static_cast<float>(static_cast<int>(q >> 4) - 8) * d;
    }
}

/// y = q·d + m.   20 bytes: f16 d, f16 m, nibbles as Q4_0.
inline void decode_q4_1(std::byte const* block, float* y) noexcept {
    const float d = half_at(block), m = half_at(block + 2);
    for (std::size_t j = 0; j < 16; ++j) {
        const unsigned q = byte_at(block + 4 + j);
        y[j] = static_cast<float>(q & 15u) * d + m;
        y[j + 16] = static_cast<float>(q >> 4) * d + m;
    }
}

/// y = (q − 16)·d.   22 bytes: f16 d, u32 whose bit e is the fifth bit of element e, nibbles as Q4_0.
inline void decode_q5_0(std::byte const* block, float* y) noexcept {
    const float d = half_at(block);
    const auto fifth = load<std::uint32_t>(block + 2);
    for (std::size_t j = 0; j < 16; ++j) {
        const unsigned q = byte_at(block + 6 + j);
        const unsigned low = (q & 15u) | ((fifth >> j & 1u) << 4), high = (q >> 4) | ((fifth >> (j + 16) & 1u) << 4);
        y[j] = static_cast<float>(static_cast<int>(low) - 16) * d;
        y[j + 16] = static_cast<float>(static_cast<int>(high) - 16) * d;
    }
}

/// y = q·d + m.   24 bytes: f16 d, f16 m, u32 and nibbles as Q5_0.
inline void decode_q5_1(std::byte const* block, float* y) noexcept {
    const float d = half_at(block), m = half_at(block + 2);
    const auto fifth = load<std::uint32_t>(block + 4);
    for (std::size_t j = 0; j < 16; ++j) {
        const unsigned q = byte_at(block + 8 + j);
        const unsigned low = (q & 15u) | ((fifth >> j & 1u) << 4), high = (q >> 4) | ((fifth >> (j + 16) & 1u) << 4);
        y[j] = static_cast<float>(low) * d + m;
        y[j + 16] = static_cast<float>(high) * d + m;
    }
}

/// y = q·d.   34 bytes: f16 d, 32 signed bytes.
inline void decode_q8_0(std::byte const* block, float* y) noexcept {
    const float d = half_at(block);
    for (std::size_t j = 0; j < 32; ++j) y[j] = static_cast<float>(load<std::int8_t>(block + 2 + j)) * d;
}

/// y = d·level[q].   18 bytes as Q4_0.
inline void decode_iq4_nl(std::byte const* block, float* y) noexcept {
    static constexpr std::array<float, 16> level{-127, -104, -83, -65, -49, -35, -22, -10,
                                                 1,    13,   25,  38,  53,  69,  89,  113};
    const float d = half_at(block);
    for (std::size_t j = 0; j < 16; ++j) {
        const unsigned q = byte_at(block + 2 + j);
        y[j] = d * level[q & 15u];
        y[j + 16] = d * level[q >> 4];
    }
}

/// Two bits of element e of the 64 bytes at `plane`: 128 elements lie in 32 bytes, 32 of them in each pair of bits.
inline unsigned two_bits(std::byte const* plane, std::size_t e) noexcept {
    return byte_at(plane + e / 128 * 32 + e % 32) >> (e % 128 / 32 * 2) & 3u;
}

/// y = (d·s)·q − dmin·m, s and m of 16 elements in the low and high nibble of a byte.
/// 84 bytes: sc[16], two-bit plane[64], f16 d, f16 dmin.
inline void decode_q2_k(std::byte const* block, float* y) noexcept {
    const float d = half_at(block + 80), dmin = half_at(block + 82);
    for (std::size_t i = 0; i < 16; ++i) {
        const unsigned sc = byte_at(block + i);
        const float scale = d * static_cast<float>(sc & 15u), min = dmin * static_cast<float>(sc >> 4);
        for (std::size_t e = 16 * i; e < 16 * i + 16; ++e)
            y[e] = scale * static_cast<float>(two_bits(block + 16, e)) - min;
    }
}

/// y = (d·s)·q, q = −4 … 3, s = −32 … 31 for 16 elements.
/// 110 bytes: hmask[32] (bit e/32 of byte e%32: third bit of q), two-bit plane[64], sc[12], f16 d.
inline void decode_q3_k(std::byte const* block, float* y) noexcept {
    std::byte const *const mask = block, *const plane = block + 32, *const sc = block + 96;
    const float d = half_at(block + 108);
    for (std::size_t i = 0; i < 16; ++i) {
        const unsigned low = i < 8 ? byte_at(sc + i) & 15u : byte_at(sc + i - 8) >> 4;
        const unsigned high = byte_at(sc + 8 + i % 4) >> (i / 4 * 2) & 3u;
        const float scale = d * static_cast<float>(static_cast<int>(low | high << 4) - 32);
        for (std::size_t e = 16 * i; e < 16 * i + 16; ++e) {
            const unsigned third = byte_at(mask + e % 32) >> (e / 32) & 1u;
            y[e] = scale * static_cast<float>(static_cast<int>(two_bits(plane, e) | third << 2) - 4);
        }
    }
}

struct scale_and_min {
    float scale, min;
};

/// The six-bit scale and min of 32 elements, j = 0 … 7, from the 12 bytes that Q4_K and Q5_K share.
inline scale_and_min six_bits(std::byte const* sc, std::size_t j) noexcept {
    if (j < 4) return {static_cast<float>(byte_at(sc + j) & 63u), static_cast<float>(byte_at(sc + j + 4) & 63u)};
    const unsigned low = byte_at(sc + j + 4);
    return {static_cast<float>((low & 15u) | (byte_at(sc + j - 4) >> 6) << 4),
            static_cast<float>((low >> 4) | (byte_at(sc + j) >> 6) << 4)};
}

/// y = (d·s)·q − dmin·m.   144 bytes: f16 d, f16 dmin, sc[12], qs[128]: 64 elements lie in 32 bytes, the first 32 in
/// the low nibbles.
inline void decode_q4_k(std::byte const* block, float* y) noexcept {
    const float d = half_at(block), dmin = half_at(block + 2);
    for (std::size_t j = 0; j < 8; ++j) {
        const auto [s, m] = six_bits(block + 4, j);
        const float scale = d * s, min = dmin * m;
        std::byte const* const qs = block + 16 + j / 2 * 32;
        for (std::size_t l = 0; l < 32; ++l)
            y[32 * j + l] = scale * static_cast<float>(byte_at(qs + l) >> (j % 2 * 4) & 15u) - min;
    }
}

/// As Q4_K with a fifth bit.   176 bytes: f16 d, f16 dmin, sc[12], qh[32] (bit j of byte l: element l of run j),
/// qs[128].
inline void decode_q5_k(std::byte const* block, float* y) noexcept {
    const float d = half_at(block), dmin = half_at(block + 2);
    std::byte const* const qh = block + 16;
    for (std::size_t j = 0; j < 8; ++j) {
        const auto [s, m] = six_bits(block + 4, j);
        const float scale = d * s, min = dmin * m;
        std::byte const* const qs = block + 48 + j / 2 * 32;
        for (std::size_t l = 0; l < 32; ++l) {
            const unsigned q = (byte_at(qs + l) >> (j % 2 * 4) & 15u) | (byte_at(qh + l) >> j & 1u) << 4;
            y[32 * j + l] = scale * static_cast<float>(q) - min;
        }
    }
}

/// y = (d·s)·q, q = −32 … 31, s a signed byte for 16 elements.
/// 210 bytes: ql[128], qh[64], sc[16], f16 d. Of the 128 elements of a half, element 32k + l has its low bits in byte
/// 32(k mod 2) + l of ql (low nibble for k < 2) and its two high bits in bits 2k of byte l of qh.
inline void decode_q6_k(std::byte const* block, float* y) noexcept {
    const float d = half_at(block + 208);
    for (std::size_t half = 0; half < 2; ++half) {
        std::byte const *const ql = block + 64 * half, *const qh = block + 128 + 32 * half;
        std::byte const* const sc = block + 192 + 8 * half;
        for (std::size_t k = 0; k < 4; ++k) {
            const float scale[2] = {d * static_cast<float>(load<std::int8_t>(sc + 2 * k)),
                                    d * static_cast<float>(load<std::int8_t>(sc + 2 * k + 1))};
            for (std::size_t l = 0; l < 32; ++l) {
                const unsigned low = byte_at(ql + k % 2 * 32 + l) >> (k / 2 * 4) & 15u;
                const unsigned high = byte_at(qh + l) >> (2 * k) & 3u;
                y[128 * half + 32 * k + l] = scale[l / 16] * static_cast<float>(static_cast<int>(low | high << 4) - 32);
            }
        }
    }
}

/// One element a block.
inline void decode_f32(std::byte const* block, float* y) noexcept { *y = load<float>(block); }
inline void decode_f16(std::byte const* block, float* y) noexcept { *y = half_at(block); }
inline void decode_bf16(std::byte const* block, float* y) noexcept { *y = bf16::from_bits(load<std::uint16_t>(block)); }

/// `count` blocks that follow each other.
template <auto Decode, std::size_t Elements, std::size_t Bytes>
void decode_all(std::byte const* blocks, std::size_t count, float* y) noexcept {
    for (std::size_t b = 0; b < count; ++b) Decode(blocks + b * Bytes, y + b * Elements);
}

} // namespace gguf_blocks

/// A tensor type of GGUF: `elements` neighbouring numbers of a row lie in `bytes` bytes.
struct gguf_block_type {
    std::uint32_t id;
    std::string_view name;
    std::size_t elements, bytes; // 0, 0: the name is known, the layout is not
    /// (blocks, how many, room for as many × elements floats); nullptr: no decoder here.
    void (*decode)(std::byte const*, std::size_t, float*) noexcept;
};

namespace detail {

template <auto Decode, std::size_t Elements, std::size_t Bytes>
constexpr gguf_block_type decodable(std::uint32_t id, std::string_view name) noexcept {
    return {id, name, Elements, Bytes, &gguf_blocks::decode_all<Decode, Elements, Bytes>};
}

} // namespace detail

/// Every type with a name, by id. Ids between them were removed from the format.
inline constexpr std::array gguf_block_types{
    detail::decodable<gguf_blocks::decode_f32, 1, 4>(0, "F32"),
    detail::decodable<gguf_blocks::decode_f16, 1, 2>(1, "F16"),
    detail::decodable<gguf_blocks::decode_q4_0, 32, 18>(2, "Q4_0"),
    detail::decodable<gguf_blocks::decode_q4_1, 32, 20>(3, "Q4_1"),
    detail::decodable<gguf_blocks::decode_q5_0, 32, 22>(6, "Q5_0"),
    detail::decodable<gguf_blocks::decode_q5_1, 32, 24>(7, "Q5_1"),
    detail::decodable<gguf_blocks::decode_q8_0, 32, 34>(8, "Q8_0"),
    gguf_block_type{9, "Q8_1", 32, 36, nullptr},
    detail::decodable<gguf_blocks::decode_q2_k, 256, 84>(10, "Q2_K"),
    detail::decodable<gguf_blocks::decode_q3_k, 256, 110>(11, "Q3_K"),
    detail::decodable<gguf_blocks::decode_q4_k, 256, 144>(12, "Q4_K"),
    detail::decodable<gguf_blocks::decode_q5_k, 256, 176>(13, "Q5_K"),
    detail::decodable<gguf_blocks::decode_q6_k, 256, 210>(14, "Q6_K"),
    gguf_block_type{15, "Q8_K", 256, 292, nullptr},
    gguf_block_type{16, "IQ2_XXS", 256, 66, nullptr},
    gguf_block_type{17, "IQ2_XS", 256, 74, nullptr},
    gguf_block_type{18, "IQ3_XXS", 256, 98, nullptr},
    gguf_block_type{19, "IQ1_S", 256, 50, nullptr},
    detail::decodable<gguf_blocks::decode_iq4_nl, 32, 18>(20, "IQ4_NL"),
    gguf_block_type{21, "IQ3_S", 256, 110, nullptr},
    gguf_block_type{22, "IQ2_S", 256, 82, nullptr},
    gguf_block_type{23, "IQ4_XS", 256, 136, nullptr},
    gguf_block_type{24, "I8", 1, 1, nullptr},
    gguf_block_type{25, "I16", 1, 2, nullptr},
    gguf_block_type{26, "I32", 1, 4, nullptr},
    gguf_block_type{27, "I64", 1, 8, nullptr},
    gguf_block_type{28, "F64", 1, 8, nullptr},
    gguf_block_type{29, "IQ1_M", 256, 56, nullptr},
    detail::decodable<gguf_blocks::decode_bf16, 1, 2>(30, "BF16"),
    gguf_block_type{34, "TQ1_0", 256, 54, nullptr},
    gguf_block_type{35, "TQ2_0", 256, 66, nullptr},
    gguf_block_type{39, "MXFP4", 32, 17, nullptr},
    gguf_block_type{40, "NVFP4", 64, 36, nullptr},
    gguf_block_type{41, "Q1_0", 128, 18, nullptr},
    gguf_block_type{42, "Q2_0", 0, 0, nullptr},
};

/// nullptr for an id that names no type.
constexpr gguf_block_type const* find_gguf_block_type(std::uint32_t id) noexcept {
    for (auto const& type : gguf_block_types)
        if (type.id == id) return &type;
    return nullptr;
}

} // namespace bitlens
