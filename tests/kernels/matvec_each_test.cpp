#include "any_format.hpp"
#include "bitlens/kernels/matvec_each.hpp"

#include "same_bits.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

/// The sums of matvec, written down: lane l adds up columns l, l + lanes, … in order, of the weights as they are.
template <weight_format F>
matrix<float> by_lanes(packed_matrix<F> const& w, matrix_view<const float> x) {
    constexpr std::size_t lanes = simd::lanes<arch>;
    using vec = simd::batch<float, arch>;
    matrix<float> y(x.rows, w.rows());
    for (std::size_t r = 0; r < w.rows(); ++r)
        for (std::size_t t = 0; t < x.rows; ++t) {
            std::vector<float> total(lanes);
            for (std::size_t k = 0; k < w.cols(); ++k) { // by place
                std::size_t c = k;
                if constexpr (quant_format<F>)
                    if (!w.order().empty()) c = w.order()[k];
                const vec sum = simd::fma(vec(w.value(r, c)), vec(x(t, c)), vec(total[k % lanes]));
                std::vector<float> numbers(lanes);
                sum.store_unaligned(numbers.data());
                total[k % lanes] = numbers[0];
            }
            const vec all[]{vec::load_unaligned(total.data()), vec(0.0f), vec(0.0f), vec(0.0f)};
            y(t, r) = simd::sums<arch>(all)[0];
        }
    return y;
}

template <weight_format F>
void check_each(packed_matrix<F> const& w, matrix_view<const float> x, unsigned tasks) {
    CAPTURE(w.rows());
    CAPTURE(w.cols());
    CAPTURE(x.rows);
    workspace scratch(matmul_bytes<arch>(w.rows(), w.cols(), x.rows, tasks), tasks);
    matrix<float> y(x.rows, w.rows()), alone(x.rows, w.rows());
    matvec_each<arch>(w, x, y, scratch);
    for (std::size_t t = 0; t < x.rows; ++t) matvec<arch>(w, x.row(t), alone.row(t), scratch);
    CHECK(same_bits(y, alone));
    CHECK(same_bits(y, by_lanes(w, x)));
}

} // namespace

TEST_CASE("matvec_each: each row has the bits of matvec, and both sum the lanes of the weights, for every format") {
    random_generator random(1);
    for_every_format([&]<class F>() {
        INFO(format_name<F>());
        for (const auto& [rows, cols] :
             {std::pair<std::size_t, std::size_t>{1, 1}, {13, 33}, {7, 95}, {6, 1057}, {3, 544}}) {
            const auto w = random_matrix<F>(rows, legal_cols<F>(cols), random);
            for (const std::size_t positions : {1u, 2u, 5u, 16u}) {
                ragged_matrix x(positions, w.cols(), 1, random);
                check_each(w, x, 1);
            }
        }
        if constexpr (quant_format<F>)
            for (const auto& [rows, cols] : {std::pair<std::size_t, std::size_t>{1, 1}, {7, 95}, {6, 1057}}) {
                const auto w = random_ordered_matrix<F>(rows, legal_cols<F>(cols), random);
                ragged_matrix x(3, w.cols(), 1, random);
                check_each(w, x, 1);
            }
    });
}

TEST_CASE("matvec_each: any number of rows and tasks, and through a mixed matrix") {
    random_generator random(2);
    auto w = random_matrix<uniform<3, 64>>(51, 300, random);
    for (std::size_t positions = 0; positions <= 35; ++positions) {
        ragged_matrix x(positions, 300, 3, random);
        check_each(w, x, 1);
        check_each(w, x, 3);
    }
    for (std::size_t rows = 0; rows <= 14; ++rows) {
        ragged_matrix x(4, 70, 3, random);
        check_each(random_matrix<normal_float<4, 64>>(rows, 128, random), ragged_matrix(4, 128, 3, random), 2);
        check_each(random_matrix<dense<bf16>>(rows, 70, random), x, 2);
    }
    const auto large = random_matrix<dense<float>>(403, 600, random); // of many pieces
    ragged_matrix wide(17, 600, 0, random);
    check_each(large, wide, 2);

    ragged_matrix x(6, 300, 0, random);
    matrix<float> one(6, 51), other(6, 51);
    workspace scratch(matmul_bytes<arch>(51, 300, 6, 1));
    matvec_each<arch>(w, x, one, scratch);
    const mixed_matrix<dense<float>, uniform<3, 64>> mixed = std::move(w);
    matvec_each<arch>(mixed, x, other, scratch);
    CHECK(same_bits(one, other));
}

TEST_CASE("matvec_each_of: several matrices with one x give what each gives alone") {
    random_generator random(4);
    using matrices = mixed_matrix<dense<bf16>, uniform<3, 64>, normal_float<4, 64>>;
    const std::array<matrices, 4> w{
        random_matrix<uniform<3, 64>>(300, 512, random), random_ordered_matrix<normal_float<4, 64>>(7, 512, random),
        random_matrix<dense<bf16>>(0, 512, random), random_matrix<dense<bf16>>(301, 512, random)};
    for (const std::size_t positions : {0u, 1u, 2u, 17u})
        for (const unsigned tasks : {1u, 2u, 3u}) {
            CAPTURE(positions);
            CAPTURE(tasks);
            ragged_matrix x(positions, 512, 1, random);
            workspace scratch(4 * matmul_bytes<arch>(301, 512, positions, tasks), tasks);
            std::array<matrix<float>, 4> y;
            std::array<product_to<matrices>, 4> all;
            for (std::size_t i = 0; i < 4; ++i) {
                y[i] = matrix<float>(positions, w[i].rows());
                all[i] = {&w[i], y[i]};
            }
            matvec_each_of<arch>(all, x, scratch);
            for (std::size_t i = 0; i < 4; ++i) {
                matrix<float> alone(positions, w[i].rows());
                matvec_each<arch>(w[i], x, alone, scratch);
                CHECK(same_bits(y[i], alone));
                for (std::size_t t = 0; t < positions; ++t) matvec<arch>(w[i], x.view().row(t), alone.row(t), scratch);
                CHECK(same_bits(y[i], alone));
            }
        }
}

TEST_CASE("matvec_each: a row beside others that hold no numbers is what it is alone") {
    random_generator random(3);
    const auto w = random_matrix<uniform<4, 32>>(9, 96, random);
    matrix<float> x(5, 96), y(5, 9);
    for (float& v : x.row(2)) v = static_cast<float>(random.normal());
    for (const std::size_t t : {0u, 1u, 3u, 4u}) std::ranges::fill(x.row(t), std::numeric_limits<float>::quiet_NaN());
    workspace scratch(matmul_bytes<arch>(9, 96, 5, 1));
    matvec_each<arch>(w, x, y, scratch);
    std::vector<float> alone(9);
    matvec<arch>(w, x.row(2), alone, scratch);
    CHECK(std::ranges::equal(y.row(2), alone));
}

TEST_CASE("matvec_each of no columns is zero, and what does not fit is refused") {
    workspace scratch(matmul_bytes<arch>(3, 0, 2, 1));
    matrix<float> y(2, 3);
    std::ranges::fill(y.span(), 5.0f);
    const matrix<float> nothing(2, 0);
    matvec_each<arch>(packed_matrix<uniform<4, 32>>(3, 0), nothing, y, scratch);
    CHECK(std::ranges::equal(y.span(), std::vector<float>(6)));
    std::ranges::fill(y.span(), 5.0f);
    matvec_each<arch>(packed_matrix<dense<f16>>(3, 0), nothing, y, scratch);
    CHECK(std::ranges::equal(y.span(), std::vector<float>(6)));

    const packed_matrix<uniform<4, 32>> w(3, 64);
    const matrix<float> x(2, 64), narrow(2, 63);
    CHECK_THROWS_WITH_AS(matvec_each<arch>(w, narrow, y, scratch), "matvec_each: x is 2 × 63, expected 2 × 64",
                         shape_error);
    matrix<float> wide(2, 4);
    CHECK_THROWS_WITH_AS(matvec_each<arch>(w, x, wide, scratch), "matvec_each: y is 2 × 4, expected 2 × 3",
                         shape_error);
    workspace small(64);
    CHECK_THROWS_WITH_AS(matvec_each<arch>(w, x, y, small),
                         doctest::Contains("matvec_each: the workspace has 64 of 64 bytes free"), shape_error);
}
