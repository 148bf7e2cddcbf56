#include "any_format.hpp"
#include "bitlens/kernels/matvec.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

/// |y − reference| ≤ γ_n · Σ_c |w·x|, n = roundings on the way of one term: its product, and at most `cols` sums within
/// and over lanes.
template <weight_format F>
void check_against_reference(packed_matrix<F> const& w, std::span<const float> x, std::span<const float> y) {
    const double gamma = gamma_of(w.cols() + 1);
    bool close = true;
    for (std::size_t r = 0; r < w.rows(); ++r) {
        double sum = 0, size = 0;
        for (std::size_t c = 0; c < w.cols(); ++c) {
            const double term = double{w.value(r, c)} * double{x[c]};
            sum += term;
            size += std::abs(term);
        }
        close &= std::abs(double{y[r]} - sum) <= gamma * size;
    }
    CHECK(close);
}

} // namespace

TEST_CASE("matvec agrees with the reference for every format") {
    random_generator random(1);
    for_every_format([&]<class F>() {
        INFO(format_name<F>());
        for (const auto& [rows, cols] :
             {std::pair<std::size_t, std::size_t>{1, 1}, {4, 33}, {7, 95}, {6, 1057}, {5, 4096}}) {
            const auto w = random_matrix<F>(rows, legal_cols<F>(cols), random);
            ragged_matrix x(1, w.cols(), 1, random);
            std::vector<float> y(rows);
            workspace scratch(matmul_bytes<arch>(rows, w.cols(), 1, 1));
            matvec<arch>(w, x.view().row(0), y, scratch);
            check_against_reference(w, x.view().row(0), y);
        }
    });
}

TEST_CASE("matvec agrees with the reference where columns have an order") {
    random_generator random(3);
    for_every_low_bit_format([&]<class F>() {
        INFO(format_name<F>());
        for (const auto& [rows, cols] : {std::pair<std::size_t, std::size_t>{1, 1}, {7, 95}, {6, 1057}}) {
            const auto w = random_ordered_matrix<F>(rows, legal_cols<F>(cols), random);
            ragged_matrix x(1, w.cols(), 1, random);
            std::vector<float> y(rows);
            workspace scratch(matmul_bytes<arch>(rows, w.cols(), 1, 1));
            matvec<arch>(w, x.view().row(0), y, scratch);
            check_against_reference(w, x.view().row(0), y);
        }
    });
}

TEST_CASE("matvec: the same bits for any number of tasks, and through a mixed matrix") {
    random_generator random(2);
    auto w = random_matrix<uniform<3, 64>>(51, 300, random);
    ragged_matrix x(1, 300, 3, random);
    std::vector<float> one(51), several(51);
    workspace scratch(matmul_bytes<arch>(51, 300, 1, 1));
    matvec<arch>(w, x.view().row(0), one, scratch);
    for (unsigned tasks = 2; tasks <= 4; ++tasks) {
        workspace split(matmul_bytes<arch>(51, 300, 1, tasks), tasks);
        matvec<arch>(w, x.view().row(0), several, split);
        CHECK(one == several);
    }
    const mixed_matrix<dense<float>, uniform<3, 64>> mixed = std::move(w);
    matvec<arch>(mixed, x.view().row(0), several, scratch);
    CHECK(one == several);
}

TEST_CASE("matvec of nothing is nothing, and of no columns zero") {
    workspace scratch(matmul_bytes<arch>(3, 0, 1, 1));
    std::vector<float> y(3, 5.0f);
    matvec<arch>(packed_matrix<uniform<4, 32>>(3, 0), {}, y, scratch);
    CHECK(y == std::vector<float>(3, 0.0f));
    matvec<arch>(packed_matrix<uniform<4, 0>>(3, 0), {}, y, scratch);
    CHECK(y == std::vector<float>(3, 0.0f));
    matvec<arch>(packed_matrix<dense<float>>(0, 3), y, {}, scratch);
}
