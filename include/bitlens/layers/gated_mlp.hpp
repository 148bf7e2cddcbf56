#pragma once
/// The gate of a gated MLP: SiLU and the product with the up projection (Shazeer 2020, "SwiGLU").

#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/simd/rows.hpp"

#include <cstddef>

namespace bitlens {

namespace detail {

/// σ(x) = x / (1 + e^(−x)); towards −∞ it goes to −0.
template <class Arch>
simd::batch<float, Arch> silu(simd::batch<float, Arch> x) noexcept {
    using vec = simd::batch<float, Arch>;
    return x / (vec(1.0f) + simd::exp(-x));
}

} // namespace detail

/// a ← σ(a), element by element.
template <class Arch = simd::default_arch>
void silu(matrix_view<float> a) noexcept {
    using vec = simd::batch<float, Arch>;
    for (std::size_t t = 0; t < a.rows; ++t)
        simd::map<Arch>(
            a.cols, [](vec v) { return detail::silu<Arch>(v); }, a.row(t).data(), a.row(t).data());
}

/// a ← a ⊙ b.   Shapes: both (T, n).   Errors: shape_error where they differ.
template <class Arch = simd::default_arch>
void multiply(matrix_view<float> a, matrix_view<const float> b) {
    using vec = simd::batch<float, Arch>;
    detail::check_shape("multiply", "b", b, a.rows, a.cols);
    for (std::size_t t = 0; t < a.rows; ++t)
        simd::map<Arch>(
            a.cols, [](vec v, vec w) { return v * w; }, a.row(t).data(), a.row(t).data(), b.row(t).data());
}

/// a ← σ(a) ⊙ b in one pass: the same bits as silu and multiply.   Shapes, errors: as multiply.
template <class Arch = simd::default_arch>
void silu_multiply(matrix_view<float> a, matrix_view<const float> b) {
    using vec = simd::batch<float, Arch>;
    detail::check_shape("silu_multiply", "b", b, a.rows, a.cols);
    for (std::size_t t = 0; t < a.rows; ++t)
        simd::map<Arch>(
            a.cols, [](vec v, vec w) { return detail::silu<Arch>(v) * w; }, a.row(t).data(), a.row(t).data(),
            b.row(t).data());
}

/// a ← a + b.   Shapes, errors: as multiply.
template <class Arch = simd::default_arch>
void add(matrix_view<float> a, matrix_view<const float> b) {
    using vec = simd::batch<float, Arch>;
    detail::check_shape("add", "b", b, a.rows, a.cols);
    for (std::size_t t = 0; t < a.rows; ++t)
        simd::map<Arch>(
            a.cols, [](vec v, vec w) { return v + w; }, a.row(t).data(), a.row(t).data(), b.row(t).data());
}

} // namespace bitlens
