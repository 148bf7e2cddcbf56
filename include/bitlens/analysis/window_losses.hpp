#pragma once
/// window_losses: what a model and its quantized versions lose in each window of a text.

#include "bitlens/core/error.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/sweep/position_scores.hpp"
#include "bitlens/sweep/sweep.hpp"
#include "bitlens/sweep/variants.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

namespace detail {

/// Errors: error for the first loss of a window that is no number, naming its place.
inline void check_finite(std::span<const double> nll, std::string const& method, std::size_t window) {
    const auto at = std::ranges::find_if_not(nll, [](double x) { return std::isfinite(x); });
    if (at == nll.end()) return;
    throw error("method " + method + ", window " + std::to_string(window) + ", position " +
                std::to_string(at - nll.begin()) + " (both from 0): the loss is " +
                (std::isnan(*at) ? "not a number" : "infinite") + "; what the model computes there is beyond float32");
}

} // namespace detail

/// Nats per token, the mean of each window over all its ids but the first: a list per variant, (windows). `progress(n)`
/// is called when n more windows are done, and may throw.   Shapes: windows (W, tokens).   Errors: those of sweep;
/// error for a loss that is not finite.
template <class Architecture, class W>
std::vector<std::vector<double>> window_losses(
    transformer<Architecture, W> const& model, std::vector<variant<W>> const& variants,
    matrix_view<const std::int32_t> windows, sweep_cut cut,
    std::function<void(std::size_t)> const& progress = [](std::size_t) {}) {
    std::vector<std::vector<double>> losses(variants.size(), std::vector<double>(windows.rows));
    sweep(
        model, variants, windows, cut,
        [&](std::size_t) { return score_measurement(windows.cols - 1, variants.size()); },
        [&](std::size_t first, std::span<score_measurement> block) {
            for (std::size_t e = 0; e < block.size(); ++e)
                for (std::size_t v = 0; v < variants.size(); ++v) {
                    auto const& nll = block[e].positions(v).nll;
                    detail::check_finite(nll, variants[v].name, first + e);
                    losses[v][first + e] = mean<double>(nll);
                }
            progress(block.size());
        });
    return losses;
}

} // namespace bitlens
