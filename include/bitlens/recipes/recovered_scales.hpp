#pragma once
/// recovered_scales: AWQ's scales of channels, from the model into which they were folded and the one before.

#include "bitlens/core/view.hpp"
#include "bitlens/quantizers/rows.hpp"
#include "bitlens/stats/spread.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace bitlens {

namespace detail {

/// Whether these can be scales: numbers above 0, not all of them 1.
inline bool are_scales(std::span<const float> s, float apart) noexcept {
    const auto is_positive = [](float x) { return std::isfinite(x) && x > 0; };
    return std::ranges::all_of(s, is_positive) &&
           std::ranges::any_of(s, [&](float x) { return std::abs(std::log(x)) > apart; });
}

} // namespace detail

/// s of the channels that a norm gives, γ_a = s · γ_b. Empty where no s does that, or all are 1 as far as 16 bits tell.
/// Shapes: a, b (channels).
inline std::vector<float> scales_between(std::span<const float> gamma_a, std::span<const float> gamma_b) {
    constexpr float bits16 = 0x1p-7f; // both may be rounded to bfloat16
    std::vector<float> s(gamma_a.size());
    for (std::size_t c = 0; c < s.size(); ++c)
        s[c] = gamma_a[c] == gamma_b[c] ? 1.0f : gamma_a[c] / gamma_b[c]; // a channel may be dead in both
    return detail::are_scales(s, bits16) ? s : std::vector<float>();
}

/// s of the channels that the rows of a linear layer give, a_r = s · b_r but for errors of quantization: the s with the
/// least of them. Empty where there is none, or where they differ from row to row by no more than such errors make
/// them.   Shapes: a, b (channels, in).
inline std::vector<float> scales_between_rows(matrix_view<const float> a, matrix_view<const float> b) {
    std::vector<float> s(a.rows);
    std::vector<double> deviation(a.rows); // of log s
    detail::for_each_row(a, [&](std::size_t r) {
        double aa = 0, ab = 0, bb = 0;
        for (std::size_t c = 0; c < a.cols; ++c) {
            const double x = double{a(r, c)}, y = double{b(r, c)};
            aa += x * x;
            ab += x * y;
            bb += y * y;
        }
        s[r] = aa == 0 && bb == 0 ? 1.0f : static_cast<float>(aa / ab);
        const double cosine = ab / std::sqrt(aa * bb);
        deviation[r] = aa == 0 || bb == 0 ? 0 : std::sqrt((1 / (cosine * cosine) - 1) / static_cast<double>(a.cols));
    });
    if (s.empty() || !detail::are_scales(s, 0)) return {};
    std::vector<double> logs(s.begin(), s.end());
    for (double& x : logs) x = std::log(x);
    constexpr double times = 3;
    return median_spread_of(logs).spread > times * median_of(deviation) ? s : std::vector<float>();
}

} // namespace bitlens
