#pragma once
/// loop_sizes: how far the outer loops of matmul go, as a micro-kernel wishes.

#include <cstddef>
#include <limits>

namespace bitlens {

/// Of a micro-kernel whose products take long beside what moves memory: any order of the outer loops does.
struct unbounded_loops {
    /// Rows of w that meet all columns before the next rows do, their sums held between blocks of columns.
    static constexpr std::size_t rows_at_once = std::numeric_limits<std::size_t>::max();
    /// Positions that meet weights which are laid out, before the next positions do.
    static constexpr std::size_t positions_at_hand = std::numeric_limits<std::size_t>::max();
};

} // namespace bitlens
