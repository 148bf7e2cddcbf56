#include "stored_for_test.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

using words_list = std::vector<std::uint32_t>;

/// Codes of one output, inputs 0 … 31, as qweight has them, under outputs of their own zero.
written_layer one_output(int bits, words_list const& codes, words_list const& zeros, json description) {
    const std::size_t outputs = 32;
    words_list all;
    for (const std::uint32_t word : codes) all.insert(all.end(), outputs, word);
    return written_layer({words("qweight", {codes.size(), outputs}, all),
                          words("qzeros", {1, outputs * static_cast<std::size_t>(bits) / 32}, zeros),
                          halves("scales", {1, outputs}, std::vector<float>(outputs, 0.5f))},
                         description);
}

std::vector<unsigned> codes_of(coded_matrix const& m, std::size_t r) {
    return {m.codes.row(r).begin(), m.codes.row(r).end()};
}
template <class Formula>
std::vector<unsigned> formula(Formula const& f) {
    std::vector<unsigned> codes;
    for (unsigned i = 0; i < 32; ++i) codes.push_back(f(i));
    return codes;
}
bool all_zeros_are(coded_matrix const& m, float zero) {
    for (const float z : m.zeros.span())
        if (z != zero) return false;
    return true;
}
const json v1{{"quant_method", "gptq"}}, v2{{"quant_method", "gptq"}, {"checkpoint_format", "gptq_v2"}},
    planar{{"quant_method", "gptq"}, {"format", "gptq_p"}};

} // namespace

TEST_CASE("codes of known words (spec quantization.md, KAT-P1)") {
    const words_list four{0x76543210, 0xFEDCBA98, 0x76543210, 0xFEDCBA98}, fours(4, 0x88888888);
    CHECK(codes_of(one_output(4, four, fours, v2).read(), 0) == formula([](unsigned i) { return i % 16; }));
    CHECK(codes_of(one_output(2, {0xB1B1B1B1, 0xB1B1B1B1}, {0xAAAAAAAA, 0xAAAAAAAA}, v2).read(), 31) ==
          formula([](unsigned i) { return (3 * i + 1) % 4; }));
    const words_list middle{0x24924924, 0x49249249, 0x92492492};
    CHECK(codes_of(one_output(3, {0x88FAC688, 0xC688FAC6, 0xFAC688FA}, middle, v2).read(), 7) ==
          formula([](unsigned i) { return i % 8; }));
    CHECK(codes_of(one_output(3, {0x43C67543, 0x7543C675, 0xC67543C6}, middle, v2).read(), 7) ==
          formula([](unsigned i) { return (5 * i + 3) % 8; }));
    CHECK(codes_of(one_output(3, {0xE4E4E4E4, 0xE4E4E4E4, 0xF0F0F0F0}, middle, planar).read(), 7) ==
          formula([](unsigned i) { return i % 8; }));
    CHECK(codes_of(one_output(3, {0x93939393, 0x93939393, 0xB4B4B4B4}, middle, planar).read(), 7) ==
          formula([](unsigned i) { return (5 * i + 3) % 8; }));
}

TEST_CASE("zeros of both versions, of 3 bits and under a wrong label") {
    const words_list four(4, 0), three(3, 0);
    const auto symmetric = [](json description) {
        description["sym"] = true;
        return description;
    };
    CHECK(all_zeros_are(one_output(4, four, words_list(4, 0x77777777), v1).read(), 8));
    CHECK(all_zeros_are(one_output(4, four, words_list(4, 0x88888888), v2).read(), 8));
    CHECK(all_zeros_are(one_output(3, three, {0x24924924, 0x49249249, 0x92492492}, v2).read(), 4));
    CHECK(all_zeros_are(one_output(3, three, {0xDB6DB6DB, 0xB6DB6DB6, 0x6DB6DB6D}, v1).read(), 4));
    // One is added to the word: a zero of 0 was stored by borrowing from its neighbours.
    const auto borrowed = one_output(4, four, {0x7777773F, 0x77777777, 0x77777777, 0x77777777}, v1).read();
    CHECK(borrowed.zeros(0, 0) == 0);
    CHECK(borrowed.zeros(1, 0) == 5);
    CHECK(borrowed.zeros(2, 0) == 8);
    // 3 bits by GPTQModel before 6.1: the second and third word of its constant had changed places.
    CHECK(all_zeros_are(one_output(3, three, {0x00000000, 0xB6DB6DB7, 0x49249249}, v1).read(), 4));
    // Symmetric codes have the middle one as zero, whatever the label says.
    CHECK(all_zeros_are(one_output(4, four, words_list(4, 0x88888888), symmetric(v1)).read(), 8));
    CHECK(all_zeros_are(one_output(4, four, words_list(4, 0x77777777), symmetric(v2)).read(), 8));
    CHECK(all_zeros_are(one_output(4, four, words_list(4, 0x88888888), v1).read(), 9));
}

TEST_CASE("what is concluded of zeros and orders is told, and nothing where all is as it is said") {
    const words_list four(4, 0), three(3, 0);
    json symmetric_v1 = v1, symmetric_v2 = v2;
    symmetric_v1["sym"] = symmetric_v2["sym"] = true;
    const auto told = [](written_layer const& layer) { return layer.linear()->conclusion(); };
    CHECK(told(one_output(4, four, words_list(4, 0x77777777), v1)).empty());
    CHECK(told(one_output(4, four, words_list(4, 0x77777777), symmetric_v1)).empty());
    CHECK(told(one_output(4, four, words_list(4, 0xFF888888), v2)).empty()); // as they are: zeros of 15
    CHECK(told(one_output(3, three, {0x00000000, 0xB6DB6DB7, 0x49249249}, v1)) ==
          "zeros of 3 bits as GPTQModel before 6.1 stores them");
    CHECK(told(one_output(4, four, words_list(4, 0x88888888), symmetric_v1)) ==
          "zeros are stored as they are, whatever its label says");
    CHECK(told(one_output(4, four, words_list(4, 0x77777777), symmetric_v2)) ==
          "zeros are stored less one, whatever its label says");
    // A zero of 0 in the third place: −1, put into the word, is ones from there on.
    CHECK(told(one_output(4, four, {0xFFFFFF77, 0x77777777, 0x77777777, 0x77777777}, v1)) ==
          "zeros may be lost: AutoGPTQ overwrites those after one of 0 in the same word");
    CHECK(told(one_output(4, four, {0xF7777777, 0x77777777, 0x77777777, 0x77777777}, v1)).empty());
}

TEST_CASE("g_idx: groups that lie apart become an order; negative ones count from the end") {
    const std::size_t in = 64, out = 32;
    words_list codes(in / 8 * out);
    for (std::size_t r = 0; r < codes.size(); ++r) codes[r] = 0x9E3779B9u * static_cast<std::uint32_t>(r + 1);
    const auto layer = [&](std::vector<std::int32_t> const& g_idx) {
        std::vector<float> scales(2 * out);
        for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = i < out ? 0.5f : 2.0f;
        return written_layer({words("qweight", {in / 8, out}, codes),
                              words("qzeros", {2, out / 8}, words_list(2 * out / 8, 0x88888888)),
                              halves("scales", {2, out}, scales),
                              {"g_idx", safetensors_type::i32, {g_idx.size()}, bytes_of(g_idx)}},
                             v2);
    };
    std::vector<std::int32_t> regular(in), apart(in), negative(in), uneven(in), beyond(in);
    for (std::size_t c = 0; c < in; ++c) {
        regular[c] = static_cast<std::int32_t>(c / 32);
        apart[c] = static_cast<std::int32_t>(c % 2);
        negative[c] = c / 32 == 0 ? -2 : -1;
        uneven[c] = c < 40 ? 0 : 1;
        beyond[c] = c < 63 ? regular[c] : 2;
    }
    const auto plain = layer(regular).read();
    CHECK(plain.order.empty());
    CHECK(layer(negative).read().order.empty());
    CHECK(layer(regular).linear()->conclusion().empty());
    CHECK(layer(negative).linear()->conclusion().empty());
    CHECK(layer(apart).linear()->conclusion() == "groups of columns that lie apart");
    const auto ordered = layer(apart).read();
    REQUIRE(ordered.order.size() == in);
    std::vector<float> row(in), other(in);
    for (std::size_t r = 0; r < out; ++r) {
        plain.read_row(r, row);
        ordered.read_row(r, other);
        for (std::size_t c = 0; c < in; ++c) {
            const float step = row[c] / (c < 32 ? 0.5f : 2.0f);
            CHECK(other[c] == step * (c % 2 == 0 ? 0.5f : 2.0f));
        }
    }
    CHECK(layer(uneven).refusal().find("groups of 32 inputs are expected") != std::string::npos);
    CHECK(layer(beyond).refusal().find("input 63 is of group 2, there are 2") != std::string::npos);
}

TEST_CASE("shapes that are no GPTQ layer's are refused by name") {
    const auto has = [](std::string const& text, std::string const& words) {
        return text.find(words) != std::string::npos;
    };
    const part scales = halves("scales", {1, 32}, std::vector<float>(32, 1.0f));
    const part codes = words("qweight", {4, 32}, words_list(128)), zeros = words("qzeros", {1, 4}, words_list(4));
    CHECK(written_layer({codes, zeros, scales}, v1).refusal() == "no refusal");
    CHECK(has(written_layer({codes, scales}, v1).refusal(), "tensor \"layer.qzeros\" is missing"));
    CHECK(has(written_layer({codes, words("qzeros", {1, 9}, words_list(9)), scales}, v1).refusal(),
              "holds zeros of 32 outputs in no number of bits"));
    CHECK(has(written_layer({codes, zeros, halves("scales", {1, 32}, std::vector<float>(32, 1e9f))}, v1).refusal(),
              "is not finite"));
    CHECK(has(written_layer({codes, zeros, scales}, {{"checkpoint_format", "marlin"}}).refusal(),
              "weights of GPTQ in the layout \"marlin\" are not read"));
}

TEST_CASE("zeros in planes come in runs of 32 outputs, of which there may be fewer") {
    const auto layer = [](std::size_t bits, std::size_t zero_words, json const& said) {
        return written_layer({words("qweight", {bits, 8}, words_list(8 * bits, 0x55555555)),
                              words("qzeros", {1, zero_words}, words_list(zero_words, 0xFFFFFFFF)),
                              halves("scales", {1, 8}, std::vector<float>(8, 0.5f)),
                              words("g_idx", {32}, words_list(32, 0))},
                             said);
    };
    for (const std::size_t bits : {5u, 6u, 7u}) {
        CAPTURE(bits);
        CHECK(all_zeros_are(layer(bits, bits, v2).read(), static_cast<float>((1u << bits) - 1)));
        CHECK(layer(bits, 2, v2).refusal() != "no refusal"); // as many words as codes of 8 outputs would fill
    }
    for (const std::size_t bits : {2u, 4u, 8u}) {
        CAPTURE(bits);
        CHECK(all_zeros_are(layer(bits, bits, planar).read(), static_cast<float>((1u << bits) - 1)));
        CHECK(layer(bits, (bits + 3) / 4, planar).refusal() != "no refusal");
    }
    const auto text = layer(4, 1, planar).refusal();
    CAPTURE(text);
    CHECK(text.find("\"layer.qzeros\": shape (1, 1) holds zeros of 8 outputs in no number of bits from 2 to 8") !=
          std::string::npos);
}
