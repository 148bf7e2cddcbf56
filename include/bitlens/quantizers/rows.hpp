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
#include <span>
#include <string>

namespace bitlens::detail {

/// f(row) for every row of w, in parallel, in pieces large enough to be worth a task.
template <class F>
void for_each_row(matrix_view<const float> w, F const& f) {
    constexpr std::size_t weights_per_task = std::size_t{1} << 16;
    const std::size_t most = std::max<std::size_t>(1, w.rows);
    const std::size_t tasks = std::clamp<std::size_t>(w.rows * w.cols / weights_per_task, 1, most);
    parallel_pieces(w.rows, tasks, 1, [&](std::size_t, std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) f(r);
    });
}

/// Group g of a row.
inline std::span<const float> group_of_row(std::span<const float> row, row_storage const& storage, std::size_t g) {
    const std::size_t first = g * storage.group_columns;
    return row.subspan(first, std::min(storage.group_columns, row.size() - first));
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

/// The least and the largest of some numbers; one of them is infinite or NaN as soon as one number is.
struct value_range {
    float lo = 0, hi = 0;
};
/// Of x and one more number.
inline value_range range_with(float one, std::span<const float> x) noexcept {
    // Flipping the lower bits of negative floats orders all floats as signed integers are.
    const auto flip = [](std::int32_t bits) { return bits ^ ((bits >> 31) & 0x7FFFFFFF); };
    std::int32_t lo = flip(std::bit_cast<std::int32_t>(one)), hi = lo;
    for (const float v : x) {
        const std::int32_t key = flip(std::bit_cast<std::int32_t>(v));
        lo = std::min(lo, key);
        hi = std::max(hi, key);
    }
    return {std::bit_cast<float>(flip(lo)), std::bit_cast<float>(flip(hi))};
}
inline value_range range_with_zero(std::span<const float> x) noexcept { return range_with(0.0f, x); }
/// Of at least one number.
inline value_range range_of(std::span<const float> x) noexcept { return range_with(x.front(), x); }

/// Writes the codes of group g of a row: rule(x) of every number x in it. The rule is asked for 32 numbers at a time,
/// so that it becomes vector code.
template <int Bits, class Rule>
void set_codes(std::span<const float> group, row_storage const& storage, std::size_t g, Rule const& rule) {
    using chunk = code_chunk<Bits>;
    const std::size_t start = g * storage.group_columns % chunk_codes; // of the second group of a chunk
    std::uint8_t* codes = storage.codes + g * storage.group_columns / chunk_codes * chunk::bytes;
    for (std::size_t first = 0; first < group.size(); first += chunk_codes, codes += chunk::bytes) {
        const std::size_t count = std::min(chunk_codes, group.size() - first);
        std::array<float, chunk_codes> x{};
        std::copy_n(group.data() + first, count, x.data());
        std::array<std::uint32_t, chunk_codes> q;
        for (std::size_t i = 0; i < chunk_codes; ++i) q[i] = rule(x[i]);
        for (std::size_t i = 0; i < count; ++i) {
            BITLENS_ASSERT(q[i] < 1u << Bits);
            chunk::set(codes, start + i, static_cast<std::uint8_t>(q[i]));
        }
    }
}

} // namespace bitlens::detail
