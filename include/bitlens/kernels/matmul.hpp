#pragma once
/// matmul: y = x · wᵀ for many positions, whatever the format of w.
///
/// y(t, r) = Σ_b fl32( Σ_{k in block b} x(t, k) · w(r, k) ): blocks of columns that depend on the number of columns
/// alone, each summed in the order of its columns and added to the ones before (tiles of AMX go on from the sum of the
/// ones before). Hence the same bits for any number of positions, tasks and tiles.

#include "bitlens/core/parallel.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/kernels/decode.hpp"
#include "bitlens/kernels/micro_kernels.hpp"

#include <array>
#include <concepts>
#include <type_traits>

namespace bitlens {

namespace detail {

/// What matvec needs: x padded to whole chunks.
constexpr std::size_t matvec_bytes(std::size_t cols) noexcept {
    return workspace::bytes_for<float>((cols + chunk_codes - 1) / chunk_codes * chunk_codes);
}

/// Positions that matvec_each takes at once.
inline constexpr std::size_t most_dot_positions = 16;
/// Floats from one of them to the next: whole chunks, and a cache line lest all begin at the same place of a cache.
constexpr std::size_t dot_stride(std::size_t cols) noexcept {
    return (cols + chunk_codes - 1) / chunk_codes * chunk_codes + alignment / sizeof(float);
}
constexpr std::size_t matvec_each_bytes(std::size_t cols, std::size_t positions) noexcept {
    return workspace::bytes_for<float>(std::min(positions, most_dot_positions) * dot_stride(cols));
}

/// Sizes of the loops around a micro-kernel, for weights of some number of columns.
struct matmul_plan {
    static constexpr std::size_t most_positions = 512; // at once: their block of x stays in the cache of a core
    static constexpr std::size_t strip = 128; // columns decoded at once: a panel's rows of them stay in the first cache

    micro_kernel const& kernel;
    std::size_t cols;
    std::size_t depth = depth_of(kernel, cols); // columns per block: all blocks alike, but for the last
    std::size_t blocks = (cols + depth - 1) / depth;
    std::size_t panel_elements = kernel.panel_rows * kernel.row_elements(depth);

    /// Whether a few rows of w meet all columns before the next rows come.
    bool keeps_sums() const noexcept { return kernel.rows_at_once != micro_kernel::unbounded; }
    /// Elements of x that a task holds packed: of all columns, if other rows of w come for them again.
    std::size_t position_elements(std::size_t positions) const noexcept {
        return (keeps_sums() ? blocks : 1) * kernel.padded_positions(std::min(positions, most_positions)) *
               kernel.row_elements(depth);
    }
    /// Sums that a task holds between blocks of columns, tile by tile: in y they would lie lines apart that exclude
    /// each other from a cache.
    std::size_t sum_floats(std::size_t rows, std::size_t positions) const noexcept {
        if (!keeps_sums() || blocks == 1) return 0;
        return kernel.padded_rows(std::min(rows, kernel.rows_at_once)) *
               kernel.padded_positions(std::min(positions, most_positions));
    }
    std::size_t strip_floats() const noexcept { return kernel.panel_rows * strip; }
    /// Panels of so many rows.
    std::size_t panels_of(std::size_t rows) const noexcept {
        return (rows + kernel.panel_rows - 1) / kernel.panel_rows;
    }
    /// Panels that a task holds.
    std::size_t panels_held(std::size_t rows) const noexcept {
        return std::min(kernel.panels_at_once, panels_of(rows));
    }
    /// Elements before the panel of a row, a multiple of a panel's, and of the columns from `col` on, a multiple of a
    /// block's, where all panels of rows × cols weights are laid out: [block of columns][panel of rows].
    std::size_t place(std::size_t rows, std::size_t row, std::size_t col) const noexcept {
        BITLENS_ASSERT(row % kernel.panel_rows == 0 && col % depth == 0);
        return (col / depth * panels_of(rows) + row / kernel.panel_rows) * panel_elements;
    }
    /// Elements of all panels.
    std::size_t elements(std::size_t rows) const noexcept { return blocks * panels_of(rows) * panel_elements; }
    /// Bytes of workspace that a product of so many positions with rows × cols weights needs.
    std::size_t bytes(std::size_t rows, std::size_t positions, unsigned tasks) const noexcept {
        return workspace::bytes_for<packed_element>(tasks * position_elements(positions)) +
               workspace::bytes_for<packed_element>(tasks * panels_held(rows) * panel_elements) +
               workspace::bytes_for<float>(tasks * sum_floats(rows, positions)) +
               workspace::bytes_for<float>(tasks * strip_floats());
    }

private:
    static std::size_t depth_of(micro_kernel const& kernel, std::size_t cols) noexcept {
        const std::size_t at_least = std::max<std::size_t>(1, (cols + kernel.max_depth - 1) / kernel.max_depth);
        const std::size_t columns = std::max<std::size_t>(1, (cols + at_least - 1) / at_least);
        return (columns + chunk_codes - 1) / chunk_codes * chunk_codes;
    }
};

/// The weights of a product, panel by panel: made for it from rows that are decoded, or all laid out before.
struct panel_source {
    row_decoder decode{}; // row 0 here is row `first` there
    std::size_t first = 0;
    packed_element const* laid_out = nullptr; // all panels of weights of so many rows, or none: then they are made
    std::size_t rows = 0;

    /// Positions that meet a block of weights before the next do. What is made for a product is made for many.
    std::size_t positions_at_once(micro_kernel const& kernel) const noexcept {
        return laid_out == nullptr ? matmul_plan::most_positions
                                   : std::min(matmul_plan::most_positions, kernel.positions_at_hand);
    }
    /// Tasks may begin at multiples of so many rows.
    std::size_t unit(micro_kernel const& kernel) const noexcept {
        return laid_out == nullptr ? kernel.lanes : kernel.panel_rows;
    }
    /// A panel that need not be made, which may then be fetched early; or none.
    packed_element const* at_hand(matmul_plan const& plan, std::size_t row, std::size_t col) const noexcept {
        return laid_out == nullptr ? nullptr : laid_out + plan.place(rows, row, col);
    }
    /// A panel of `count` rows and `depth` columns, in `own` if it is not at hand.   scratch: strip_floats of the plan.
    packed_element const* panel(matmul_plan const& plan, std::size_t row, std::size_t count, std::size_t col,
                                std::size_t depth, packed_element* own, float* scratch) const noexcept {
        if (laid_out != nullptr) return at_hand(plan, row, col);
        constexpr std::size_t strip = matmul_plan::strip;
        std::fill(scratch + count * strip, scratch + plan.kernel.padded_rows(count) * strip, 0.0f);
        for (std::size_t k = 0; k < depth; k += strip) {
            const std::size_t columns = std::min(strip, depth - k);
            decode(first + row, col + k, {scratch, count, columns, strip});
            plan.kernel.pack_weights(scratch, strip, count, k, columns, own);
        }
        return own;
    }
};

/// One tile of y; one that the kernel would write beyond takes a way round through one that is larger.   soon: numbers
/// to fetch into a cache on the way, rows of `depth`.
inline void multiply_tile(micro_kernel const& kernel, micro_kernel::operand const& x, std::size_t depth,
                          const packed_element* panel, matrix_view<float> const& y,
                          matrix_view<const float> const& start, matrix_view<const float> const& soon) noexcept {
    const std::size_t rows = kernel.padded_rows(y.cols), positions = kernel.padded_positions(y.rows);
    if (y.cols == rows && y.rows == positions) return kernel.multiply(x, depth, panel, y, start, soon);
    std::array<float, micro_kernel::most_tile_positions * micro_kernel::most_panel_rows> numbers;
    const matrix_view<float> full(numbers.data(), positions, rows);
    if (start.rows != 0) std::fill_n(full.data, positions * rows, 0.0f);
    copy_rows(start, full.middle_rows(0, start.rows).middle_cols(0, start.cols));
    kernel.multiply(x, depth, panel, full, start.rows == 0 ? start : full, soon);
    copy_rows(full.middle_rows(0, y.rows).middle_cols(0, y.cols), y);
}

/// One of `parts` parts of a panel of so many elements, or of none, as rows of `depth` floats: what a product fetches
/// on the way.
inline matrix_view<const float> part_of(packed_element const* panel, std::size_t elements, std::size_t depth,
                                        std::size_t part, std::size_t parts) noexcept {
    if (panel == nullptr || depth == 0) return {};
    const std::size_t rows = (elements + parts * depth - 1) / (parts * depth);
    return {reinterpret_cast<const float*>(panel) + part * rows * depth, rows, depth};
}

/// What a task works in: positions and panels of weights, packed; sums; decoded weights.
struct matmul_scratch {
    packed_element *positions, *panels;
    float *sums, *strip;
};

/// A block of columns of w, of all blocks: the first begins the sums, the last leaves them in y.
struct column_block {
    std::size_t first;
    bool begins, ends;
    packed_element const* following; // the panel that comes after these, if it is at hand
};

/// The part of y = x · wᵀ of a block of columns, for as many positions as the caches hold: each tile of positions meets
/// a few panels of weights, then the next tile does, so that y is written in strips. Panels are packed when their first
/// tile of positions comes, positions (if they are not: `pack`) when the first panels do: what is packed is multiplied
/// while it is near.   Rows of w from `first_row` of weights on.
inline void multiply_block(matmul_plan const& plan, panel_source const& weights, std::size_t first_row,
                           column_block block, matrix_view<const float> x, bool pack, matrix_view<float> y,
                           matmul_scratch scratch) noexcept {
    micro_kernel const& kernel = plan.kernel;
    const std::size_t panel_rows = kernel.panel_rows, tile_positions = kernel.tile_positions;
    const std::size_t group_rows = kernel.panels_at_once * panel_rows, row_elements = kernel.row_elements(x.cols);
    const std::size_t tiles = (x.rows + tile_positions - 1) / tile_positions;
    std::array<packed_element const*, micro_kernel::most_panels_at_once> panels{}, next{}; // next: those after these
    const auto tile = [&](std::size_t n) {
        const std::size_t t = n * tile_positions;
        return x.middle_rows(t, std::min(tile_positions, x.rows - t));
    };
    for (std::size_t first = 0; first < y.cols; first += group_rows) {
        const std::size_t end = std::min(first + group_rows, y.cols);
        const bool pack_now = pack && first == 0;
        const auto soon = [&](std::size_t n, std::size_t i) -> matrix_view<const float> {
            if (!pack_now || i != 0) return part_of(next[i], panel_rows * row_elements, x.cols, n, tiles);
            return n + 1 < tiles ? tile(n + 1) : matrix_view<const float>{};
        };
        auto* packed = scratch.positions;
        for (std::size_t n = 0; n < tiles; ++n) {
            const auto here = tile(n);
            const bool as_it_lies = kernel.can_stay_unpacked(here, y.cols);
            if (pack_now && !as_it_lies) kernel.pack_positions(here, packed);
            const micro_kernel::operand positions =
                as_it_lies ? kernel.unpacked_operand(here) : kernel.packed_operand(packed, here.rows);
            const std::size_t padded = kernel.padded_positions(here.rows);
            for (std::size_t r = first, i = 0; r < end; r += panel_rows, ++i) {
                const std::size_t rows = std::min(panel_rows, end - r), after = r + group_rows;
                if (n == 0) {
                    panels[i] = weights.panel(plan, first_row + r, rows, block.first, x.cols,
                                              scratch.panels + i * plan.panel_elements, scratch.strip);
                    next[i] = after < y.cols ? weights.at_hand(plan, first_row + after, block.first)
                              : i == 0       ? block.following
                                             : nullptr;
                }
                const auto out = y.middle_rows(n * tile_positions, here.rows).middle_cols(r, rows);
                auto sums = out;
                if (plan.keeps_sums()) {
                    const std::size_t width = kernel.padded_rows(rows);
                    sums = {scratch.sums, padded, width};
                    if (!(block.begins && block.ends)) scratch.sums += padded * width;
                }
                multiply_tile(kernel, positions, x.cols, panels[i], block.ends ? out : sums,
                              block.begins ? matrix_view<float>{} : sums, soon(n, i));
            }
            packed += padded * row_elements;
        }
    }
}

/// y = x · wᵀ in one task, rows of w from `first_row` of weights: all columns for some rows of w, then for the next,
/// so that the sums of these rows stay in a cache from one block of columns to the next.
inline void multiply_piece(matmul_plan const& plan, panel_source const& weights, std::size_t first_row,
                           matrix_view<const float> x, matrix_view<float> y, matmul_scratch scratch) noexcept {
    micro_kernel const& kernel = plan.kernel;
    const micro_kernel_session session(kernel);
    const std::size_t depth = plan.depth, rows_at_once = std::min(kernel.rows_at_once, y.cols);
    const std::size_t positions_at_once = weights.positions_at_once(kernel);
    for (std::size_t t = 0; t < x.rows; t += positions_at_once) {
        const std::size_t positions = std::min(positions_at_once, x.rows - t);
        for (std::size_t r = 0; r < y.cols; r += rows_at_once) {
            const auto out = y.middle_rows(t, positions).middle_cols(r, std::min(rows_at_once, y.cols - r));
            const std::size_t after = r + out.cols;
            auto own = scratch;
            for (std::size_t k = 0; k == 0 || k < x.cols; k += depth) {
                const auto here = x.middle_rows(t, positions).middle_cols(k, std::min(depth, x.cols - k));
                const bool ends = k + depth >= x.cols;
                const auto* following = !ends            ? weights.at_hand(plan, first_row + r, k + depth)
                                        : after < y.cols ? weights.at_hand(plan, first_row + after, 0)
                                                         : nullptr;
                multiply_block(plan, weights, first_row + r, {k, k == 0, ends, following}, here, r == 0, out, own);
                if (plan.keeps_sums())
                    own.positions += kernel.padded_positions(positions) * kernel.row_elements(here.cols);
            }
        }
    }
}

/// y = x · wᵀ, rows of w from `weights`. Tasks share the longer side of y, and each packs for itself what it needs of
/// the other side's operand: that costs less than waiting for one another, and leaves it in its own cache.   Shapes: x
/// (T, cols), y (T, rows), which have been checked.   Errors: shape_error for a workspace that is too small.
inline void multiply(micro_kernel const& kernel, panel_source const& weights, matrix_view<const float> x,
                     matrix_view<float> y, workspace& scratch) {
    const matmul_plan plan{kernel, x.cols};
    scratch.require("matmul", plan.bytes(y.cols, x.rows, scratch.tasks()));
    workspace::frame frame(scratch);
    const std::size_t tasks = scratch.tasks(), packed = plan.position_elements(x.rows);
    const std::size_t held = plan.panels_held(y.cols) * plan.panel_elements, summed = plan.sum_floats(y.cols, x.rows);
    const auto positions = frame.take<packed_element>(tasks * packed);
    const auto panels = frame.take<packed_element>(tasks * held);
    const auto sums = frame.take<float>(tasks * summed);
    const auto strips = frame.take<float>(tasks * plan.strip_floats());
    const auto own = [&](std::size_t task) {
        return matmul_scratch{positions.data() + task * packed, panels.data() + task * held,
                              sums.data() + task * summed, strips.data() + task * plan.strip_floats()};
    };
    if (x.rows > y.cols)
        parallel_pieces(x.rows, tasks, kernel.tile_positions,
                        [&](std::size_t task, std::size_t begin, std::size_t end) {
                            multiply_piece(plan, weights, 0, x.middle_rows(begin, end - begin),
                                           y.middle_rows(begin, end - begin), own(task));
                        });
    else
        parallel_pieces(y.cols, tasks, weights.unit(kernel), [&](std::size_t task, std::size_t begin, std::size_t end) {
            multiply_piece(plan, weights, begin, x, y.middle_cols(begin, end - begin), own(task));
        });
}

/// The operands of y = x · wᵀ, w of so many rows and columns.   Errors: shape_error where they do not fit.
inline void check_product(const char* who, std::size_t rows, std::size_t cols, matrix_view<const float> x,
                          matrix_view<float> y) {
    check_shape(who, "x", x, x.rows, cols);
    check_shape(who, "y", y, x.rows, rows);
}

/// y = x · (rows of a matrix from `first` on)ᵀ.
template <class Arch>
void multiply_decoded(row_decoder decode, std::size_t first, matrix_view<const float> x, matrix_view<float> y,
                      workspace& scratch) {
    multiply(micro_kernel_of<Arch>(scratch.products()), {.decode = decode, .first = first}, x, y, scratch);
}

} // namespace detail

/// Bytes of workspace that every product of this folder needs with `rows` × `cols` weights of any format, in any
/// arithmetic.
template <class Arch = simd::default_arch>
std::size_t matmul_bytes(std::size_t rows, std::size_t cols, std::size_t positions, unsigned tasks) noexcept {
    std::size_t bytes = std::max(detail::matvec_bytes(cols), detail::matvec_each_bytes(cols, positions));
    for (const arithmetic a : all_arithmetics)
        bytes = std::max(bytes, detail::matmul_plan{micro_kernel_of<Arch>(a), cols}.bytes(rows, positions, tasks));
    return bytes;
}

/// y = x · (rows first … first + count − 1 of w)ᵀ.   Shapes: w (rows, cols), x (T, cols), y (T, count).
/// Errors: shape_error for rows that w does not have, and as matmul.
template <class Arch = simd::default_arch, weight_matrix W>
void matmul_rows(W const& w, std::size_t first, std::size_t count, matrix_view<const float> x, matrix_view<float> y,
                 workspace& scratch) {
    detail::check_range("matmul_rows", "rows", first, count, w.rows());
    detail::check_product("matmul_rows", count, w.cols(), x, y);
    detail::multiply_decoded<Arch>(decoder_of<Arch>(w), first, x, y, scratch);
}

/// y = x · wᵀ, in the arithmetic of the workspace.   Shapes: w (rows, cols), x (T, cols), y (T, rows).   Agrees with
/// reference::matmul of the operands as that arithmetic rounds them.   Errors: shape_error where the shapes do not fit,
/// or the workspace is too small.
template <class Arch = simd::default_arch, weight_matrix W>
void matmul(W const& w, matrix_view<const float> x, matrix_view<float> y, workspace& scratch) {
    detail::check_product("matmul", w.rows(), w.cols(), x, y);
    detail::multiply_decoded<Arch>(decoder_of<Arch>(w), 0, x, y, scratch);
}

/// y = x · wᵀ for plain numbers.   Shapes: w (rows, cols), x (T, cols), y (T, rows).   Errors: as above.
template <class Arch = simd::default_arch>
void matmul(matrix_view<const float> w, matrix_view<const float> x, matrix_view<float> y, workspace& scratch) {
    detail::check_product("matmul", w.rows, w.cols, x, y);
    detail::multiply_decoded<Arch>(decoder_of<Arch>(w), 0, x, y, scratch);
}

namespace detail {

/// What matmul has a product for, besides matrices in a format.
template <class W>
inline constexpr bool is_laid_out = std::convertible_to<W const&, matrix_view<const float>>;

/// What y = x · wᵀ is called with, where Read and Write are what x and y become.
template <class Read, class Write, class... Operands>
struct product_call {
    static constexpr bool has_all = false;
    static constexpr bool fits = false;
};
template <class Read, class Write, class W, class X, class Y, class Scratch>
struct product_call<Read, Write, W, X, Y, Scratch> {
    using weights = std::remove_cvref_t<W>;
    static constexpr bool has_all = true;
    static constexpr bool w = weight_matrix<weights> || is_laid_out<weights>, x = std::convertible_to<X, Read>,
                          y = std::convertible_to<Y, Write>, scratch = std::same_as<Scratch, workspace&>;
    static constexpr bool fits = w && x && y && scratch;
};

/// Does not compile, and says why.
template <class Call>
constexpr void explain_product() {
    static_assert(Call::has_all, "bitlens: a product takes four operands: w, x, y and a workspace");
    if constexpr (Call::has_all) {
        static_assert(Call::w,
                      "bitlens: w of a product is a packed_matrix<format> or a mixed_matrix<format...>, and of "
                      "matmul also a matrix of float; a format alone, or double, is none");
        static_assert(Call::x, "bitlens: x of a product holds float: matmul and matvec_each read a matrix_view<const "
                               "float>, matvec a std::span<const float>");
        static_assert(Call::y, "bitlens: y of a product is float and is written: matmul and matvec_each write a "
                               "matrix_view<float>, matvec a std::span<float>, of what is not const");
        static_assert(Call::scratch, "bitlens: the last operand of a product is a workspace that has a name and is not "
                                     "const");
    }
}

} // namespace detail

/// A call that no product takes.
template <class Arch = simd::default_arch, class... Operands>
    requires(!detail::product_call<matrix_view<const float>, matrix_view<float>, Operands...>::fits)
void matmul(Operands&&...) {
    detail::explain_product<detail::product_call<matrix_view<const float>, matrix_view<float>, Operands...>>();
}

} // namespace bitlens
