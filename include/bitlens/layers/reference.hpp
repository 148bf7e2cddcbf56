#pragma once
/// Slow truths of this folder: the formulas in double, rounded to float at the end.

#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/layers/attention.hpp"
#include "bitlens/layers/gated_mlp.hpp"
#include "bitlens/layers/rms_norm.hpp"
#include "bitlens/layers/rope.hpp"

#include <cmath>
#include <cstddef>
#include <numbers>
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

/// See bitlens::rms_norm_of_heads.
inline void rms_norm_of_heads(matrix_view<const float> x, std::span<const float> gamma, float epsilon,
                              matrix_view<float> y) {
    bitlens::detail::check_heads("reference::rms_norm_of_heads", x, gamma, y);
    for (std::size_t i = 0; i < x.cols; i += gamma.size())
        rms_norm(x.middle_cols(i, gamma.size()), gamma, epsilon, y.middle_cols(i, gamma.size()));
}

/// See bitlens::rope, for all positions of a text; frequencies and angles are exact here, not rounded to float.
inline void rope(std::size_t head_dim, rope_rule const& rule, matrix_view<float> x) {
    const auto stretch = bitlens::detail::stretch_of(rule, head_dim, x.rows);
    const std::size_t half = stretch.rotated / 2;
    for (std::size_t i = 0; i < half; ++i) {
        const double unscaled =
            std::pow(stretch.theta, -2.0 * static_cast<double>(i) / static_cast<double>(stretch.rotated));
        const double frequency = stretch.of_pair(i, unscaled);
        for (std::size_t t = 0; t < x.rows; ++t)
            for (std::size_t head = 0; head < x.cols; head += head_dim) {
                const double angle = static_cast<double>(t) * frequency;
                const double c = stretch.magnitude * std::cos(angle), s = stretch.magnitude * std::sin(angle);
                const double a = double{x(t, head + i)}, b = double{x(t, head + half + i)};
                x(t, head + i) = static_cast<float>(a * c - b * s);
                x(t, head + half + i) = static_cast<float>(b * c + a * s);
            }
    }
}

/// See bitlens::attention.
inline void attention(matrix_view<const float> q, matrix_view<const float> k, matrix_view<const float> v,
                      std::size_t head_dim, attention_rule const& rule, matrix_view<float> out) {
    bitlens::detail::check_attention_operands(q, k, v, head_dim, rule, out);
    const std::size_t heads = q.cols / head_dim, group = heads / (k.cols / head_dim);
    for (std::size_t h = 0; h < heads; ++h)
        for (std::size_t t = 0; t < q.rows; ++t) {
            const std::size_t key = h / group * head_dim, end = rule.first + t + 1;
            const std::size_t begin = end > rule.window ? end - rule.window : 0;
            std::vector<double> p(end);
            double sum = 0;
            for (std::size_t s = begin; s < end; ++s) {
                double score = 0;
                for (std::size_t i = 0; i < head_dim; ++i)
                    score += double{q(t, h * head_dim + i)} * double{k(s, key + i)};
                score *= double{rule.scale};
                if (rule.soft_cap != no_soft_cap)
                    score = double{rule.soft_cap} * std::tanh(score / double{rule.soft_cap});
                p[s] = std::exp(score);
                sum += p[s];
            }
            for (std::size_t i = 0; i < head_dim; ++i) {
                double result = 0;
                for (std::size_t s = begin; s < end; ++s) result += p[s] / sum * double{v(s, key + i)};
                out(t, h * head_dim + i) = static_cast<float>(result);
            }
        }
}

/// σ(gate) ⊙ up, into gate. See bitlens::activate_multiply.
template <activation A>
void activate_multiply(matrix_view<float> gate, matrix_view<const float> up) {
    bitlens::detail::check_shape("reference::activate_multiply", "up", up, gate.rows, gate.cols);
    for (std::size_t t = 0; t < gate.rows; ++t)
        for (std::size_t i = 0; i < gate.cols; ++i) {
            const double g = double{gate(t, i)};
            const double u =
                A == activation::silu ? g : 2 * std::sqrt(2 / std::numbers::pi) * (g + 0.044715 * g * g * g);
            gate(t, i) = static_cast<float>(g / (1 + std::exp(-u)) * double{up(t, i)});
        }
}

} // namespace bitlens::reference
