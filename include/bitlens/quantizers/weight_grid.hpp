#pragma once
/// weight_grid: whether weights that pass for full precision lie on a low-bit grid already.

#include "bitlens/core/view.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace bitlens {

/// Groups of so many neighbouring inputs hold few values, or values at equal steps, as if from codes of so many bits.
struct weight_grid {
    std::size_t group = 0;
    int bits = 0;
    bool is_even = false; ///< at equal steps; else only few values

    bool operator==(weight_grid const&) const = default;
};

/// How numbers are stored, which says how far rounding may have moved them off a grid: 2^-significant of a number.
enum class stored_precision : std::uint8_t { f32 = 24, f16 = 11, bf16 = 8 };

namespace detail {

/// Distinct values of a group, rising. −0 is 0.
inline void rising_values(std::span<const float> group, std::vector<float>& values) {
    values.assign(group.begin(), group.end());
    for (float& x : values) x += 0.0f;
    std::ranges::sort(values);
    values.erase(std::unique(values.begin(), values.end()), values.end());
}

/// The fewest steps, at most `most`, of which all values are whole numbers from the first on, up to what storing them
/// has rounded; nothing where there are none.
inline std::optional<std::size_t> even_steps(std::span<const float> values, stored_precision stored, std::size_t most) {
    const double low = values.front(), high = values.back(), span = high - low;
    const double largest = std::max(std::abs(low), std::abs(high));
    const auto rounding = [&](double v) {
        const double half = v == 0 ? 0 : std::exp2(std::floor(std::log2(std::abs(v))) - static_cast<int>(stored));
        return std::max(half, 0x1p-23 * largest);
    };
    const double of_low = rounding(low), of_high = rounding(high);
    for (std::size_t steps = values.size() - 1; steps <= most; ++steps) {
        const double step = span / static_cast<double>(steps);
        bool fits = true;
        for (const float value : values) {
            const double t = (value - low) / step, part = t / static_cast<double>(steps);
            const double tolerance = 1.05 * (rounding(value) + of_low * (1 - part) + of_high * part) / step + 1e-9;
            if (tolerance > 0.49) return std::nullopt; // finer grids are lost in rounding too
            fits = std::abs(t - std::nearbyint(t)) <= tolerance;
            if (!fits) break;
        }
        if (fits) return steps;
    }
    return std::nullopt;
}

/// What the groups of one size show.
struct grid_evidence {
    std::size_t groups = 0;
    std::array<std::size_t, 3> few{}; // with at most 4, 8, 16 values
    std::vector<std::size_t> steps;   // of those that have even ones
};

inline grid_evidence evidence_of(matrix_view<const float> w, std::size_t group, stored_precision stored,
                                 std::size_t sampled, bool counts_steps) {
    grid_evidence found;
    const std::size_t per_row = w.cols / group, all = per_row * w.rows;
    const std::size_t stride = std::max<std::size_t>(1, all / sampled);
    const std::size_t most = group < 32 ? 63 : stored == stored_precision::bf16 ? 127 : 255;
    std::vector<float> values;
    for (std::size_t i = 0; i < all; i += stride) {
        rising_values(w.row(i / per_row).subspan(i % per_row * group, group), values);
        if (values.size() < 2) continue;
        ++found.groups;
        for (std::size_t b = 0; b < found.few.size(); ++b)
            if (values.size() <= std::size_t{4} << b) ++found.few[b];
        if (counts_steps)
            if (const auto steps = even_steps(values, stored, most)) found.steps.push_back(*steps);
    }
    return found;
}

} // namespace detail

/// The grid that w (out, in) lies on, judged by about 4000 groups each of 16, 32, 64 and 128 inputs: 99 of 100 hold at
/// most 4, 8 or 16 values, or 95 of 100 values at equal steps; the fewest bits, and then the largest group, for which
/// that holds. Random weights of any precision pass for none of these. At least 1000 groups that are not constant
/// decide, else there is none.
inline std::optional<weight_grid> find_weight_grid(matrix_view<const float> w, stored_precision stored) {
    constexpr std::size_t sampled = 4000, fewest = 1000;
    std::optional<weight_grid> best;
    const auto propose = [&](weight_grid const& grid) { // two groups of few values have few values too: bits decide
        if (!best || grid.bits <= best->bits) best = grid;
    };
    for (const std::size_t group : {std::size_t{16}, std::size_t{32}, std::size_t{64}, std::size_t{128}}) {
        if (w.cols < group) break;
        const auto found = detail::evidence_of(w, group, stored, sampled, group <= 32);
        if (found.groups < fewest) continue;
        if (100 * found.steps.size() >= 95 * found.groups) {
            auto steps = found.steps;
            std::ranges::sort(steps);
            const std::size_t usual = steps[(steps.size() - 1) * 99 / 100];
            propose({group, static_cast<int>(std::bit_width(usual)), true});
        }
        for (std::size_t b = 0; b < found.few.size(); ++b)
            if (100 * found.few[b] >= 99 * found.groups && group > std::size_t{4} << b) {
                if (!best || best->group != group || best->bits > static_cast<int>(b) + 2)
                    propose({group, static_cast<int>(b) + 2, false});
                break;
            }
    }
    return best;
}

} // namespace bitlens
