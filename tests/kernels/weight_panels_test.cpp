#include "any_format.hpp"
#include "bitlens/kernels/weight_panels.hpp"

#include "every_arithmetic.hpp"
#include "same_bits.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace bitlens;
using namespace bitlens::test;

namespace {

struct sizes {
    std::size_t rows, cols, positions;
};

/// Products with the panels of w against those with w itself, in 1 to 3 tasks.
template <class W>
void check_against_matrix(weight_panels<arch> const& panels, W const& w, std::size_t positions, arithmetic a,
                          random_generator& random) {
    ragged_matrix x(positions, w.cols(), 2, random);
    for (unsigned tasks = 1; tasks <= 3; ++tasks) {
        matrix<float> y(positions, w.rows()), z(positions, w.rows());
        workspace scratch(matmul_bytes<arch>(w.rows(), w.cols(), positions, tasks), tasks, a);
        matmul<arch>(w, x, y, scratch);
        matmul(panels, x, z, scratch);
        CHECK(same_bits(y, z));
    }
}

} // namespace

TEST_CASE("panels multiply like the matrix they hold, whatever its format") {
    for_every_arithmetic([](arithmetic a) {
        random_generator random(1);
        for_each_format<uniform_formats<3>, normal_formats<4>, dense_formats>([&]<class F>() {
            INFO(format_name<F>());
            const auto w = random_matrix<F>(101, legal_cols<F>(1057), random);
            weight_panels<arch> panels(w.rows(), w.cols(), a);
            panels.pack(w);
            check_against_matrix(panels, w, 19, a, random);
            check_against_matrix(weight_panels<arch>::made_at_use(w, a), w, 19, a, random);
        });
    });
}

TEST_CASE("panels of columns that have an order multiply like those of the columns where they belong, bit for bit") {
    for_every_arithmetic([](arithmetic a) {
        random_generator random(6);
        for_each_format<uniform_formats<3>, uniform_formats<4>, normal_formats<4>>([&]<class F>() {
            INFO(format_name<F>());
            for (const sizes s : {sizes{101, 1057, 19}, {1, 1, 1}, {33, 511, 5}, {50, 3201, 3}}) {
                const auto w = random_ordered_matrix<F>(s.rows, legal_cols<F>(s.cols), random);
                const auto in_order = laid_out_in_order(w);
                aligned_array<std::byte> memory(weight_panels<arch>::bytes(s.rows, w.cols(), a));
                std::ranges::fill(memory.span(), std::byte{0x7F});
                for (const unsigned tasks : {1u, 3u}) {
                    weight_panels<arch> panels(s.rows, w.cols(), a, memory.span());
                    panels.pack(w, 0, tasks);
                    check_against_matrix(panels, in_order, s.positions, a, random);
                }
                check_against_matrix(weight_panels<arch>::made_at_use(w, a), in_order, s.positions, a, random);
            }
        });
    });
}

TEST_CASE("panels of every size, more of them than are multiplied at once, more columns than a block has") {
    for_every_arithmetic([](arithmetic a) {
        random_generator random(2);
        for (const sizes s : {sizes{1, 1, 1},
                              {31, 32, 40},
                              {33, 511, 5},
                              {300, 40, 70},
                              {49, 3201, 33},
                              {530, 1600, 2},
                              {20, 64, 530},
                              {290, 700, 300}}) {
            CAPTURE(s.rows);
            CAPTURE(s.cols);
            const auto w = random_matrix<dense<float>>(s.rows, s.cols, random);
            weight_panels<arch> panels(s.rows, s.cols, a);
            panels.pack(w);
            check_against_matrix(panels, w, s.positions, a, random);
            check_against_matrix(weight_panels<arch>::made_at_use(w, a), w, s.positions, a, random);
        }
    });
}

TEST_CASE("rows from the middle of a matrix, packed in several tasks into memory of the caller") {
    for_every_arithmetic([](arithmetic a) {
        random_generator random(5);
        constexpr std::size_t rows = 130, cols = 610, first = 17, positions = 9;
        const auto w = random_matrix<uniform<3, 32>>(200, legal_cols<uniform<3, 32>>(cols), random);
        ragged_matrix x(positions, w.cols(), 2, random);
        aligned_array<std::byte> memory(weight_panels<arch>::bytes(rows, w.cols(), a));
        std::ranges::fill(memory.span(), std::byte{0x7F});
        workspace scratch(matmul_bytes<arch>(rows, w.cols(), positions, 1), 1, a);
        matrix<float> y(positions, rows), z(positions, rows);
        matmul_rows<arch>(w, first, rows, x, y, scratch);
        for (unsigned tasks = 1; tasks <= 3; ++tasks) {
            weight_panels<arch> panels(rows, w.cols(), a, memory.span());
            panels.pack(w, first, tasks);
            matmul(panels, x, z, scratch);
            CHECK(same_bits(y, z));
        }
    });
}

TEST_CASE("a second matrix leaves nothing of the first") {
    for_every_arithmetic([](arithmetic a) {
        random_generator random(3);
        weight_panels<arch> panels(70, 610, a);
        for (int i = 0; i < 2; ++i) {
            const auto w = random_matrix<dense<float>>(70, 610, random);
            panels.pack(w);
            check_against_matrix(panels, w, 3, a, random);
        }
    });
}

TEST_CASE("panels without columns give empty sums, and none before they are packed") {
    for_every_arithmetic([](arithmetic a) {
        matrix<float> y(2, 5), x(2, 64);
        std::fill(x.span().begin(), x.span().end(), 1.0f);
        for (const std::size_t cols : {std::size_t{0}, std::size_t{64}}) {
            std::fill(y.span().begin(), y.span().end(), 3.0f);
            weight_panels<arch> panels(5, cols, a);
            workspace scratch(matmul_bytes<arch>(5, cols, 2, 2), 2, a);
            matmul(panels, matrix_view<const float>(x.data(), 2, cols), y, scratch);
            CHECK(std::ranges::all_of(y.span(), [](float v) { return v == 0.0f; }));
        }
    });
}

TEST_CASE("panels take the bytes of their numbers and of what fills the last panel") {
    const std::size_t floats = weight_panels<arch>::bytes(960, 640, arithmetic::f32);
    CHECK(floats >= 960 * 640 * 4);
    CHECK(floats <= 960 * 640 * 4 * 11 / 10);
    if (is_available(arithmetic::bf16_dot))
        CHECK(weight_panels<arch>::bytes(960, 640, arithmetic::bf16_dot) == floats / 2);
}
