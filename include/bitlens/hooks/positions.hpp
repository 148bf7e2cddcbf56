#pragma once
/// position_range: which positions of a document count.

#include "bitlens/core/error.hpp"
#include "bitlens/core/view.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>

namespace bitlens {

/// Positions first … end − 1, or to the document's end where it is shorter. The paper leaves out position 0, which
/// carries the massive activation of the attention sink; `every_position` takes it in.
struct position_range {
    std::size_t first = 1, end = std::numeric_limits<std::size_t>::max();

    bool operator==(position_range const&) const = default;

    /// How many of `positions` they are.
    constexpr std::size_t count(std::size_t positions) const noexcept {
        const std::size_t last = std::min(end, positions);
        return last > first ? last - first : 0;
    }
    /// Those rows.   Errors: shape_error when there are none, which begins with who asked.
    template <class T>
    matrix_view<T> of(matrix_view<T> a, std::string_view who = "position_range") const {
        if (count(a.rows) == 0)
            throw shape_error(std::string(who) + ": " + std::to_string(a.rows) +
                              " positions leave none from position " + std::to_string(first) +
                              (end > a.rows ? " on" : " to below " + std::to_string(end)));
        return a.middle_rows(first, count(a.rows));
    }
};
inline constexpr position_range every_position{0};

} // namespace bitlens
