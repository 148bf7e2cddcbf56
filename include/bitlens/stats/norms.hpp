#pragma once
/// Lengths of activations and distances between them. A NaN or infinity in the input is one in the result.

#include "bitlens/core/error.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/stats/sums.hpp"

#include <cmath>
#include <cstddef>
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

/// MSE = 1/(T·d) · Σ_{t,i} (a_ti − b_ti)²   — how far a quantized run is from the full one at one place.
/// Shapes: a, b (T, d).   Errors: shape_error when they differ in shape or are empty.
inline double mean_squared_difference(matrix_view<const float> a, matrix_view<const float> b) {
    if (a.rows != b.rows || a.cols != b.cols)
        throw shape_error("mean_squared_difference: " + std::to_string(a.rows) + " × " + std::to_string(a.cols) +
                          " numbers against " + std::to_string(b.rows) + " × " + std::to_string(b.cols));
    if (a.rows == 0 || a.cols == 0) throw shape_error("mean_squared_difference: at least one number is expected");
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

} // namespace bitlens
