#include "bitlens/formats/code_chunk.hpp"

#include <doctest/doctest.h>

using namespace bitlens;

// The round trip of every width is a static_assert in the header. Here: the layout itself, which kernels rely on.
TEST_CASE("the parts of 32 three-bit codes: two bits a byte apart, then a bit plane") {
    std::array<std::uint8_t, code_chunk<3>::bytes> chunk{};
    static_assert(code_chunk<3>::bytes == 12);
    code_chunk<3>::set(chunk.data(), 9, 7); // part of 2 bits: byte 9 mod 8, shift 2; part of 1 bit: bit 9
    CHECK(chunk[1] == 0b1100);
    CHECK(chunk[8 + 1] == 0b10);
    for (std::size_t i = 0; i < chunk.size(); ++i)
        if (i != 1 && i != 9) CHECK(chunk[i] == 0);
}

TEST_CASE("the parts of 32 seven-bit codes: nibbles, pairs, a bit plane") {
    std::array<std::uint8_t, code_chunk<7>::bytes> chunk{};
    code_chunk<7>::set(chunk.data(), 20, 0b1011001); // low nibble 1001, then 01, then 1
    CHECK(chunk[4] == 0b10010000);                   // byte 20 mod 16, shift 4
    CHECK(chunk[16 + 4] == 0b00010000);              // byte 20 mod 8, shift 4
    CHECK(chunk[24 + 2] == 0b00010000);              // bit 20 of the plane
}

TEST_CASE("setting a code leaves its neighbours alone") {
    std::array<std::uint8_t, code_chunk<5>::bytes> chunk;
    chunk.fill(0xFF);
    code_chunk<5>::set(chunk.data(), 17, 0);
    for (std::size_t i = 0; i < chunk_codes; ++i) CHECK(code_chunk<5>::get(chunk.data(), i) == (i == 17 ? 0 : 31));
}
