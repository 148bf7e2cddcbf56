#pragma once
/// Lengths of activations and distances between them. A NaN or infinity in the input is one in the result.

#include "bitlens/core/error.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/stats/sums.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// ‖x‖₂   (0 for an empty x). Squares of floats are exact in double and cannot overflow there.
inline double euclidean_norm(std::span<const float> x) noexcept {
    return std::sqrt(detail::sum_of(x.size(), [&](std::size_t i) { return double{x[i]} * double{x[i]}; }));
}

/// 1/T · Σ_t |r_ti| of every dimension i: how much each is activated.
/// Shapes: r (T, d) → (d).   Units: those of the activations.   Errors: shape_error when T = 0.
inline std::vector<double> mean_magnitudes(matrix_view<const float> r) {
    if (r.rows == 0) throw shape_error("mean_magnitudes: at least one row is expected");
    std::vector<double> magnitudes(r.cols);
    for (std::size_t t = 0; t < r.rows; ++t) {
        const auto row = r.row(t);
        for (std::size_t i = 0; i < r.cols; ++i) magnitudes[i] += std::abs(double{row[i]});
    }
    for (double& m : magnitudes) m /= static_cast<double>(r.rows);
    return magnitudes;
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

/// Σ_i (x_i − y_i)²
inline double squared_distance(std::span<const float> x, std::span<const float> y) noexcept {
    return sum_of(x.size(), [&](std::size_t i) {
        const double difference = double{x[i]} - double{y[i]};
        return difference * difference;
    });
}

} // namespace detail

/// MSE = 1/(T·d) · Σ_{t,i} (a_ti − b_ti)²   — how far a quantized run is from the full one at one place.
/// Shapes: a, b (T, d).   Errors: shape_error when they differ in shape or are empty.
inline double mean_squared_difference(matrix_view<const float> a, matrix_view<const float> b) {
    detail::check_same_shape("mean_squared_difference", a, b);
    double sum = 0;
    for (std::size_t t = 0; t < a.rows; ++t) sum += detail::squared_distance(a.row(t), b.row(t));
    return sum / (static_cast<double>(a.rows) * static_cast<double>(a.cols));
}

/// Of two runs at one place; see mean_squared_difference and mean_relative_difference.
struct mean_difference {
    double squared, relative;
};

/// Both from one pass, of which each has the bits that it has alone.   b_norms: row_norms(b), which many comparisons
/// with b share. Shapes: a, b (T, d), b_norms (T).   Errors: shape_error when they differ in shape or are empty.
inline mean_difference mean_difference_of(matrix_view<const float> a, matrix_view<const float> b,
                                          std::span<const double> b_norms) {
    detail::check_same_shape("mean_difference_of", a, b);
    if (b_norms.size() != b.rows)
        throw shape_error("mean_difference_of: " + std::to_string(b_norms.size()) + " lengths of " +
                          std::to_string(b.rows) + " rows");
    double squares = 0, shares = 0;
    for (std::size_t t = 0; t < a.rows; ++t) {
        const double square = detail::squared_distance(a.row(t), b.row(t));
        squares += square;
        shares += std::sqrt(square) / b_norms[t];
    }
    const double rows = static_cast<double>(a.rows);
    return {squares / (rows * static_cast<double>(a.cols)), shares / rows};
}

/// 1/T · Σ_t ‖a_t − b_t‖₂ / ‖b_t‖₂   — how far a quantized run is from the full one at one place, against the length of
/// what it should be. Infinite or NaN where a row of b is zero.
/// Shapes: a, b (T, d).   Errors: as mean_squared_difference.
inline double mean_relative_difference(matrix_view<const float> a, matrix_view<const float> b) {
    detail::check_same_shape("mean_relative_difference", a, b);
    return mean_difference_of(a, b, row_norms(b)).relative;
}

namespace detail {

/// The bits of |x| as a whole number, which rises with |x|.
inline std::int32_t size_bits(float x) noexcept { return std::bit_cast<std::int32_t>(x) & 0x7fffffff; }

/// Σ of the `count` largest x_i², count ≤ n. What they are not below is found bit by bit: a vector unit counts faster
/// than anything sorts.
inline double largest_squares(std::span<const float> x, std::size_t count) noexcept {
    const auto as_large = [x](std::int32_t bits) {
        std::int32_t n = 0;
        for (const float v : x) n += size_bits(v) >= bits ? 1 : 0;
        return static_cast<std::size_t>(n);
    };
    std::int32_t least = 0;
    std::size_t found = x.size();
    for (std::int32_t bit = 1 << 30; bit > 0 && found != count; bit >>= 1)
        if (const std::size_t n = as_large(least | bit); n >= count) {
            least |= bit;
            found = n;
        }
    const double sum = sum_of(x.size(), [x, least](std::size_t i) {
        const std::int32_t bits = size_bits(x[i]);
        const double size = std::bit_cast<float>(bits >= least ? bits : 0);
        return size * size;
    });
    const double smallest = std::bit_cast<float>(least); // of equal ones some may be too many
    return found == count ? sum : sum - static_cast<double>(found - count) * (smallest * smallest);
}

} // namespace detail

/// 1/T · Σ_t (Σ of the `largest` largest r_ti²) / ‖r_t‖₂²   — the share of a state's length that lies in few
/// dimensions, from largest/d to 1. NaN where a row is zero. Shapes: r (T, d).   Errors: shape_error when r is empty.
inline double mean_top_share(matrix_view<const float> r, std::size_t largest) {
    if (r.rows == 0 || r.cols == 0) throw shape_error("mean_top_share: at least one number is expected");
    double sum = 0;
    for (std::size_t t = 0; t < r.rows; ++t) {
        const auto row = r.row(t);
        const double all = detail::sum_of(row.size(), [&](std::size_t i) { return double{row[i]} * double{row[i]}; });
        sum += detail::largest_squares(row, std::min(largest, r.cols)) / all;
    }
    return sum / static_cast<double>(r.rows);
}

} // namespace bitlens
