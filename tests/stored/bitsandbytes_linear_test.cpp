#include "golden_layers.hpp"
#include "stored_for_test.hpp"

#include "bitlens/formats/normal_float.hpp"
#include "bitlens/quantizers/dynamic_map.hpp"
#include "bitlens/stored/write_bitsandbytes.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

const std::string nf4_part = "weight.quant_state.bitsandbytes__nf4";

part bytes_part(std::string suffix, std::vector<std::size_t> shape, std::vector<std::uint8_t> const& bytes) {
    return {std::move(suffix), safetensors_type::u8, std::move(shape), bytes_of(bytes)};
}
part state_part(json const& state, std::string suffix = nf4_part) {
    const std::string text = state.dump();
    return bytes_part(std::move(suffix), {text.size()}, {text.begin(), text.end()});
}
json state_of(std::size_t rows, std::size_t cols, std::size_t block) {
    return {{"quant_type", "nf4"}, {"blocksize", block}, {"dtype", "float32"}, {"shape", {rows, cols}}};
}
std::vector<std::uint8_t> from_hex(std::string const& text) {
    std::vector<std::uint8_t> bytes;
    for (std::size_t i = 0; i < text.size(); i += 2)
        bytes.push_back(static_cast<std::uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
    return bytes;
}
const part nf4_levels =
    floats("weight.quant_map", {16}, {detail::normal_float_levels<4>.begin(), detail::normal_float_levels<4>.end()});

/// A layer of NF4, 2×64 in blocks of 64, of which a test changes what it likes.
std::vector<part> small_layer() {
    return {bytes_part("weight", {64, 1}, std::vector<std::uint8_t>(64, 0x7F)),
            floats("weight.absmax", {2}, {0.5f, 2.0f}), nf4_levels, state_part(state_of(2, 64, 64))};
}
template <class Change>
std::string refusal_after(Change const& change) {
    auto parts = small_layer();
    change(parts);
    return written_layer(parts).refusal();
}
bool says(std::string const& text, std::string const& words) {
    CAPTURE(text);
    return text.find(words) != std::string::npos;
}

} // namespace

TEST_CASE("NF4 of known bytes (spec quantization.md, KAT-N)") {
    const std::string hex = "17e29f3b05d17e2af4c06d18e2a04c16e29f3b05d17e29f3c05d18e2af4c16e1"
                            "9f3b05d17e29f3b05d18e2af4c06e18e3b04d17e29f3b05d17e2af4c06d18e2a";
    const auto m = written_layer({bytes_part("weight", {64, 1}, from_hex(hex)),
                                  floats("weight.absmax", {2}, {0.78125f, 0.765625f}), nf4_levels,
                                  state_part(state_of(1, 128, 64))})
                       .read();
    CHECK(m.group_columns == 64);
    CHECK(m.value_at(0, 0) == -0.5439006090164185f);
    CHECK(m.value_at(0, 1) == 0.0f);
    CHECK(m.value_at(0, 2) == 0.564810037612915f);
    CHECK(m.value_at(0, 3) == -0.41021332144737244f);
    CHECK(m.scales(0, 1) == 0.765625f);
}

TEST_CASE("scales that are quantized themselves, of a known map (spec quantization.md, KAT-N)") {
    const auto map = dynamic_map();
    json state = state_of(4, 64, 64);
    state["nested_blocksize"] = 2;
    state["nested_dtype"] = "float32";
    state["nested_offset"] = 0.74609375;
    const std::vector<part> parts{bytes_part("weight", {128, 1}, std::vector<std::uint8_t>(128, 0xFF)),
                                  bytes_part("weight.absmax", {4}, {0, 71, 243, 51}),
                                  nf4_levels,
                                  floats("weight.nested_absmax", {2}, {0.24609375f, 0.24609375f}),
                                  floats("weight.nested_quant_map", {256}, {map.begin(), map.end()}),
                                  state_part(state)};
    const written_layer layer(parts);
    CHECK(layer.linear()->type() == "bitsandbytes NF4 b64 nested");
    const auto m = layer.read();
    CHECK(m.scales(0, 0) == 0.50173032f);
    CHECK(m.scales(1, 0) == 0.72667539f);
    CHECK(m.scales(2, 0) == 0.95238954f);
    CHECK(m.scales(3, 0) == 0.67822570f);
}

TEST_CASE("layers that bitsandbytes 0.50.2 wrote have its own weights") {
    check_golden_layers("bitsandbytes.safetensors", 9, [](std::string const&) { return json::object(); });
}

TEST_CASE("blocks over the flattened matrix become groups that lie within one block in every row") {
    // Rows of 48 in blocks of 64: every third group of 16 is the first of a block in some row.
    std::vector<float> scales{1, 2, 4};
    const auto m = written_layer({bytes_part("weight", {96, 1}, std::vector<std::uint8_t>(96, 0xFF)),
                                  floats("weight.absmax", {3}, scales), nf4_levels, state_part(state_of(4, 48, 64))})
                       .read();
    CHECK(m.group_columns == 16);
    for (std::size_t r = 0; r < 4; ++r)
        for (std::size_t c = 0; c < 48; ++c) CHECK(m.value_at(r, c) == scales[(r * 48 + c) / 64]);
}

TEST_CASE("a layer whose tensors say so is quantized, and one beside it is not, whatever a list says") {
    const temporary_folder folder;
    std::vector<safetensors_entry> entries;
    const auto parts = small_layer();
    for (auto const& p : parts) entries.push_back({"layer." + p.suffix, p.type, p.shape, p.bytes});
    const auto plain = halves("weight", {2, 2}, {1, 2, 3, 4});
    entries.push_back({"skipped.weight", plain.type, plain.shape, plain.bytes});
    write_safetensors(folder / "model.safetensors", entries);
    const safetensors_folder files(folder.path());
    const auto found = find_linear_tensors(files.tensors());
    CHECK(found.size() == 1);
    CHECK(found.contains("layer"));
}

TEST_CASE("what no layer of bitsandbytes has is refused by name") {
    CHECK(written_layer(small_layer()).refusal() == "no refusal");
    CHECK(says(refusal_after([](auto& p) { p.erase(p.begin()); }), "tensor \"layer.weight\" is missing"));
    CHECK(says(refusal_after([](auto& p) { p.erase(p.begin() + 1); }), "tensor \"layer.weight.absmax\" is missing"));
    CHECK(says(refusal_after([](auto& p) { p.pop_back(); }), "tensor \"layer." + nf4_part + "\" is missing"));
    CHECK(says(refusal_after([](auto& p) { p[0].shape = {32, 2}; }), "no refusal"));
    CHECK(says(refusal_after([](auto& p) { p[3] = state_part(state_of(2, 66, 64)); }),
               "tensor \"layer.weight\": 66 bytes are expected of shape (2, 66) in 4 bits, 64 were found"));
    CHECK(says(refusal_after([](auto& p) { p[3] = state_part(state_of(2, 64, 32)); }),
               "tensor \"layer.weight.absmax\": shape (4) is expected, (2) was found"));
    CHECK(says(refusal_after([](auto& p) { p[3] = state_part(state_of(2, 64, 0)); }),
               "key \"blocksize\": 0 means nothing"));
    CHECK(says(refusal_after([](auto& p) { p[3] = state_part(state_of(std::size_t{1} << 62, 64, 64)); }),
               "more elements than can be counted"));
    CHECK(says(refusal_after([](auto& p) {
                   json state = state_of(2, 64, 64);
                   state["shape"] = {128};
                   p[3] = state_part(state);
               }),
               "key \"shape\": that of a matrix is expected, (128) was found"));
    CHECK(says(refusal_after([](auto& p) { p[3].suffix = "weight.quant_state.bitsandbytes__fp4"; }),
               "key \"quant_type\": fp4 is expected, \"nf4\" was found"));
    CHECK(says(refusal_after([](auto& p) {
                   p.push_back(state_part(state_of(2, 64, 64), "weight.quant_state.bitsandbytes__fp4"));
               }),
               "one state of the codes is expected"));
    CHECK(says(refusal_after([](auto& p) { p[3].bytes[0] = std::byte{'['}; }), "no valid JSON"));
    CHECK(says(refusal_after([](auto& p) {
                   p[1] = bytes_part("weight.absmax", {2}, {1, 2});
               }),
               "U8 beside nested_absmax or F32 without it is expected, U8 without it was found"));
    CHECK(says(refusal_after([](auto& p) { p.push_back(floats("weight.nested_absmax", {1}, {1.0f})); }),
               "F32 beside it was found"));
    CHECK(says(refusal_after([](auto& p) { p[2] = floats("weight.quant_map", {8}, std::vector<float>(8)); }),
               "shape (16) is expected, (8) was found"));
    CHECK(says(refusal_after([](auto& p) {
                   p[1] = floats("weight.absmax", {2}, {1.0f, std::numeric_limits<float>::quiet_NaN()});
               }),
               "tensor \"layer.weight.absmax\": row 0, column 1 is not finite"));
    CHECK(says(
        written_layer({{"weight", safetensors_type::i8, {2, 4}, std::vector<std::byte>(8)}, floats("SCB", {2}, {1, 1})})
            .refusal(),
        "tensor \"layer.SCB\" belongs to a layer of LLM.int8, which rounds activations too and is not read"));
}

TEST_CASE("a matrix of NF4 is written as bitsandbytes keeps it and read again") {
    const auto round_trip = [](std::size_t rows, std::size_t cols, std::size_t group) {
        coded_matrix m(4, rows, cols, group);
        m.levels.assign(detail::normal_float_levels<4>.begin(), detail::normal_float_levels<4>.end());
        for (std::size_t i = 0; i < rows * cols; ++i) m.codes.data()[i] = static_cast<std::uint8_t>(i * 7 % 16);
        for (std::size_t i = 0; i < m.scales.span().size(); ++i) m.scales.data()[i] = 0.1f + static_cast<float>(i) / 7;
        const written_layer layer(write_bitsandbytes(m));
        const auto back = layer.read();
        CHECK(back.rows() == rows);
        CHECK(back.cols() == cols);
        CHECK(back.levels == m.levels);
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t c = 0; c < cols; ++c) {
                CHECK(back.codes(r, c) == m.codes(r, c));
                CHECK(back.value_at(r, c) == m.value_at(r, c));
            }
        return layer.linear()->type();
    };
    CHECK(round_trip(3, 128, 64) == "bitsandbytes NF4 b64");
    CHECK(round_trip(2, 128, 32) == "bitsandbytes NF4 b32");
    CHECK(round_trip(3, 64, 0) == "bitsandbytes NF4 b64");
    CHECK(round_trip(1, 33, 0) == "bitsandbytes NF4 b4096"); // one scale
    CHECK(round_trip(3, 192, 192) == "bitsandbytes NF4 b64");

    const auto refusal_of = [](auto const& change) {
        coded_matrix m(4, 2, 64, 64);
        m.levels.assign(detail::normal_float_levels<4>.begin(), detail::normal_float_levels<4>.end());
        m.scales(1, 0) = 1;
        change(m);
        try {
            static_cast<void>(write_bitsandbytes(m));
        } catch (shape_error const& e) {
            return std::string(e.what());
        }
        return std::string("no refusal");
    };
    CHECK(refusal_of([](coded_matrix&) {}) == "no refusal");
    CHECK(says(refusal_of([](coded_matrix& m) { m.levels[3] = 0; }), "the levels of NF4 are expected"));
    CHECK(says(refusal_of([](coded_matrix& m) { m.levels.clear(); }), "the levels of NF4 are expected"));
    CHECK(says(refusal_of([](coded_matrix& m) { m.offsets = matrix<float>(2, 1); }), "offsets of groups are not held"));
    CHECK(says(refusal_of([](coded_matrix& m) {
                   m.zeros = matrix<float>(2, 1);
                   m.zeros(0, 0) = 1;
               }),
               "zeros of groups are not held"));
    CHECK(says(refusal_of([](coded_matrix& m) { m.order.assign(64, 0); }), "act order"));
    CHECK(says(refusal_of([](coded_matrix& m) {
                   const auto levels = m.levels;
                   m = coded_matrix(4, 2, 48, 48);
                   m.levels = levels;
                   m.scales(1, 0) = 1;
               }),
               "groups of 48 in rows of 48 are others"));
}
