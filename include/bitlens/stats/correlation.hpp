#pragma once
/// Pearson's and Spearman's correlation, and a bootstrap interval for them.

#include "bitlens/core/error.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/stats/ranks.hpp"
#include "bitlens/stats/sums.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

namespace detail {

inline void check_pairs(const char* who, std::span<const double> x, std::span<const double> y) {
    if (x.size() != y.size())
        throw shape_error(std::string(who) + ": " + std::to_string(x.size()) + " values against " +
                          std::to_string(y.size()));
}

/// x − x̄, by way of x − x₀, so that a constant vector gives exact zeros; times a power of two that brings the largest
/// into [0.5, 1), so that no square leaves the range of double. Empty when a value or a difference is not finite.
inline std::vector<double> centred(std::span<const double> x) {
    const double origin = x[0];
    const double shift = sum_of(x.size(), [&](std::size_t i) { return x[i] - origin; }) / static_cast<double>(x.size());
    std::vector<double> d(x.size());
    double largest = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        d[i] = (x[i] - origin) - shift;
        if (!std::isfinite(d[i])) return {};
        largest = std::max(largest, std::abs(d[i]));
    }
    int exponent = 0;
    std::frexp(largest, &exponent);
    for (double& v : d) v = std::ldexp(v, -exponent);
    return d;
}

} // namespace detail

/// ρ = Σ (x_i − x̄)(y_i − ȳ) / (‖x − x̄‖ · ‖y − ȳ‖), in −1 … 1.
/// nullopt where it does not exist: fewer than two pairs, a constant vector, a value that is not finite.
/// Errors: shape_error when x and y differ in length.
inline std::optional<double> pearson(std::span<const double> x, std::span<const double> y) {
    detail::check_pairs("pearson", x, y);
    if (x.size() < 2) return std::nullopt;
    const auto dx = detail::centred(x), dy = detail::centred(y);
    if (dx.empty() || dy.empty()) return std::nullopt;
    const auto dot = [](std::span<const double> a, std::span<const double> b) {
        return detail::sum_of(a.size(), [&](std::size_t i) { return a[i] * b[i]; });
    };
    const double xx = dot(dx, dx), yy = dot(dy, dy);
    if (!(xx > 0 && yy > 0)) return std::nullopt;
    return std::clamp(dot(dx, dy) / std::sqrt(xx * yy), -1.0, 1.0);
}

/// Pearson's correlation of the mid-ranks; ties share a rank. Infinities have a rank.
/// nullopt: fewer than two pairs, a constant vector, a NaN.   Errors: shape_error when x and y differ in length.
inline std::optional<double> spearman(std::span<const double> x, std::span<const double> y) {
    detail::check_pairs("spearman", x, y);
    const auto is_nan = [](double v) { return std::isnan(v); };
    if (std::any_of(x.begin(), x.end(), is_nan) || std::any_of(y.begin(), y.end(), is_nan)) return std::nullopt;
    return pearson(mid_ranks(x), mid_ranks(y));
}

/// lo ≤ hi.
struct interval {
    double lo = 0, hi = 0;
};

/// Percentile interval of a statistic of pairs: draws N pairs with replacement `resamples` times, and takes the
/// quantiles (1 ∓ level)/2 of what `statistic(x, y)` → std::optional<double> says of each draw.
/// A draw without an answer (all its pairs the same, say) is drawn again. nullopt: the statistic does not exist for the
/// data themselves, or for more than half of the draws.
/// Same seed, same interval, on every machine where the statistic is the same.
/// Errors: shape_error when x and y differ in length; option_error for no resamples or a level outside (0, 1).
/// Source: Efron & Tibshirani 1993, chapter 13.
template <class Statistic>
std::optional<interval> bootstrap_interval(std::span<const double> x, std::span<const double> y,
                                           Statistic const& statistic, std::size_t resamples = 1000,
                                           double level = 0.95, std::uint64_t seed = 0) {
    detail::check_pairs("bootstrap_interval", x, y);
    if (resamples == 0) throw option_error("bootstrap_interval: at least one resample is expected");
    if (!(level > 0 && level < 1))
        throw option_error("bootstrap_interval: level " + std::to_string(level) + ", expected between 0 and 1");
    if (!statistic(x, y)) return std::nullopt;
    random_generator random(seed);
    std::vector<double> drawn_x(x.size()), drawn_y(y.size()), answers;
    answers.reserve(resamples);
    for (std::size_t draw = 0; answers.size() < resamples; ++draw) {
        if (draw == 2 * resamples) return std::nullopt;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const auto pair = static_cast<std::size_t>(random.below(x.size()));
            drawn_x[i] = x[pair];
            drawn_y[i] = y[pair];
        }
        if (const std::optional<double> answer = statistic(std::span<const double>(drawn_x), drawn_y))
            answers.push_back(*answer);
    }
    std::sort(answers.begin(), answers.end());
    return interval{quantile(answers, (1 - level) / 2), quantile(answers, (1 + level) / 2)};
}

} // namespace bitlens
