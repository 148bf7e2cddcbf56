#pragma once
/// Slow truths of this folder: the formulas in double, rounded to float at the end.

#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/layers/attention.hpp"

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace bitlens::reference {

/// See bitlens::rms_norm.
inline void rms_norm(matrix_view<const float> x, std::span<const float> gamma, float epsilon, matrix_view<float> y) {
    bitlens::detail::check_size("reference::rms_norm", "gamma", gamma.size(), x.cols);
    bitlens::detail::check_shape("reference::rms_norm", "y", y, x.rows, x.cols);
    for (std::size_t t = 0; t < x.rows; ++t) {
        double squares = 0;
        for (float v : x.row(t)) squares += double{v} * double{v};
        const double rms = std::sqrt(squares / static_cast<double>(x.cols) + double{epsilon});
        for (std::size_t i = 0; i < x.cols; ++i) y(t, i) = static_cast<float>(double{gamma[i]} * double{x(t, i)} / rms);
    }
}

/// See bitlens::rope; the angle is exact here, not rounded to float.
inline void rope(std::size_t head_dim, double theta, matrix_view<float> x) {
    const std::size_t half = head_dim / 2;
    for (std::size_t t = 0; t < x.rows; ++t)
        for (std::size_t head = 0; head < x.cols; head += head_dim)
            for (std::size_t i = 0; i < half; ++i) {
                const double angle = static_cast<double>(t) *
                                     std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
                const double a = double{x(t, head + i)}, b = double{x(t, head + half + i)};
                x(t, head + i) = static_cast<float>(a * std::cos(angle) - b * std::sin(angle));
                x(t, head + half + i) = static_cast<float>(b * std::cos(angle) + a * std::sin(angle));
            }
}

/// See bitlens::attention.
inline void attention(matrix_view<const float> q, matrix_view<const float> k, matrix_view<const float> v,
                      std::size_t head_dim, matrix_view<float> out) {
    bitlens::detail::check_attention_operands(q, k, v, head_dim, out);
    const std::size_t heads = q.cols / head_dim, group = heads / (k.cols / head_dim);
    for (std::size_t h = 0; h < heads; ++h)
        for (std::size_t t = 0; t < q.rows; ++t) {
            const std::size_t key = h / group * head_dim;
            std::vector<double> p(t + 1);
            double sum = 0;
            for (std::size_t s = 0; s <= t; ++s) {
                for (std::size_t i = 0; i < head_dim; ++i)
                    p[s] += double{q(t, h * head_dim + i)} * double{k(s, key + i)};
                p[s] = std::exp(p[s] / std::sqrt(static_cast<double>(head_dim)));
                sum += p[s];
            }
            for (std::size_t i = 0; i < head_dim; ++i) {
                double result = 0;
                for (std::size_t s = 0; s <= t; ++s) result += p[s] / sum * double{v(s, key + i)};
                out(t, h * head_dim + i) = static_cast<float>(result);
            }
        }
}

/// σ(gate) ⊙ up, into gate. See bitlens::silu_multiply.
inline void silu_multiply(matrix_view<float> gate, matrix_view<const float> up) {
    bitlens::detail::check_shape("reference::silu_multiply", "up", up, gate.rows, gate.cols);
    for (std::size_t t = 0; t < gate.rows; ++t)
        for (std::size_t i = 0; i < gate.cols; ++i) {
            const double g = double{gate(t, i)};
            gate(t, i) = static_cast<float>(g / (1 + std::exp(-g)) * double{up(t, i)});
        }
}

} // namespace bitlens::reference
