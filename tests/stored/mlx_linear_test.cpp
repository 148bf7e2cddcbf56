#include "bitlens/formats.hpp"

#include "listed_layers.hpp"
#include "stored_for_test.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

TEST_CASE("what MLX writes is read to the bit") {
    const auto all = listed_layers("mlx.txt");
    CHECK(all.size() == 8);
    for (auto const& golden : all) {
        CAPTURE(golden.arguments.dump());
        CHECK(hash_of_floats(written_layer(golden.parts, golden.arguments).read()) == golden.decoded);
    }
}

TEST_CASE("MLX: known words, arguments of one layer, and what is refused (spec more-formats.md, KAT-MX)") {
    const std::vector<std::uint32_t> row{0x5B17D28E, 0x6C28E49F, 0x7D39F5B0, 0x8E4AF6C1,
                                         0xAF5B17D3, 0xB06C28E4, 0xC28D39F5, 0xD39F4A06};
    const auto layer = [&](json const& description, const char* offsets = "biases") {
        return written_layer({{"weight", safetensors_type::u32, {1, 8}, bytes_of(row)},
                              floats("scales", {1, 1}, {-.09765625f}),
                              floats(offsets, {1, 1}, {.78125f})},
                             description);
    };
    const json said{{"bits", 4}, {"group_size", 64}};
    const auto m = layer(said).read();
    CHECK(layer(said).linear()->type() == "MLX 4-bit g64");
    CHECK(m.codes(0, 0) == 14);
    CHECK(m.value_at(0, 0) == -.09765625f * 14 + .78125f);
    CHECK(m.value_at(0, 63) == -.09765625f * 13 + .78125f);
    CHECK_FALSE(layer(said).linear()->form().has_value()); // products of scales in 32 bits may round
    CHECK(layer(said, "qbiases").read().value_at(0, 0) == m.value_at(0, 0));
    CHECK(layer({{"bits", 8}, {"group_size", 32}, {"layer", said}}).read().value_at(0, 0) == m.value_at(0, 0));
    const auto refused = [&](json const& description, std::string const& words) {
        const auto text = layer(description).refusal();
        CAPTURE(text);
        CHECK(text.find(words) != std::string::npos);
    };
    refused(json::object(), "bits and group_size are expected beside weights in this layout");
    refused({{"bits", 7}, {"group_size", 64}}, "7 bits in groups of 64 are none of MLX");
    refused({{"bits", 4}, {"group_size", 48}}, "is none of codes of 4 bits in groups of 48");
    refused({{"bits", 8}, {"group_size", 16}}, "\"layer.scales\": shape (1, 2) is expected");
    refused({{"bits", 4}, {"group_size", 64}, {"mode", "nvfp4"}}, "in the mode \"nvfp4\" are not read");
}

TEST_CASE("layers of MLX stay in codes: an offset a group, or floats of 4 bits") {
    using listed = mixed_matrix<dense<float>, affine<2, 32>, affine<3, 32>, affine<4, 32>, affine<5, 32>, affine<6, 32>,
                                affine<8, 32>, affine<4, 64>, lookup<e2m1_levels, 32>>;
    std::size_t kept = 0;
    for (auto const& golden : listed_layers("mlx.txt")) {
        CAPTURE(golden.arguments.dump());
        const written_layer layer(golden.parts, golden.arguments);
        const auto form = layer.linear()->form();
        if (!form) continue;
        const auto m = layer.read();
        const auto packed = packed_as<listed>(m);
        REQUIRE(packed.has_value());
        CHECK(packed->format_name() == packed_as<listed>(*form)->format_name());
        CHECK(packed->format_name() != "f32");
        bool is_same = true;
        std::vector<float> row(m.cols());
        for (std::size_t r = 0; r < m.rows(); ++r) {
            m.read_row(r, row);
            for (std::size_t c = 0; c < row.size(); ++c) is_same = is_same && packed->value(r, c) == row[c];
        }
        CHECK(is_same);
        ++kept;
    }
    CHECK(kept > 0);
}
