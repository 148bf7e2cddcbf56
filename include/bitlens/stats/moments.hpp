#pragma once
/// Mean, variance and kurtosis, and the kurtosis of activations in the three readings that the literature has.
///
/// All passes run over x_i − x_0 in double. That keeps every digit when the spread is small against the mean, and makes
/// the moments of a constant vector exactly zero instead of nearly.
/// NaN and infinity in the input: mean and variance are then NaN or infinite; a kurtosis does not exist (nullopt).

#include "bitlens/core/error.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/stats/sums.hpp"

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace bitlens {

namespace detail {

/// Σ_i (x_i − m)² and Σ_i (x_i − m)⁴ around the mean m of n numbers.
struct central_sums {
    double mean = 0, square = 0, fourth = 0;
};

/// value(i), i < n, gives the numbers; n ≥ 1.
template <class Value>
central_sums central_sums_of(std::size_t n, Value const& value) noexcept {
    const double count = static_cast<double>(n);
    const double origin = value(0);
    const double shift = sum_of(n, [&](std::size_t i) { return value(i) - origin; }) / count;
    const auto deviation = [&](std::size_t i) { return (value(i) - origin) - shift; };
    central_sums sums;
    sums.mean = origin + shift;
    const auto powers = sums_of<2>(n, [&](std::size_t i) {
        const double d = deviation(i);
        return std::array{d * d, (d * d) * (d * d)};
    });
    sums.square = powers[0];
    sums.fourth = powers[1];
    return sums;
}

template <std::floating_point T>
central_sums central_sums_of(std::span<const T> x) noexcept {
    return central_sums_of(x.size(), [x](std::size_t i) { return static_cast<double>(x[i]); });
}

/// All numbers of a matrix, row by row, as one list.
inline central_sums central_sums_of(matrix_view<const float> r) {
    if (r.stride == r.cols || r.rows == 1) return central_sums_of(std::span<const float>(r.data, r.rows * r.cols));
    std::vector<float> flat;
    flat.reserve(r.rows * r.cols);
    for (std::size_t t = 0; t < r.rows; ++t) flat.insert(flat.end(), r.row(t).begin(), r.row(t).end());
    return central_sums_of(std::span<const float>(flat));
}

/// A kurtosis, unless it is 0/0 (constant numbers), or its parts are NaN, infinite or too small for double.
inline std::optional<double> kurtosis_from(double mean_fourth, double mean_square) noexcept {
    const double square_of_square = mean_square * mean_square;
    const double kurtosis = mean_fourth / square_of_square;
    if (!(square_of_square > 0) || !std::isfinite(kurtosis)) return std::nullopt;
    return kurtosis;
}

} // namespace detail

/// x̄ = 1/N · Σ x_i.   Errors: shape_error when N = 0.
template <std::floating_point T>
double mean(std::span<const T> x) {
    if (x.empty()) throw shape_error("mean: at least one number is expected");
    return detail::central_sums_of(x).mean;
}
inline double mean(std::span<const double> x) { return mean<double>(x); }

/// σ² = 1/N · Σ (x_i − x̄)²   (the population's; exactly 0 for a constant vector).   Errors: shape_error when N = 0.
template <std::floating_point T>
double variance(std::span<const T> x) {
    if (x.empty()) throw shape_error("variance: at least one number is expected");
    return detail::central_sums_of(x).square / static_cast<double>(x.size());
}
inline double variance(std::span<const double> x) { return variance<double>(x); }

/// κ = 1/N · Σ (x_i − x̄)⁴ / σ⁴   — 3 for a normal distribution (not excess), between 1 and N.
/// nullopt: a constant vector (N = 1 too), a value that is not finite, a spread outside 1e±77.
/// Errors: shape_error when N = 0.
template <std::floating_point T>
std::optional<double> kurtosis(std::span<const T> x) {
    if (x.empty()) throw shape_error("kurtosis: at least one number is expected");
    const auto sums = detail::central_sums_of(x);
    const double n = static_cast<double>(x.size());
    return detail::kurtosis_from(sums.fourth / n, sums.square / n);
}
inline std::optional<double> kurtosis(std::span<const double> x) { return kurtosis<double>(x); }

/// 1/T · Σ_t κ(r_t)   — every token's own kurtosis over its d numbers, then the mean. At most d, whatever one token
/// does. Shapes: r (T, d).   nullopt: a token whose d numbers are all equal or not finite.   Errors: shape_error when
/// empty. Source: arXiv 2506.12044, figures 6 and 7 (their formula is per vector).
inline std::optional<double> kurtosis_per_token(matrix_view<const float> r) {
    if (r.rows == 0 || r.cols == 0) throw shape_error("kurtosis_per_token: at least one number is expected");
    double sum = 0;
    for (std::size_t t = 0; t < r.rows; ++t) {
        const auto of_token = kurtosis<float>(r.row(t));
        if (!of_token) return std::nullopt;
        sum += *of_token;
    }
    return sum / static_cast<double>(r.rows);
}

/// κ of all T·d numbers of one example as one list: up to T·d, and ruled by the token of the attention sink if it is
/// among them.
/// Shapes: r (T, d).   nullopt: as kurtosis.   Errors: shape_error when empty.
inline std::optional<double> kurtosis_flat(matrix_view<const float> r) {
    if (r.rows == 0 || r.cols == 0) throw shape_error("kurtosis_flat: at least one number is expected");
    const auto sums = detail::central_sums_of(r);
    const double n = static_cast<double>(r.rows) * static_cast<double>(r.cols);
    return detail::kurtosis_from(sums.fourth / n, sums.square / n);
}

/// 1/N · Σ (x_i − x̄)⁴ / (s + 1e-8)⁴ over all N = T·d numbers, with the sample's s² = Σ (x_i − x̄)² / (N − 1).
/// Shapes: r (T, d).   nullopt: N = 1, or a value that is not finite; equal numbers give 0, thanks to the 1e-8.
/// Errors: shape_error when empty.   Source: the toolkit LLMC (ModelTC/llmc); the paper does not
/// say which kurtosis it means.
inline std::optional<double> kurtosis_llmc(matrix_view<const float> r) {
    if (r.rows == 0 || r.cols == 0) throw shape_error("kurtosis_llmc: at least one number is expected");
    const double n = static_cast<double>(r.rows) * static_cast<double>(r.cols);
    if (n < 2) return std::nullopt;
    const auto sums = detail::central_sums_of(r);
    const double s = std::sqrt(sums.square / (n - 1)) + 1e-8;
    return detail::kurtosis_from(sums.fourth / n, s * s);
}

} // namespace bitlens
