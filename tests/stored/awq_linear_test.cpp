#include "stored_for_test.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

using words_list = std::vector<std::uint32_t>;

} // namespace

TEST_CASE("AWQ GEMM: eight outputs of a word (spec quantization.md, KAT-A1)") {
    words_list codes{0x75316420};
    codes.resize(64, 0xF25E6913); // of inputs 1 …
    const auto m = written_layer({words("qweight", {64, 1}, codes), words("qzeros", {2, 1}, {0x75316420, 0}),
                                  halves("scales", {2, 8}, {1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2})})
                       .read();
    REQUIRE(m.rows() == 8);
    REQUIRE(m.cols() == 64);
    CHECK(m.group_columns == 32);
    const std::vector<unsigned> second{3, 14, 1, 5, 9, 2, 6, 15};
    for (std::size_t r = 0; r < 8; ++r) {
        CHECK(m.codes(r, 0) == r);
        CHECK(m.codes(r, 1) == second[r]);
        CHECK(m.zeros(r, 0) == static_cast<float>(r));
        CHECK(m.value_at(r, 0) == 0.0f);
        CHECK(m.value_at(r, 63) == 2.0f * static_cast<float>(second[r]));
    }
}

TEST_CASE("AWQ GEMV: nibbles in their order, room for groups that are not there") {
    words_list codes(2 * 16, 0x76543210);
    const auto layer = [&](json description) {
        return written_layer({words("qweight", {2, 16}, codes), words("qzeros", {2, 2}, {0x00000021, 0, 0x00000043, 0}),
                              halves("scales", {2, 16}, std::vector<float>(32, 0.5f))},
                             std::move(description));
    };
    const auto m = layer({{"quant_method", "awq"}, {"group_size", 64}}).read();
    REQUIRE(m.cols() == 128);
    REQUIRE(m.groups() == 2);
    CHECK(m.codes(1, 5) == 5);
    CHECK(m.zeros(0, 0) == 1);
    CHECK(m.zeros(0, 1) == 2);
    CHECK(m.zeros(1, 1) == 4);
    CHECK(m.value_at(1, 64 + 7) == 1.5f);
    CHECK(layer({{"quant_method", "awq"}}).refusal().find("group_size is expected") != std::string::npos);
    CHECK(layer({{"group_size", 4}}).refusal().find("room for 16 groups") != std::string::npos);
}

TEST_CASE("llm-awq v2: four rows together, inputs that lie 8 apart in a word") {
    const std::size_t in = 64;
    std::vector<std::uint16_t> codes(in); // of four rows
    const auto code = [](std::size_t r, std::size_t c) { return (5 * r + 3 * c + c / 7) % 16; };
    for (std::size_t r = 0; r < 4; ++r)
        for (std::size_t c = 0; c < in; ++c) { // as the packer goes: a place for each input
            const std::size_t in_run = c % 32, place = 4 * (in_run % 8) + in_run / 8;
            const std::size_t at = r * in + c / 32 * 32 + place;
            codes[at / 4] = static_cast<std::uint16_t>(codes[at / 4] | code(r, c) << (at % 4 * 4));
        }
    std::vector<float> scales(8 * 4, 0.0f), zeros(8 * 4, 0.0f);
    for (std::size_t r = 0; r < 4; ++r) {
        scales[r] = 0.5f;
        zeros[r] = -0.25f * static_cast<float>(r);
    }
    const auto m = written_layer({{"qweight", safetensors_type::i16, {1, in}, bytes_of(codes)},
                                  halves("scales", {8, 4}, scales),
                                  halves("scaled_zeros", {8, 4}, zeros)},
                                 {{"w_bit", 4}, {"q_group_size", 64}})
                       .read();
    for (std::size_t r = 0; r < 4; ++r)
        for (std::size_t c = 0; c < in; ++c) {
            CHECK(m.codes(r, c) == code(r, c));
            CHECK(m.value_at(r, c) == 0.5f * static_cast<float>(code(r, c)) - 0.25f * static_cast<float>(r));
        }
}
