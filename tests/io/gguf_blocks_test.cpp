#include "bitlens/io/gguf_blocks.hpp"

#include "bitlens/io/npz.hpp"
#include "files.hpp"

#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

gguf_block_type const& type_named(std::string_view name) {
    for (auto const& type : gguf_block_types)
        if (type.name == name) return type;
    throw format_error("no type " + std::string(name));
}

std::vector<float> decode(gguf_block_type const& type, std::span<const std::byte> blocks) {
    const std::size_t count = blocks.size() / type.bytes;
    std::vector<float> y(count * type.elements);
    type.decode(blocks.data(), count, y.data());
    return y;
}

} // namespace

static_assert(find_gguf_block_type(12)->name == "Q4_K" && find_gguf_block_type(4) == nullptr);
static_assert(find_gguf_block_type(23)->name == "IQ4_XS" && find_gguf_block_type(23)->decode == nullptr);
static_assert(find_gguf_block_type(0xFFFFFFFF) == nullptr);

TEST_CASE("blocks of known bytes decode to known numbers (spec quantization.md, KAT-D)") {
    struct known {
        std::string_view type;
        std::size_t d, min; // where d = 1/16 and, if it is not 0, m or dmin = 1/32 stand
        std::array<float, 4> first;
        float y16, last;
        double sum, weighted; // Σ y, Σ (i + 1) y
    };
    const std::array<known, 11> all{{
        {"Q4_0", 0, 0, {-.1875f, .375f, -.0625f, -.5f}, .125f, .375f, -.4375, -1.125},
        {"Q4_1", 0, 2, {.46875f, .03125f, .59375f, .15625f}, .21875f, .46875f, 15.6875, 263.6875},
        {"Q5_0", 0, 0, {.5625f, -.875f, .6875f, -.75f}, .75f, .0625f, -1.1875, -63.75},
        {"Q5_1", 0, 2, {1.71875f, 1.28125f, 1.84375f, .40625f}, 1.34375f, .65625f, 27.9375, 426.5625},
        {"Q8_0", 0, 0, {-5.6875f, -1.125f, 3.4375f, -8.f}, 3.3125f, 7.75f, 17, 607},
        {"IQ4_NL", 0, 0, {-2.1875f, 5.5625f, -.625f, -7.9375f}, 1.5625f, 5.5625f, -3.9375, 19.4375},
        {"Q2_K", 80, 82, {.53125f, -.03125f, .15625f, .34375f}, 2.09375f, 1.09375f, 119.5, 15434.3125},
        {"Q3_K", 108, 0, {3.5625f, -4.75f, 1.1875f, -2.375f}, -3.75f, 0.f, 38, 6833.75},
        {"Q4_K", 0, 2, {9.46875f, 40.40625f, 16.34375f, 47.28125f}, 9.46875f, 7.96875f, 2580.5, 335855},
        {"Q5_K", 0, 2, {64.46875f, 40.40625f, 71.34375f, 47.28125f}, 64.46875f, 9.21875f, 5944.5, 788265},
        {"Q6_K", 208, 0, {-53.4375f, 56.25f, 30.9375f, -39.375f}, 33.25f, 6.5f, 768.75, 145677.25},
    }};
    for (auto const& k : all) {
        CAPTURE(std::string(k.type));
        auto const& type = type_named(k.type);
        std::vector<std::byte> block(type.bytes);
        for (std::size_t i = 0; i < block.size(); ++i) block[i] = static_cast<std::byte>((73 * i + 19) % 256);
        const auto put = [&](std::size_t place, std::uint16_t half) { std::memcpy(&block[place], &half, 2); };
        put(k.d, 0x2C00);
        if (k.min != 0) put(k.min, 0x2800);
        const auto y = decode(type, block);
        for (std::size_t i = 0; i < 4; ++i) CHECK(y[i] == k.first[i]);
        CHECK(y[16] == k.y16);
        CHECK(y.back() == k.last);
        double sum = 0, weighted = 0; // exact: few bits each
        for (std::size_t i = 0; i < y.size(); ++i) {
            sum += double{y[i]};
            weighted += static_cast<double>(i + 1) * double{y[i]};
        }
        CHECK(sum == k.sum);
        CHECK(weighted == k.weighted);
    }
}

TEST_CASE("blocks that ggml's quantizers made decode to what they were made from (KAT-Q)") {
    // x[i] = (((37i + 11) mod 101) − 50)/64, so that |x| ≤ 50/64 and a step is about 2·(50/64)/levels. Rounding costs
    // half a step, and what a type cannot reach no more than as much again: the positive end of Q4_0, Q5_0 and Q3_K, a
    // wide gap between levels of IQ4_NL, a scale rounded to 4, 6 or 8 bits.
    struct known {
        std::string_view type;
        double levels;
        std::string_view hex;
    };
    const std::array<known, 12> all{{
        {"Q4_0", 15, "402ef258be1379df359bf147ac0268ce248a"},
        {"Q4_1", 15, "892e40baf257bd1379cf358ae146ac0268bd2479"},
        {"Q5_0", 31, "402ab4b4a525f4bf7b27e3ae5a16d19d4904c08c38f4"},
        {"Q5_1", 31, "532a40bab4b4a525f3bf6b27e2ae5a16d19d4904c07c38f3"},
        {"Q8_0", 254, "4d1e9dfb59b61472d02e8be947a50361be1c7ad73593f14fac0a68c62481df3d9af8"},
        {"IQ4_NL", 15, "541ef157ce137adf249cf036bd0258ce137a"},
        {"IQ4_NL", 15, "981ef157ce137adf249be146bd0258ce137a"},
        {"Q2_K", 3,
         "bcdfeebeefaceeacdedecddffedeffce6cb51b6cc61ba1c66cb1db6cb61b6cc61b71c618b1c66cb21b6dc618b1c628b168b1d66cb11b6"
         "c"
         "861bb1c66cb1d66cb21b6d861b71c628b1d76cb61b6d861bb101289d2a"},
        {"Q3_K", 7,
         "66cdb366d9336c9936cc9b66cdb366d94d1ae74cb3e758b3ed18b74c9ae74cb3897833de9d7727ed886be2d97837de9ddb2f7589dc227"
         "6"
         "88df2275c91f7285d84827e28d7823de897722dd8877e29d785df2b79c2db68b5de2f7485d22b7882d66a260aa50aa660900fc003fdf9"
         "f"},
        {"Q4_K", 15,
         "de168022fffffffafff8fafaceafbfbcc2278dd3499e055ab1167cc2388de449af056bb1277cd3389ee45aa0166bc22748ad0469c0157"
         "b"
         "d1379cf358ae046ac0268be2379df359be157ad1268ce248ada0156bc1278cd3489e045ab0167bc2378de349ae056ab1267cd2389de45"
         "9"
         "af15268ce248ad0459b0157bd1379ce348ae046ac0267bd2379df359be156ac1268c"},
        {"Q5_K", 31,
         "86125322fdfdfdfdfefbfdfeffcdedfd26cc9366c9336499324c9926cd9366d9336c9936cc9b66cdb366d9326c9936cca35f1bd6924e0"
         "a"
         "c6813df9b4602ce7a35f1bd7924e0ac5713df8a4602ce7a35f915d09c5803cf8b36f2be7a26e1ad6914d09c4703cf7b37f2be7a25e1ad"
         "5"
         "814d702be7a35f1ad6924d09c5813cf8b4602be7935e1ad6924d09c5703cf8a46f2b5e1ad5915d09c5803cf8b36f2be6a25e1ad6914d0"
         "9"
         "c4703cf7b37f2be7a25e1a"},
        {"Q6_K", 63,
         "45df28bc069f137cf08ad367f14ade285ed67df57c038b02aa22b931b85fd75e26ac058d037bf179d258d048ce27af2583fc741d960eb"
         "6"
         "2fd840b961da53fb74d158bf37be25ad048b047bf37ad159d0c941ea63eb74fb741d951ea72fc841c9bf35ad169b048df26be069d147c"
         "f"
         "38bd1a922c840d85ed77ff57d038b04aa22b6cb11b6cc61b71c61cb1cb6cb21b6cc6e74d3ad04d37904ae7913ae44d3a904d18b1c66cb"
         "1"
         "1b6c861b71c61cb1c76cb22453f9248ef9138ef4538d2452f9248e8d81877c897a8677807f897a867a8487758a"},
    }};
    for (auto const& k : all) {
        CAPTURE(std::string(k.type));
        auto const& type = type_named(k.type);
        const std::string bytes = files::from_hex(k.hex);
        REQUIRE(bytes.size() == type.bytes);
        const auto y = decode(type, as_bytes(bytes));
        const double step = 2 * (50. / 64) / k.levels;
        double worst = 0;
        for (std::size_t i = 0; i < y.size(); ++i) {
            const double x = (static_cast<double>((37 * i + 11) % 101) - 50) / 64;
            worst = std::max(worst, std::abs(double{y[i]} - x) / step);
        }
        CHECK(worst <= 1);
    }
}

TEST_CASE("random blocks decode to the same floats as in the gguf package, bit for bit") {
    const npz_reader goldens(std::string(BITLENS_TEST_DATA) + "/io/gguf_blocks.npz");
    std::size_t types = 0;
    for (auto const& type : gguf_block_types) {
        const std::string name(type.name);
        if (!goldens.contains(name + "_blocks")) continue;
        CAPTURE(name);
        const npy_array blocks = goldens.array(name + "_blocks");
        const auto expected = goldens.array(name + "_values").values<float>();
        const auto y = decode(type, blocks.bytes);
        REQUIRE(y.size() == expected.size());
        CHECK(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)) == 0);
        ++types;
    }
    CHECK(types == 11);
}
