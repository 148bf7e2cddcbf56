#pragma once
/// f32_micro_kernel: the innermost product in float32.

#include "bitlens/core/view.hpp"
#include "bitlens/kernels/micro_kernel.hpp"
#include "bitlens/simd/batch.hpp"
#include "bitlens/simd/transpose.hpp"

#include <array>
#include <cstring>
#include <utility>

namespace bitlens {

/// Weights of a panel: [column][padded_rows], a column of them fills a few registers. Positions can be read as they
/// lie, for products that are over before packing pays.
template <class Arch>
struct f32_micro_kernel {
    using vec = simd::batch<float, Arch>;

    static constexpr std::size_t lanes = vec::size, piece = 8;
    static constexpr std::size_t panel_registers = simd::has_32_registers<Arch> ? 3 : 2;
    static constexpr std::size_t panel_rows = panel_registers * lanes, panels_at_once = 3;
    static constexpr std::size_t tile_positions = simd::has_32_registers<Arch> ? 8 : 6;
    static constexpr std::size_t first_cache = 24 << 10; // bytes of it for a tile of positions
    static constexpr micro_kernel_sizes sizes{.lanes = lanes,
                                              .panel_rows = panel_rows,
                                              .tile_positions = tile_positions,
                                              // code for every number takes long to compile
                                              .position_unit = tile_positions / 2,
                                              .max_depth = first_cache / (tile_positions * sizeof(float)),
                                              .piece_columns = piece,
                                              .piece_elements = piece,
                                              .panels_at_once = panels_at_once,
                                              .rows_worth_packing = 6 * panels_at_once * panel_rows};

    static void begin() noexcept {}
    static void end() noexcept {}

    static void pack_weights(const float* weights, std::size_t stride, std::size_t rows, std::size_t at,
                             std::size_t depth, packed_element* panel) noexcept {
        const std::size_t width = sizes.padded_rows(rows);
        float* const columns = reinterpret_cast<float*>(panel) + at * width;
        for (std::size_t k = 0; k < sizes.row_elements(depth); k += lanes)
            for (std::size_t r = 0; r < rows; r += lanes)
                simd::transpose<Arch>(weights + r * stride + k, stride, columns + k * width + r, width);
    }
    static void pack_transposed(const float* weights, std::size_t stride, std::size_t rows, std::size_t depth,
                                packed_element* panel) noexcept {
        const std::size_t width = sizes.padded_rows(rows);
        float* column = reinterpret_cast<float*>(panel);
        for (std::size_t k = 0; k < depth; ++k, weights += stride, column += width) {
            std::copy_n(weights, rows, column);
            std::fill(column + rows, column + width, 0.0f);
        }
        std::fill(column, column + (sizes.row_elements(depth) - depth) * width, 0.0f);
    }
    static void pack_column(const float* column, std::size_t width, std::size_t at, packed_element* panel) noexcept {
        std::copy_n(column, width, reinterpret_cast<float*>(panel) + at * width);
    }
    static void pack_positions(matrix_view<const float> const& x, packed_element* packed) noexcept {
        BITLENS_ASSERT(x.rows <= tile_positions && x.cols <= sizes.max_depth);
        float* const numbers = reinterpret_cast<float*>(packed);
        if (x.rows == tile_positions)
            pack_tile(x, std::integral_constant<std::size_t, tile_positions>{}, numbers);
        else
            pack_tile(x, x.rows, numbers);
    }
    static void multiply(micro_kernel::operand const& x, std::size_t depth, const packed_element* panel,
                         matrix_view<float> const& y, matrix_view<const float> const& start,
                         matrix_view<const float> const& soon) noexcept {
        BITLENS_ASSERT(y.rows >= 1 && y.rows <= tile_positions && y.rows % sizes.position_unit == 0);
        BITLENS_ASSERT(y.cols >= 1 && y.cols <= sizes.panel_rows && y.cols % lanes == 0);
        constexpr std::size_t heights = tile_positions / sizes.position_unit;
        static constexpr auto by_shape = []<std::size_t... I>(std::index_sequence<I...>) {
            return std::array{&multiply_shape<(I % heights + 1) * sizes.position_unit, I / heights + 1>...};
        }
        (std::make_index_sequence<heights * panel_registers>{});
        by_shape[(y.cols / lanes - 1) * heights + y.rows / sizes.position_unit - 1](x, depth, panel, y, start, soon);
    }

private:
    static constexpr std::size_t line = alignment / sizeof(float);

    /// positions: a number that the compiler knows, where it is the usual one.
    template <class Positions>
    static void pack_tile(matrix_view<const float> const& x, Positions positions, float* packed) noexcept {
        const std::size_t padding = (sizes.padded_positions(positions) - positions) * piece;
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
    static void multiply_shape(micro_kernel::operand const& x, std::size_t depth, const packed_element* panel,
                               matrix_view<float> const& y, matrix_view<const float> const& start,
                               matrix_view<const float> const& soon) noexcept {
        multiply_unrolled(std::make_index_sequence<Positions>{}, std::make_index_sequence<Registers>{},
                          std::make_index_sequence<piece>{}, x, sizes.row_elements(depth),
                          reinterpret_cast<const float*>(panel), y, start, soon);
    }
    template <std::size_t... P, std::size_t... R, std::size_t... K>
    static void multiply_unrolled(std::index_sequence<P...>, std::index_sequence<R...>, std::index_sequence<K...>,
                                  micro_kernel::operand const& x, std::size_t depth, const float* panel,
                                  matrix_view<float> const& y, matrix_view<const float> const& start,
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
        const float* pieces = static_cast<const float*>(x.data);
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
