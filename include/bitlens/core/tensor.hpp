#pragma once
/// The one door to xtensor: our matrices as xtensor expressions, without a copy, for code that analyses them.

#include "bitlens/core/view.hpp"

#if __has_include(<xtensor/xadapt.hpp>)
#include <xtensor/xadapt.hpp> // xtensor before 0.26
#include <xtensor/xtensor.hpp>
#else
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xtensor.hpp>
#endif

#include <array>

namespace bitlens {

/// The same numbers as an xtensor of rank 2 (rows, cols) that does not own them; writing to it writes to the matrix.
template <class T>
auto as_xtensor(matrix_view<T> m) {
    const std::array<std::size_t, 2> shape{m.rows, m.cols};
    const std::array<std::ptrdiff_t, 2> strides{static_cast<std::ptrdiff_t>(m.stride), 1};
    // xtensor insists on a buffer of rows · cols numbers even where the strides reach beyond; it reads by the strides.
    return xt::adapt(m.data, m.rows * m.cols, xt::no_ownership(), shape, strides);
}

/// A copy of an xtensor of rank 2. Errors: shape_error for another rank.
template <class E>
auto as_matrix(E const& expression) {
    if (expression.dimension() != 2) throw shape_error("as_matrix: an expression of rank 2 is expected");
    matrix<std::remove_cvref_t<decltype(expression(0, 0))>> m(expression.shape(0), expression.shape(1));
    for (std::size_t r = 0; r < m.rows(); ++r)
        for (std::size_t c = 0; c < m.cols(); ++c) m(r, c) = expression(r, c);
    return m;
}

} // namespace bitlens
