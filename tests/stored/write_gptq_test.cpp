#include "stored_for_test.hpp"

#include "bitlens/stored/write_awq.hpp"
#include "bitlens/stored/write_gptq.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

/// Codes and zeros of every value but, of `least` 1, a zero of 0.
coded_matrix with_zeros(int bits, std::size_t rows, std::size_t cols, std::size_t group, std::size_t least = 0) {
    coded_matrix m(bits, rows, cols, group);
    const std::size_t codes = std::size_t{1} << bits;
    m.zeros = matrix<float>(rows, m.groups());
    for (std::size_t i = 0; i < rows * cols; ++i)
        m.codes.data()[i] = static_cast<std::uint8_t>((i * 2654435761u >> 7) % codes);
    for (std::size_t i = 0; i < rows * m.groups(); ++i) {
        m.scales.data()[i] = f16(0.01f + static_cast<float>(i) / 997);
        m.zeros.data()[i] = static_cast<float>(least + i * 5 % (codes - least));
    }
    return m;
}

void check_same(coded_matrix const& a, coded_matrix const& b) {
    REQUIRE(a.rows() == b.rows());
    REQUIRE(a.cols() == b.cols());
    CHECK(a.bits == b.bits);
    CHECK(a.order == b.order);
    CHECK(std::ranges::equal(a.codes.span(), b.codes.span()));
    CHECK(std::ranges::equal(a.scales.span(), b.scales.span()));
    CHECK(std::ranges::equal(a.zeros.span(), b.zeros.span()));
}

template <class Write>
std::string refusal_to(Write const& write) {
    try {
        static_cast<void>(write());
    } catch (shape_error const& e) {
        return e.what();
    }
    return "no refusal";
}
template <class Change>
coded_matrix changed(Change const& change) {
    auto m = with_zeros(4, 32, 64, 32, 1);
    change(m);
    return m;
}
json said(const char* format, std::size_t group) {
    return {{"quant_method", "gptq"}, {"checkpoint_format", format}, {"group_size", group}};
}

} // namespace

TEST_CASE("a matrix is written as GPTQ keeps it, in both versions, and read again") {
    for (const int bits : {2, 3, 4, 8})
        for (const std::size_t group : {32u, 64u, 96u}) {
            CAPTURE(bits);
            CAPTURE(group);
            const auto newer = with_zeros(bits, 64, 96, group);
            check_same(newer, written_layer(write_gptq(newer), said("gptq_v2", group)).read());
            const auto older = with_zeros(bits, 64, 96, group, 1);
            check_same(older, written_layer(write_gptq(older, gptq_zeros::less_one), said("gptq", group)).read());
        }
    // One group a row; zeros that are part of the levels.
    auto symmetric = with_zeros(3, 32, 64, 0);
    symmetric.zeros = {};
    for (int q = 0; q < 8; ++q) symmetric.levels.push_back(static_cast<float>(q - 4));
    const auto back = written_layer(write_gptq(symmetric, gptq_zeros::less_one), said("gptq", 64)).read();
    CHECK(std::ranges::all_of(back.zeros.span(), [](float z) { return z == 4; }));
    for (std::size_t k = 0; k < 64; ++k) CHECK(back.value_at(9, k) == symmetric.value_at(9, k));
    // Scales of 32 bits, where they are asked for.
    auto fine = with_zeros(4, 32, 64, 32);
    fine.scales(3, 1) = 0.1f;
    check_same(fine,
               written_layer(write_gptq(fine, gptq_zeros::plain, safetensors_type::f32), said("gptq_v2", 32)).read());
}

TEST_CASE("an order of columns is written as g_idx and read again") {
    auto m = with_zeros(4, 32, 64, 32);
    for (std::uint32_t c = 0; c < 64; c += 2) m.order.push_back(c);
    for (std::uint32_t c = 1; c < 64; c += 2) m.order.push_back(c);
    check_same(m, written_layer(write_gptq(m), said("gptq_v2", 32)).read());
    // Within a group columns come back in rising order, with the weights that they had.
    std::swap(m.order[0], m.order[31]);
    const auto back = written_layer(write_gptq(m), said("gptq_v2", 32)).read();
    std::vector<float> row(64), other(64);
    for (std::size_t r = 0; r < 32; ++r) {
        m.read_row(r, row);
        back.read_row(r, other);
        CHECK(row == other);
    }
}

TEST_CASE("known words of GPTQ are written (spec quantization.md, KAT-P1)") {
    coded_matrix m(3, 32, 32, 32);
    m.zeros = matrix<float>(32, 1);
    std::ranges::fill(m.scales.span(), 0.5f);
    std::ranges::fill(m.zeros.span(), 4.0f);
    for (std::size_t k = 0; k < 32; ++k)
        for (std::size_t r = 0; r < 32; ++r) m.codes(r, k) = static_cast<std::uint8_t>((5 * k + 3) % 8);
    const auto words_of_part = [](part const& p) {
        std::vector<std::uint32_t> all(p.bytes.size() / 4);
        for (std::size_t i = 0; i < all.size(); ++i) all[i] = load<std::uint32_t>(p.bytes.data() + 4 * i);
        return all;
    };
    const auto newer = write_gptq(m), older = write_gptq(m, gptq_zeros::less_one);
    const auto codes = words_of_part(newer[0]);
    CHECK(codes[0] == 0x43C67543);
    CHECK(codes[32] == 0x7543C675);
    CHECK(codes[64 + 31] == 0xC67543C6);
    CHECK(words_of_part(newer[1]) == std::vector<std::uint32_t>{0x24924924, 0x49249249, 0x92492492});
    CHECK(words_of_part(older[1]) == std::vector<std::uint32_t>{0xDB6DB6DB, 0xB6DB6DB6, 0x6DB6DB6D});
    CHECK(newer[2].type == safetensors_type::f16);
}

TEST_CASE("what GPTQ's layout does not hold is refused, with what would be lost") {
    const auto refusal = [](auto const& change, gptq_zeros version = gptq_zeros::plain) {
        const auto m = changed(change);
        return refusal_to([&] { return write_gptq(m, version); });
    };
    CHECK(refusal([](coded_matrix&) {}, gptq_zeros::less_one) == "no refusal");
    CHECK(refusal([](coded_matrix& m) { m.zeros(2, 1) = 0; }) == "no refusal");
    CHECK(refusal([](coded_matrix& m) { m.zeros(2, 1) = 0; }, gptq_zeros::less_one) ==
          "GPTQ: zeros are integers from 1 to 15, that of row 2, group 1 is 0.0");
    CHECK(refusal([](coded_matrix& m) { m.zeros(2, 1) = 7.5f; }) ==
          "GPTQ (gptq_v2): zeros are integers from 0 to 15, that of row 2, group 1 is 7.5");
    CHECK(refusal([](coded_matrix& m) { m.zeros(2, 1) = 16; }).find("group 1 is 16.0") != std::string::npos);
    CHECK(refusal([](coded_matrix& m) {
              m.scales(7, 0) = 0.1f;
          }).find("scales are F16, which does not hold that of row 7, group 0 exactly") != std::string::npos);
    CHECK(refusal([](coded_matrix& m) { m.scales(7, 0) = 1e6f; }).find("row 7, group 0") != std::string::npos);
    CHECK(refusal([](coded_matrix& m) { m.offsets = matrix<float>(32, 2); }).find("offsets of groups are not held") !=
          std::string::npos);
    CHECK(refusal([](coded_matrix& m) {
              m.levels.resize(16);
              std::iota(m.levels.begin(), m.levels.end(), 0.0f);
              m.levels[15] = 20;
          }).find("not equally spaced") != std::string::npos);
    CHECK(refusal([](coded_matrix& m) { m = with_zeros(5, 32, 32, 32); }).find("these have 5") != std::string::npos);
    CHECK(refusal([](coded_matrix& m) { m = with_zeros(4, 32, 40, 40); }).find("these are 32 and 40") !=
          std::string::npos);
}

TEST_CASE("a matrix is written as AWQ keeps it for GEMM and read again, or refused with what would be lost") {
    for (const std::size_t group : {16u, 32u, 96u}) {
        const auto m = with_zeros(4, 24, 96, group);
        check_same(m, written_layer(write_awq_gemm(m), {{"quant_method", "awq"}}).read());
    }
    coded_matrix known(4, 8, 2, 2);
    const std::vector<std::uint8_t> codes{3, 14, 1, 5, 9, 2, 6, 15};
    for (std::size_t r = 0; r < 8; ++r) known.codes(r, 0) = codes[r], known.codes(r, 1) = static_cast<std::uint8_t>(r);
    const auto qweight = write_awq_gemm(known).front(); // spec quantization.md, KAT-A1
    CHECK(load<std::uint32_t>(qweight.bytes.data()) == 0xF25E6913);
    CHECK(load<std::uint32_t>(qweight.bytes.data() + 4) == 0x75316420);

    const auto refusal = [](auto const& change) {
        const auto m = changed(change);
        return refusal_to([&] { return write_awq_gemm(m); });
    };
    CHECK(refusal([](coded_matrix&) {}) == "no refusal");
    CHECK(refusal([](coded_matrix& m) { m = with_zeros(3, 32, 64, 32); }) ==
          "AWQ (GEMM): codes of 4 bits are held, these have 3");
    CHECK(refusal([](coded_matrix& m) { m = with_zeros(4, 32, 64, 48); }) ==
          "AWQ (GEMM): a short last group is not held: 64 inputs in groups of 48");
    CHECK(refusal([](coded_matrix& m) { m = with_zeros(4, 12, 64, 32); }) ==
          "AWQ (GEMM): multiples of 8 outputs are held, these are 12");
    CHECK(refusal([](coded_matrix& m) {
              m.order.resize(64);
              std::iota(m.order.begin(), m.order.end(), 0u);
          }).find("act order") != std::string::npos);
    CHECK(refusal([](coded_matrix& m) { m.scales(0, 0) = 0.1f; }).find("F16") != std::string::npos);
}
