#include "bitlens/stored/gguf_linear.hpp"

#include "bitlens/formats/affine.hpp"
#include "bitlens/formats/lookup.hpp"
#include "bitlens/formats/uniform.hpp"
#include "bitlens/io/gguf_blocks.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace bitlens;

namespace {

/// Two rows of 512 numbers in blocks of a type, all of whose scales are finite.
class blocks_in_memory {
public:
    explicit blocks_in_memory(gguf_block_type const& type)
        : bytes_(2 * 512 / type.elements * type.bytes), tensor_{"t", &type, {512, 2, 1, 1}, 2, bytes_} {
        std::uint32_t state = type.id + 1;
        for (std::byte& b : bytes_) {
            state = state * 1664525u + 1013904223u;
            b = static_cast<std::byte>(state >> 24);
        }
        for (std::byte& b : bytes_) // no f16 is infinite
            if ((std::to_integer<unsigned>(b) & 0x7Cu) == 0x7Cu) b &= std::byte{0xBF};
    }

    gguf_block_type const& type() const noexcept { return *tensor_.type; }
    std::vector<std::byte>& bytes() noexcept { return bytes_; }
    gguf_linear linear() const { return {tensor_, "model.gguf", nullptr}; }
    std::vector<float> decoded_values() const {
        std::vector<float> y(2 * 512);
        type().decode(bytes_.data(), y.size() / type().elements, y.data());
        return y;
    }

private:
    std::vector<std::byte> bytes_;
    gguf_tensor tensor_;
};

} // namespace

TEST_CASE("blocks of GGUF in codes are the numbers that they decode to, bit for bit") {
    const std::vector<std::pair<std::string, std::size_t>> groups{
        {"Q4_0", 32}, {"Q4_1", 32}, {"Q5_0", 32}, {"Q5_1", 32},   {"Q8_0", 32},   {"Q2_K", 16}, {"Q3_K", 16},
        {"Q4_K", 32}, {"Q5_K", 32}, {"Q6_K", 16}, {"IQ4_NL", 32}, {"IQ4_XS", 32}, {"MXFP4", 32}};
    std::size_t seen = 0;
    for (auto const& type : gguf_block_types) {
        if (type.parts == nullptr) continue;
        CAPTURE(std::string(type.name));
        const blocks_in_memory blocks(type);
        const auto linear = blocks.linear();
        CHECK(linear.type() == groups[seen].first);
        CHECK(linear.rows() == 2);
        CHECK(linear.cols() == 512);
        CHECK(linear.bytes() == 1024 / type.elements * type.bytes);
        const auto m = linear.read();
        CHECK(m.group_columns == groups[seen].second);
        const auto expected = blocks.decoded_values();
        std::vector<float> row(512);
        for (std::size_t r = 0; r < 2; ++r) {
            m.read_row(r, row);
            CHECK(std::memcmp(row.data(), expected.data() + 512 * r, 512 * sizeof(float)) == 0);
        }
        const auto form = linear.form();
        REQUIRE(form.has_value());
        CHECK(form->rows() == 1);
        CHECK(form->levels == m.levels);
        CHECK(form->groups() == m.groups());
        CHECK(form->offsets.rows() == (m.offsets.rows() == 0 ? 0 : 1));
        ++seen;
    }
    CHECK(seen == groups.size());
}

TEST_CASE("every type of blocks has a format that holds it exactly") {
    using all = mixed_matrix<dense<float>, uniform<4, 0, zero_kind::symmetric>, uniform<4, 32, zero_kind::symmetric>,
                             uniform<5, 32>, uniform<5, 32, zero_kind::symmetric>, uniform<8, 64>,
                             uniform<8, 32, zero_kind::symmetric>, uniform<3, 16, zero_kind::symmetric>,
                             uniform<6, 16, zero_kind::symmetric>, affine<2, 16>, affine<4, 32>, affine<5, 32>,
                             lookup<e2m1_levels, 32>, lookup<iq4_levels, 32>>;
    const std::map<std::string_view, std::string> formats{
        {"Q4_0", "uniform4-g32-sym"}, {"Q5_0", "uniform5-g32-sym"}, {"Q8_0", "uniform8-g32-sym"},
        {"Q4_1", "affine4-g32"},      {"Q5_1", "affine5-g32"},      {"Q2_K", "affine2-g16"},
        {"Q3_K", "uniform3-g16-sym"}, {"Q4_K", "affine4-g32"},      {"Q5_K", "affine5-g32"},
        {"Q6_K", "uniform6-g16-sym"}, {"IQ4_NL", "iq4-g32"},        {"IQ4_XS", "iq4-g32"},
        {"MXFP4", "e2m1-g32"}};
    for (auto const& type : gguf_block_types) {
        if (type.parts == nullptr) continue;
        CAPTURE(std::string(type.name));
        const blocks_in_memory blocks(type);
        const auto packed = packed_as<all>(blocks.linear().read());
        REQUIRE(packed.has_value());
        CHECK(packed->format_name() == formats.at(type.name));
        const auto form = packed_as<all>(*blocks.linear().form());
        REQUIRE(form.has_value());
        CHECK(form->format_name() == formats.at(type.name));
        const auto expected = blocks.decoded_values();
        for (std::size_t i = 0; i < expected.size(); ++i) CHECK(packed->value(i / 512, i % 512) == expected[i]);
    }
}

TEST_CASE("a weight in blocks that is not finite is refused by file, tensor and row") {
    const auto refusal = [](blocks_in_memory const& blocks) -> std::string {
        try {
            static_cast<void>(blocks.linear().read());
        } catch (format_error const& e) {
            return e.what();
        }
        return "no refusal";
    };
    const std::string second_row = "model.gguf: tensor \"t\": row 1 holds a number that is not finite";
    for (const std::uint16_t half : {std::uint16_t{0x7C00}, std::uint16_t{0xFC00}, std::uint16_t{0x7E00}}) {
        blocks_in_memory scale(*find_gguf_block_type(2)), least(*find_gguf_block_type(12));
        CHECK(refusal(scale) == "no refusal");
        std::memcpy(scale.bytes().data() + 20 * 18, &half, 2);
        CHECK(refusal(scale) == second_row);
        std::memcpy(least.bytes().data() + 2 * 144 + 2, &half, 2); // dmin of the third block
        CHECK(refusal(least) == second_row);
    }
    blocks_in_memory powers(*find_gguf_block_type(39));
    std::byte* const block = powers.bytes().data() + 20 * 17;
    block[0] = std::byte{254}; // 2^126
    for (std::size_t i = 1; i < 17; ++i) block[i] = std::byte{0x33};
    CHECK(refusal(powers) == "no refusal"); // 3 · 2^126
    block[16] = std::byte{0x37};
    CHECK(refusal(powers) == second_row); // 12 · 2^126
}
