#include "bitlens/formats/code_chunk.hpp"
#include "bitlens/simd/unpack.hpp"

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

/// formats/ writes and simd/ reads one layout, which both describe: here they meet.
template <int Bits, class Arch>
void check_bits() {
    constexpr std::size_t n = simd::lanes<Arch>;
    std::array<std::uint8_t, code_chunk<Bits>::bytes + 2> memory;
    for (unsigned seed = 0; seed < 16; ++seed) {
        memory.fill(0xFF); // bytes around the chunk must not matter
        std::array<std::uint8_t, chunk_codes> expected;
        for (std::size_t i = 0; i < chunk_codes; ++i) {
            expected[i] = static_cast<std::uint8_t>(((i + seed) * 73 + i * i) % (1u << Bits));
            code_chunk<Bits>::set(memory.data() + 1, i, expected[i]);
        }
        const auto q = simd::unpack<Bits, Arch>(memory.data() + 1);
        const auto unmasked = simd::unpack_unmasked<Bits, Arch>(memory.data() + 1);
        for (std::size_t v = 0; v < q.size(); ++v) {
            std::array<std::int32_t, n> found, found_unmasked;
            q[v].store_unaligned(found.data());
            unmasked[v].store_unaligned(found_unmasked.data());
            for (std::size_t i = 0; i < n; ++i) {
                CHECK(found[i] == expected[v * n + i]);
                CHECK((found_unmasked[i] & ((1 << Bits) - 1)) == expected[v * n + i]);
            }
        }
    }
}

} // namespace

TEST_CASE_TEMPLATE("32 codes of every width", Arch, simd::default_arch, simd::scalar) {
    check_bits<2, Arch>();
    check_bits<3, Arch>();
    check_bits<4, Arch>();
    check_bits<5, Arch>();
    check_bits<6, Arch>();
    check_bits<7, Arch>();
    check_bits<8, Arch>();
}
