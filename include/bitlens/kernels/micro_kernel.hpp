#pragma once
/// micro_kernel: the innermost product of one arithmetic as a value, around which `matmul` and `attention` lay the same
/// loops.

#include "bitlens/core/view.hpp"

#include <cstddef>
#include <limits>

namespace bitlens {

/// What operands are packed into: a number of float32, or two of bf16.
struct packed_element {
    alignas(float) std::byte bytes[sizeof(float)];
};

/// Sizes of a micro-kernel, and of the loops that suit it.
struct micro_kernel_sizes {
    static constexpr std::size_t most_panel_rows = 48, most_tile_positions = 32, most_panels_at_once = 8; // of all
    static constexpr std::size_t unbounded = std::numeric_limits<std::size_t>::max();

    std::size_t lanes;          ///< rows of w in a register: panels hold whole ones
    std::size_t panel_rows;     ///< rows of w in a panel, at most
    std::size_t tile_positions; ///< positions in a tile, at most
    std::size_t position_unit;  ///< of which a packed tile holds a multiple
    std::size_t max_depth;      ///< columns that are summed at once, at most
    std::size_t piece_columns;  ///< of which both operands hold a multiple, zeros from the last column on
    std::size_t piece_elements; ///< that those are in a row
    std::size_t panels_at_once; ///< that a tile of positions meets in turn
    /// Rows of w that meet positions for which packing these pays; before, they are read as they lie.
    std::size_t rows_worth_packing = 0;
    /// Rows of w that meet all columns before the next rows do, their sums held between blocks of columns. Any order
    /// of the loops does where products take long beside what moves memory: then these two are unbounded.
    std::size_t rows_at_once = unbounded;
    /// Positions that meet weights which are laid out, before the next positions do.
    std::size_t positions_at_hand = unbounded;

    /// Elements of a row of `depth` columns.
    constexpr std::size_t row_elements(std::size_t depth) const noexcept {
        return (depth + piece_columns - 1) / piece_columns * piece_elements;
    }
    /// Positions of y that `multiply` writes when asked for some.
    constexpr std::size_t padded_positions(std::size_t positions) const noexcept {
        return positions == tile_positions ? positions
                                           : (positions + position_unit - 1) / position_unit * position_unit;
    }
    /// Rows of a panel that holds `rows` ≥ 1 of them: those up to whole registers.
    constexpr std::size_t padded_rows(std::size_t rows) const noexcept {
        return rows == panel_rows ? rows : (rows + lanes - 1) / lanes * lanes;
    }
};

/// A tile of y: `tile_positions` positions × `panel_rows` rows of w, summed over up to `max_depth` columns in
/// registers. It owns its operands' layouts, so that another unit of the machine is another value like this one: made
/// by a type with its sizes and functions (f32_micro_kernel and its kin).
///   panel, of w: as the kernel likes, padded_rows(rows) · row_elements(depth) elements
///   positions, of x: tile by tile [column / piece_columns][position][piece_elements], zeros for positions up to a
///   multiple of position_unit. One stream of memory, where rows as they are would be as many as there are positions.
struct micro_kernel : micro_kernel_sizes {
    /// A tile of positions, packed or as it lies in x.
    struct operand {
        const void* data;
        std::size_t to_position, to_piece; // elements from one position, or piece of its columns, to the next
    };

    template <class Kernel>
    explicit constexpr micro_kernel(Kernel const&) noexcept
        : micro_kernel_sizes(Kernel::sizes), pack_weights(&Kernel::pack_weights),
          pack_transposed(&Kernel::pack_transposed), pack_column(&Kernel::pack_column),
          pack_positions(&Kernel::pack_positions), multiply(&Kernel::multiply), begin(&Kernel::begin),
          end(&Kernel::end) {
        static_assert(Kernel::sizes.panel_rows <= most_panel_rows &&
                      Kernel::sizes.tile_positions <= most_tile_positions &&
                      Kernel::sizes.panels_at_once <= most_panels_at_once);
    }

    /// Puts `depth` columns of `rows` ≤ panel_rows rows of weights into a panel, from its column `at` on, a multiple of
    /// piece_columns.   weights: [padded_rows(rows)][stride], room for depth rounded up to pieces and to the lanes.
    void (*pack_weights)(const float* weights, std::size_t stride, std::size_t rows, std::size_t at, std::size_t depth,
                         packed_element* panel) noexcept;
    /// The same from weights that lie transposed, [depth][stride], `rows` of them in a line.
    void (*pack_transposed)(const float* weights, std::size_t stride, std::size_t rows, std::size_t depth,
                            packed_element* panel) noexcept;
    /// Puts column `at` of weights into a panel: `width` = padded_rows(rows) numbers in a line.
    void (*pack_column)(const float* column, std::size_t width, std::size_t at, packed_element* panel) noexcept;
    /// x: a tile of positions, up to max_depth columns; packed: padded_positions(x.rows) · row_elements(x.cols).
    void (*pack_positions)(matrix_view<const float> const& x, packed_element* packed) noexcept;
    /// y (padded_positions, padded_rows) = start + x · panelᵀ, or without `start` if that is empty; y may be start.
    /// x: a tile of positions.   soon: rows of `depth` numbers, or none, that are fetched into a cache on the way.
    /// Views by reference: g++ 12 copies them through the stack, which costs up to 0.05 of the peak.
    void (*multiply)(operand const& x, std::size_t depth, const packed_element* panel, matrix_view<float> const& y,
                     matrix_view<const float> const& start, matrix_view<const float> const& soon) noexcept;
    /// Around a thread's products.
    void (*begin)() noexcept;
    void (*end)() noexcept;

    operand packed_operand(const packed_element* packed, std::size_t positions) const noexcept {
        return {packed, piece_elements, padded_positions(positions) * piece_elements};
    }
    /// Whether nothing that `multiply` reads of a tile lies beyond it, and a kernel that takes it so is wanted.
    bool can_stay_unpacked(matrix_view<const float> const& x, std::size_t rows_of_w) const noexcept {
        return rows_of_w < rows_worth_packing && x.rows % position_unit == 0 && x.cols % piece_columns == 0;
    }
    operand unpacked_operand(matrix_view<const float> const& x) const noexcept {
        return {x.data, x.stride, piece_elements};
    }
};

/// A thread multiplies while one lives.
class micro_kernel_session {
public:
    explicit micro_kernel_session(micro_kernel const& kernel) noexcept : end_(kernel.end) { kernel.begin(); }
    ~micro_kernel_session() { end_(); }
    micro_kernel_session(micro_kernel_session const&) = delete;
    micro_kernel_session& operator=(micro_kernel_session const&) = delete;

private:
    void (*end_)() noexcept;
};

} // namespace bitlens
