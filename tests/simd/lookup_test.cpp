#include "bitlens/simd/lookup.hpp"

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

template <std::size_t Size, class Arch>
void check_table() {
    constexpr std::size_t n = simd::lanes<Arch>;
    std::array<float, Size> values;
    for (std::size_t i = 0; i < Size; ++i) values[i] = 1.5f * static_cast<float>(i * i) - 3.0f;
    using vec = simd::batch<float, Arch>;
    const simd::table<Size, Arch> table(values);
    const auto twice = table.map([](vec const& v) { return v * vec(2.0f); });
    for (std::size_t first = 0; first < Size; ++first) {
        std::array<std::int32_t, n> q;
        std::array<float, n> found, doubled;
        for (std::size_t i = 0; i < n; ++i) {
            q[i] = static_cast<std::int32_t>((first + i) % Size);
            if (table.is_fast) q[i] |= static_cast<std::int32_t>(Size * (i * 37 + 1)); // bits that must not matter
        }
        const auto codes = simd::batch<std::int32_t, Arch>::load_unaligned(q.data());
        table[codes].store_unaligned(found.data());
        twice[codes].store_unaligned(doubled.data());
        for (std::size_t i = 0; i < n; ++i) {
            CHECK(found[i] == values[(first + i) % Size]);
            CHECK(doubled[i] == 2.0f * values[(first + i) % Size]);
        }
    }
}

} // namespace

TEST_CASE_TEMPLATE("tables of every size give their values", Arch, simd::default_arch, simd::scalar) {
    check_table<4, Arch>();
    check_table<8, Arch>();
    check_table<16, Arch>();
    check_table<32, Arch>();
    check_table<256, Arch>();
}
