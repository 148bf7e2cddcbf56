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

part shuffled(std::vector<std::size_t> shape, std::vector<std::uint16_t> const& words) {
    return {"weight", safetensors_type::i16, std::move(shape), bytes_of(words)};
}
/// Two inputs of 512 outputs in 3 bits, all codes 0.
std::vector<part> three_bit_layer(std::vector<std::uint16_t> const& words) {
    return {shuffled({96, 2}, words), halves("scales", {512, 1}, std::vector<float>(512, 1.0f)),
            halves("tables", {8}, {0, 1, 2, 3, 4, 5, 6, 7}), floats("tables2", {8, 8, 1}, std::vector<float>(64))};
}

} // namespace

TEST_CASE("3 bits in known words (spec quantization.md, KAT-F1)") {
    struct known {
        std::size_t row, col;
        std::uint16_t word;
    };
    // Codes (3k + 5n) mod 8 of input k, output n, one word at a time: what it holds decides 16 bits of 96.
    std::vector<std::uint16_t> all(96 * 2);
    for (const auto& w :
         {known{0, 0, 0x30C3}, {0, 1, 0xC30C}, {32, 0, 0x30C3}, {32, 1, 0x030C}, {64, 0, 0x30C3}, {64, 1, 0x030C}})
        all[w.row * 2 + w.col] = w.word;
    const auto m = written_layer(three_bit_layer(all)).read();
    for (std::size_t i = 0; i < 16; ++i) // of lane 0
        for (std::size_t k = 0; k < 2; ++k) CHECK(m.codes(32 * i, k) == (3 * k + 5 * 32 * i) % 8);

    std::vector<std::uint16_t> lane(96 * 2);
    lane[2] = 0x8A28, lane[3] = 0x28A2;
    const auto one = written_layer(three_bit_layer(lane)).read();
    for (const std::size_t j : {0u, 3u, 6u, 9u, 12u}) // whose codes the first word of three has whole
        for (std::size_t k = 0; k < 2; ++k) CHECK(one.codes(32 * j + 1, k) == (3 * k + 5 * (32 * j + 1)) % 8);

    std::vector<std::uint16_t> last(96 * 2);
    last[31 * 2] = 0xE79E, last[31 * 2 + 1] = 0x9E79, last[95 * 2] = 0xE79E, last[95 * 2 + 1] = 0x5E79;
    const auto other = written_layer(three_bit_layer(last)).read();
    for (const std::size_t j : {0u, 3u, 6u, 9u, 12u, 2u, 5u, 8u, 11u, 14u})
        for (std::size_t k = 0; k < 2; ++k) CHECK(other.codes(32 * j + 31, k) == (3 * k + 5 * (32 * j + 31)) % 8);
}

TEST_CASE("layers that FLUTE's packers wrote have its own weights") {
    check_golden_layers("flute.safetensors", 5, [](std::string const& name) {
        json said{{"version", "0.4.2"}};
        if (name.ends_with("tiles_of_64")) said["template_id"] = 0;
        return said;
    });
}

TEST_CASE("tiles are of 32 but for templates of 64") {
    const auto type = [](int bits, json const& said) {
        const std::size_t words = static_cast<std::size_t>(bits) * 32;
        return written_layer({shuffled({words, 2}, std::vector<std::uint16_t>(words * 2)),
                              halves("scales", {512, 1}, std::vector<float>(512, 1.0f)),
                              halves("tables", {std::size_t{1} << bits}, std::vector<float>(std::size_t{1} << bits))},
                             said)
            .linear()
            ->type();
    };
    CHECK(type(4, json::object()) == "FLUTE 4-bit g2 (tiles of 32)");
    CHECK(type(4, {{"template_id", 15}}) == "FLUTE 4-bit g2 (tiles of 64)");
    CHECK(type(4, {{"template_id", 16}}) == "FLUTE 4-bit g2 (tiles of 32)");
    CHECK(type(4, {{"template_id", 48}}) == "FLUTE 4-bit g2 (tiles of 64)");
    CHECK(type(2, {{"template_id", 3}}) == "FLUTE 2-bit g2 (tiles of 64)");
    CHECK(type(2, {{"template_id", 4}}) == "FLUTE 2-bit g2 (tiles of 32)");
    CHECK_THROWS_WITH(type(2, {{"template_id", 36}}),
                      "config.json: key \"quantization_config\": template_id 36 of 2 bits is none that is known");
}

TEST_CASE("shapes that are no FLUTE layer's are refused by name") {
    const auto refusal = [](auto const& change, json const& said = json::object()) {
        auto parts = three_bit_layer(std::vector<std::uint16_t>(96 * 2));
        change(parts);
        return written_layer(parts, said).refusal();
    };
    const auto has = [](std::string const& text, std::string const& words_of_it) {
        CAPTURE(text);
        return text.find(words_of_it) != std::string::npos;
    };
    CHECK(refusal([](auto&) {}) == "no refusal");
    CHECK(has(refusal([](auto& p) { p.erase(p.begin()); }), "tensor \"layer.weight\" is missing"));
    CHECK(has(refusal([](auto& p) {
                  p[0] = floats("weight", {512, 2}, std::vector<float>(1024));
              }),
              "I16 of rank 2 is expected, F32 of shape (512, 2) was found"));
    CHECK(has(refusal([](auto& p) { p[2] = halves("tables", {16}, std::vector<float>(16)); }),
              "shape (8) is expected, (16) was found"));
    CHECK(has(refusal([](auto& p) {
                  p[1] = halves("scales", {512, 3}, std::vector<float>(1536));
              }),
              "words (96, 2) and scales (512, 3) are those of no layer of 2, 3 or 4 bits"));
    CHECK(has(refusal([](auto& p) {
                  p[0] = shuffled({48, 2}, std::vector<std::uint16_t>(96));
                  p[1] = halves("scales", {256, 1}, std::vector<float>(256, 1.0f));
              }),
              "multiples of 512 outputs and an even number of inputs are expected of 3 bits, 256 and 2 were found"));
    CHECK(has(refusal([](auto&) {}, {{"template_id", 0}}), "codes of 3 bits in tiles of 64 are not read"));
}
