#include "bitlens/simd.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

using namespace bitlens;

TEST_CASE_TEMPLATE("words of a register", Arch, simd::default_arch, simd::scalar) {
    using vec = simd::batch<float, Arch>;
    std::array<float, simd::lanes<Arch>> a, out;
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i + 1);
    const vec x = vec::load_unaligned(a.data());
    simd::fma(x, vec(2.0f), vec(1.0f)).store_unaligned(out.data());
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(out[i] == 2.0f * a[i] + 1.0f);
    const std::size_t n = a.size();
    CHECK(simd::sum(x) == static_cast<float>(n * (n + 1) / 2));
}

TEST_CASE_TEMPLATE("16-bit floats and bytes become floats", Arch, simd::default_arch, simd::scalar) {
    constexpr std::size_t n = simd::lanes<Arch>;
    for (std::uint32_t first = 0; first + n <= 0x7C00; first += n) { // every finite positive f16
        std::array<f16, n> halves;
        std::array<bf16, n> brains;
        for (std::size_t i = 0; i < n; ++i) {
            halves[i] = f16::from_bits(static_cast<std::uint16_t>(first + i));
            brains[i] = bf16::from_bits(static_cast<std::uint16_t>(0x8000u + first + i));
        }
        std::array<float, n> from_half, from_brain;
        simd::widen<Arch>(halves.data()).store_unaligned(from_half.data());
        simd::widen<Arch>(brains.data()).store_unaligned(from_brain.data());
        bool equal = true;
        for (std::size_t i = 0; i < n; ++i)
            equal &= from_half[i] == float{halves[i]} && from_brain[i] == float{brains[i]};
        REQUIRE(equal);
    }
    std::array<std::uint8_t, n> bytes;
    std::array<float, n> from_byte;
    for (std::size_t i = 0; i < n; ++i) bytes[i] = static_cast<std::uint8_t>(255 - i);
    simd::widen<Arch>(bytes.data()).store_unaligned(from_byte.data());
    for (std::size_t i = 0; i < n; ++i) CHECK(from_byte[i] == static_cast<float>(255 - i));
}

TEST_CASE_TEMPLATE("a square is transposed", Arch, simd::default_arch, simd::scalar) {
    constexpr std::size_t n = simd::lanes<Arch>;
    std::vector<float> in(n * (n + 1) + 1), out(n * (n + 2) + 1, -1.0f);
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i);
    simd::transpose<Arch>(in.data() + 1, n + 1, out.data() + 1, n + 2);
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j) CHECK(out[1 + j * (n + 2) + i] == in[1 + i * (n + 1) + j]);
    CHECK(out[0] == -1.0f);
    CHECK(out[1 + n] == -1.0f); // between rows
}

TEST_CASE_TEMPLATE("tanh keeps its promise", Arch, simd::default_arch, simd::scalar) {
    using vec = simd::batch<float, Arch>;
    const auto tanh_of = [](float x) {
        std::array<float, vec::size> each;
        simd::tanh(vec(x)).store_unaligned(each.data());
        return each[0];
    };
    double worst = 0;
    for (float x = 1e-6f; x < 20; x *= 1.0001f)
        for (const float y : {x, -x}) worst = std::max(worst, std::abs(double{tanh_of(y)} / std::tanh(double{y}) - 1));
    CHECK(worst < 2.5e-7);
    CHECK(tanh_of(0) == 0);
    for (const float large : {1e30f, std::numeric_limits<float>::infinity()}) {
        CHECK(tanh_of(large) == 1);
        CHECK(tanh_of(-large) == -1);
    }
    CHECK(std::isnan(tanh_of(std::nanf(""))));
}

TEST_CASE_TEMPLATE("exp keeps its promise", Arch, simd::default_arch, simd::scalar) {
    using vec = simd::batch<float, Arch>;
    const auto exp_of = [](float x) {
        std::array<float, vec::size> each;
        simd::exp(vec(x)).store_unaligned(each.data());
        return each[0];
    };
    double worst = 0;
    for (float x = 0; x > -87.0f; x -= 0.000931f)
        worst = std::max(worst, std::abs(double{exp_of(x)} / std::exp(double{x}) - 1));
    CHECK(worst < 2.4e-7);
    CHECK(exp_of(0) == 1);
    CHECK(exp_of(-1e30f) == 0);
    CHECK(exp_of(-std::numeric_limits<float>::infinity()) == 0);
    CHECK(std::isnan(exp_of(std::nanf(""))));
}
