#include "bitlens/simd/gather.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

using namespace bitlens;

TEST_CASE_TEMPLATE("numbers from any place, and bits of each lane", Arch, simd::default_arch, simd::scalar) {
    constexpr std::size_t lanes = simd::lanes<Arch>;
    using ints = simd::batch<std::int32_t, Arch>;
    std::array<float, 97> floats;
    std::array<std::int32_t, 97> words;
    for (std::size_t i = 0; i < floats.size(); ++i) {
        floats[i] = static_cast<float>(i) * 0.5f;
        words[i] = static_cast<std::int32_t>(0x9E3779B9u * (static_cast<std::uint32_t>(i) + 1)); // of both signs
    }
    for (std::size_t begin = 0; begin < 96; begin += lanes) {
        std::array<std::int32_t, lanes> index, shift, found, bits;
        std::array<float, lanes> numbers;
        for (std::size_t i = 0; i < lanes; ++i) {
            index[i] = static_cast<std::int32_t>((begin + i) * 37 % 97);
            shift[i] = static_cast<std::int32_t>((begin + i) % 32);
        }
        const auto places = ints::load_unaligned(index.data());
        simd::gather<Arch>(floats.data(), places).store_unaligned(numbers.data());
        const auto gathered = simd::gather<Arch>(words.data(), places);
        gathered.store_unaligned(found.data());
        simd::field<Arch>(gathered, ints::load_unaligned(shift.data()), 13).store_unaligned(bits.data());
        bool equal = true;
        for (std::size_t i = 0; i < lanes; ++i) {
            const auto at = static_cast<std::size_t>(index[i]);
            equal &= numbers[i] == floats[at] && found[i] == words[at] &&
                     static_cast<std::uint32_t>(bits[i]) == (static_cast<std::uint32_t>(words[at]) >> shift[i] & 13u);
        }
        CHECK(equal);
    }
}
