#include "bitlens/models/checkpoint_difference.hpp"

#include "bitlens/core/parallel.hpp"
#include "bitlens/core/random.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

using namespace bitlens;

namespace {

matrix<float> numbers_to_compare(std::size_t rows, std::size_t cols) {
    matrix<float> m(rows, cols);
    random_generator random(3);
    for (float& x : m.span()) x = static_cast<float>(random.normal());
    return m;
}
matrix<float> copy_to_compare(matrix<float> const& of) {
    matrix<float> m(of.rows(), of.cols());
    copy_rows(of.view(), m.view());
    return m;
}

} // namespace

TEST_CASE("a difference of two tensors says how many, how far and where") {
    const auto a = numbers_to_compare(40, 64);
    auto b = copy_to_compare(a);
    const auto same = difference_of("w", a.view(), b.view());
    CHECK(same.is_equal());
    CHECK_FALSE(same.first);
    CHECK(same.relative == 0);

    b(7, 5) += 0.25f;
    b(7, 9) -= 2.0f;
    b(31, 0) += 1.0f;
    const auto d = difference_of("w", a.view(), b.view());
    CHECK(d.unequal == 3);
    REQUIRE(d.first);
    CHECK(d.first->row == 7);
    CHECK(d.first->col == 5);
    CHECK(d.first->a == a(7, 5));
    CHECK(d.first->b == b(7, 5));
    REQUIRE(d.largest);
    CHECK(d.largest->row == 7);
    CHECK(d.largest->col == 9);
    CHECK(d.largest_apart() == doctest::Approx(2));
    CHECK(d.mean == doctest::Approx(3.25 / (40 * 64)));
    double square = 0, of_row = 0;
    for (const float x : a.span()) square += double{x} * double{x};
    for (const float x : a.row(31)) of_row += double{x} * double{x};
    CHECK(d.relative == doctest::Approx(std::sqrt((0.0625 + 4 + 1) / square)));
    REQUIRE(d.of_rows.size() == 40);
    CHECK(d.of_rows[31] == doctest::Approx(1 / std::sqrt(of_row)));
    CHECK(d.of_rows[30] == 0);
    CHECK_FALSE(d.in_a.any());
    CHECK_FALSE(d.in_b.any());
}

TEST_CASE("the sign of zero is no difference, and beside zeros an error is infinite") {
    matrix<float> a(2, 2), b(2, 2);
    b(0, 1) = -0.0f;
    CHECK(difference_of("w", a.view(), b.view()).is_equal());
    b(1, 1) = 1;
    CHECK(difference_of("w", a.view(), b.view()).relative == std::numeric_limits<double>::infinity());
}

TEST_CASE("rows of zeros and constant blocks are odd in the one that has them alone") {
    auto a = numbers_to_compare(20, 100);
    auto b = copy_to_compare(a);
    std::ranges::fill(a.row(4), 0.0f);
    std::ranges::fill(b.row(4), 0.0f); // in both: dead
    std::ranges::fill(b.row(6), 0.0f);
    std::ranges::fill(b.row(11), 0.0f);
    for (std::size_t c = 64; c < 96; ++c) b(13, c) = 0.5f;
    for (std::size_t c = 32; c < 64; ++c) b(14, c) = 0; // an outlier of its group does that
    const auto d = difference_of("w", a.view(), b.view());
    CHECK(d.in_b.zero_rows == 2);
    CHECK(d.in_b.first_zero_row == 6);
    CHECK(d.in_b.constant_blocks == 1);
    CHECK(d.in_b.first_constant_row == 13);
    CHECK(d.in_b.first_constant_col == 64);
    CHECK_FALSE(d.in_a.any());
    const auto back = difference_of("w", b.view(), a.view());
    CHECK(back.in_a.zero_rows == 2);
    CHECK(back.in_a.constant_blocks == 1);
    CHECK_FALSE(back.in_b.any());
}

TEST_CASE("a difference has the same bits for any number of threads, and shapes must be one") {
    const auto a = numbers_to_compare(700, 512);
    auto b = copy_to_compare(a);
    random_generator random(9);
    for (float& x : b.span()) x += 0.01f * static_cast<float>(random.normal());
    const auto many = difference_of("w", a.view(), b.view());
    const thread_limit one(1);
    const auto single = difference_of("w", a.view(), b.view());
    CHECK(many.relative == single.relative);
    CHECK(many.mean == single.mean);
    CHECK(many.of_rows == single.of_rows);
    CHECK_THROWS_AS(difference_of("w", a.view(), b.view().middle_rows(0, 3)), shape_error);
}
