#include "stored_for_test.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

/// 64 inputs of 32 outputs that are all alike, in two groups.
written_layer alike(std::vector<std::uint32_t> const& codes, std::vector<std::uint32_t> const& zeros,
                    json description) {
    const std::size_t out = 32;
    std::vector<std::uint32_t> all, both = zeros;
    for (const std::uint32_t word : codes) all.insert(all.end(), out, word);
    both.insert(both.end(), zeros.begin(), zeros.end());
    std::vector<float> scales(out, .09765625f);
    scales.insert(scales.end(), out, -.09765625f);
    description["quant_method"] = "auto-round";
    return written_layer({words("qweight", {codes.size(), out}, all), words("qzeros", {2, zeros.size()}, both),
                          halves("scales", {2, out}, scales)},
                         description);
}

} // namespace

TEST_CASE("AutoRound: scales below 0, zeros by the layout's name (spec more-formats.md, KAT-AR)") {
    const std::vector<std::uint32_t> codes{0xB5F93E82, 0xA4E82C71, 0x93D71B5F, 0x82C60A4F,
                                           0xAF5B17D3, 0xB06C28E4, 0xC28D39F5, 0xD39F4A06};
    for (auto const& [packing, zero] :
         {std::pair{"auto_round", 0x88888888u}, std::pair{"auto_round:gptqmodel", 0x88888888u},
          std::pair{"auto_round:auto_gptq", 0x77777777u}, std::pair{"auto_round:gptq:exllamav2", 0x77777777u}}) {
        const std::string name = packing;
        CAPTURE(name);
        const auto m =
            alike(codes, std::vector<std::uint32_t>(4, zero), {{"packing_format", name}, {"group_size", 32}}).read();
        CHECK(m.zeros(31, 1) == 8);
        CHECK(m.value_at(0, 0) == .09765625f * -6);
        CHECK(m.value_at(0, 32) == -.09765625f * -5);
    }
    // Each zero − 1 for itself: one of 0 is 15, and its neighbours know nothing of it.
    const auto wrapped =
        alike(codes, {0x7777777F, 0x77777777, 0x77777777, 0x77777777}, {{"backend", "auto_round:gptq"}}).read();
    CHECK(wrapped.zeros(0, 0) == 0);
    CHECK(wrapped.zeros(1, 0) == 8);
    // Codes of 5 bits have no planes.
    std::vector<std::uint32_t> five(10), five_zeros(5);
    for (std::size_t i = 0; i < 64; ++i)
        put_code(
            word_layout::continuous, [&](std::size_t j) -> std::uint32_t& { return five[j]; }, i, 5,
            static_cast<std::uint8_t>((7 * i + 3) % 32));
    for (std::size_t i = 0; i < 32; ++i)
        put_code(
            word_layout::continuous, [&](std::size_t j) -> std::uint32_t& { return five_zeros[j]; }, i, 5, 16);
    const auto m = alike(five, five_zeros, {{"packing_format", "auto_round"}}).read();
    CHECK(m.bits == 5);
    CHECK(m.zeros(7, 1) == 16);
    for (std::size_t i = 0; i < 64; ++i) CHECK(m.codes(3, i) == (7 * i + 3) % 32);
}

TEST_CASE("AutoRound: what is refused is named") {
    const auto refusal = [](json d) {
        d["quant_method"] = "auto-round";
        return detail::auto_round_refusal(quantization_description(d, "config.json")).value_or("read");
    };
    CHECK(refusal({{"bits", 4}, {"act_bits", 16}, {"packing_format", "auto_round:llm_compressor"}}) == "read");
    CHECK(refusal({{"act_bits", 8}}) == "activations are quantized too, to 8 bits");
    CHECK(refusal({{"packing_format", "auto_round:llm_compressor:nvfp4_e5m3"}}).find("e5m3") != std::string::npos);
    CHECK(refusal({{"packing_format", "other"}}) == "layers in the layout \"other\"");
    CHECK(refusal({{"rotation_config", {{"a", 1}}}}) == "rotations");
    CHECK(refusal({{"extra_config", {{"x", {{"act_bits", 4}}}}}}) ==
          "activations of \"x\" are quantized too, to 4 bits");
    CHECK(refusal({{"extra_config", {{"x", {{"bits", 16}}}}}}) == "read");
}
