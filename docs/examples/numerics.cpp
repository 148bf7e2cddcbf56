#include <bitlens/core.hpp>
#include <bitlens/formats.hpp>
#include <bitlens/kernels.hpp>
#include <bitlens/quantizers.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace {

const std::size_t rows = 192, cols = 1024, positions = 64;

bitlens::matrix<float> random_matrix(std::size_t r, std::size_t c, std::uint64_t seed) {
    bitlens::matrix<float> m(r, c);
    bitlens::random_generator random(seed);
    for (float& v : m.span()) v = static_cast<float>(random.normal());
    return m;
}

template <class W>
bitlens::matrix<float> product(W const& w, bitlens::matrix_view<const float> x, unsigned tasks) {
    bitlens::matrix<float> y(x.rows, rows);
    bitlens::workspace scratch(bitlens::matmul_bytes(rows, cols, x.rows, tasks), tasks);
    bitlens::matmul(w, x, y.view(), scratch);
    return y;
}

const char* compared(bitlens::matrix_view<const float> a, bitlens::matrix_view<const float> b) {
    bool same = true;
    for (std::size_t t = 0; t < a.rows; ++t) same = same && std::ranges::equal(a.row(t), b.row(t));
    return same ? "the same bits" : "other bits";
}

} // namespace

int main() {
    const auto w = random_matrix(rows, cols, 1), x = random_matrix(positions, cols, 2);
    const auto packed = bitlens::rtn<bitlens::uniform<3, 64>>{}(w.view());
    const auto y = product(packed, x, 1);

    std::printf("4 tasks instead of 1:               %s\n", compared(product(packed, x, 4), y));
    std::printf("a position alone:                   %s\n",
                compared(product(packed, x.view().middle_rows(7, 1), 1), y.view().middle_rows(7, 1)));

    bitlens::matrix<float> decoded(rows, cols); // the same weights, not packed
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < cols; ++c) decoded(r, c) = packed.value(r, c);
    std::printf("weights decoded to float32 before:  %s\n", compared(product(decoded.view(), x, 1), y));

    bitlens::matrix<float> one(1, rows), exact(positions, rows);
    bitlens::workspace scratch(bitlens::matmul_bytes(rows, cols, 1, 1));
    bitlens::matvec(packed, x.row(7), one.row(0), scratch);
    std::printf("matvec instead of matmul:           %s\n", compared(one, y.view().middle_rows(7, 1)));

    // |y − Σ w·x| ≤ γ·Σ |w·x|, γ = n·u/(1 − n·u): n roundings on the way of a term, u = 2⁻²⁴.
    bitlens::reference::matmul(packed, x, exact.view());
    const double n = 512 + cols / 512 + 3, gamma = n * 0x1p-24 / (1 - n * 0x1p-24);
    double worst = 0;
    for (std::size_t t = 0; t < positions; ++t)
        for (std::size_t r = 0; r < rows; ++r) {
            double size = 0;
            for (std::size_t c = 0; c < cols; ++c) size += std::abs(double{packed.value(r, c)} * double{x(t, c)});
            worst = std::max(worst, std::abs(double{y(t, r)} - double{exact(t, r)}) / (gamma * size));
        }
    std::printf("against the sums in double:         %s the bound\n", worst <= 1 ? "within" : "beyond");
    std::printf("and of the bound they reach         %s\n", worst < 0.05 ? "less than a twentieth" : "more");
}
