#pragma once
/// Nested quantization of scales: 8-bit codes on bitsandbytes' signed dynamic map, blocks of 256.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace bitlens {

/// The 256 rising levels: for e = 0 … 6 the midpoints of 2^e equal parts of [0.1, 1], times 10^(e−6), with both signs;
/// and 0 and 1. Made in double and rounded to float32 once.
/// Source: bitsandbytes' create_dynamic_map.
inline std::array<float, 256> dynamic_map() {
    std::array<double, 256> level{};
    std::size_t next = 0;
    level[next++] = 0;
    level[next++] = 1;
    for (int e = 0; e <= 6; ++e) {
        const int parts = 1 << e;
        for (int k = 0; k < parts; ++k) {
            const double midpoint = 0.1 + 0.9 * (k + 0.5) / parts;
            const double value = midpoint * std::pow(10.0, e - 6);
            level[next++] = value;
            level[next++] = -value;
        }
    }
    std::sort(level.begin(), level.end());
    std::array<float, 256> map{};
    std::transform(level.begin(), level.end(), map.begin(), [](double v) { return static_cast<float>(v); });
    return map;
}

/// Replaces scales by what is left of them after nested quantization:
///   offset = mean(scales); per block of 256: m = max|scale − offset|, code = nearest level to (scale − offset) · (1/m)
///   (a tie goes to the lower one);  scale ← fl32(fl32(level · m) + offset).
/// The mean is summed in double and rounded once; bitsandbytes sums in float32 in an order that depends on the machine,
/// so its offset can differ in the last bit. A decoded scale of a group far below the mean can be negative, there as
/// here.
inline void nest_scales(std::span<float> scales) {
    if (scales.empty()) return;
    constexpr std::size_t block_size = 256;
    static const std::array<float, 256> map = dynamic_map();
    double sum = 0;
    for (const float s : scales) sum += double{s};
    const float offset = static_cast<float>(sum / static_cast<double>(scales.size()));
    for (std::size_t first = 0; first < scales.size(); first += block_size) {
        const auto block = scales.subspan(first, std::min(block_size, scales.size() - first));
        float largest = 0;
        for (const float s : block) largest = std::max(largest, std::abs(s - offset));
        const float reciprocal = 1.0f / std::max(largest, 1e-38f); // bitsandbytes' guard against equal scales
        for (float& s : block) {
            const float x = std::min((s - offset) * reciprocal, 1.0f);
            const auto above = std::lower_bound(map.begin() + 1, map.end() - 1, x); // the upper of its two neighbours
            const double up = double{*above} - double{x}, down = double{x} - double{*(above - 1)};
            const float level = up < down ? *above : *(above - 1);
            // A product of floats is exact in double, so it is rounded once, fused multiply-add or not.
            const float scaled = static_cast<float>(double{level} * double{largest});
            s = scaled + offset;
        }
    }
}

} // namespace bitlens
