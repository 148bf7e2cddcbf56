#pragma once
/// matmul: y = x · wᵀ for many positions.

#include "bitlens/core/workspace.hpp"
#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/simd/arch.hpp"

namespace bitlens {

/// Bytes of workspace that matmul, matmul_rows and matvec need with a matrix of any format.
inline std::size_t matmul_bytes(std::size_t rows, std::size_t cols, std::size_t positions, unsigned tasks) {
    return 64 * (rows + cols + positions) + 1024 * tasks;
}

/// y = x · (rows first … first + count − 1 of w)ᵀ.   Shapes: x (T, cols), y (T, count).
template <class Arch = simd::default_arch, weight_matrix W>
void matmul_rows(W const& w, std::size_t first, std::size_t count, matrix_view<const float> x, matrix_view<float> y,
                 workspace&) noexcept {
    BITLENS_ASSERT(x.cols == w.cols() && y.cols == count && y.rows == x.rows && first + count <= w.rows());
    for (std::size_t t = 0; t < x.rows; ++t)
        for (std::size_t r = 0; r < count; ++r) {
            float sum = 0;
            for (std::size_t c = 0; c < x.cols; ++c) sum += w.value(first + r, c) * x(t, c);
            y(t, r) = sum;
        }
}

/// y = x · wᵀ.   Shapes: w (rows, cols), x (T, cols), y (T, rows).
template <class Arch = simd::default_arch, weight_matrix W>
void matmul(W const& w, matrix_view<const float> x, matrix_view<float> y, workspace& scratch) noexcept {
    matmul_rows<Arch>(w, 0, w.rows(), x, y, scratch);
}

/// The same for weights that are plain floats in rows, as attention has them.
template <class Arch = simd::default_arch>
void matmul(matrix_view<const float> w, matrix_view<const float> x, matrix_view<float> y, workspace&) noexcept {
    for (std::size_t t = 0; t < x.rows; ++t)
        for (std::size_t r = 0; r < w.rows; ++r) {
            float sum = 0;
            for (std::size_t c = 0; c < x.cols; ++c) sum += w(r, c) * x(t, c);
            y(t, r) = sum;
        }
}

/// y = x · w: attention's sum of values.   Shapes: w (cols, rows), x (T, cols), y (T, rows).
template <class Arch = simd::default_arch>
void matmul_transposed(matrix_view<const float> w, matrix_view<const float> x, matrix_view<float> y,
                       workspace&) noexcept {
    for (std::size_t t = 0; t < x.rows; ++t)
        for (std::size_t r = 0; r < w.cols; ++r) {
            float sum = 0;
            for (std::size_t c = 0; c < x.cols; ++c) sum += w(c, r) * x(t, c);
            y(t, r) = sum;
        }
}

} // namespace bitlens
