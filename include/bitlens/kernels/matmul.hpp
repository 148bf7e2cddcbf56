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
    static constexpr std::size_t positions_at_once = 512; // their block of x stays in the cache of a core
    static constexpr std::size_t strip = 128; // columns decoded at once: a panel's rows of them stay in the first cache
    static constexpr std::size_t strip_floats = MicroKernel::panel_rows * strip;

    /// Columns per block: all blocks alike, but for the last.
    static constexpr std::size_t depth(std::size_t cols) noexcept {
        const std::size_t blocks =
            std::max<std::size_t>(1, (cols + MicroKernel::max_depth - 1) / MicroKernel::max_depth);
        const std::size_t columns = std::max<std::size_t>(1, (cols + blocks - 1) / blocks);
        return (columns + chunk_codes - 1) / chunk_codes * chunk_codes;
    }
    /// Elements of x that a task holds packed.
    static constexpr std::size_t position_elements(std::size_t positions, std::size_t cols) noexcept {
        return MicroKernel::padded_positions(std::min(positions, positions_at_once)) *
               MicroKernel::row_elements(depth(cols));
    }
    static constexpr std::size_t panel_elements(std::size_t cols) noexcept {
        return MicroKernel::panel_rows * MicroKernel::row_elements(depth(cols));
    }
    /// Panels that a task holds.
    static constexpr std::size_t panels(std::size_t rows) noexcept {
        return std::min(MicroKernel::panels_at_once, (rows + MicroKernel::panel_rows - 1) / MicroKernel::panel_rows);
    }
    /// Bytes of workspace that a product of so many positions with rows × cols weights needs.
    static constexpr std::size_t bytes(std::size_t rows, std::size_t cols, std::size_t positions,
                                       unsigned tasks) noexcept {
        using element = typename MicroKernel::element;
        return workspace::bytes_for<element>(tasks * position_elements(positions, cols)) +
               workspace::bytes_for<element>(tasks * panels(rows) * panel_elements(cols)) +
               workspace::bytes_for<float>(tasks * strip_floats);
    }
};

/// Weights in a format: a strip of rows is decoded, and from there packed.
struct decoded_weights {
    row_decoder decode;
    std::size_t first; // row of w

    /// Tasks may begin at multiples of so many rows.
    template <class MicroKernel>
    static constexpr std::size_t unit = MicroKernel::lanes;

    /// A panel of `rows` rows and `depth` columns, in `own` if it is not at hand.   scratch: matmul_plan::strip_floats.
    template <class MicroKernel>
    typename MicroKernel::element const* panel(std::size_t row, std::size_t rows, std::size_t col, std::size_t depth,
                                               typename MicroKernel::element* own, float* scratch) const noexcept {
        constexpr std::size_t strip = matmul_plan<MicroKernel>::strip;
        std::fill(scratch + rows * strip, scratch + MicroKernel::padded_rows(rows) * strip, 0.0f);
        for (std::size_t k = 0; k < depth; k += strip) {
            const std::size_t count = std::min(strip, depth - k);
            decode(first + row, col + k, {scratch, rows, count, strip});
            MicroKernel::pack_weights(scratch, strip, rows, k, count, own);
        }
        return own;
    }
    /// A panel that need not be made, which may then be fetched early; or none.
    template <class MicroKernel>
    static typename MicroKernel::element const* at_hand(std::size_t, std::size_t) noexcept {
        return nullptr;
    }
};

/// Weights in plain floats that lie transposed, (cols, rows): packing is all there is to do.
struct transposed_weights {
    matrix_view<const float> w;

    template <class MicroKernel>
    static constexpr std::size_t unit = MicroKernel::lanes;

    template <class MicroKernel>
    typename MicroKernel::element const* panel(std::size_t row, std::size_t rows, std::size_t col, std::size_t depth,
                                               typename MicroKernel::element* own, float*) const noexcept {
        MicroKernel::pack_transposed(w.data + col * w.stride + row, w.stride, rows, depth, own);
        return own;
    }
    template <class MicroKernel>
    static typename MicroKernel::element const* at_hand(std::size_t, std::size_t) noexcept {
        return nullptr;
    }
};

/// One tile of y; one that the kernel would write beyond takes a way round through one that is larger.   soon: numbers
/// to fetch into a cache on the way, rows of `depth`.
template <class MicroKernel>
void multiply_tile(const typename MicroKernel::element* x, std::size_t depth,
                   const typename MicroKernel::element* panel, matrix_view<float> y, matrix_view<const float> start,
                   matrix_view<const float> soon) noexcept {
    const std::size_t rows = MicroKernel::padded_rows(y.cols);
    if (y.cols == rows && y.rows == MicroKernel::padded_positions(y.rows))
        return MicroKernel::multiply(x, depth, panel, y, start, soon);
    std::array<float, MicroKernel::tile_positions * MicroKernel::panel_rows> numbers{};
    const matrix_view<float> full(numbers.data(), y.rows, rows);
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

/// What a task works in: positions and panels of weights, packed; decoded weights.
template <class MicroKernel>
struct matmul_scratch {
    typename MicroKernel::element *positions, *panels;
    std::size_t panel_elements; // from one panel to the next
    float* strip;
};

/// y = x · wᵀ, or added to y, for a block of columns and as many positions as the caches hold: each tile of positions
/// meets a few panels of weights, then the next tile does, so that the second cache need not hold all positions, and y
/// is written in strips. Panels are packed when their first tile of positions comes, positions when the first panels
/// do: what is packed is multiplied while it is near.   Rows of w from `first_row` of weights and columns from
/// `first_col` on.
template <class MicroKernel, class Weights>
void multiply_block(Weights const& weights, std::size_t first_row, std::size_t first_col, matrix_view<const float> x,
                    matrix_view<float> y, bool add, matmul_scratch<MicroKernel> scratch) noexcept {
    constexpr std::size_t panel_rows = MicroKernel::panel_rows, tile_positions = MicroKernel::tile_positions;
    constexpr std::size_t rows_at_once = MicroKernel::panels_at_once * panel_rows;
    const auto tile = [&](std::size_t t) { return x.middle_rows(t, std::min(tile_positions, x.rows - t)); };
    const auto soon = [&](std::size_t t, std::size_t r) -> matrix_view<const float> {
        if (r == 0) return t + tile_positions < x.rows ? tile(t + tile_positions) : matrix_view<const float>{};
        if (r + rows_at_once >= y.cols) return {};
        return part_of<MicroKernel>(weights.template at_hand<MicroKernel>(first_row + r + rows_at_once, first_col),
                                    x.cols, t / tile_positions, (x.rows + tile_positions - 1) / tile_positions);
    };
    std::array<typename MicroKernel::element const*, MicroKernel::panels_at_once> panels;
    for (std::size_t first = 0; first < y.cols; first += rows_at_once) {
        const std::size_t end = std::min(first + rows_at_once, y.cols);
        auto* packed = scratch.positions;
        for (std::size_t t = 0; t < x.rows; t += tile_positions) {
            const auto here = tile(t);
            if (first == 0) MicroKernel::pack_positions(here, packed);
            for (std::size_t r = first, i = 0; r < end; r += panel_rows, ++i) {
                const std::size_t rows = std::min(panel_rows, end - r);
                if (t == 0)
                    panels[i] =
                        weights.template panel<MicroKernel>(first_row + r, rows, first_col, x.cols,
                                                            scratch.panels + i * scratch.panel_elements, scratch.strip);
                const auto out = y.middle_rows(t, here.rows).middle_cols(r, rows);
                multiply_tile<MicroKernel>(packed, x.cols, panels[i], out, add ? out : matrix_view<float>{},
                                           soon(t, r));
            }
            packed += MicroKernel::padded_positions(here.rows) * MicroKernel::row_elements(x.cols);
        }
    }
}

/// y = x · wᵀ in one task, rows of w from `first_row` of weights.
template <class MicroKernel, class Weights>
void multiply_piece(Weights const& weights, std::size_t first_row, matrix_view<const float> x, matrix_view<float> y,
                    matmul_scratch<MicroKernel> scratch) noexcept {
    using plan = matmul_plan<MicroKernel>;
    [[maybe_unused]] const typename MicroKernel::session session;
    const std::size_t depth = plan::depth(x.cols);
    for (std::size_t t = 0; t < x.rows; t += plan::positions_at_once) {
        const std::size_t positions = std::min(plan::positions_at_once, x.rows - t);
        for (std::size_t k = 0; k == 0 || k < x.cols; k += depth)
            multiply_block<MicroKernel>(weights, first_row, k,
                                        x.middle_rows(t, positions).middle_cols(k, std::min(depth, x.cols - k)),
                                        y.middle_rows(t, positions), k != 0, scratch);
    }
}

/// y = x · wᵀ, rows of w from `weights`. Tasks share the longer side of y, and each packs for itself what it needs of
/// the other side's operand: that costs less than waiting for one another, and leaves it in its own cache.   Shapes: x
/// (T, cols), y (T, rows).
template <class MicroKernel, class Weights>
void multiply(Weights const& weights, matrix_view<const float> x, matrix_view<float> y, workspace& scratch) noexcept {
    using plan = matmul_plan<MicroKernel>;
    using element = typename MicroKernel::element;

    workspace::frame frame(scratch);
    const std::size_t tasks = scratch.tasks(), packed = plan::position_elements(x.rows, x.cols);
    const std::size_t held = plan::panels(y.cols) * plan::panel_elements(x.cols);
    const auto positions = frame.take<element>(tasks * packed);
    const auto panels = frame.take<element>(tasks * held);
    const auto strips = frame.take<float>(tasks * plan::strip_floats);
    const auto own = [&](std::size_t task) {
        return matmul_scratch<MicroKernel>{positions.data() + task * packed, panels.data() + task * held,
                                           plan::panel_elements(x.cols), strips.data() + task * plan::strip_floats};
    };
    if (x.rows > y.cols)
        parallel_pieces(x.rows, tasks, MicroKernel::tile_positions,
                        [&](std::size_t task, std::size_t begin, std::size_t end) {
                            multiply_piece<MicroKernel>(weights, 0, x.middle_rows(begin, end - begin),
                                                        y.middle_rows(begin, end - begin), own(task));
                        });
    else
        parallel_pieces(y.cols, tasks, Weights::template unit<MicroKernel>,
                        [&](std::size_t task, std::size_t begin, std::size_t end) {
                            multiply_piece<MicroKernel>(weights, begin, x, y.middle_cols(begin, end - begin),
                                                        own(task));
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

template <class Arch, class Weights>
void multiply_with(Weights const& weights, matrix_view<const float> x, matrix_view<float> y,
                   workspace& scratch) noexcept {
    with_micro_kernel<Arch>(scratch.products(),
                            [&]<class MicroKernel>() { multiply<MicroKernel>(weights, x, y, scratch); });
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
    detail::multiply_with<Arch>(detail::decoded_weights{decoder_of<Arch>(w), first}, x, y, scratch);
}

/// y = x · wᵀ, in the arithmetic of the workspace.   Shapes: w (rows, cols), x (T, cols), y (T, rows).   Agrees with
/// reference::matmul of the operands as that arithmetic rounds them.
template <class Arch = simd::default_arch, weight_matrix W>
void matmul(W const& w, matrix_view<const float> x, matrix_view<float> y, workspace& scratch) noexcept {
    matmul_rows<Arch>(w, 0, w.rows(), x, y, scratch);
}

/// y = x · wᵀ for numbers that are no stored weights: queries against keys.   Shapes: w (rows, cols), x (T, cols), y
/// (T, rows).
template <class Arch = simd::default_arch>
void matmul(matrix_view<const float> w, matrix_view<const float> x, matrix_view<float> y, workspace& scratch) noexcept {
    BITLENS_ASSERT(x.cols == w.cols && y.cols == w.rows && y.rows == x.rows);
    detail::multiply_with<Arch>(detail::decoded_weights{decoder_of<Arch>(w), 0}, x, y, scratch);
}

/// y = x · w: attention weights times values.   Shapes: w (cols, rows), x (T, cols), y (T, rows).
template <class Arch = simd::default_arch>
void matmul_transposed(matrix_view<const float> w, matrix_view<const float> x, matrix_view<float> y,
                       workspace& scratch) noexcept {
    BITLENS_ASSERT(x.cols == w.rows && y.cols == w.cols && y.rows == x.rows);
    detail::multiply_with<Arch>(detail::transposed_weights{w}, x, y, scratch);
}

} // namespace bitlens
