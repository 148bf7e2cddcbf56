#pragma once
/// code_chunk: how 32 codes of 2 … 8 bits lie in 4 · bits bytes, so that a vector unit can unpack them.
///
/// The bits of a code are cut, from the lowest up, into parts of 8, 4, 2 and 1 bits (7 = 4 + 2 + 1), and the parts of
/// all 32 codes lie one part after the other. In a part of p bits code i has
///     p = 8: byte i        p = 4: byte i mod 16, shift 4·⌊i/16⌋        p = 2: byte i mod 8, shift 2·⌊i/8⌋
///     p = 1: byte ⌊i/8⌋, shift i mod 8: a bit plane, a mask register as it stands.
/// Neighbouring codes are in neighbouring bytes at the same shift: one widening load and one shift give many of them.

#include "bitlens/formats/quant_format.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace bitlens {

template <int Bits>
struct code_chunk {
    static constexpr std::size_t bytes = chunk_codes * Bits / 8;

    /// Where code i lies in a part of so many bits.
    struct position {
        std::size_t byte;
        unsigned shift;
    };
    static constexpr position place(unsigned width, std::size_t i) noexcept {
        if (width == 1) return {i / 8, static_cast<unsigned>(i % 8)};
        const std::size_t bytes_of_part = chunk_codes * width / 8;
        return {i % bytes_of_part, width * static_cast<unsigned>(i / bytes_of_part)};
    }

    /// Code i of the chunk at `chunk`.
    static constexpr std::uint8_t get(const std::uint8_t* chunk, std::size_t i) noexcept {
        unsigned code = 0, done = 0;
        for (unsigned width = 8; width > 0; width /= 2) {
            if ((Bits & width) == 0) continue;
            const auto [byte, shift] = place(width, i);
            code |= ((unsigned{chunk[byte]} >> shift) & mask(width)) << done;
            chunk += chunk_codes * width / 8;
            done += width;
        }
        return static_cast<std::uint8_t>(code);
    }
    /// Overwrites code i; q < 2^Bits.
    static constexpr void set(std::uint8_t* chunk, std::size_t i, std::uint8_t q) noexcept {
        unsigned rest = q;
        for (unsigned width = 8; width > 0; width /= 2) {
            if ((Bits & width) == 0) continue;
            const auto [byte, shift] = place(width, i);
            chunk[byte] =
                static_cast<std::uint8_t>((chunk[byte] & ~(mask(width) << shift)) | ((rest & mask(width)) << shift));
            chunk += chunk_codes * width / 8;
            rest >>= width;
        }
    }

private:
    static constexpr unsigned mask(unsigned width) noexcept { return (1u << width) - 1u; }
};

/// Codes of a row, one a byte, into chunks that begin at `row`.
template <int Bits>
void write_code_row(std::span<const std::uint8_t> codes, std::uint8_t* row) noexcept {
    for (std::size_t c = 0; c < codes.size(); c += chunk_codes, row += code_chunk<Bits>::bytes)
        for (std::size_t i = 0; i < std::min(chunk_codes, codes.size() - c); ++i)
            code_chunk<Bits>::set(row, i, codes[c + i]);
}

namespace detail {

/// Distinct codes written over ones, twice, come back as written.
template <int Bits>
constexpr bool chunk_round_trip() {
    std::array<std::uint8_t, code_chunk<Bits>::bytes> chunk{};
    for (auto& byte : chunk) byte = 0xFF;
    const auto code = [](std::size_t i) { return static_cast<std::uint8_t>((i * 37 + 11) % (1u << Bits)); };
    for (std::size_t i = 0; i < chunk_codes; ++i) code_chunk<Bits>::set(chunk.data(), i, code(i));
    for (std::size_t i = 0; i < chunk_codes; ++i)
        if (code_chunk<Bits>::get(chunk.data(), i) != code(i)) return false;
    return true;
}
static_assert(chunk_round_trip<2>() && chunk_round_trip<3>() && chunk_round_trip<4>() && chunk_round_trip<5>() &&
              chunk_round_trip<6>() && chunk_round_trip<7>() && chunk_round_trip<8>());

} // namespace detail

} // namespace bitlens
