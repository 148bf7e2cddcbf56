#pragma once
/// The gate of a gated MLP: an activation and the product with the up projection (Shazeer 2020, "SwiGLU", "GEGLU").

#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/simd/rows.hpp"

#include <cstddef>
#include <cstdint>

namespace bitlens {

/// What the gate goes through.
enum class activation : std::uint8_t {
    silu,     ///< x / (1 + e^(−x))
    gelu_tanh ///< x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³))), not the GELU that the error function makes
};

namespace detail {

/// x / (1 + e^(−u)), u = x of SiLU; ½(1 + tanh y) is 1 / (1 + e^(−2y)), which keeps its digits where x is far below 0.
/// Towards −∞ both go to −0.
template <activation A, class Arch>
simd::batch<float, Arch> activate(simd::batch<float, Arch> x) noexcept {
    using vec = simd::batch<float, Arch>;
    if constexpr (A == activation::silu) {
        return x / (vec(1.0f) + simd::exp(-x));
    } else {
        constexpr double minus_two_root = -1.5957691216057308; // −2·√(2/π)
        const vec linear(static_cast<float>(minus_two_root)), cubic(static_cast<float>(minus_two_root * 0.044715));
        return x / (vec(1.0f) + simd::exp(x * simd::fma(cubic, x * x, linear)));
    }
}

} // namespace detail

/// a ← σ(a), element by element.
template <activation A, class Arch = simd::default_arch>
void activate(matrix_view<float> a) noexcept {
    using vec = simd::batch<float, Arch>;
    for (std::size_t t = 0; t < a.rows; ++t)
        simd::map<Arch>(
            a.cols, [](vec v) { return detail::activate<A, Arch>(v); }, a.row(t).data(), a.row(t).data());
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

/// a ← σ(a) ⊙ b in one pass: the same bits as activate and multiply.   Shapes, errors: as multiply.
template <activation A, class Arch = simd::default_arch>
void activate_multiply(matrix_view<float> a, matrix_view<const float> b) {
    using vec = simd::batch<float, Arch>;
    detail::check_shape("activate_multiply", "b", b, a.rows, a.cols);
    for (std::size_t t = 0; t < a.rows; ++t)
        simd::map<Arch>(
            a.cols, [](vec v, vec w) { return detail::activate<A, Arch>(v) * w; }, a.row(t).data(), a.row(t).data(),
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
