#include "any_format.hpp"
#include "bitlens/kernels/matmul.hpp"

#include "every_arithmetic.hpp"
#include "same_bits.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace bitlens;
using namespace bitlens::test;

namespace {

/// |y − reference| ≤ γ_n · Σ_c |w x| with n = roundings on the way of one term: its product, the sums of its block of
/// columns, the sums over blocks, and the rounding of the reference. Operands are first rounded as `a` does; a unit
/// for bf16 takes subnormal numbers as 0.
void check_against_reference(arithmetic a, matrix_view<const float> values, matrix_view<const float> x,
                             matrix_view<const float> y) {
    const std::size_t depth = micro_kernel_of<arch>(arithmetic::f32).max_depth;
    const double gamma = gamma_of(1 + std::min(x.cols, depth) + x.cols / depth + 1 + 1);
    const auto operand = [&](float v) { return a == arithmetic::f32 ? double{v} : double{float{bf16(v)}}; };
    const double flushed = a == arithmetic::f32 ? 0.0 : static_cast<double>(x.cols) * 0x1p-120;
    bool close = true;
    for (std::size_t t = 0; t < x.rows; ++t)
        for (std::size_t r = 0; r < values.rows; ++r) {
            double sum = 0, size = 0;
            for (std::size_t c = 0; c < x.cols; ++c) {
                const double product = operand(values(r, c)) * operand(x(t, c));
                sum += product;
                size += std::abs(product);
            }
            close &= std::abs(double{y(t, r)} - sum) <= gamma * size + flushed; // false for a NaN
        }
    CHECK(close);
}

template <class W>
matrix<float> values_of(W const& w) {
    matrix<float> values(w.rows(), w.cols());
    for (std::size_t r = 0; r < w.rows(); ++r)
        for (std::size_t c = 0; c < w.cols(); ++c) values(r, c) = w.value(r, c);
    return values;
}

struct shape {
    std::size_t rows, cols, positions;
};

} // namespace

TEST_CASE("matmul agrees with the reference for every format") {
    for_every_arithmetic([&](arithmetic a) {
        random_generator random(1);
        for_every_format([&]<class F>() {
            INFO(format_name<F>());
            for (const auto [rows, cols, positions] : {shape{1, 1, 1}, {33, 95, 13}, {18, 1057, 7}}) {
                const auto w = random_matrix<F>(rows, legal_cols<F>(cols), random);
                ragged_matrix x(positions, w.cols(), 1, random), y(positions, rows, 3, random);
                workspace scratch(matmul_bytes<arch>(rows, w.cols(), positions, 1), 1, a);
                matmul<arch>(w, x, y, scratch);
                check_against_reference(a, values_of(w), x, y);
            }
        });
    });
}

TEST_CASE("matmul agrees with the reference around the sizes of tiles, panels and blocks") {
    for_every_arithmetic([&](arithmetic a) {
        random_generator random(2);
        using format = uniform<3, 32>;
        micro_kernel const& kernel = micro_kernel_of<arch>(a);
        for (std::size_t rows : {std::size_t{17}, std::size_t{32}, kernel.panel_rows - 1, kernel.panel_rows,
                                 kernel.panel_rows + 1, 3 * kernel.panel_rows})
            for (std::size_t cols :
                 {std::size_t{31}, std::size_t{32}, kernel.max_depth, kernel.max_depth + 1, 2 * kernel.max_depth + 33})
                for (std::size_t positions :
                     {std::size_t{1}, kernel.tile_positions - 1, kernel.tile_positions, kernel.tile_positions + 1,
                      std::size_t{16}, std::size_t{17}, std::size_t{32}, std::size_t{33}}) {
                    CAPTURE(rows);
                    CAPTURE(cols);
                    CAPTURE(positions);
                    const auto w = random_matrix<format>(rows, cols, random);
                    ragged_matrix x(positions, cols, 2, random), y(positions, rows, 1, random);
                    workspace scratch(matmul_bytes<arch>(rows, cols, positions, 1), 1, a);
                    matmul<arch>(w, x, y, scratch);
                    check_against_reference(a, values_of(w), x, y);
                }
    });
}

TEST_CASE("matmul agrees with the reference where several rows of w and blocks of columns come in turn") {
    for_every_arithmetic([&](arithmetic a) {
        random_generator random(12);
        const auto w = random_matrix<uniform<3, 32>>(290, 1400, random);
        ragged_matrix x(40, w.cols(), 1, random), y(40, w.rows(), 1, random);
        workspace scratch(matmul_bytes<arch>(w.rows(), w.cols(), 40, 1), 1, a);
        matmul<arch>(w, x, y, scratch);
        check_against_reference(a, values_of(w), x, y);
    });
}

TEST_CASE("no position and no column") {
    for_every_arithmetic([&](arithmetic a) {
        random_generator random(3);
        workspace scratch(matmul_bytes<arch>(5, 64, 2, 2), 2, a);
        matmul<arch>(random_matrix<uniform<4, 64>>(5, 64, random), matrix_view<const float>(nullptr, 0, 64),
                     matrix_view<float>(nullptr, 0, 5), scratch);
        matrix<float> y(2, 5);
        std::fill(y.span().begin(), y.span().end(), 3.0f);
        matmul<arch>(packed_matrix<dense<float>>(5, 0), matrix_view<const float>(y.data(), 2, 0), y, scratch);
        for (float v : y.span()) CHECK(v == 0.0f); // the empty sum
    });
}

TEST_CASE("the same bits for any number of positions and tasks, and for tiles of rows") {
    for_every_arithmetic([&](arithmetic a) {
        random_generator random(4);
        const std::size_t rows = 3 * 32 + 5, cols = 1100, positions = 27;
        for_each_format<std::tuple<uniform<3, 64>, uniform<8, 0>, dense<float>>>([&]<class F>() {
            INFO(format_name<F>());
            const auto w = random_matrix<F>(rows, cols, random);
            ragged_matrix x(positions, cols, 1, random);
            matrix<float> all(positions, rows);
            workspace scratch(matmul_bytes<arch>(rows, cols, positions, 1), 1, a);
            matmul<arch>(w, x, all, scratch);
            for (std::size_t count = 1; count <= positions; ++count) {
                matrix<float> y(count, rows);
                matmul<arch>(w, x.view().middle_rows(positions - count, count), y, scratch);
                CHECK(same_bits(y, all.view().middle_rows(positions - count, count)));
            }
            for (unsigned tasks = 2; tasks <= 4; ++tasks) {
                matrix<float> y(positions, rows);
                workspace several(matmul_bytes<arch>(rows, cols, positions, tasks), tasks, a);
                matmul<arch>(w, x, y, several);
                CHECK(same_bits(y, all));
            }
            for (const std::size_t tile : {std::size_t{1}, std::size_t{16}, std::size_t{33}}) {
                for (std::size_t first = 0; first < rows; first += tile) {
                    const std::size_t count = std::min(tile, rows - first);
                    matrix<float> y(positions, count);
                    matmul_rows<arch>(w, first, count, x, y, scratch);
                    CHECK(same_bits(y, all.view().middle_cols(first, count)));
                }
            }
        });
    });
}

TEST_CASE("the same bits for few rows of w, whose positions are not packed, and for many") {
    for_every_arithmetic([&](arithmetic a) {
        random_generator random(13);
        micro_kernel const& kernel = micro_kernel_of<arch>(arithmetic::f32);
        const std::size_t rows = kernel.rows_worth_packing + 5, few = 40;
        for (const std::size_t cols : {std::size_t{64}, std::size_t{61}, kernel.max_depth + 64}) {
            const auto w = random_matrix<uniform<3, 32>>(rows, cols, random);
            ragged_matrix x(2 * kernel.tile_positions + 2, cols, 1, random);
            matrix<float> all(x.view().rows, rows), y(x.view().rows, few);
            workspace scratch(matmul_bytes<arch>(rows, cols, all.rows(), 1), 1, a);
            matmul<arch>(w, x, all, scratch);
            for (const std::size_t first : {std::size_t{0}, rows - few}) {
                matmul_rows<arch>(w, first, few, x, y, scratch);
                CHECK(same_bits(y, all.view().middle_cols(first, few)));
            }
        }
    });
}

TEST_CASE("more positions than are packed at once") {
    for_every_arithmetic([&](arithmetic a) {
        random_generator random(5);
        const auto w = random_matrix<uniform<2, 32>>(7, 40, random);
        ragged_matrix x(1100, 40, 0, random);
        matrix<float> y(1100, 7), one(1, 7);
        workspace scratch(matmul_bytes<arch>(7, 40, 1100, 3), 3, a);
        matmul<arch>(w, x, y, scratch);
        check_against_reference(a, values_of(w), x, y);
        matmul<arch>(w, x.view().middle_rows(1099, 1), one, scratch);
        CHECK(same_bits(one, y.view().middle_rows(1099, 1)));
    });
}

TEST_CASE("a mixed matrix multiplies like the one it holds") {
    for_every_arithmetic([&](arithmetic a) {
        random_generator random(6);
        using mixed = mixed_matrix<dense<bf16>, uniform<4, 64>, normal_float<3, 32>>;
        random_generator copy = random;
        const auto w = random_matrix<uniform<4, 64>>(20, 130, random);
        const mixed m = random_matrix<uniform<4, 64>>(20, 130, copy);
        ragged_matrix x(3, 130, 1, random);
        matrix<float> y(3, 20), z(3, 20);
        workspace scratch(matmul_bytes<arch>(20, 130, 3, 1), 1, a);
        matmul<arch>(w, x, y, scratch);
        matmul<arch>(m, x, z, scratch);
        CHECK(same_bits(y, z));
    });
}

TEST_CASE("plain floats, as they stand") {
    for_every_arithmetic([&](arithmetic a) {
        random_generator random(7);
        for (const auto [rows, cols, positions] : {shape{64, 511, 30}, {511, 64, 13}, {5, 3, 1}, {33, 700, 2}}) {
            ragged_matrix w(rows, cols, 1, random), x(positions, cols, 2, random);
            matrix<float> y(positions, rows);
            workspace scratch(matmul_bytes<arch>(rows, cols, positions, 2), 2, a);
            matmul<arch>(w, x, y, scratch);
            check_against_reference(a, w, x, y);
        }
    });
}

TEST_CASE("an infinite input stays in its own position") {
    for_every_arithmetic([&](arithmetic a) {
        random_generator random(8);
        const auto w = random_matrix<uniform<4, 32>>(40, 64, random);
        ragged_matrix x(3, 64, 0, random);
        x.view()(1, 5) = std::numeric_limits<float>::infinity();
        matrix<float> y(3, 40);
        workspace scratch(matmul_bytes<arch>(40, 64, 3, 1), 1, a);
        matmul<arch>(w, x, y, scratch);
        for (std::size_t r = 0; r < 40; ++r) {
            CHECK(std::isfinite(y(0, r)));
            CHECK(std::isfinite(y(2, r)));
        }
    });
}
