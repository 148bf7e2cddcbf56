#include "bitlens/io/gguf_blocks.hpp"

#include "bitlens/io/npz.hpp"
#include "files.hpp"

#include <array>
#include <bit>
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

/// Byte i is (73i + 19) mod 256.
std::vector<std::byte> block_of(gguf_block_type const& type) {
    std::vector<std::byte> block(type.bytes);
    for (std::size_t i = 0; i < block.size(); ++i) block[i] = static_cast<std::byte>((73 * i + 19) % 256);
    return block;
}
void put(std::vector<std::byte>& block, std::size_t place, std::uint16_t half) { std::memcpy(&block[place], &half, 2); }

/// Σ y, Σ (i + 1) y, exact where y has few bits.
std::array<double, 2> sums(std::vector<float> const& y) {
    double sum = 0, weighted = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        sum += double{y[i]};
        weighted += static_cast<double>(i + 1) * double{y[i]};
    }
    return {sum, weighted};
}

} // namespace

static_assert(find_gguf_block_type(12)->name == "Q4_K" && find_gguf_block_type(4) == nullptr);
static_assert(find_gguf_block_type(22)->name == "IQ2_S" && find_gguf_block_type(22)->decode == nullptr);
static_assert(find_gguf_block_type(0xFFFFFFFF) == nullptr);

TEST_CASE("blocks of known bytes decode to known numbers (spec quantization.md, KAT-D)") {
    struct known {
        std::string_view type;
        std::size_t d, min; // where d = 1/16 and, if it is not 0, m or dmin = 1/32 stand
        std::array<float, 4> first;
        float y16, last;
        double sum, weighted; // Σ y, Σ (i + 1) y
    };
    const std::array<known, 12> all{{
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
        {"IQ4_XS", 0, 0, {-21.375f, 27.5625f, -38.8125f, 12.375f}, 19.6875f, 13.8125f, -1390, -309123.5625},
    }};
    for (auto const& k : all) {
        CAPTURE(std::string(k.type));
        auto const& type = type_named(k.type);
        auto block = block_of(type);
        put(block, k.d, 0x2C00);
        if (k.min != 0) put(block, k.min, 0x2800);
        const auto y = decode(type, block);
        for (std::size_t i = 0; i < 4; ++i) CHECK(y[i] == k.first[i]);
        CHECK(y[16] == k.y16);
        CHECK(y.back() == k.last);
        CHECK(sums(y) == std::array{k.sum, k.weighted});
    }
}

TEST_CASE("the same blocks with scales of many bits, and the numbers that they are products of (KAT-GD, KAT-GS)") {
    struct known {
        std::string_view type;
        std::size_t d, min; // where d = 0x3555 and, if it is not 0, dmin = 0x2E66 (of Q4_1 m = −dmin) stand
        std::array<std::size_t, 4> places;
        std::array<std::uint32_t, 4> values; // bits of y there
        double sum;
        std::vector<int> scales, mins; // of each group
    };
    const std::array<std::size_t, 4> of_32{0, 1, 17, 31}, of_256{0, 1, 100, 255};
    const std::vector<int> one{1}, scales{55, 0, 9, 18, 15, 40, 49, 10}, mins{27, 36, 45, 54, 23, 44, 49, 5};
    const std::vector<known> all{
        {"Q4_0", 0, 0, of_32, {0xBF7FF000, 0x3FFFF000, 0x3FFFF000, 0x3FFFF000}, -2.332763671875, one, {}},
        {"Q4_1", 0, 2, of_32, {0x400EE600, 0xBDCCC000, 0x40243A00, 0x400EE600}, 75.114990234375, one, one},
        {"Q8_0", 0, 0, of_32, {0xC1F29B80, 0xC0BFF400, 0x4227F580, 0x42254B00}, 90.64453125, one, {}},
        {"IQ4_NL", 0, 0, of_32, {0xC13A9F00, 0x41ED4680, 0x41ED4680, 0x41ED4680}, -20.994873046875, one, {}},
        {"Q2_K",
         80,
         82,
         of_256,
         {0x40398E00, 0xBDCCC000, 0x40F98A00, 0x40C54900},
         755.548828125,
         {3, 12, 5, 14, 7, 0, 9, 2, 11, 4, 13, 6, 15, 8, 1, 10},
         {1, 5, 10, 14, 3, 8, 12, 1, 5, 10, 14, 3, 7, 12, 1, 5}},
        {"Q3_K",
         108,
         0,
         of_256,
         {0x4197F680, 0xC1CA9E00, 0xC1C7F380, 0x00000000},
         202.6171875,
         {19, -20, -11, 14, 7, -16, 25, -14, 23, -21, -32, -12, 9, -18, -14, 7},
         {}},
        {"Q4_K", 0, 2, of_256, {0x42512620, 0x43593F38, 0x429D2960, 0x422B4AA0}, 14362.892578125, scales, mins},
        {"Q5_K", 0, 2, of_256, {0x43ACC644, 0x43593F38, 0xC0ACC200, 0x4245F3A0}, 32299.845703125, scales, mins},
        {"Q6_K",
         208,
         0,
         of_256,
         {0xC38E7718, 0x4395F6A0, 0xC34648F0, 0x420AA200},
         4098.9990234375,
         {-45, 28, 101, -82, -9, 64, -119, -46, 27, 100, -83, -10, 63, -120, -47, 26},
         {}},
        {"IQ4_XS",
         0,
         0,
         of_32,
         {0xC2E3F1C0, 0x4312F6D0, 0xC295F6A0, 0xC295F6A0},
         -7411.5234375,
         {-9, -13, 0, 8, 9, 28, 2, 17},
         {}},
    };
    const float d = f16::from_bits(0x3555), dmin = f16::from_bits(0x2E66);
    for (auto const& k : all) {
        CAPTURE(std::string(k.type));
        auto const& type = type_named(k.type);
        auto block = block_of(type);
        put(block, k.d, 0x3555);
        if (k.min != 0) put(block, k.min, k.type == "Q4_1" ? 0xAE66 : 0x2E66);
        const auto y = decode(type, block);
        for (std::size_t i = 0; i < 4; ++i) CHECK(y[k.places[i]] == std::bit_cast<float>(k.values[i]));
        CHECK(sums(y)[0] == k.sum);

        std::vector<std::uint8_t> codes(type.elements);
        std::vector<float> found_scales(k.scales.size()), found_offsets(k.scales.size());
        REQUIRE(type.elements / type.parts->group == k.scales.size());
        REQUIRE(type.parts->has_offsets == !k.mins.empty());
        type.parts->take_apart(block.data(), codes.data(), found_scales.data(), found_offsets.data());
        for (std::size_t g = 0; g < k.scales.size(); ++g) CHECK(found_scales[g] == d * static_cast<float>(k.scales[g]));
        for (std::size_t g = 0; g < k.mins.size(); ++g)
            CHECK(found_offsets[g] == -(dmin * static_cast<float>(k.mins[g])));
    }
}

TEST_CASE("MXFP4: a power of two and E2M1 (more-formats.md, §2.3)") {
    auto const& type = type_named("MXFP4");
    auto block = block_of(type);
    block[0] = std::byte{0x7B};
    const auto y = decode(type, block);
    CHECK(std::vector(y.begin(), y.begin() + 4) == std::vector{-.125f, .1875f, -.25f, .375f});
    CHECK(sums(y) == std::array{.25, 6.75});
    block[0] = std::byte{0};
    CHECK(decode(type, block)[0] == -0x1p-126f);
    CHECK(decode(type, block)[1] == 1.5f * 0x1p-126f);
    block[0] = std::byte{1};
    CHECK(decode(type, block)[0] == -0x1p-125f);
    // x[i] = (((37i + 11) mod 101) − 50)/64 in its nearest codes, ties to the smaller (KAT-GM)
    const auto known = files::from_hex("7c7ec056fe9267ec147fda35feb056ed93");
    const auto z = decode(type, as_bytes(known));
    constexpr std::array<double, 8> e2m1{0, .5, 1, 1.5, 2, 3, 4, 6};
    for (std::size_t i = 0; i < z.size(); ++i) {
        const double x = (static_cast<double>((37 * i + 11) % 101) - 50) / 64;
        double best = 1;
        for (const double level : e2m1) best = std::min(best, std::abs(std::abs(x) - level / 8));
        CHECK(std::abs(double{z[i]} - x) == best);
    }
}

TEST_CASE("IQ4_XS that ggml's quantizer made decodes to known numbers (KAT-GX)") {
    const auto known = files::from_hex("ab8a3c0ce00ee021f157ce137adf249be146bd0258ce137a42fd9621ec741fda530eb831fd9620e"
                                       "ba721ec751fda530eb842fd9620ec741"
                                       "f248be035acf157ce137adf249be146bde035acf157ce1369df249be136adf258630fc942fea721"
                                       "ec751fda530eb842fd47be1269df248b"
                                       "e035adf157ce137adf0269df138be035adf147ce1269df249b");
    const auto y = decode(type_named("IQ4_XS"), as_bytes(known));
    REQUIRE(y.size() == 256);
    CHECK(std::vector(y.begin(), y.begin() + 4) ==
          std::vector{-.677215576171875f, -.06511688232421875f, .5795402526855469f, -.4232597351074219f});
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
    CHECK(types == 13);
}
