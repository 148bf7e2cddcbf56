#include "bitlens/core/half.hpp"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

using namespace bitlens;

static_assert(f16(1.0f).bits == 0x3C00 && f16(-2.0f).bits == 0xC000 && float(f16::from_bits(0x2C00)) == 0.0625f);
static_assert(f16(65504.0f).bits == 0x7BFF && f16(65519.0f).bits == 0x7BFF && f16(65520.0f).bits == 0x7C00);
static_assert(f16(0x1p-24f).bits == 1 && f16(0x1p-25f).bits == 0 && f16(0x1.8p-24f).bits == 2, "ties go to even");
static_assert(bf16(1.0f).bits == 0x3F80 && bf16(1.00390625f).bits == 0x3F80 && bf16(1.01171875f).bits == 0x3F82);

TEST_CASE("every f16 and bf16 survives the way through float") {
    for (std::uint32_t b = 0; b < 0x10000; ++b) {
        const auto bits = static_cast<std::uint16_t>(b);
        const float h = f16::from_bits(bits);
        if (std::isnan(h))
            CHECK(std::isnan(float(f16(h))));
        else
            CHECK(f16(h).bits == bits);
        const float t = bf16::from_bits(bits);
        if (std::isnan(t))
            CHECK(std::isnan(float(bf16(t))));
        else
            CHECK(bf16(t).bits == bits);
    }
}

TEST_CASE("rounding to f16 is to nearest, ties to even, between all neighbours") {
    for (std::uint16_t b = 0; b < 0x7BFF; ++b) {
        const float lower = f16::from_bits(b), upper = f16::from_bits(static_cast<std::uint16_t>(b + 1));
        const float middle = lower + (upper - lower) / 2; // exact in float
        CHECK(f16(middle).bits == (b % 2 == 0 ? b : b + 1));
        CHECK(f16(std::nextafter(middle, lower)).bits == b);
        CHECK(f16(std::nextafter(middle, upper)).bits == b + 1);
    }
}

TEST_CASE("a NaN whose payload lies in the low bits only stays a NaN") {
    const float nan = std::bit_cast<float>(0x7F800001u);
    CHECK(std::isnan(float(f16(nan))));
    CHECK(std::isnan(float(bf16(nan))));
}
