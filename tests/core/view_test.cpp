#include "bitlens/core/view.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

using namespace bitlens;

static_assert(std::is_convertible_v<matrix_view<float>, matrix_view<const float>>);
static_assert(!std::is_convertible_v<matrix_view<const float>, matrix_view<float>>);
static_assert(std::is_nothrow_move_constructible_v<matrix<float>> && !std::is_copy_constructible_v<matrix<float>>);

TEST_CASE("a view steps from row to row by its stride, not by its width") {
    std::array<int, 12> numbers{};
    std::iota(numbers.begin(), numbers.end(), 0);
    const matrix_view<int> v(numbers.data(), 3, 2, 4);
    CHECK(v(0, 1) == 1);
    CHECK(v(2, 1) == 9);
    CHECK(v.row(1).size() == 2);
    CHECK(v.row(1).data() == &numbers[4]);
    v(1, 0) = -4;
    CHECK(numbers[4] == -4);

    const matrix_view<int> packed(numbers.data(), 3, 4);
    CHECK(packed.stride == 4);
}

TEST_CASE("middle rows and columns keep the stride and copy nothing") {
    std::array<int, 12> numbers{};
    std::iota(numbers.begin(), numbers.end(), 0);
    const matrix_view<int> v(numbers.data(), 3, 4);

    const auto rows = v.middle_rows(1, 2);
    CHECK(rows.rows == 2);
    CHECK(rows(1, 3) == 11);
    const auto cols = v.middle_cols(1, 2);
    CHECK(cols.cols == 2);
    CHECK(cols.stride == 4);
    CHECK(cols(2, 1) == 10);
    const auto inner = v.middle_rows(1, 2).middle_cols(2, 2);
    CHECK(inner.data == &numbers[6]);
    CHECK(inner(1, 1) == 11);

    CHECK(v.middle_rows(3, 0).rows == 0);
    CHECK(v.middle_cols(4, 0).cols == 0);
}

TEST_CASE("an owned matrix is zero, aligned, and becomes a view of either kind") {
    matrix<float> m(3, 5);
    CHECK(m.span().size() == 15);
    for (const float v : m.span()) CHECK(v == 0.0f);
    CHECK(reinterpret_cast<std::uintptr_t>(m.data()) % alignment == 0);

    m(1, 2) = 7;
    CHECK(m.row(1)[2] == 7);
    CHECK(m.span()[7] == 7);
    const matrix_view<float> writable = m;
    writable(1, 2) = 8;
    const matrix_view<const float> readable = m;
    CHECK(readable(1, 2) == 8);
    CHECK(std::as_const(m).view()(1, 2) == 8);
}

TEST_CASE("matrices without numbers are legal") {
    for (const auto& [rows, cols] : {std::pair<std::size_t, std::size_t>{0, 0}, {0, 7}, {7, 0}}) {
        matrix<double> m(rows, cols);
        CHECK(m.rows() == rows);
        CHECK(m.cols() == cols);
        CHECK(m.span().empty());
    }
    matrix<double> flat(7, 0);
    CHECK(flat.row(6).empty());
}

TEST_CASE("moving leaves an empty matrix behind") {
    matrix<int> a(2, 3);
    a(1, 2) = 5;
    int const* const numbers = a.data();
    matrix<int> b = std::move(a);
    CHECK(b.data() == numbers);
    CHECK(b(1, 2) == 5);
    CHECK(a.rows() == 0); // NOLINT(bugprone-use-after-move): the promise under test
    CHECK(a.cols() == 0);
    CHECK(a.span().empty());

    a = std::move(b);
    CHECK(a(1, 2) == 5);
    CHECK(b.rows() == 0); // NOLINT(bugprone-use-after-move)
    CHECK(b.span().empty());
}

TEST_CASE("a size that no memory can hold is refused, not wrapped around") {
    constexpr std::size_t huge = std::size_t{1} << 33;
    CHECK_THROWS_AS(matrix<std::uint8_t>(huge, huge), std::bad_array_new_length);
    CHECK_THROWS_AS(aligned_array<double>(std::numeric_limits<std::size_t>::max() / 4), std::bad_array_new_length);
}
