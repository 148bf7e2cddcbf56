#include "bitlens/formats/coded_matrix.hpp"

#include "bitlens/core/half.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/formats/affine.hpp"
#include "bitlens/formats/lookup.hpp"
#include "bitlens/formats/normal_float.hpp"
#include "bitlens/formats/uniform.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

using namespace bitlens;

namespace {

using listed = mixed_matrix<dense<float>, uniform<3, 32>, uniform<3, 64>, uniform<3, 0>, uniform<4, 64>,
                            uniform<4, 64, zero_kind::symmetric>, normal_float<4, 64>>;

coded_matrix random_coded(int bits, std::size_t rows, std::size_t cols, std::size_t group, std::uint64_t seed) {
    coded_matrix m(bits, rows, cols, group);
    random_generator random(seed);
    for (auto& q : m.codes.span()) q = static_cast<std::uint8_t>(random.below(std::size_t{1} << bits));
    for (auto& s : m.scales.span()) s = static_cast<float>(random.uniform()) - 0.5f;
    return m;
}
void add_zeros(coded_matrix& m, std::uint64_t seed) {
    m.zeros = matrix<float>(m.rows(), m.groups());
    random_generator random(seed);
    for (auto& z : m.zeros.span()) z = static_cast<float>(random.below(std::size_t{1} << m.bits));
}
std::string format_of(coded_matrix const& m) {
    const auto packed = packed_as<listed>(m);
    return packed ? packed->format_name() : "none";
}
/// Whether every weight of what packed_as finds is the rule's, bit for bit, and decoded says the same.
bool holds_exactly(coded_matrix const& m) {
    const auto packed = packed_as<listed>(m);
    const auto floats = decoded(m);
    std::vector<float> row(m.cols());
    for (std::size_t r = 0; r < m.rows(); ++r) {
        m.read_row(r, row);
        for (std::size_t c = 0; c < m.cols(); ++c)
            if (packed->value(r, c) != row[c] || floats.value(r, c) != row[c]) return false;
    }
    return true;
}

} // namespace

TEST_CASE("a coded matrix goes into the format that holds it in the fewest bytes") {
    auto m = random_coded(3, 5, 192, 64, 1);
    add_zeros(m, 2);
    CHECK(format_of(m) == "uniform3-g64");
    CHECK(holds_exactly(m));
    auto row = random_coded(3, 5, 192, 0, 1);
    add_zeros(row, 2);
    CHECK(format_of(row) == "uniform3-row");
    CHECK(holds_exactly(row));
    // Groups are cut where only shorter ones are listed; a short last one stays what it is.
    auto wide = random_coded(3, 5, 200, 128, 3);
    add_zeros(wide, 4);
    CHECK(format_of(wide) == "uniform3-g64");
    CHECK(holds_exactly(wide));
    auto odd = random_coded(3, 5, 200, 96, 3);
    add_zeros(odd, 4);
    CHECK(format_of(odd) == "uniform3-g32");
    CHECK(holds_exactly(odd));

    auto middle = random_coded(4, 3, 128, 64, 5);
    middle.zeros = matrix<float>(3, 2);
    std::ranges::fill(middle.zeros.span(), 8.0f);
    CHECK(format_of(middle) == "uniform4-g64-sym");
    CHECK(holds_exactly(middle));
    middle.zeros(2, 1) = 7;
    CHECK(format_of(middle) == "uniform4-g64");
    CHECK(holds_exactly(middle));
    std::ranges::fill(middle.zeros.span(), 3.0f); // the same everywhere, but not the middle
    CHECK(format_of(middle) == "uniform4-g64");

    auto levels = random_coded(4, 3, 128, 64, 6);
    levels.levels.assign(normal_float<4, 64>::codebook.begin(), normal_float<4, 64>::codebook.end());
    CHECK(format_of(levels) == "nf4-g64");
    CHECK(holds_exactly(levels));
}

TEST_CASE("offsets go into a format with offsets where products are exact; groups of 16 and tables into theirs") {
    using others = mixed_matrix<dense<float>, uniform<4, 64>, affine<4, 32>, affine<4, 64>, affine<2, 16>,
                                uniform<3, 16, zero_kind::symmetric>, lookup<e2m1_levels, 16>, lookup<iq4_levels, 32>>;
    const auto name = [](coded_matrix const& m) -> std::string {
        const auto packed = packed_as<others>(m);
        if (!packed) return "none";
        for (std::size_t r = 0; r < m.rows(); ++r)
            for (std::size_t c = 0; c < m.cols(); ++c)
                if (packed->value(r, c) != m.value_at(r, c)) return "another value";
        return packed->format_name();
    };
    auto m = random_coded(4, 3, 130, 64, 11);
    for (auto& s : m.scales.span()) s = static_cast<float>(f16(s));
    m.offsets = matrix<float>(3, 3);
    random_generator random(12);
    for (auto& o : m.offsets.span()) o = static_cast<float>(random.normal());
    CHECK(name(m) == "affine4-g64");
    CHECK(coded(packed_matrix<affine<4, 64>>(2, 64)).offsets.rows() == 2);
    auto odd = random_coded(4, 3, 130, 96, 11);
    std::ranges::fill(odd.scales.span(), 0.125f);
    odd.offsets = matrix<float>(3, 2);
    for (auto& o : odd.offsets.span()) o = static_cast<float>(random.normal());
    CHECK(name(odd) == "affine4-g32");
    m.scales(2, 1) = 0.3f; // a product of it is rounded before the offset is added
    CHECK(name(m) == "none");
    CHECK(has_exact_products(0.0f, 8));
    CHECK(has_exact_products(-0x1.8p-20f, 8));
    CHECK(has_exact_products(0x1.ffffep0f, 4)); // 20 bits
    CHECK_FALSE(has_exact_products(0x1.ffffep0f, 5));

    auto halves = random_coded(3, 3, 80, 16, 13);
    halves.zeros = matrix<float>(3, 5);
    std::ranges::fill(halves.zeros.span(), 4.0f);
    CHECK(name(halves) == "uniform3-g16-sym");
    auto two = random_coded(2, 3, 80, 16, 14);
    two.offsets = matrix<float>(3, 5);
    for (auto& s : two.scales.span()) s = static_cast<float>(f16(s));
    CHECK(name(two) == "affine2-g16");
    auto floats = random_coded(4, 3, 96, 32, 15);
    floats.levels.assign(e2m1_table.begin(), e2m1_table.end());
    CHECK(name(floats) == "e2m1-g16");
    floats.levels.assign(iq4_table.begin(), iq4_table.end());
    CHECK(name(floats) == "iq4-g32");
}

TEST_CASE("what no listed format writes goes into none") {
    auto m = random_coded(4, 3, 128, 64, 7);
    add_zeros(m, 8);
    CHECK(format_of(m) == "uniform4-g64");
    auto other = random_coded(4, 3, 128, 64, 7);
    other.zeros = matrix<float>(3, 2);
    other.zeros(0, 0) = 0.5f;
    CHECK(format_of(other) == "none");
    other.zeros(0, 0) = 16;
    CHECK(format_of(other) == "none");
    other.zeros(0, 0) = 0;
    other.offsets = matrix<float>(3, 2);
    CHECK(format_of(other) == "none");
    CHECK(format_of(random_coded(4, 3, 128, 16, 7)) == "none");
    CHECK(format_of(random_coded(5, 3, 128, 64, 7)) == "none");
    auto levels = random_coded(4, 3, 128, 64, 6);
    levels.levels.assign(normal_float<4, 64>::codebook.begin(), normal_float<4, 64>::codebook.end());
    levels.levels[3] += 1e-6f;
    CHECK(format_of(levels) == "none");
    auto short_group = random_coded(4, 3, 130, 64, 6);
    short_group.levels.assign(normal_float<4, 64>::codebook.begin(), normal_float<4, 64>::codebook.end());
    CHECK(format_of(short_group) == "none"); // NormalFloat has whole groups only
}

TEST_CASE("an order, offsets and chosen rows read as the rule says") {
    auto m = random_coded(3, 4, 96, 32, 9);
    add_zeros(m, 10);
    for (std::uint32_t c = 96; c-- > 0;) m.order.push_back(c);
    CHECK(format_of(m) == "uniform3-g32");
    CHECK(holds_exactly(m));
    CHECK(packed_as<listed>(m)->value(2, 95) == m.scales(2, 0) * (static_cast<float>(m.codes(2, 0)) - m.zeros(2, 0)));

    const auto some = m.with_rows(2, [](std::size_t r) { return 3 - 2 * r; }); // 3 and 1
    std::vector<float> row(96), expected(96);
    some.read_row(1, row);
    m.read_row(1, expected);
    CHECK(row == expected);

    m.offsets = matrix<float>(4, 3);
    m.offsets(1, 2) = 0.25f;
    m.read_row(1, row);
    CHECK(row[0] == expected[0] + 0.25f); // place 95
    CHECK(row[95] == expected[95]);
}

TEST_CASE("a packed matrix, code by code, packs to itself") {
    packed_matrix<uniform<3, 32>> w(3, 70);
    random_generator random(11);
    std::vector<std::uint32_t> order;
    for (std::uint32_t c = 0; c < 70; ++c) order.push_back((c * 3) % 70);
    w.set_order(order);
    for (std::size_t r = 0; r < 3; ++r) {
        for (std::size_t k = 0; k < 70; ++k) w.set_code_at(r, k, static_cast<std::uint8_t>(random.below(8)));
        for (std::size_t g = 0; g < w.groups(); ++g) {
            w.set_scale(r, g, static_cast<float>(random.uniform()));
            w.set_zero(r, g, static_cast<std::uint8_t>(random.below(8)));
        }
    }
    const auto m = coded(w);
    CHECK(format_of(m) == "uniform3-g32");
    const auto again = packed_as<listed>(m);
    std::vector<float> row(70);
    for (std::size_t r = 0; r < 3; ++r) {
        m.read_row(r, row);
        for (std::size_t c = 0; c < 70; ++c) {
            CHECK(row[c] == w.value(r, c));
            CHECK(again->value(r, c) == w.value(r, c));
        }
    }
}

TEST_CASE("a group may be said to have any number of columns") {
    const coded_matrix m(4, 2, 33, ~std::size_t{0});
    CHECK(m.groups() == 1);
    CHECK(m.value_at(1, 32) == 0);
    CHECK(coded_matrix(4, 2, 33, 32).groups() == 2);
    CHECK(coded_matrix(4, 2, 0, 0).groups() == 0);
}
