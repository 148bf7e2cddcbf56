#pragma once
/// RMS normalisation (Zhang & Sennrich 2019).

#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/simd/rows.hpp"

#include <cmath>
#include <cstddef>
#include <span>
#include <string>

namespace bitlens {

namespace detail {

/// Σ x_i², in lanes and then in order: the same bits wherever the row stands.
template <class Arch>
float sum_of_squares(std::span<const float> x) noexcept {
    using vec = simd::batch<float, Arch>;
    vec sum(0.0f);
    std::size_t i = 0;
    for (; i + vec::size <= x.size(); i += vec::size) {
        const auto v = vec::load_unaligned(x.data() + i);
        sum = simd::fma(v, v, sum);
    }
    float total = simd::fold(sum, [](float a, float b) { return a + b; });
    for (; i < x.size(); ++i) total += x[i] * x[i];
    return total;
}

/// Errors: shape_error unless x is whole heads of γ, and y as large.
inline void check_heads(const char* who, matrix_view<const float> x, std::span<const float> gamma,
                        matrix_view<float> y) {
    if (gamma.empty() || x.cols % gamma.size() != 0)
        throw shape_error(std::string(who) + ": x has " + std::to_string(x.cols) +
                          " columns, expected whole heads of " + std::to_string(gamma.size()));
    check_shape(who, "y", y, x.rows, x.cols);
}

} // namespace detail

/// y_t = γ ⊙ x_t / √(mean(s_t²) + ε): x in the scale of other states s.   Shapes: x, s, y (T, d), γ (d); y may be x.
/// Errors: shape_error where they do not fit.
template <class Arch = simd::default_arch>
void rms_norm_of_scale(matrix_view<const float> x, matrix_view<const float> s, std::span<const float> gamma,
                       float epsilon, matrix_view<float> y) {
    using vec = simd::batch<float, Arch>;
    detail::check_size("rms_norm", "gamma", gamma.size(), x.cols);
    detail::check_shape("rms_norm", "s", s, x.rows, x.cols);
    detail::check_shape("rms_norm", "y", y, x.rows, x.cols);
    for (std::size_t t = 0; t < x.rows; ++t) {
        const float mean = detail::sum_of_squares<Arch>(s.row(t)) / static_cast<float>(s.cols);
        const vec inverse(1.0f / std::sqrt(mean + epsilon));
        simd::map<Arch>(
            x.cols, [&](vec v, vec g) { return g * (v * inverse); }, y.row(t).data(), x.row(t).data(), gamma.data());
    }
}

/// y_t = γ ⊙ x_t / √(mean(x_t²) + ε).   Shapes: x, y (T, d), γ (d); y may be x.   ε > 0 keeps a row of zeros at zero.
/// Errors: shape_error where they do not fit.
template <class Arch = simd::default_arch>
void rms_norm(matrix_view<const float> x, std::span<const float> gamma, float epsilon, matrix_view<float> y) {
    rms_norm_of_scale<Arch>(x, x, gamma, epsilon, y);
}

/// rms_norm of each head on its own, all with one γ: for queries and keys.   Shapes: x, y (T, heads · head_dim),
/// γ (head_dim); y may be x.   Errors: shape_error where they do not fit.
template <class Arch = simd::default_arch>
void rms_norm_of_heads(matrix_view<const float> x, std::span<const float> gamma, float epsilon, matrix_view<float> y) {
    detail::check_heads("rms_norm_of_heads", x, gamma, y);
    const std::size_t head_dim = gamma.size();
    for (std::size_t i = 0; i < x.cols; i += head_dim)
        rms_norm<Arch>(x.middle_cols(i, head_dim), gamma, epsilon, y.middle_cols(i, head_dim));
}

} // namespace bitlens
