#include "bitlens/stored/gguf_blocks_of.hpp"

#include "bitlens/formats/coded_matrix.hpp"
#include "bitlens/io/gguf_blocks.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

gguf_block_type const& gguf_type_named(std::string const& name) {
    for (auto const& type : gguf_block_types)
        if (type.name == name) return type;
    throw option_error("no type " + name);
}

/// 3 × 128 codes in groups of 64 whose scales are halves, codes about the middle one.
coded_matrix centred(int bits) {
    coded_matrix m(bits, 3, 128, 64);
    m.zeros = matrix<float>(3, 2);
    for (std::size_t r = 0; r < 3; ++r) {
        for (std::size_t k = 0; k < 128; ++k)
            m.codes(r, k) = static_cast<std::uint8_t>((29 * r + 7 * k + k / 5) % (std::size_t{1} << bits));
        for (std::size_t g = 0; g < 2; ++g) {
            m.scales(r, g) = f16(0.013f * static_cast<float>(r + 1) - 0.05f * static_cast<float>(g));
            m.zeros(r, g) = static_cast<float>(1 << (bits - 1));
        }
    }
    return m;
}

/// What the blocks decode to is the matrix.
void check_same(coded_matrix const& m, gguf_block_type const& type) {
    const auto blocks = gguf_blocks_of(m, type, "w");
    REQUIRE(blocks.size() == m.rows() * m.cols() / type.elements * type.bytes);
    std::vector<float> y(m.rows() * m.cols()), row(m.cols());
    type.decode(blocks.data(), y.size() / type.elements, y.data());
    bool is_same = true;
    for (std::size_t r = 0; r < m.rows(); ++r) {
        m.read_row(r, row);
        for (std::size_t c = 0; c < row.size(); ++c) is_same = is_same && row[c] == y[r * m.cols() + c];
    }
    CHECK(is_same);
}

std::string refusal_of(coded_matrix const& m, std::string const& type) {
    try {
        static_cast<void>(gguf_blocks_of(m, gguf_type_named(type), "layer w"));
    } catch (error const& e) {
        return e.what();
    }
    return "no refusal";
}
bool refusal_says(std::string const& text, std::string const& words) { return text.find(words) != std::string::npos; }

} // namespace

TEST_CASE("codes about the middle one are held by every type of as many bits, and by F32") {
    for (const int bits : {2, 3, 4, 5, 8})
        for (std::string const name : {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F32"}) {
            CAPTURE(bits);
            CAPTURE(name);
            const int room = name[0] == 'F' ? 8 : name[1] - '0';
            if (bits <= room)
                check_same(centred(bits), gguf_type_named(name));
            else
                CHECK(refusal_says(refusal_of(centred(bits), name), "lies on none of its levels"));
        }
}

TEST_CASE("blocks that are read and written again are the same bytes") {
    for (std::string const name : {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"}) {
        CAPTURE(name);
        auto const& type = gguf_type_named(name);
        std::vector<std::byte> block(type.bytes);
        for (std::size_t i = 0; i < block.size(); ++i) block[i] = static_cast<std::byte>((73 * i + 19) % 256);
        block[1] = std::byte{0x2C};
        if (type.parts->has_offsets) block[3] = std::byte{0x28};
        coded_matrix m(type.parts->bits, 1, 32, 32);
        m.levels.assign(type.parts->levels.begin(), type.parts->levels.end());
        if (type.parts->has_offsets) m.offsets = matrix<float>(1, 1);
        type.parts->take_apart(block.data(), m.codes.data(), m.scales.data(), m.offsets.data());
        CHECK(gguf_blocks_of(m, type, "w") == block);
    }
}

TEST_CASE("zeros make minimums of Q4_1 where 16 bits hold them; a scale of 0 needs no level") {
    auto m = centred(3);
    m.zeros(1, 0) = 0;
    m.zeros(1, 1) = 7;
    m.scales(1, 1) = 0.375f;
    m.scales(2, 0) = 0;
    m.zeros(2, 0) = 200;
    check_same(m, gguf_type_named("Q4_1"));
    m.scales(1, 1) = f16::from_bits(0x3555); // 7 × it has more than 11 bits
    CHECK(refusal_says(refusal_of(m, "Q4_1"), "row 1, columns from 64 on: the minimum -2.33"));
    CHECK(refusal_says(refusal_of(m, "Q4_1"), "is no number of 16 bits"));
    check_same(m, gguf_type_named("Q4_0")); // there is no minimum to round
}

TEST_CASE("what would be lost is said") {
    auto m = centred(4);
    m.scales(2, 1) = 0.1f;
    CHECK(refusal_of(m, "Q4_0") == "layer w: Q4_0 does not hold it exactly: row 2, columns from 64 on: the scale "
                                   "0.10000000149011612 is no number of 16 bits");
    CHECK(refusal_says(refusal_of(m, "F16"), "layer w: F16 does not hold it exactly: row 0, column "));
    CHECK(refusal_says(refusal_of(m, "F16"), " has more bits"));
    for (float& scale : m.scales.span()) scale = 0.25f;
    check_same(m, gguf_type_named("F16"));
    check_same(m, gguf_type_named("BF16"));
    m = centred(4);
    check_same(m, gguf_type_named("F32"));
    m = centred(4);
    m.zeros(0, 0) = 7;
    m.codes(0, 5) = 15;
    m.codes(0, 4) = 0;
    CHECK(refusal_says(refusal_of(m, "Q4_0"), "row 0, column 5"));
    m.zeros(0, 0) = 7.5f;
    CHECK(refusal_says(refusal_of(m, "Q8_0"), "lies on none of its levels"));
    m = centred(4);
    m.order.resize(128);
    std::iota(m.order.begin(), m.order.end(), 0u);
    check_same(m, gguf_type_named("Q4_0"));
    std::swap(m.order[0], m.order[1]);
    CHECK(refusal_says(refusal_of(m, "Q4_0"), "its columns lie in an order of their own"));
    check_same(m, gguf_type_named("F32"));
    CHECK(refusal_says(refusal_of(coded_matrix(4, 1, 48, 16), "Q4_0"), "48 columns are no multiple"));
    CHECK(refusal_says(refusal_of(coded_matrix(4, 1, 96, 48), "Q4_0"), "groups of 48 columns"));
    CHECK(refusal_says(refusal_of(coded_matrix(4, 1, 256, 32), "Q4_K"), "type Q4_K are not written"));
}
