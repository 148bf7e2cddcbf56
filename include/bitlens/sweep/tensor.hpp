#pragma once
/// The one door to xtensor: our matrices as xtensor expressions, without a copy, for code that analyses them.

#include "bitlens/core/view.hpp"

#if __has_include(<xtensor/containers/xadapt.hpp>) // first: an older xtensor may lie in the system's folder
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xarray.hpp>
#include <xtensor/containers/xtensor.hpp>
#include <xtensor/core/xmath.hpp>
#include <xtensor/views/xview.hpp>
#else // before 0.26
#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>
#endif

#include <array>

namespace bitlens {

/// The same numbers as an xtensor expression of rank 2 (rows, cols) that does not own them; writing to it writes to the
/// matrix.
template <class T>
auto as_xtensor(matrix_view<T> m) {
    // An adaptor with strides of its own would do, but `*= 2` on one walks the memory and ignores them; a view does
    // not.
    const std::array<std::size_t, 2> whole_rows{m.rows, m.stride};
    return xt::view(xt::adapt(m.data, m.rows * m.stride, xt::no_ownership(), whole_rows), xt::all(),
                    xt::range(std::size_t{0}, m.cols));
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
