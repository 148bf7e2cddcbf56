// What holds of the layers of all kinds.

#include "stored_for_test.hpp"

#include "bitlens/core/error.hpp"
#include "bitlens/stored/gguf_linear.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

/// A small layer of each kind, and what is said beside it.
struct layer_of_a_kind {
    std::string name;
    std::vector<part> parts;
    json said;
};

part filled(std::string suffix, safetensors_type type, std::vector<std::size_t> shape, unsigned byte) {
    part p{std::move(suffix), type, std::move(shape), {}};
    p.bytes.resize(detail::safetensors_bytes(type, p.shape).value(), static_cast<std::byte>(byte));
    return p;
}
part codes_in(std::string suffix, safetensors_type type, std::vector<std::size_t> shape) {
    return filled(std::move(suffix), type, std::move(shape), 0x55);
}
part zeros_in(std::vector<std::size_t> shape) {
    return filled("qzeros", safetensors_type::i32, std::move(shape), 0x11);
}
part scales_of(std::string suffix, std::vector<std::size_t> const& shape, float x = 0.5f) {
    return floats(std::move(suffix), shape, std::vector<float>(checked_product(shape).value(), x));
}

/// With these scales. No code is its zero, nor next to it.
std::vector<layer_of_a_kind> one_of_each_kind(float scale = 0.5f) {
    using enum safetensors_type;
    const std::string state = R"({"quant_type":"nf4","shape":[2,64],"blocksize":64})";
    part state_part{"weight.quant_state.bitsandbytes__nf4", u8, {state.size()}, {}};
    for (const char c : state) state_part.bytes.push_back(static_cast<std::byte>(c));
    const auto group = [](int bits, const char* type) {
        return json{
            {"config_groups", {{"g", {{"targets", {"Linear"}}, {"weights", {{"num_bits", bits}, {"type", type}}}}}}}};
    };
    const part in_pack{"weight_shape", i64, {2}, bytes_of(std::vector<std::int64_t>{4, 64})};
    return {
        {"GPTQ",
         {codes_in("qweight", i32, {8, 32}), zeros_in({2, 4}), scales_of("scales", {2, 32}, scale)},
         {{"bits", 4}, {"group_size", 32}}},
        {"GPTQ in order",
         {codes_in("qweight", i32, {8, 32}), zeros_in({1, 4}), scales_of("scales", {1, 32}, scale),
          filled("g_idx", i32, {64}, 0)},
         {{"bits", 4}, {"group_size", -1}}},
        {"AutoRound",
         {codes_in("qweight", i32, {8, 32}), zeros_in({2, 4}), scales_of("scales", {2, 32}, scale)},
         {{"quant_method", "auto-round"}, {"bits", 4}, {"group_size", 32}}},
        {"EfficientQAT",
         {codes_in("qweight", i32, {7, 64}), zeros_in({2, 7}), scales_of("scales", {2, 64}, scale)},
         {}},
        {"AWQ GEMM", {codes_in("qweight", i32, {64, 2}), zeros_in({2, 2}), scales_of("scales", {2, 16}, scale)}, {}},
        {"AWQ GEMV",
         {codes_in("qweight", i32, {16, 8}), zeros_in({16, 1}), scales_of("scales", {16, 8}, scale)},
         {{"group_size", -1}}},
        {"llm-awq",
         {codes_in("qweight", i16, {2, 64}), scales_of("scales", {8, 8}, scale), scales_of("scaled_zeros", {8, 8})},
         {{"group_size", -1}}},
        {"bitsandbytes",
         {state_part, codes_in("weight", u8, {64, 1}), scales_of("weight.absmax", {2}, scale),
          scales_of("weight.quant_map", {16}, -8)},
         {}},
        {"FLUTE",
         {codes_in("weight", i16, {32, 2}), scales_of("scales", {128, 1}, scale), scales_of("tables", {16}, -8)},
         {}},
        {"compressed-tensors",
         {codes_in("weight_packed", i32, {4, 8}), scales_of("weight_scale", {4, 1}, scale), in_pack},
         group(4, "int")},
        {"bytes", {codes_in("weight", i8, {4, 64}), scales_of("weight_scale", {4, 1}, scale)}, group(8, "int")},
        {"MLX",
         {codes_in("weight", u32, {4, 8}), scales_of("scales", {4, 1}, scale), scales_of("biases", {4, 1})},
         {{"bits", 4}, {"group_size", 64}}},
    };
}

} // namespace

TEST_CASE("a tensor without elements belongs to no layer, however large its other dimension is said to be") {
    constexpr std::size_t large = std::size_t{1} << 61;
    for (auto const& kind : one_of_each_kind()) {
        CAPTURE(kind.name);
        CHECK(written_layer(kind.parts, kind.said).refusal() == "no refusal");
        // Each alone, and all together: by rows, by columns, by both.
        for (std::size_t i = 0; i < kind.parts.size(); ++i) {
            auto parts = kind.parts;
            parts[i].shape[0] = 0;
            parts[i].bytes.clear();
            const auto text = written_layer(parts, kind.said).refusal();
            CAPTURE(text);
            CHECK(text != "no refusal");
            CHECK(text.find(parts[i].suffix) != std::string::npos);
        }
        for (const std::size_t row_count : {std::size_t{0}, large})
            for (const std::size_t col_count : {std::size_t{0}, std::size_t{1}, large}) {
                if (row_count != 0 && col_count != 0) continue;
                auto parts = kind.parts;
                for (part& p : parts) {
                    p.shape.front() = row_count;
                    p.shape.back() = p.shape.size() == 1 ? 0 : col_count;
                    p.bytes.clear();
                }
                const auto text = written_layer(parts, kind.said).refusal();
                CAPTURE(text);
                CHECK(text != "no refusal");
                CHECK(text.find(".safetensors: ") != std::string::npos);
            }
    }
}

TEST_CASE("weights that leave float32 are named, though their scales do not") {
    constexpr float largest = std::numeric_limits<float>::max();
    for (auto const& kind : one_of_each_kind(-largest)) {
        CAPTURE(kind.name);
        const auto text = written_layer(kind.parts, kind.said).refusal();
        CAPTURE(text);
        CHECK(text.find("row 0 holds a number that is not finite") != std::string::npos);
        CHECK(text.find(".safetensors: linear layer \"layer\"") != std::string::npos);
    }
    // Only the last output: its second group, inputs of which lie apart.
    auto gptq = one_of_each_kind().front();
    std::vector<std::uint32_t> groups(64);
    for (std::size_t c = 0; c < 64; ++c) groups[c] = c % 2;
    gptq.parts.push_back(words("g_idx", {64}, groups));
    std::vector<float> scales(64, 0.5f);
    scales[63] = largest;
    gptq.parts[2] = floats("scales", {2, 32}, scales);
    const auto text = written_layer(gptq.parts, gptq.said).refusal();
    CAPTURE(text);
    CHECK(text.find("row 31 holds a number that is not finite") != std::string::npos);
}
