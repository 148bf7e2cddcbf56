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

TEST_CASE("AWQ GEMM of other bits: codes without a gap, in the order of outputs") {
    // As GPTQModel 7.7.0 packs codes (3·in + out) mod 2^bits of 32 outputs and 2 inputs, by its own _pack_contiguous.
    struct packed_input {
        int bits;
        words_list first, second;
    };
    for (packed_input const& one : {
             packed_input{2, {0xE4E4E4E4, 0xE4E4E4E4}, {0x93939393, 0x93939393}},
             packed_input{3, {0x88FAC688, 0xC688FAC6, 0xFAC688FA}, {0x63447D63, 0x7D63447D, 0x447D6344}},
             packed_input{5,
                          {0x8A418820, 0xC5A92839, 0xCA307B9A, 0x38BDAB49, 0xFFBBCDEB},
                          {0x50731483, 0xF7358B52, 0x56939460, 0x9BD6717B, 0x1041FF77}},
             packed_input{6,
                          {0x440C2040, 0xA2481C61, 0x3CE34C2C, 0x544D2450, 0xA6585D65, 0x7DE75C6D},
                          {0x07185103, 0xD30B2892, 0x49140F38, 0x17595513, 0xD71B6996, 0x8A181F79}},
             packed_input{
                 8,
                 {0x03020100, 0x07060504, 0x0B0A0908, 0x0F0E0D0C, 0x13121110, 0x17161514, 0x1B1A1918, 0x1F1E1D1C},
                 {0x06050403, 0x0A090807, 0x0E0D0C0B, 0x1211100F, 0x16151413, 0x1A191817, 0x1E1D1C1B, 0x2221201F}},
         }) {
        const int bits = one.bits;
        CAPTURE(bits);
        words_list codes = one.first;
        codes.insert(codes.end(), one.second.begin(), one.second.end());
        const auto words_a_row = static_cast<std::size_t>(bits);
        const auto layer = [&](json description) {
            return written_layer({words("qweight", {2, words_a_row}, codes),
                                  words("qzeros", {1, words_a_row}, one.second),
                                  halves("scales", {1, 32}, std::vector<float>(32, 0.5f))},
                                 std::move(description));
        };
        // Words decide, whatever is said.
        for (auto const& description :
             {json::object(), json{{"quant_method", "awq"}, {"bits", bits}}, json{{"bits", 4}}}) {
            const written_layer written = layer(description);
            CHECK(written.linear()->type() == "AWQ " + std::to_string(bits) + "-bit g2 (GEMM)");
            const auto m = written.read();
            REQUIRE(m.rows() == 32);
            REQUIRE(m.cols() == 2);
            for (std::size_t r = 0; r < 32; ++r) {
                const std::size_t all = std::size_t{1} << bits;
                CHECK(m.codes(r, 0) == r % all);
                CHECK(m.codes(r, 1) == (r + 3) % all);
                CHECK(m.zeros(r, 0) == static_cast<float>((r + 3) % all));
                CHECK(m.value_at(r, 1) == 0.0f);
            }
        }
    }
}

TEST_CASE("AWQ GEMM: what few outputs leave open, the description says") {
    const auto layer = [](std::size_t outputs, std::size_t words_a_row, json description) {
        return written_layer({words("qweight", {8, words_a_row}, words_list(8 * words_a_row, 0x76543210)),
                              words("qzeros", {1, words_a_row}, words_list(words_a_row, 0)),
                              halves("scales", {1, outputs}, std::vector<float>(outputs, 1.0f))},
                             std::move(description));
    };
    CHECK(layer(8, 1, {{"bits", 3}}).linear()->type() == "AWQ 3-bit g8 (GEMM)");
    CHECK(layer(8, 1, {{"w_bit", 2}}).linear()->type() == "AWQ 2-bit g8 (GEMM)");
    CHECK(layer(8, 1, json::object()).linear()->type() == "AWQ 4-bit g8 (GEMM)");
    CHECK(layer(8, 1, {{"bits", 8}}).linear()->type() == "AWQ 4-bit g8 (GEMM)"); // which takes two words
    CHECK(layer(16, 3, {{"bits", 6}}).linear()->type() == "AWQ 6-bit g8 (GEMM)");
    CHECK(layer(16, 3, json::object()).refusal().find("of no layout that is known") != std::string::npos);
    CHECK(layer(64, 9, {{"bits", 4}}).refusal().find("of no layout that is known") != std::string::npos);
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
