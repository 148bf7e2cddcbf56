#pragma once
/// matmul: y = x · wᵀ for many positions, whatever the format of w.
///
/// y(t, r) = Σ_b fl32( Σ_{k in block b} x(t, k) · w(r, k) ): blocks of columns that depend on the number of columns
/// alone, each summed in the order of its columns and added to the ones before (tiles of AMX go on from the sum of the
/// ones before). Hence the same bits for any number of positions, tasks and tiles.

#include "bitlens/core/parallel.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/kernels/bf16_dot_micro_kernel.hpp"
#include "bitlens/kernels/bf16_emulated_micro_kernel.hpp"
#include "bitlens/kernels/bf16_tile_micro_kernel.hpp"
#include "bitlens/kernels/decode.hpp"
#include "bitlens/kernels/f32_micro_kernel.hpp"
#include "bitlens/kernels/loop_sizes.hpp"

#include <array>

namespace bitlens {

namespace detail {

/// What matvec needs: x padded to whole chunks, and at most one sum per chunk.
constexpr std::size_t matvec_bytes(std::size_t cols) noexcept {
    const std::size_t chunks = (cols + chunk_codes - 1) / chunk_codes;
    return workspace::bytes_for<float>(chunks * chunk_codes) + workspace::bytes_for<float>(chunks);
}

/// Sizes of the loops around a micro-kernel.
template <class MicroKernel>
struct matmul_plan {
    static constexpr std::size_t most_positions = 512; // at once: their block of x stays in the cache of a core
    static constexpr std::size_t strip = 128; // columns decoded at once: a panel's rows of them stay in the first cache
    static constexpr std::size_t strip_floats = MicroKernel::panel_rows * strip;

    /// Whether a few rows of w meet all columns before the next rows come.
    static constexpr bool keeps_sums = MicroKernel::rows_at_once != unbounded_loops::rows_at_once;

    /// Columns per block: all blocks alike, but for the last.
    static constexpr std::size_t depth(std::size_t cols) noexcept {
        const std::size_t blocks =
            std::max<std::size_t>(1, (cols + MicroKernel::max_depth - 1) / MicroKernel::max_depth);
        const std::size_t columns = std::max<std::size_t>(1, (cols + blocks - 1) / blocks);
        return (columns + chunk_codes - 1) / chunk_codes * chunk_codes;
    }
    static constexpr std::size_t blocks(std::size_t cols) noexcept { return (cols + depth(cols) - 1) / depth(cols); }
    /// Elements of x that a task holds packed: of all columns, if other rows of w come for them again.
    static constexpr std::size_t position_elements(std::size_t cols, std::size_t positions) noexcept {
        return (keeps_sums ? blocks(cols) : 1) * MicroKernel::padded_positions(std::min(positions, most_positions)) *
               MicroKernel::row_elements(depth(cols));
    }
    /// Sums that a task holds between blocks of columns, tile by tile: in y they would lie lines apart that exclude
    /// each other from a cache.
    static constexpr std::size_t sum_floats(std::size_t rows, std::size_t cols, std::size_t positions) noexcept {
        if (!keeps_sums || blocks(cols) == 1) return 0;
        return MicroKernel::padded_rows(std::min(rows, MicroKernel::rows_at_once)) *
               MicroKernel::padded_positions(std::min(positions, most_positions));
    }
    static constexpr std::size_t panel_elements(std::size_t cols) noexcept {
        return MicroKernel::panel_rows * MicroKernel::row_elements(depth(cols));
    }
    /// Elements before the panel of a row, a multiple of a panel's, and of the columns from `col` on, a multiple of a
    /// block's, where all panels of rows × cols weights are laid out: [block of columns][panel of rows].
    static constexpr std::size_t place(std::size_t rows, std::size_t cols, std::size_t row, std::size_t col) noexcept {
        BITLENS_ASSERT(row % MicroKernel::panel_rows == 0 && col % depth(cols) == 0);
        const std::size_t of_rows = (rows + MicroKernel::panel_rows - 1) / MicroKernel::panel_rows;
        return (col / depth(cols) * of_rows + row / MicroKernel::panel_rows) * panel_elements(cols);
    }
    /// Elements of all panels.
    static constexpr std::size_t elements(std::size_t rows, std::size_t cols) noexcept {
        return place(rows, cols, 0, blocks(cols) * depth(cols));
    }
    /// Panels that a task holds.
    static constexpr std::size_t panels(std::size_t rows) noexcept {
        return std::min(MicroKernel::panels_at_once, (rows + MicroKernel::panel_rows - 1) / MicroKernel::panel_rows);
    }
    /// Bytes of workspace that a product of so many positions with rows × cols weights needs.
    static constexpr std::size_t bytes(std::size_t rows, std::size_t cols, std::size_t positions,
                                       unsigned tasks) noexcept {
        using element = typename MicroKernel::element;
        return workspace::bytes_for<element>(tasks * position_elements(cols, positions)) +
               workspace::bytes_for<element>(tasks * panels(rows) * panel_elements(cols)) +
               workspace::bytes_for<float>(tasks * sum_floats(rows, cols, positions)) +
               workspace::bytes_for<float>(tasks * strip_floats);
    }
};

/// The weights of a product, panel by panel: made for it from rows that are decoded, or all laid out before.
template <class MicroKernel>
struct panel_source {
    using plan = matmul_plan<MicroKernel>;
    using element = typename MicroKernel::element;

    row_decoder decode{}; // row 0 here is row `first` there
    std::size_t first = 0;
    element const* laid_out = nullptr; // all panels of rows × cols weights, or none: then they are made
    std::size_t rows = 0, cols = 0;

    /// Positions that meet a block of weights before the next do. What is made for a product is made for many.
    std::size_t positions_at_once() const noexcept {
        return laid_out == nullptr ? plan::most_positions
                                   : std::min(plan::most_positions, MicroKernel::positions_at_hand);
    }
    /// Tasks may begin at multiples of so many rows.
    std::size_t unit() const noexcept { return laid_out == nullptr ? MicroKernel::lanes : MicroKernel::panel_rows; }

    /// A panel that need not be made, which may then be fetched early; or none.
    element const* at_hand(std::size_t row, std::size_t col) const noexcept {
        return laid_out == nullptr ? nullptr : laid_out + plan::place(rows, cols, row, col);
    }
    /// A panel of `count` rows and `depth` columns, in `own` if it is not at hand.   scratch:
    /// matmul_plan::strip_floats.
    element const* panel(std::size_t row, std::size_t count, std::size_t col, std::size_t depth, element* own,
                         float* scratch) const noexcept {
        if (laid_out != nullptr) return at_hand(row, col);
        std::fill(scratch + count * plan::strip, scratch + MicroKernel::padded_rows(count) * plan::strip, 0.0f);
        for (std::size_t k = 0; k < depth; k += plan::strip) {
            const std::size_t columns = std::min(plan::strip, depth - k);
            decode(first + row, col + k, {scratch, count, columns, plan::strip});
            MicroKernel::pack_weights(scratch, plan::strip, count, k, columns, own);
        }
        return own;
    }
};

/// One tile of y; one that the kernel would write beyond takes a way round through one that is larger.   soon: numbers
/// to fetch into a cache on the way, rows of `depth`.
template <class MicroKernel>
void multiply_tile(typename MicroKernel::operand const& x, std::size_t depth,
                   const typename MicroKernel::element* panel, matrix_view<float> const& y,
                   matrix_view<const float> const& start, matrix_view<const float> const& soon) noexcept {
    const std::size_t rows = MicroKernel::padded_rows(y.cols), positions = MicroKernel::padded_positions(y.rows);
    if (y.cols == rows && y.rows == positions) return MicroKernel::multiply(x, depth, panel, y, start, soon);
    std::array<float, MicroKernel::tile_positions * MicroKernel::panel_rows> numbers{};
    const matrix_view<float> full(numbers.data(), positions, rows);
    for (std::size_t t = 0; t < start.rows; ++t) std::ranges::copy(start.row(t), full.row(t).begin());
    MicroKernel::multiply(x, depth, panel, full, start.rows == 0 ? start : full, soon);
    for (std::size_t t = 0; t < y.rows; ++t) std::copy_n(full.row(t).begin(), y.cols, y.row(t).begin());
}

/// One of `parts` parts of a panel, or of none, as rows of `depth` floats: what a product fetches on the way.
template <class MicroKernel>
matrix_view<const float> part_of(typename MicroKernel::element const* panel, std::size_t depth, std::size_t part,
                                 std::size_t parts) noexcept {
    static_assert(sizeof(typename MicroKernel::element) == sizeof(float));
    if (panel == nullptr || depth == 0) return {};
    const std::size_t rows =
        (MicroKernel::panel_rows * MicroKernel::row_elements(depth) + parts * depth - 1) / (parts * depth);
    return {reinterpret_cast<const float*>(panel) + part * rows * depth, rows, depth};
}

/// What a task works in: positions and panels of weights, packed; sums; decoded weights.
template <class MicroKernel>
struct matmul_scratch {
    typename MicroKernel::element *positions, *panels;
    std::size_t panel_elements; // from one panel to the next
    float *sums, *strip;
};

/// A block of columns of w, of all blocks: the first begins the sums, the last leaves them in y.
template <class MicroKernel>
struct column_block {
    std::size_t first;
    bool begins, ends;
    typename MicroKernel::element const* following; // the panel that comes after these, if it is at hand
};

/// The part of y = x · wᵀ of a block of columns, for as many positions as the caches hold: each tile of positions meets
/// a few panels of weights, then the next tile does, so that y is written in strips. Panels are packed when their first
/// tile of positions comes, positions (if they are not: `pack`) when the first panels do: what is packed is multiplied
/// while it is near.   Rows of w from `first_row` of weights on.
template <class MicroKernel>
void multiply_block(panel_source<MicroKernel> const& weights, std::size_t first_row, column_block<MicroKernel> block,
                    matrix_view<const float> x, bool pack, matrix_view<float> y,
                    matmul_scratch<MicroKernel> scratch) noexcept {
    constexpr std::size_t panel_rows = MicroKernel::panel_rows, tile_positions = MicroKernel::tile_positions;
    constexpr std::size_t group_rows = MicroKernel::panels_at_once * panel_rows;
    constexpr bool keeps_sums = matmul_plan<MicroKernel>::keeps_sums;
    using panel_pointer = typename MicroKernel::element const*;
    std::array<panel_pointer, MicroKernel::panels_at_once> panels{}, next{}; // next: those after these
    const auto tile = [&](std::size_t t) { return x.middle_rows(t, std::min(tile_positions, x.rows - t)); };
    const auto operand_of = [&](matrix_view<const float> here, bool pack_now, typename MicroKernel::element* packed) {
        if constexpr (MicroKernel::rows_worth_packing > 0)
            if (y.cols < MicroKernel::rows_worth_packing && MicroKernel::can_stay_unpacked(here))
                return MicroKernel::unpacked_operand(here);
        if (pack_now) MicroKernel::pack_positions(here, packed);
        return MicroKernel::packed_operand(packed, here.rows);
    };
    for (std::size_t first = 0; first < y.cols; first += group_rows) {
        const std::size_t end = std::min(first + group_rows, y.cols);
        const bool pack_now = pack && first == 0;
        const auto soon = [&](std::size_t t, std::size_t i) -> matrix_view<const float> {
            if (!pack_now || i != 0)
                return part_of<MicroKernel>(next[i], x.cols, t / tile_positions,
                                            (x.rows + tile_positions - 1) / tile_positions);
            return t + tile_positions < x.rows ? tile(t + tile_positions) : matrix_view<const float>{};
        };
        auto* packed = scratch.positions;
        for (std::size_t t = 0; t < x.rows; t += tile_positions) {
            const auto here = tile(t);
            const std::size_t padded = MicroKernel::padded_positions(here.rows);
            const typename MicroKernel::operand positions = operand_of(here, pack_now, packed);
            for (std::size_t r = first, i = 0; r < end; r += panel_rows, ++i) {
                const std::size_t rows = std::min(panel_rows, end - r), after = r + group_rows;
                if (t == 0) {
                    panels[i] = weights.panel(first_row + r, rows, block.first, x.cols,
                                              scratch.panels + i * scratch.panel_elements, scratch.strip);
                    next[i] = after < y.cols ? weights.at_hand(first_row + after, block.first)
                              : i == 0       ? block.following
                                             : nullptr;
                }
                const auto out = y.middle_rows(t, here.rows).middle_cols(r, rows);
                auto sums = out;
                if constexpr (keeps_sums) {
                    const std::size_t width = MicroKernel::padded_rows(rows);
                    sums = {scratch.sums, padded, width};
                    if (!(block.begins && block.ends)) scratch.sums += padded * width;
                }
                multiply_tile<MicroKernel>(positions, x.cols, panels[i], block.ends ? out : sums,
                                           block.begins ? matrix_view<float>{} : sums, soon(t, i));
            }
            packed += padded * MicroKernel::row_elements(x.cols);
        }
    }
}

/// y = x · wᵀ in one task, rows of w from `first_row` of weights: all columns for some rows of w, then for the next,
/// so that the sums of these rows stay in a cache from one block of columns to the next.
template <class MicroKernel>
void multiply_piece(panel_source<MicroKernel> const& weights, std::size_t first_row, matrix_view<const float> x,
                    matrix_view<float> y, matmul_scratch<MicroKernel> scratch) noexcept {
    using plan = matmul_plan<MicroKernel>;
    [[maybe_unused]] const typename MicroKernel::session session;
    const std::size_t depth = plan::depth(x.cols), rows_at_once = std::min(MicroKernel::rows_at_once, y.cols);
    for (std::size_t t = 0; t < x.rows; t += weights.positions_at_once()) {
        const std::size_t positions = std::min(weights.positions_at_once(), x.rows - t);
        for (std::size_t r = 0; r < y.cols; r += rows_at_once) {
            const auto out = y.middle_rows(t, positions).middle_cols(r, std::min(rows_at_once, y.cols - r));
            const std::size_t after = r + out.cols;
            auto own = scratch;
            for (std::size_t k = 0; k == 0 || k < x.cols; k += depth) {
                const auto here = x.middle_rows(t, positions).middle_cols(k, std::min(depth, x.cols - k));
                const bool ends = k + depth >= x.cols;
                const auto* following = !ends            ? weights.at_hand(first_row + r, k + depth)
                                        : after < y.cols ? weights.at_hand(first_row + after, 0)
                                                         : nullptr;
                multiply_block<MicroKernel>(weights, first_row + r, {k, k == 0, ends, following}, here, r == 0, out,
                                            own);
                if constexpr (plan::keeps_sums)
                    own.positions += MicroKernel::padded_positions(positions) * MicroKernel::row_elements(here.cols);
            }
        }
    }
}

/// y = x · wᵀ, rows of w from `weights`. Tasks share the longer side of y, and each packs for itself what it needs of
/// the other side's operand: that costs less than waiting for one another, and leaves it in its own cache.   Shapes: x
/// (T, cols), y (T, rows).
template <class MicroKernel>
void multiply(panel_source<MicroKernel> const& weights, matrix_view<const float> x, matrix_view<float> y,
              workspace& scratch) noexcept {
    using plan = matmul_plan<MicroKernel>;
    using element = typename MicroKernel::element;

    workspace::frame frame(scratch);
    const std::size_t tasks = scratch.tasks(), packed = plan::position_elements(x.cols, x.rows);
    const std::size_t held = plan::panels(y.cols) * plan::panel_elements(x.cols);
    const std::size_t summed = plan::sum_floats(y.cols, x.cols, x.rows);
    const auto positions = frame.take<element>(tasks * packed);
    const auto panels = frame.take<element>(tasks * held);
    const auto sums = frame.take<float>(tasks * summed);
    const auto strips = frame.take<float>(tasks * plan::strip_floats);
    const auto own = [&](std::size_t task) {
        return matmul_scratch<MicroKernel>{positions.data() + task * packed, panels.data() + task * held,
                                           plan::panel_elements(x.cols), sums.data() + task * summed,
                                           strips.data() + task * plan::strip_floats};
    };
    if (x.rows > y.cols)
        parallel_pieces(x.rows, tasks, MicroKernel::tile_positions,
                        [&](std::size_t task, std::size_t begin, std::size_t end) {
                            multiply_piece<MicroKernel>(weights, 0, x.middle_rows(begin, end - begin),
                                                        y.middle_rows(begin, end - begin), own(task));
                        });
    else
        parallel_pieces(y.cols, tasks, weights.unit(), [&](std::size_t task, std::size_t begin, std::size_t end) {
            multiply_piece<MicroKernel>(weights, begin, x, y.middle_cols(begin, end - begin), own(task));
        });
}

/// f.template operator()<MicroKernel>() with the kernel of an arithmetic.
template <class Arch, class F>
void with_micro_kernel(arithmetic a, F const& f) noexcept {
    switch (a) {
    case arithmetic::f32:
        return f.template operator()<f32_micro_kernel<Arch>>();
    case arithmetic::bf16_emulated:
        return f.template operator()<bf16_emulated_micro_kernel<Arch>>();
    case arithmetic::bf16_dot:
    case arithmetic::bf16_tile:
        break;
    }
#if defined(__x86_64__)
    if (a == arithmetic::bf16_dot) return f.template operator()<bf16_dot_micro_kernel<Arch>>();
    f.template operator()<bf16_tile_micro_kernel<Arch>>();
#endif
}

/// f.template operator()<MicroKernel>() with each of them.
template <class Arch, class F>
void for_each_micro_kernel(F const& f) noexcept {
    for (const arithmetic a : all_arithmetics) with_micro_kernel<Arch>(a, f);
}

/// y = x · (rows of a matrix from `first` on)ᵀ.
template <class Arch>
void multiply_decoded(row_decoder decode, std::size_t first, matrix_view<const float> x, matrix_view<float> y,
                      workspace& scratch) noexcept {
    with_micro_kernel<Arch>(scratch.products(), [&]<class MicroKernel>() {
        multiply<MicroKernel>({.decode = decode, .first = first}, x, y, scratch);
    });
}

} // namespace detail

/// Bytes of workspace that every product of this folder needs with `rows` × `cols` weights of any format, in any
/// arithmetic.
template <class Arch = simd::default_arch>
std::size_t matmul_bytes(std::size_t rows, std::size_t cols, std::size_t positions, unsigned tasks) noexcept {
    std::size_t bytes = detail::matvec_bytes(cols);
    detail::for_each_micro_kernel<Arch>([&]<class MicroKernel>() {
        bytes = std::max(bytes, detail::matmul_plan<MicroKernel>::bytes(rows, cols, positions, tasks));
    });
    return bytes;
}

/// y = x · (rows first … first + count − 1 of w)ᵀ.   Shapes: w (rows, cols), x (T, cols), y (T, count).
template <class Arch = simd::default_arch, weight_matrix W>
void matmul_rows(W const& w, std::size_t first, [[maybe_unused]] std::size_t count, matrix_view<const float> x,
                 matrix_view<float> y, workspace& scratch) noexcept {
    BITLENS_ASSERT(first + count <= w.rows() && x.cols == w.cols() && y.cols == count && y.rows == x.rows);
    detail::multiply_decoded<Arch>(decoder_of<Arch>(w), first, x, y, scratch);
}

/// y = x · wᵀ, in the arithmetic of the workspace.   Shapes: w (rows, cols), x (T, cols), y (T, rows).   Agrees with
/// reference::matmul of the operands as that arithmetic rounds them.
template <class Arch = simd::default_arch, weight_matrix W>
void matmul(W const& w, matrix_view<const float> x, matrix_view<float> y, workspace& scratch) noexcept {
    matmul_rows<Arch>(w, 0, w.rows(), x, y, scratch);
}

/// y = x · wᵀ for plain numbers.   Shapes: w (rows, cols), x (T, cols), y (T, rows).
template <class Arch = simd::default_arch>
void matmul(matrix_view<const float> w, matrix_view<const float> x, matrix_view<float> y, workspace& scratch) noexcept {
    BITLENS_ASSERT(x.cols == w.cols && y.cols == w.rows && y.rows == x.rows);
    detail::multiply_decoded<Arch>(decoder_of<Arch>(w), 0, x, y, scratch);
}

} // namespace bitlens
