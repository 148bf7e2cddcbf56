#include "bitlens/formats.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

using namespace bitlens;

namespace {

struct five_levels { // levels of one's own, with a zero point, in two groups a row
    static constexpr int bits = 3;
    static constexpr std::size_t group_size = 32;
    static constexpr bool has_zero = true;
    static constexpr std::array<float, 8> codebook{-2, -1, 0, 1, 2, 0, 0, 0.1f};
    static std::string name() { return "five-g32"; }
};
static_assert(quant_format<five_levels>);

struct wrong_group : five_levels {
    static constexpr std::size_t group_size = 48;
};
static_assert(!quant_format<wrong_group>);

struct wrong_codebook : five_levels {
    static constexpr int bits = 4;
};
static_assert(!quant_format<wrong_codebook>);

template <class F>
void check_round_trip(std::size_t rows, std::size_t cols) {
    packed_matrix<F> w(rows, cols);
    const auto code = [](std::size_t r, std::size_t c) {
        return static_cast<std::uint8_t>((5 * r + 7 * c + c / 3) % F::codebook.size());
    };
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < cols; ++c) w.set_code(r, c, code(r, c));
    for (std::size_t g = 0; g < w.groups(); ++g) w.set_scale(1, g, 0.1f * static_cast<float>(g + 1));
    bool equal = true;
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < cols; ++c) equal &= w.code(r, c) == code(r, c);
    CHECK_MESSAGE(equal, format_name<F>());
    const std::size_t last = cols - 1;
    CHECK(w.value(1, last) == w.scale(1, w.groups() - 1) * F::codebook[code(1, last)]); // zeros are 0
}

} // namespace

TEST_CASE("codes of every width come back, with a short last group") {
    check_round_trip<uniform<2, 32>>(3, 75);
    check_round_trip<uniform<3, 64>>(3, 75);
    check_round_trip<uniform<4, 0>>(3, 75);
    check_round_trip<uniform<5, 32, zero_kind::symmetric>>(3, 75);
    check_round_trip<uniform<6, 128>>(3, 75);
    check_round_trip<uniform<7, 64>>(3, 75);
    check_round_trip<uniform<8, 0, zero_kind::symmetric>>(3, 75);
    check_round_trip<normal_float<3, 32>>(3, 96);
    check_round_trip<five_levels>(3, 75);
}

TEST_CASE("three bits are stored in three bits") {
    const packed_matrix<uniform<3, 64>> w(16, 128); // 2 groups a row: 4 bytes of scale and 1 of zero each
    CHECK(w.bytes() == 16 * (128 * 3 / 8 + 2 * 5));
    const packed_matrix<uniform<3, 64, zero_kind::symmetric>> symmetric(16, 128);
    CHECK(symmetric.bytes() == 16 * (128 * 3 / 8 + 2 * 4));
    CHECK(packed_matrix<dense<bf16>>(3, 5).bytes() == 30);
}

TEST_CASE("a value is fl32(scale · (level − zero))") {
    packed_matrix<five_levels> w(2, 40);
    CHECK(w.groups() == 2);
    w.set_code(1, 35, 7);
    w.set_scale(1, 1, 0.3f);
    w.set_zero(1, 1, 3);
    CHECK(w.value(1, 35) == 0.3f * (0.1f - 3.0f));
    CHECK(w.value(1, 34) == 0.3f * (-2.0f - 3.0f));
    CHECK(w.value(1, 31) == 0.0f);
}

TEST_CASE("shapes that do not fit are refused by name") {
    CHECK_THROWS_WITH_AS((packed_matrix<normal_float<4, 64>>(2, 96)), doctest::Contains("nf4-g64"), shape_error);
    CHECK_NOTHROW((packed_matrix<normal_float<4, 32>>(2, 96)));
    CHECK_NOTHROW((packed_matrix<normal_float<4, 0>>(2, 97)));
    const std::size_t huge = std::numeric_limits<std::size_t>::max() / 2;
    CHECK_THROWS_AS((packed_matrix<uniform<8, 32>>(huge, 64)), shape_error);
    CHECK_THROWS_AS((packed_matrix<dense<float>>(huge, 64)), shape_error);
    std::vector<float> numbers(10);
    CHECK_THROWS_AS((packed_matrix<dense<float>>(nullptr, matrix_view<const float>(numbers.data(), 2, 5, 4))),
                    shape_error);
}

TEST_CASE("dense numbers, owned and borrowed") {
    packed_matrix<dense<f16>> own(2, 3);
    own.writable_row(1)[2] = f16(1.5f);
    CHECK(own.value(1, 2) == 1.5f);
    CHECK(own.value(0, 0) == 0.0f);
    const auto moved = std::move(own);
    CHECK(moved.row(1)[2] == 1.5f);

    auto numbers = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3, 4, 5, 6, 7});
    const std::weak_ptr<std::vector<float>> watch = numbers;
    {
        const matrix_view<const float> view(numbers->data(), 2, 3, 4);
        const packed_matrix<dense<float>> borrowed(std::move(numbers), view);
        CHECK(borrowed.data() == view.data);
        CHECK(borrowed.value(1, 2) == 7.0f);
        CHECK(!watch.expired());
    }
    CHECK(watch.expired());
}

TEST_CASE("formats have names") {
    CHECK(format_name<uniform<3, 64>>() == "uniform3-g64");
    CHECK(format_name<uniform<4, 0>>() == "uniform4-row");
    CHECK(format_name<uniform<3, 64, zero_kind::symmetric>>() == "uniform3-g64-sym");
    CHECK(format_name<normal_float<3, 64>>() == "nf3-g64");
    CHECK(format_name<dense<float>>() == "f32");
    CHECK(format_name<dense<bf16>>() == "bf16");
    CHECK(format_name<dense<f16>>() == "f16");
}

TEST_CASE("with an order, place k of every row holds column order[k], and groups are of neighbouring places") {
    constexpr std::size_t cols = 75;
    packed_matrix<uniform<3, 32>> w(2, cols);
    CHECK(w.order().empty());
    CHECK(w.place_of(40) == 40);
    std::vector<std::uint32_t> order(cols);
    for (std::size_t k = 0; k < cols; ++k) order[k] = static_cast<std::uint32_t>((k * 31 + 7) % cols);
    for (std::size_t k = 0; k < cols; ++k) w.set_code_at(1, k, static_cast<std::uint8_t>(k % 8));
    for (std::size_t g = 0; g < 3; ++g) {
        w.set_scale(1, g, static_cast<float>(g + 1));
        w.set_zero(1, g, static_cast<std::uint8_t>(g));
    }
    const std::size_t bytes = w.bytes();
    w.set_order(order);
    CHECK(std::ranges::equal(w.order(), order));
    CHECK(w.bytes() == bytes + 2 * 4 * cols); // and the place of each column
    bool equal = true;
    for (std::size_t k = 0; k < cols; ++k) {
        const std::size_t c = order[k], g = k / 32;
        equal &= w.place_of(c) == k && w.group_of(c) == g && w.code(1, c) == k % 8 && w.code_at(1, k) == k % 8 &&
                 w.value(1, c) == static_cast<float>(g + 1) * (static_cast<float>(k % 8) - static_cast<float>(g));
    }
    CHECK(equal);
    w.set_code(0, order[70], 5);
    CHECK(w.code_at(0, 70) == 5);
    const auto moved = std::move(w);
    CHECK(moved.place_of(order[3]) == 3);
}

TEST_CASE("an order that is no permutation of the columns is refused, and the one before stays") {
    packed_matrix<uniform<4, 0>> w(1, 4);
    w.set_order({1, 0, 3, 2});
    CHECK_THROWS_WITH_AS(w.set_order({0, 1, 2}),
                         "uniform4-row matrix: its order has 3 places, expected one for each of 4 columns",
                         shape_error);
    CHECK_THROWS_WITH_AS(w.set_order({0, 1, 2, 3, 4}), doctest::Contains("5 places"), shape_error);
    CHECK_THROWS_WITH_AS(w.set_order({}), doctest::Contains("0 places"), shape_error);
    CHECK_THROWS_WITH_AS(
        w.set_order({0, 2, 3, 2}),
        "uniform4-row matrix: its order has column 2 at place 3 and at place 1; each column is expected once",
        format_error);
    CHECK_THROWS_WITH_AS(w.set_order({0, 1, 2, 4}),
                         "uniform4-row matrix: its order has column 4 at place 3, expected one of 4 columns",
                         format_error);
    CHECK_THROWS_AS(w.set_order({0, 1, 2, 0xFFFFFFFFu}), format_error);
    CHECK(w.place_of(0) == 1);
    packed_matrix<uniform<4, 0>> none(3, 0);
    none.set_order({});
    CHECK(none.order().empty());
}
