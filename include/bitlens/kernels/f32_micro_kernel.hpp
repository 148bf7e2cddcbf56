#pragma once
/// f32_micro_kernel: the innermost product in float32, and the layouts of what it reads.

#include "bitlens/core/view.hpp"
#include "bitlens/kernels/loop_sizes.hpp"
#include "bitlens/simd/batch.hpp"
#include "bitlens/simd/transpose.hpp"

#include <array>
#include <cstring>
#include <utility>

namespace bitlens {

/// A tile of y: `tile_positions` positions × `panel_rows` rows of w, summed over up to `max_depth` columns in
/// registers. It owns its operands' layouts, so that another unit of the machine is another type like this one
/// (bf16_dot_micro_kernel, bf16_tile_micro_kernel):
///   panel, of w: [column][panel_rows], a column of weights fills a few registers; fewer in a narrow panel
///   positions, of x: tile by tile [column / piece][position][piece], zeros from the last column to the end of its
///   piece, and for positions up to a multiple of position_unit. One stream of memory, where rows as they are would be
///   as many as there are positions; but those can be read too, for products that are over before packing pays.
template <class Arch>
struct f32_micro_kernel : unbounded_loops {
    using vec = simd::batch<float, Arch>;
    using element = float;

    static constexpr std::size_t lanes = vec::size;
    static constexpr std::size_t panel_registers = simd::has_32_registers<Arch> ? 3 : 2;
    static constexpr std::size_t panel_rows = panel_registers * lanes;
    static constexpr std::size_t tile_positions = simd::has_32_registers<Arch> ? 8 : 6;
    static constexpr std::size_t position_unit = tile_positions / 2; // code for every number takes long to compile
    static constexpr std::size_t first_cache = 24 << 10;             // bytes of it for a tile of positions
    static constexpr std::size_t max_depth = first_cache / (tile_positions * sizeof(float));
    static constexpr std::size_t piece = 8;
    static constexpr std::size_t panels_at_once = 3; // that a tile of positions meets in turn
    static constexpr std::size_t rows_worth_packing = 6 * panels_at_once * panel_rows; // of w, that meet positions

    /// What a thread needs while it multiplies: nothing.
    struct session {};

    /// A tile of positions, packed or as it lies in x.
    struct operand {
        const float* data;
        std::size_t to_position, to_piece; // floats from one position, or piece of its columns, to the next
    };

    /// Elements of a packed position of `depth` columns.
    static constexpr std::size_t row_elements(std::size_t depth) noexcept {
        return (depth + piece - 1) / piece * piece;
    }
    /// Positions of y that `multiply` writes when asked for some.
    static constexpr std::size_t padded_positions(std::size_t positions) noexcept {
        return (positions + position_unit - 1) / position_unit * position_unit;
    }
    /// Rows of a panel that holds `rows` ≥ 1 of them: those up to whole registers.
    static constexpr std::size_t padded_rows(std::size_t rows) noexcept { return (rows + lanes - 1) / lanes * lanes; }

    /// Puts `depth` columns of `rows` ≤ panel_rows rows of weights into a panel, from its column `at` on.
    /// weights: [padded_rows(rows)][stride], room for depth rounded up to pieces and to the lanes.
    static void pack_weights(const float* weights, std::size_t stride, std::size_t rows, std::size_t at,
                             std::size_t depth, float* panel) noexcept {
        const std::size_t width = padded_rows(rows);
        for (std::size_t k = 0; k < row_elements(depth); k += lanes)
            for (std::size_t r = 0; r < rows; r += lanes)
                simd::transpose<Arch>(weights + r * stride + k, stride, panel + (at + k) * width + r, width);
    }
    /// The same from weights that lie transposed, [depth][stride], `rows` of them in a line.
    static void pack_transposed(const float* weights, std::size_t stride, std::size_t rows, std::size_t depth,
                                float* panel) noexcept {
        const std::size_t width = padded_rows(rows);
        for (std::size_t k = 0; k < depth; ++k, weights += stride, panel += width) {
            std::copy_n(weights, rows, panel);
            std::fill(panel + rows, panel + width, 0.0f);
        }
        std::fill(panel, panel + (row_elements(depth) - depth) * width, 0.0f);
    }
    /// x: a tile of positions, up to max_depth columns; packed: padded_positions(x.rows) · row_elements(x.cols) floats.
    static void pack_positions(matrix_view<const float> x, float* packed) noexcept {
        BITLENS_ASSERT(x.rows <= tile_positions && x.cols <= max_depth);
        if (x.rows == tile_positions)
            pack_tile(x, std::integral_constant<std::size_t, tile_positions>{}, packed);
        else
            pack_tile(x, x.rows, packed);
    }
    static operand packed_operand(const float* packed, std::size_t positions) noexcept {
        return {packed, piece, padded_positions(positions) * piece};
    }
    /// Whether nothing that `multiply` reads of a tile lies beyond it.
    static bool can_stay_unpacked(matrix_view<const float> x) noexcept {
        return x.rows % position_unit == 0 && x.cols % piece == 0;
    }
    static operand unpacked_operand(matrix_view<const float> x) noexcept { return {x.data, x.stride, piece}; }

    /// y (padded_positions, padded_rows) = start + x · panelᵀ, or without `start` if that is empty; y may be start.
    /// x: a tile of positions.   soon: rows of `depth` numbers, or none, that are fetched into a cache on the way.
    /// Views by reference: g++ 12 copies them through the stack, which costs up to 0.05 of the peak.
    static void multiply(operand const& x, std::size_t depth, const float* panel, matrix_view<float> const& y,
                         matrix_view<const float> const& start, matrix_view<const float> const& soon = {}) noexcept {
        BITLENS_ASSERT(y.rows >= 1 && y.rows <= tile_positions && y.rows % position_unit == 0);
        BITLENS_ASSERT(y.cols >= 1 && y.cols <= panel_rows && y.cols % lanes == 0);
        constexpr std::size_t heights = tile_positions / position_unit;
        static constexpr auto by_shape = []<std::size_t... I>(std::index_sequence<I...>) {
            return std::array{&multiply_shape<(I % heights + 1) * position_unit, I / heights + 1>...};
        }
        (std::make_index_sequence<heights * panel_registers>{});
        by_shape[(y.cols / lanes - 1) * heights + y.rows / position_unit - 1](x, row_elements(depth), panel, y, start,
                                                                              soon);
    }

private:
    static constexpr std::size_t line = alignment / sizeof(float);

    /// positions: a number that the compiler knows, where it is the usual one.
    template <class Positions>
    static void pack_tile(matrix_view<const float> x, Positions positions, float* packed) noexcept {
        const std::size_t padding = (padded_positions(positions) - positions) * piece;
        const std::size_t whole = x.cols / piece * piece;
        const auto pack_piece = [&](std::size_t k, auto const& copy) {
            const float* from = x.data + k;
            for (std::size_t p = 0; p < positions; ++p, from += x.stride, packed += piece) copy(from);
            packed = std::fill_n(packed, padding, 0.0f);
        };
        for (std::size_t k = 0; k < whole; k += piece)
            pack_piece(k, [&](const float* from) { std::memcpy(packed, from, piece * sizeof(float)); });
        if (whole < x.cols)
            pack_piece(whole, [&](const float* from) {
                std::fill(std::copy_n(from, x.cols - whole, packed), packed + piece, 0.0f);
            });
    }
    template <std::size_t Positions, std::size_t Registers>
    static void multiply_shape(operand const& x, std::size_t depth, const float* panel, matrix_view<float> const& y,
                               matrix_view<const float> const& start, matrix_view<const float> const& soon) noexcept {
        multiply_unrolled(std::make_index_sequence<Positions>{}, std::make_index_sequence<Registers>{},
                          std::make_index_sequence<piece>{}, x, depth, panel, y, start, soon);
    }
    template <std::size_t... P, std::size_t... R, std::size_t... K>
    static void multiply_unrolled(std::index_sequence<P...>, std::index_sequence<R...>, std::index_sequence<K...>,
                                  operand const& x, std::size_t depth, const float* panel, matrix_view<float> const& y,
                                  matrix_view<const float> const& start,
                                  matrix_view<const float> const& soon) noexcept {
        constexpr std::size_t positions = sizeof...(P), rows = sizeof...(R) * lanes;
        struct registers {
            vec r[sizeof...(R)] = {(static_cast<void>(R), vec(0.0f))...};
        };
        registers sum[positions];
        // y was last touched a panel ago. Its lines are asked for a row at a time, early enough to arrive and late
        // enough not to leave the first cache again before the end.
        constexpr std::size_t notice = 2 * positions * piece;
        const std::size_t asking_from = depth > notice ? depth - notice : 0;
        const float* y_row = y.data;
        const float* pieces = x.data;
        const std::size_t to_position = x.to_position, to_piece = x.to_piece;
        for (std::size_t k = 0; k < depth; k += piece, pieces += to_piece, panel += piece * rows) {
            if (k >= asking_from && k < asking_from + positions * piece) {
                (__builtin_prefetch(y_row + R * lanes, 1), ...);
                y_row += y.stride;
            }
            if (k % line == 0)
                for (std::size_t t = 0; t < soon.rows; ++t) __builtin_prefetch(soon.data + t * soon.stride + k);
            const auto add_column = [&](const float* xk, const float* w) __attribute__((always_inline)) {
                const vec weights[] = {vec::load_unaligned(w + R * lanes)...};
                const auto step = [&](vec const& xkp, registers& s) __attribute__((always_inline)) {
                    ((s.r[R] = simd::fma(xkp, weights[R], s.r[R])), ...);
                };
                (step(vec(xk[P * to_position]), sum[P]), ...);
            };
            (add_column(pieces + K, panel + K * rows), ...);
        }
        const auto store = [&](vec const& v, const float* before, float* out) {
            (start.rows != 0 ? vec::load_unaligned(before) + v : v).store_unaligned(out);
        };
        const auto store_row = [&](registers const& s, const float* before, float* out) {
            (store(s.r[R], before + R * lanes, out + R * lanes), ...);
        };
        (store_row(sum[P], start.data + P * start.stride, y.data + P * y.stride), ...);
    }
};

} // namespace bitlens
