#pragma once
/// The factor that GPTQ uses, by the book, in double or in float.

#include "bitlens/core/view.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>

namespace bitlens::test {

/// L, lower triangular, L·Lᵀ = a; none where a is not positive definite.
template <class T>
std::optional<matrix<T>> lower_factor(matrix<T> const& a) {
    matrix<T> l(a.rows(), a.rows());
    for (std::size_t i = 0; i < a.rows(); ++i)
        for (std::size_t j = 0; j <= i; ++j) {
            T sum = a(i, j);
            for (std::size_t k = 0; k < j; ++k) sum -= l(i, k) * l(j, k);
            if (i == j && !(sum > 0)) return std::nullopt;
            l(i, j) = i == j ? std::sqrt(sum) : sum / l(j, j);
        }
    return l;
}

/// a⁻¹ = L⁻ᵀ · L⁻¹.
template <class T>
matrix<T> inverse_of(matrix<T> const& l) {
    const std::size_t n = l.rows();
    matrix<T> m(n, n), inverse(n, n);
    for (std::size_t c = 0; c < n; ++c)
        for (std::size_t i = c; i < n; ++i) {
            T sum = i == c ? 1 : 0;
            for (std::size_t k = c; k < i; ++k) sum -= l(i, k) * m(k, c);
            m(i, c) = sum / l(i, i);
        }
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j)
            for (std::size_t k = std::max(i, j); k < n; ++k) inverse(i, j) += m(k, i) * m(k, j);
    return inverse;
}

/// U, upper triangular, UᵀU = h⁻¹: factor, inverse, and the factor of that.
template <class T>
std::optional<matrix<T>> upper_factor_of_inverse(matrix<T> const& h) {
    const auto l = lower_factor(h);
    if (!l) return std::nullopt;
    const auto of_inverse = lower_factor(inverse_of(*l));
    if (!of_inverse) return std::nullopt;
    matrix<T> u(h.rows(), h.rows());
    for (std::size_t i = 0; i < h.rows(); ++i)
        for (std::size_t j = i; j < h.rows(); ++j) u(i, j) = (*of_inverse)(j, i);
    return u;
}

} // namespace bitlens::test
