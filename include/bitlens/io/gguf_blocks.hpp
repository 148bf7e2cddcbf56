#pragma once
/// The tensor types of GGUF: how many elements a block of each holds in how many bytes, what it consists of, and its
/// decoding to float.
///
/// A block of low-bit numbers holds codes, and for each group of neighbouring elements what y = scale · level[code]
/// (+ offset) needs. Scale and offset are products of stored numbers. In every type each product is exact in float (f16
/// × at most 8 bits × at most 5 bits), so that one rounding is left and fused multiply-add changes nothing; only Q6_K,
/// which has no sum, rounds a product.
/// Source: ggml d99724f2, src/ggml-common.h and dequantize_row_* of src/ggml-quants.c.

#include "bitlens/core/half.hpp"
#include "bitlens/core/level_tables.hpp"
#include "bitlens/io/byte_cursor.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace bitlens {

namespace gguf_blocks {

inline float half_at(std::byte const* p) noexcept { return f16::from_bits(load<std::uint16_t>(p)); }
inline unsigned byte_at(std::byte const* p) noexcept { return std::to_integer<unsigned>(*p); }

/// Levels that are the codes themselves, or lie about the middle code.
template <int Bits, bool IsCentred>
struct even_levels {
    static constexpr int bits = Bits;
    static constexpr float level(unsigned code) noexcept {
        return static_cast<float>(static_cast<int>(code) - (IsCentred ? 1 << (Bits - 1) : 0));
    }
};
/// Those of IQ4_NL and IQ4_XS.
struct iq4_levels {
    static constexpr int bits = 4;
    static constexpr float level(unsigned code) noexcept { return iq4_table[code]; }
};
struct e2m1_levels {
    static constexpr int bits = 4;
    static constexpr float level(unsigned code) noexcept { return e2m1_table[code] + 0.0f; } // its zeros have no sign
};

/// 32 codes in 16 bytes of nibbles: the low nibble of byte j is element j, the high j + 16.
inline void take_nibbles(std::byte const* from, std::uint8_t* codes) noexcept {
    for (std::size_t j = 0; j < 16; ++j) {
        const unsigned q = byte_at(from + j);
        codes[j] = static_cast<std::uint8_t>(q & 15u);
        codes[j + 16] = static_cast<std::uint8_t>(q >> 4);
    }
}
inline void put_nibbles(std::uint8_t const* codes, std::byte* to) noexcept {
    for (std::size_t j = 0; j < 16; ++j)
        to[j] = static_cast<std::byte>((codes[j] & 15u) | static_cast<unsigned>(codes[j + 16] & 15u) << 4);
}

/// Q4_0, Q4_1, Q5_0, Q5_1: y = level·d (+ m).   f16 d, f16 m where there is one; of 5 bits a u32 whose bit e is the
/// fifth bit of element e; 16 bytes of nibbles.
template <int Bits, bool HasOffset>
struct block_of_32 : even_levels<Bits, !HasOffset> {
    static_assert(Bits == 4 || Bits == 5);
    static constexpr std::size_t fifth_at = HasOffset ? 4 : 2, nibbles_at = fifth_at + (Bits == 5 ? 4 : 0);
    static constexpr std::size_t elements = 32, bytes = nibbles_at + 16, group = 32;
    static constexpr bool has_offsets = HasOffset;

    static void take_apart(std::byte const* block, std::uint8_t* codes, float* scale, float* offset) noexcept {
        *scale = half_at(block);
        if constexpr (HasOffset) *offset = half_at(block + 2);
        take_nibbles(block + nibbles_at, codes);
        if constexpr (Bits == 5) {
            const auto fifth = load<std::uint32_t>(block + fifth_at);
            for (std::size_t e = 0; e < 32; ++e) codes[e] |= static_cast<std::uint8_t>((fifth >> e & 1u) << 4);
        }
    }
    static void put_together(std::uint8_t const* codes, f16 scale, f16 offset, std::byte* block) noexcept {
        std::memcpy(block, &scale.bits, 2);
        if constexpr (HasOffset) std::memcpy(block + 2, &offset.bits, 2);
        put_nibbles(codes, block + nibbles_at);
        if constexpr (Bits == 5) {
            std::uint32_t fifth = 0;
            for (std::size_t e = 0; e < 32; ++e) fifth |= static_cast<std::uint32_t>(codes[e] >> 4 & 1u) << e;
            std::memcpy(block + fifth_at, &fifth, 4);
        }
    }
};
using q4_0 = block_of_32<4, false>;
using q4_1 = block_of_32<4, true>;
using q5_0 = block_of_32<5, false>;
using q5_1 = block_of_32<5, true>;

/// y = q·d.   34 bytes: f16 d, 32 signed bytes.
struct q8_0 : even_levels<8, true> {
    static constexpr std::size_t elements = 32, bytes = 34, group = 32;
    static constexpr bool has_offsets = false;

    static void take_apart(std::byte const* block, std::uint8_t* codes, float* scale, float*) noexcept {
        *scale = half_at(block);
        for (std::size_t j = 0; j < 32; ++j) codes[j] = static_cast<std::uint8_t>(byte_at(block + 2 + j) ^ 128u);
    }
    static void put_together(std::uint8_t const* codes, f16 scale, f16, std::byte* block) noexcept {
        std::memcpy(block, &scale.bits, 2);
        for (std::size_t j = 0; j < 32; ++j) block[2 + j] = static_cast<std::byte>(codes[j] ^ 128u);
    }
};

/// y = d·level[q].   18 bytes as Q4_0.
struct iq4_nl : iq4_levels {
    static constexpr std::size_t elements = 32, bytes = 18, group = 32;
    static constexpr bool has_offsets = false;

    static void take_apart(std::byte const* block, std::uint8_t* codes, float* scale, float*) noexcept {
        *scale = half_at(block);
        take_nibbles(block + 2, codes);
    }
};

/// y = 2^(e − 127)·level[q].   17 bytes: u8 e, 255 of which is no number; nibbles as Q4_0.
struct mxfp4 : e2m1_levels {
    static constexpr std::size_t elements = 32, bytes = 17, group = 32;
    static constexpr bool has_offsets = false;

    static void take_apart(std::byte const* block, std::uint8_t* codes, float* scale, float*) noexcept {
        const std::uint32_t e = byte_at(block);
        *scale = std::bit_cast<float>(e == 0 ? 0x00400000u : e << 23);
        take_nibbles(block + 1, codes);
    }
};

/// What a super-block of 256 elements has in groups of 16 or 32.
template <std::size_t Bytes, std::size_t Group, bool HasOffsets>
struct block_of_256 {
    static constexpr std::size_t elements = 256, bytes = Bytes, group = Group;
    static constexpr bool has_offsets = HasOffsets;
};

/// Two bits of each of 256 elements in 64 bytes: 128 elements lie in 32 bytes, 32 of them in each pair of bits.
inline void take_two_bits(std::byte const* plane, std::uint8_t* codes) noexcept {
    for (std::size_t run = 0; run < 8; ++run)
        for (std::size_t l = 0; l < 32; ++l)
            codes[32 * run + l] = static_cast<std::uint8_t>(byte_at(plane + run / 4 * 32 + l) >> (run % 4 * 2) & 3u);
}

/// y = (d·s)·q − dmin·m, s and m of 16 elements in the low and high nibble of a byte.
/// 84 bytes: sc[16], two-bit plane[64], f16 d, f16 dmin.
struct q2_k : even_levels<2, false>, block_of_256<84, 16, true> {
    static void take_apart(std::byte const* block, std::uint8_t* codes, float* scales, float* offsets) noexcept {
        const float d = half_at(block + 80), dmin = half_at(block + 82);
        for (std::size_t i = 0; i < 16; ++i) {
            const unsigned sc = byte_at(block + i);
            scales[i] = d * static_cast<float>(sc & 15u);
            offsets[i] = -(dmin * static_cast<float>(sc >> 4));
        }
        take_two_bits(block + 16, codes);
    }
};

/// y = (d·s)·q, q = −4 … 3, s = −32 … 31 for 16 elements.
/// 110 bytes: hmask[32] (bit e/32 of byte e%32: third bit of q), two-bit plane[64], sc[12], f16 d.
struct q3_k : even_levels<3, true>, block_of_256<110, 16, false> {
    static void take_apart(std::byte const* block, std::uint8_t* codes, float* scales, float*) noexcept {
        std::byte const* const sc = block + 96;
        const float d = half_at(block + 108);
        for (std::size_t i = 0; i < 16; ++i) {
            const unsigned low = i < 8 ? byte_at(sc + i) & 15u : byte_at(sc + i - 8) >> 4;
            const unsigned high = byte_at(sc + 8 + i % 4) >> (i / 4 * 2) & 3u;
            scales[i] = d * static_cast<float>(static_cast<int>(low | high << 4) - 32);
        }
        take_two_bits(block + 32, codes);
        for (std::size_t run = 0; run < 8; ++run)
            for (std::size_t l = 0; l < 32; ++l)
                codes[32 * run + l] |= static_cast<std::uint8_t>((byte_at(block + l) >> run & 1u) << 2);
    }
};

/// The six-bit scales and mins of 8 × 32 elements, from the f16 d, f16 dmin and 12 bytes that Q4_K and Q5_K share.
inline void take_six_bits(std::byte const* block, float* scales, float* offsets) noexcept {
    const float d = half_at(block), dmin = half_at(block + 2);
    std::byte const* const sc = block + 4;
    for (std::size_t j = 0; j < 4; ++j) {
        scales[j] = d * static_cast<float>(byte_at(sc + j) & 63u);
        offsets[j] = -(dmin * static_cast<float>(byte_at(sc + j + 4) & 63u));
    }
    for (std::size_t j = 4; j < 8; ++j) {
        const unsigned low = byte_at(sc + j + 4);
        scales[j] = d * static_cast<float>((low & 15u) | (byte_at(sc + j - 4) >> 6) << 4);
        offsets[j] = -(dmin * static_cast<float>((low >> 4) | (byte_at(sc + j) >> 6) << 4));
    }
}
/// Of each 64 elements in 32 bytes, the first 32 in the low nibbles.
inline void take_nibbles_of_64(std::byte const* qs, std::uint8_t* codes) noexcept {
    for (std::size_t c = 0; c < 4; ++c)
        for (std::size_t l = 0; l < 32; ++l) {
            const unsigned q = byte_at(qs + 32 * c + l);
            codes[64 * c + l] = static_cast<std::uint8_t>(q & 15u);
            codes[64 * c + 32 + l] = static_cast<std::uint8_t>(q >> 4);
        }
}

/// y = (d·s)·q − dmin·m.   144 bytes: f16 d, f16 dmin, sc[12], qs[128].
struct q4_k : even_levels<4, false>, block_of_256<144, 32, true> {
    static void take_apart(std::byte const* block, std::uint8_t* codes, float* scales, float* offsets) noexcept {
        take_six_bits(block, scales, offsets);
        take_nibbles_of_64(block + 16, codes);
    }
};

/// As Q4_K with a fifth bit.   176 bytes: f16 d, f16 dmin, sc[12], qh[32] (bit j of byte l: element l of run j),
/// qs[128].
struct q5_k : even_levels<5, false>, block_of_256<176, 32, true> {
    static void take_apart(std::byte const* block, std::uint8_t* codes, float* scales, float* offsets) noexcept {
        take_six_bits(block, scales, offsets);
        take_nibbles_of_64(block + 48, codes);
        for (std::size_t run = 0; run < 8; ++run)
            for (std::size_t l = 0; l < 32; ++l)
                codes[32 * run + l] |= static_cast<std::uint8_t>((byte_at(block + 16 + l) >> run & 1u) << 4);
    }
};

/// y = (d·s)·q, q = −32 … 31, s a signed byte for 16 elements.
/// 210 bytes: ql[128], qh[64], sc[16], f16 d. Of the 128 elements of a half, element 32k + l has its low bits in byte
/// 32(k mod 2) + l of ql (low nibble for k < 2) and its two high bits in bits 2k of byte l of qh.
struct q6_k : even_levels<6, true>, block_of_256<210, 16, false> {
    static void take_apart(std::byte const* block, std::uint8_t* codes, float* scales, float*) noexcept {
        const float d = half_at(block + 208);
        for (std::size_t i = 0; i < 16; ++i) scales[i] = d * static_cast<float>(load<std::int8_t>(block + 192 + i));
        for (std::size_t run = 0; run < 8; ++run) {
            const std::size_t half = run / 4, k = run % 4;
            std::byte const *const ql = block + 64 * half + k % 2 * 32, *const qh = block + 128 + 32 * half;
            for (std::size_t l = 0; l < 32; ++l)
                codes[32 * run + l] = static_cast<std::uint8_t>((byte_at(ql + l) >> (k / 2 * 4) & 15u) |
                                                                (byte_at(qh + l) >> (2 * k) & 3u) << 4);
        }
    }
};

/// y = (d·s)·level[q], s = −32 … 31 for 32 elements.
/// 136 bytes: f16 d, u16 with the two high bits of each s, 4 bytes with the four low ones, nibbles of each 32 as Q4_0.
struct iq4_xs : iq4_levels, block_of_256<136, 32, false> {
    static void take_apart(std::byte const* block, std::uint8_t* codes, float* scales, float*) noexcept {
        const float d = half_at(block);
        const unsigned high_bits = load<std::uint16_t>(block + 2);
        for (std::size_t j = 0; j < 8; ++j) {
            const unsigned low = byte_at(block + 4 + j / 2) >> (j % 2 * 4) & 15u, high = high_bits >> (2 * j) & 3u;
            scales[j] = d * static_cast<float>(static_cast<int>(low | high << 4) - 32);
            take_nibbles(block + 8 + 16 * j, codes + 32 * j);
        }
    }
};

/// `count` blocks that follow each other.
template <class Block>
void decode_blocks(std::byte const* blocks, std::size_t count, float* y) noexcept {
    std::array<std::uint8_t, Block::elements> codes;
    std::array<float, Block::elements / Block::group> scales, offsets;
    for (std::size_t b = 0; b < count; ++b, blocks += Block::bytes) {
        Block::take_apart(blocks, codes.data(), scales.data(), offsets.data());
        for (std::size_t g = 0; g < scales.size(); ++g)
            for (std::size_t i = 0; i < Block::group; ++i, ++y) {
                *y = scales[g] * Block::level(codes[g * Block::group + i]);
                if constexpr (Block::has_offsets) *y += offsets[g];
            }
    }
}

inline void decode_f32(std::byte const* from, std::size_t count, float* y) noexcept {
    for (std::size_t i = 0; i < count; ++i) y[i] = load<float>(from + 4 * i);
}
inline void decode_f16(std::byte const* from, std::size_t count, float* y) noexcept {
    for (std::size_t i = 0; i < count; ++i) y[i] = half_at(from + 2 * i);
}
inline void decode_bf16(std::byte const* from, std::size_t count, float* y) noexcept {
    for (std::size_t i = 0; i < count; ++i) y[i] = bf16::from_bits(load<std::uint16_t>(from + 2 * i));
}

template <class Block>
inline constexpr auto levels_of = [] {
    std::array<float, std::size_t{1} << Block::bits> levels{};
    for (unsigned q = 0; q < levels.size(); ++q) levels[q] = Block::level(q);
    return levels;
}();

} // namespace gguf_blocks

/// What a block of low-bit numbers consists of: y = scale · levels[code] + offset, scale and offset of its group.
struct gguf_block_parts {
    int bits;                      // of a code
    std::size_t group;             // elements
    bool has_offsets;              // else they are left out
    std::span<const float> levels; // of all 2^bits codes
    /// (block, room for a code of each element, for a scale and an offset of each group); the last is not written where
    /// there are no offsets.
    void (*take_apart)(std::byte const*, std::uint8_t*, float*, float*) noexcept;
    /// (codes, scale, offset, room for a block) of a block that is one group; nullptr: nothing here writes this type.
    void (*put_together)(std::uint8_t const*, f16, f16, std::byte*) noexcept;
};

namespace detail {

template <class Block>
constexpr auto writer_of() noexcept -> void (*)(std::uint8_t const*, f16, f16, std::byte*) noexcept {
    if constexpr (requires { &Block::put_together; })
        return &Block::put_together;
    else
        return nullptr;
}

template <class Block>
inline constexpr gguf_block_parts parts_of_block{Block::bits,        Block::group,
                                                 Block::has_offsets, gguf_blocks::levels_of<Block>,
                                                 &Block::take_apart, writer_of<Block>()};

} // namespace detail

/// A tensor type of GGUF: `elements` neighbouring numbers of a row lie in `bytes` bytes.
struct gguf_block_type {
    std::uint32_t id;
    std::string_view name;
    std::size_t elements, bytes; // 0, 0: the name is known, the layout is not
    /// (blocks, how many, room for as many × elements floats); nullptr: no decoder here.
    void (*decode)(std::byte const*, std::size_t, float*) noexcept = nullptr;
    gguf_block_parts const* parts = nullptr; // nullptr: whole numbers, or no decoder
};

namespace detail {

template <class Block>
constexpr gguf_block_type decodable(std::uint32_t id, std::string_view name) noexcept {
    return {id, name, Block::elements, Block::bytes, &gguf_blocks::decode_blocks<Block>, &parts_of_block<Block>};
}

} // namespace detail

/// Every type with a name, by id. Ids between them were removed from the format.
inline constexpr std::array gguf_block_types{
    gguf_block_type{0, "F32", 1, 4, &gguf_blocks::decode_f32},
    gguf_block_type{1, "F16", 1, 2, &gguf_blocks::decode_f16},
    detail::decodable<gguf_blocks::q4_0>(2, "Q4_0"),
    detail::decodable<gguf_blocks::q4_1>(3, "Q4_1"),
    detail::decodable<gguf_blocks::q5_0>(6, "Q5_0"),
    detail::decodable<gguf_blocks::q5_1>(7, "Q5_1"),
    detail::decodable<gguf_blocks::q8_0>(8, "Q8_0"),
    gguf_block_type{9, "Q8_1", 32, 36},
    detail::decodable<gguf_blocks::q2_k>(10, "Q2_K"),
    detail::decodable<gguf_blocks::q3_k>(11, "Q3_K"),
    detail::decodable<gguf_blocks::q4_k>(12, "Q4_K"),
    detail::decodable<gguf_blocks::q5_k>(13, "Q5_K"),
    detail::decodable<gguf_blocks::q6_k>(14, "Q6_K"),
    gguf_block_type{15, "Q8_K", 256, 292},
    gguf_block_type{16, "IQ2_XXS", 256, 66},
    gguf_block_type{17, "IQ2_XS", 256, 74},
    gguf_block_type{18, "IQ3_XXS", 256, 98},
    gguf_block_type{19, "IQ1_S", 256, 50},
    detail::decodable<gguf_blocks::iq4_nl>(20, "IQ4_NL"),
    gguf_block_type{21, "IQ3_S", 256, 110},
    gguf_block_type{22, "IQ2_S", 256, 82},
    detail::decodable<gguf_blocks::iq4_xs>(23, "IQ4_XS"),
    gguf_block_type{24, "I8", 1, 1},
    gguf_block_type{25, "I16", 1, 2},
    gguf_block_type{26, "I32", 1, 4},
    gguf_block_type{27, "I64", 1, 8},
    gguf_block_type{28, "F64", 1, 8},
    gguf_block_type{29, "IQ1_M", 256, 56},
    gguf_block_type{30, "BF16", 1, 2, &gguf_blocks::decode_bf16},
    gguf_block_type{34, "TQ1_0", 256, 54},
    gguf_block_type{35, "TQ2_0", 256, 66},
    detail::decodable<gguf_blocks::mxfp4>(39, "MXFP4"),
    gguf_block_type{40, "NVFP4", 64, 36},
    gguf_block_type{41, "Q1_0", 128, 18},
    gguf_block_type{42, "Q2_0", 0, 0},
};

/// nullptr for an id that names no type.
constexpr gguf_block_type const* find_gguf_block_type(std::uint32_t id) noexcept {
    for (auto const& type : gguf_block_types)
        if (type.id == id) return &type;
    return nullptr;
}

} // namespace bitlens
