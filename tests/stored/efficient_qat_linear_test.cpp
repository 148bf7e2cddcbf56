#include "golden_layers.hpp"
#include "stored_for_test.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

part inputs_by_group(std::vector<std::int32_t> const& groups) {
    return {"g_idx", safetensors_type::i32, {groups.size()}, bytes_of(groups)};
}
std::vector<std::int32_t> in_order(std::size_t in, std::size_t group) {
    std::vector<std::int32_t> groups(in);
    for (std::size_t c = 0; c < in; ++c) groups[c] = static_cast<std::int32_t>(c / group);
    return groups;
}

/// 32 inputs of 3 bits in known words, of `out` outputs whose zeros are 3.
std::vector<part> three_bits(std::size_t out) {
    std::vector<std::uint32_t> codes;
    for (const std::uint32_t word : {0x08FAC688u, 0x1A23EB1Au, 0x2C688FACu, 0x0000003Eu})
        codes.insert(codes.end(), out, word);
    return {words("qweight", {4, out}, codes),
            words("qzeros", {1, (out + 9) / 10}, std::vector<std::uint32_t>((out + 9) / 10, 0x1B6DB6DB)),
            floats("scales", {1, out}, std::vector<float>(out, 0.1f)), inputs_by_group(in_order(32, 32))};
}

} // namespace

TEST_CASE("ten codes of 3 bits a word (spec quantization.md, KAT-E2)") {
    for (const std::size_t out : {48u, 64u, 32u, 7u}) { // up to 32 outputs only the words tell them from 4 bits
        CAPTURE(out);
        const written_layer layer(three_bits(out));
        CHECK(layer.linear()->type() == "EfficientQAT 3-bit g32");
        const auto m = layer.read();
        REQUIRE(m.rows() == out);
        REQUIRE(m.cols() == 32);
        for (std::size_t r = 0; r < out; ++r)
            for (std::size_t i = 0; i < 32; ++i) {
                CHECK(m.codes(r, i) == i % 8);
                CHECK(m.value_at(r, i) == 0.1f * (static_cast<float>(i % 8) - 3)); // scales of 32 bits as they are
            }
    }
}

TEST_CASE("3 bits are told by shapes, whatever is said; without g_idx inputs are a multiple of 32") {
    auto parts = three_bits(64);
    CHECK(written_layer(parts, {{"quant_method", "gptq"}, {"bits", 4}}).linear()->type() == "EfficientQAT 3-bit g32");
    parts.pop_back();
    CHECK(written_layer(parts).read().cols() == 32);
    parts.push_back(inputs_by_group(in_order(40, 40)));
    CHECK(written_layer(parts).read().cols() == 40);
    const auto ambiguous = three_bits(32);
    CHECK(written_layer(ambiguous, {{"quant_method", "gptq"}, {"bits", 3}}).linear()->type() ==
          "EfficientQAT 3-bit g32");
    CHECK(written_layer(ambiguous, {{"quant_method", "gptq"}, {"bits", 4}}).linear()->type() == "GPTQ 4-bit g32");
}

TEST_CASE("2 and 4 bits in GPTQ's shapes are EfficientQAT's where nothing is said: zeros as they are") {
    const std::size_t in = 64, out = 64;
    for (const int bits : {2, 4}) {
        const auto b = static_cast<std::size_t>(bits);
        const std::uint32_t ones = 0xFFFFFFFFu / ((1u << bits) - 1);
        std::vector<part> parts{words("qweight", {in * b / 32, out}, std::vector<std::uint32_t>(in * b / 32 * out, 0)),
                                words("qzeros", {2, out * b / 32}, std::vector<std::uint32_t>(2 * out * b / 32, ones)),
                                halves("scales", {2, out}, std::vector<float>(2 * out, 0.5f)),
                                inputs_by_group(in_order(in, 32))};
        const written_layer layer(parts);
        CHECK(layer.linear()->type() == "EfficientQAT " + std::to_string(bits) + "-bit g32");
        CHECK(layer.read().value_at(5, 40) == -0.5f);
        // Said to be GPTQ's, of version 1: one is added.
        CHECK(written_layer(parts, {{"quant_method", "gptq"}}).read().value_at(5, 40) == -1.0f);

        parts.back() = inputs_by_group(in_order(in, 16));
        CHECK(written_layer(parts).refusal().find(
                  "tensor \"layer.g_idx\": without a quantization_config beside them, "
                  "groups of 32 inputs in order are expected; input 16 is of group 1") != std::string::npos);
    }
}

TEST_CASE("layers that EfficientQAT wrote have its own weights") {
    check_golden_layers("efficient_qat.safetensors", 3, [](std::string const&) { return json::object(); });
}

TEST_CASE("shapes that are no EfficientQAT layer's are refused by name") {
    const auto refusal = [](auto const& change) {
        auto parts = three_bits(64);
        change(parts);
        return written_layer(parts).refusal();
    };
    const auto has = [](std::string const& text, std::string const& words_of_it) {
        CAPTURE(text);
        return text.find(words_of_it) != std::string::npos;
    };
    CHECK(has(refusal([](auto& p) { p.erase(p.begin() + 1); }), "tensor \"layer.qzeros\" is missing"));
    CHECK(has(refusal([](auto& p) {
                  p[2] = halves("scales", {3, 64}, std::vector<float>(192));
              }),
              "scales (3, 64) do not divide 32 inputs into groups"));
    CHECK(has(refusal([](auto& p) {
                  p[2] = halves("scales", {2, 64}, std::vector<float>(128));
              }),
              "tensor \"layer.qzeros\": shape (2, 7) is expected, (1, 7) was found"));
    CHECK(has(refusal([](auto& p) {
                  p.push_back(floats("weight", {64, 32}, std::vector<float>(64 * 32)));
              }),
              "the layer's qweight is there too"));
    CHECK(has(refusal([](auto& p) {
                  p[2] = halves("scales", {1, 64}, std::vector<float>(64, 1e9f));
              }),
              "is not finite"));
}
