#pragma once
/// The products of kernels/ in double, straight from their formulas: what the fast ones are compared with.

#include "bitlens/core/shape_check.hpp"
#include "bitlens/formats/mixed_matrix.hpp"

namespace bitlens::reference {

/// y = x · wᵀ.   Shapes: w (rows, cols), x (T, cols), y (T, rows). Rounded to float once, at the end.
/// Errors: shape_error where they do not fit.
template <weight_matrix W>
void matmul(W const& w, matrix_view<const float> x, matrix_view<float> y) {
    detail::check_shape("reference::matmul", "x", x, x.rows, w.cols());
    detail::check_shape("reference::matmul", "y", y, x.rows, w.rows());
    for (std::size_t t = 0; t < x.rows; ++t)
        for (std::size_t r = 0; r < y.cols; ++r) {
            double sum = 0;
            for (std::size_t c = 0; c < x.cols; ++c) sum += double{w.value(r, c)} * double{x(t, c)};
            y(t, r) = static_cast<float>(sum);
        }
}

/// The same for one position.   Shapes: x (cols), y (rows).
template <weight_matrix W>
void matvec(W const& w, std::span<const float> x, std::span<float> y) {
    matmul(w, {x.data(), 1, x.size()}, {y.data(), 1, y.size()});
}

} // namespace bitlens::reference
