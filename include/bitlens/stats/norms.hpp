#pragma once
/// Lengths of activations and distances between them. A NaN or infinity in the input is one in the result.

#include "bitlens/core/error.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/stats/sums.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// ‖x‖₂   (0 for an empty x). Squares of floats are exact in double and cannot overflow there.
inline double euclidean_norm(std::span<const float> x) noexcept {
    return std::sqrt(detail::sum_of(x.size(), [&](std::size_t i) { return double{x[i]} * double{x[i]}; }));
}

/// ‖r_t‖₂ of every row.   Shapes: r (T, d) → (T).   Units: those of the activations.
inline std::vector<double> row_norms(matrix_view<const float> r) {
    std::vector<double> norms(r.rows);
    for (std::size_t t = 0; t < r.rows; ++t) norms[t] = euclidean_norm(r.row(t));
    return norms;
}

/// norm(x; r) = 1/T · Σ_t ‖r_t‖₂   — residual magnitude of one example at one layer.
/// Shapes: r (T, d).   Units: those of the activations.   Errors: shape_error when T = 0.   Source: arXiv 2506.12044,
/// eq. 7.
inline double mean_row_norm(matrix_view<const float> r) {
    if (r.rows == 0) throw shape_error("mean_row_norm: at least one row is expected");
    double sum = 0;
    for (std::size_t t = 0; t < r.rows; ++t) sum += euclidean_norm(r.row(t));
    return sum / static_cast<double>(r.rows);
}

namespace detail {

inline void check_same_shape(const char* who, matrix_view<const float> a, matrix_view<const float> b) {
    if (a.rows != b.rows || a.cols != b.cols)
        throw shape_error(std::string(who) + ": " + std::to_string(a.rows) + " × " + std::to_string(a.cols) +
                          " numbers against " + std::to_string(b.rows) + " × " + std::to_string(b.cols));
    if (a.rows == 0 || a.cols == 0) throw shape_error(std::string(who) + ": at least one number is expected");
}

} // namespace detail

/// MSE = 1/(T·d) · Σ_{t,i} (a_ti − b_ti)²   — how far a quantized run is from the full one at one place.
/// Shapes: a, b (T, d).   Errors: shape_error when they differ in shape or are empty.
inline double mean_squared_difference(matrix_view<const float> a, matrix_view<const float> b) {
    detail::check_same_shape("mean_squared_difference", a, b);
    double sum = 0;
    for (std::size_t t = 0; t < a.rows; ++t) {
        const auto x = a.row(t), y = b.row(t);
        sum += detail::sum_of(x.size(), [&](std::size_t i) {
            const double difference = double{x[i]} - double{y[i]};
            return difference * difference;
        });
    }
    return sum / (static_cast<double>(a.rows) * static_cast<double>(a.cols));
}

/// 1/T · Σ_t ‖a_t − b_t‖₂ / ‖b_t‖₂   — how far a quantized run is from the full one at one place, against the length of
/// what it should be. Infinite or NaN where a row of b is zero.
/// Shapes: a, b (T, d).   Errors: as mean_squared_difference.
inline double mean_relative_difference(matrix_view<const float> a, matrix_view<const float> b) {
    detail::check_same_shape("mean_relative_difference", a, b);
    double sum = 0;
    for (std::size_t t = 0; t < a.rows; ++t) {
        const auto x = a.row(t), y = b.row(t);
        const double square = detail::sum_of(x.size(), [&](std::size_t i) {
            const double difference = double{x[i]} - double{y[i]};
            return difference * difference;
        });
        sum += std::sqrt(square) / euclidean_norm(y);
    }
    return sum / static_cast<double>(a.rows);
}

/// 1/T · Σ_t (Σ of the `largest` largest r_ti²) / ‖r_t‖₂²   — the share of a state's length that lies in few
/// dimensions, from largest/d to 1. NaN where a row is zero. Shapes: r (T, d).   Errors: shape_error when r is empty.
inline double mean_top_share(matrix_view<const float> r, std::size_t largest) {
    if (r.rows == 0 || r.cols == 0) throw shape_error("mean_top_share: at least one number is expected");
    const auto count = static_cast<std::ptrdiff_t>(std::min(largest, r.cols));
    std::vector<double> squares(r.cols);
    double sum = 0;
    for (std::size_t t = 0; t < r.rows; ++t) {
        std::ranges::transform(r.row(t), squares.begin(), [](float v) { return double{v} * double{v}; });
        const double all = detail::sum_of(squares.size(), [&](std::size_t i) { return squares[i]; });
        std::ranges::partial_sort(squares, squares.begin() + count, std::greater<>{});
        sum += detail::sum_of(static_cast<std::size_t>(count), [&](std::size_t i) { return squares[i]; }) / all;
    }
    return sum / static_cast<double>(r.rows);
}

} // namespace bitlens
