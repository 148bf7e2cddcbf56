#pragma once
/// What quantizers share: the extremes of a group, rows in parallel, codes into a packed row.

#include "bitlens/core/parallel.hpp"
#include "bitlens/formats/packed_matrix.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace bitlens::detail {

/// f(row) for every row of w, in parallel, in pieces large enough to be worth a task. A std::function, so that the
/// threads' machinery is compiled once and not once per format.
inline void for_each_row(matrix_view<const float> w, std::function<void(std::size_t)> const& f) {
    constexpr std::size_t weights_per_task = std::size_t{1} << 16;
    const std::size_t most = std::max<std::size_t>(1, w.rows);
    const std::size_t tasks = std::clamp<std::size_t>(w.rows * w.cols / weights_per_task, 1, most);
    parallel_pieces(w.rows, tasks, 1, [&](std::size_t, std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) f(r);
    });
}

/// Columns of group g: first, and how many (the last group of a row may be short).
struct column_range {
    std::size_t first = 0, count = 0;
};
template <quant_format F>
column_range columns_of_group(std::size_t cols, std::size_t g) noexcept {
    if constexpr (F::group_size == 0) return {0, cols};
    return {g * F::group_size, std::min(F::group_size, cols - g * F::group_size)};
}

/// Refuses NaN and infinity, which no scale can hold. Errors: format_error that names row and column.
inline void check_finite(const char* who, std::span<const float> group, std::size_t row, std::size_t first_column) {
    for (std::size_t i = 0; i < group.size(); ++i)
        if (!std::isfinite(group[i]))
            throw format_error(std::string(who) + ": the weight at row " + std::to_string(row) + ", column " +
                               std::to_string(first_column + i) + " is " + std::to_string(group[i]) +
                               "; a finite number is expected");
}

/// max |x|, infinite or NaN as soon as one x is.
inline float largest_magnitude(std::span<const float> x) noexcept {
    std::uint32_t largest = 0; // without their sign, floats are ordered as their bits are: a loop that vectorises
    for (const float v : x) largest = std::max(largest, std::bit_cast<std::uint32_t>(v) & 0x7FFFFFFFu);
    return std::bit_cast<float>(largest);
}

/// min(min x, 0) and max(max x, 0); one of them is infinite or NaN as soon as one x is.
struct value_range {
    float lo = 0, hi = 0;
};
inline value_range range_with_zero(std::span<const float> x) noexcept {
    // Flipping the lower bits of negative floats orders all floats as signed integers are.
    const auto flip = [](std::int32_t bits) { return bits ^ ((bits >> 31) & 0x7FFFFFFF); };
    std::int32_t lo = 0, hi = 0; // +0
    for (const float v : x) {
        const std::int32_t key = flip(std::bit_cast<std::int32_t>(v));
        lo = std::min(lo, key);
        hi = std::max(hi, key);
    }
    return {std::bit_cast<float>(flip(lo)), std::bit_cast<float>(flip(hi))};
}

/// Writes the codes of row r: code_of(g) gives the rule x → code of group g. A rule is asked for 32 numbers at a time,
/// so that it becomes vector code.
template <quant_format F, class CodeOf>
void set_row_codes(packed_matrix<F>& m, std::size_t r, std::span<const float> row, CodeOf const& code_of) {
    for (std::size_t first = 0; first < row.size(); first += chunk_codes) {
        const auto rule = code_of(m.group_of(first));
        const std::size_t count = std::min(chunk_codes, row.size() - first);
        std::array<float, chunk_codes> x{};
        std::copy_n(row.data() + first, count, x.data());
        std::array<std::uint32_t, chunk_codes> q;
        for (std::size_t i = 0; i < chunk_codes; ++i) q[i] = rule(x[i]);
        for (std::size_t i = 0; i < count; ++i) m.set_code(r, first + i, static_cast<std::uint8_t>(q[i]));
    }
}

} // namespace bitlens::detail
