#pragma once
/// f32_micro_kernel: the innermost product in float32, and the layouts of what it reads.

#include "bitlens/core/view.hpp"
#include "bitlens/simd/batch.hpp"
#include "bitlens/simd/transpose.hpp"

#include <array>
#include <utility>

namespace bitlens {

/// A tile of y: `tile_positions` positions × `panel_rows` rows of w, summed over up to `max_depth` columns in
/// registers. It owns its operands' layouts, so that another unit of the machine is another type like this one:
///   panel, of w: [column][panel_rows], a column of weights fills two registers
///   positions, of x: tile by tile [column / piece][position][piece], zeros from the last column to the end of its
///   piece. One stream of memory, where rows as they are would be as many as there are positions.
template <class Arch>
struct f32_micro_kernel {
    using vec = simd::batch<float, Arch>;
    using element = float;

    static constexpr std::size_t lanes = vec::size;
    static constexpr std::size_t panel_rows = 2 * lanes;
    static constexpr std::size_t tile_positions = simd::has_32_registers<Arch> ? 12 : 6;
    static constexpr std::size_t max_depth = 512;
    static constexpr std::size_t piece = 8;
    static constexpr std::size_t panel_elements = max_depth * panel_rows;

    static constexpr std::size_t padded_depth(std::size_t depth) noexcept {
        return (depth + piece - 1) / piece * piece;
    }

    /// Puts `depth` columns of weights into a panel, from its column `at` on. rows: [panel_rows][stride], room for
    /// depth rounded up to pieces and to the lanes.
    static void pack_weights(const float* rows, std::size_t stride, std::size_t at, std::size_t depth,
                             float* panel) noexcept {
        for (std::size_t k = 0; k < padded_depth(depth); k += lanes)
            for (std::size_t half = 0; half < panel_rows; half += lanes)
                simd::transpose<Arch>(rows + half * stride + k, stride, panel + (at + k) * panel_rows + half,
                                      panel_rows);
    }
    /// The same from weights that lie transposed, [depth][stride], `rows` ≤ panel_rows of them in a line.
    static void pack_transposed(const float* columns, std::size_t stride, std::size_t rows, std::size_t depth,
                                float* panel) noexcept {
        for (std::size_t k = 0; k < depth; ++k, columns += stride, panel += panel_rows) {
            std::copy_n(columns, rows, panel);
            std::fill(panel + rows, panel + panel_rows, 0.0f);
        }
        std::fill(panel, panel + (padded_depth(depth) - depth) * panel_rows, 0.0f);
    }
    /// x: any number of positions, up to max_depth columns; packed: x.rows · padded_depth(x.cols) floats.
    static void pack_positions(matrix_view<const float> x, float* packed) noexcept {
        const std::size_t depth = padded_depth(x.cols);
        for (std::size_t t = 0; t < x.rows; t += tile_positions) {
            const std::size_t positions = std::min(tile_positions, x.rows - t);
            for (std::size_t p = 0; p < positions; ++p) {
                const float* from = x.row(t + p).data();
                float* to = packed + t * depth + p * piece;
                std::size_t k = 0;
                for (; k + piece <= x.cols; k += piece, to += positions * piece) std::copy_n(from + k, piece, to);
                if (k < x.cols) std::fill(std::copy(from + k, from + x.cols, to), to + piece, 0.0f);
            }
        }
    }
    /// y (positions ≤ tile_positions, panel_rows) = x · panelᵀ, or added to what y holds.   x: a tile of positions.
    static void multiply(const float* x, std::size_t positions, std::size_t depth, const float* panel, float* y,
                         std::size_t y_stride, bool add) noexcept {
        BITLENS_ASSERT(positions >= 1 && positions <= tile_positions);
        static constexpr auto by_positions = []<std::size_t... P>(std::index_sequence<P...>) {
            return std::array{&multiply_positions<P + 1>...};
        }
        (std::make_index_sequence<tile_positions>{});
        by_positions[positions - 1](x, padded_depth(depth), panel, y, y_stride, add);
    }

private:
    template <std::size_t Positions>
    static void multiply_positions(const float* x, std::size_t depth, const float* panel, float* y,
                                   std::size_t y_stride, bool add) noexcept {
        multiply_unrolled(std::make_index_sequence<Positions>{}, std::make_index_sequence<piece>{}, x, depth, panel, y,
                          y_stride, add);
    }
    template <std::size_t... P, std::size_t... K>
    static void multiply_unrolled(std::index_sequence<P...>, std::index_sequence<K...>, const float* x,
                                  std::size_t depth, const float* panel, float* y, std::size_t y_stride,
                                  bool add) noexcept {
        // y was last touched a panel ago, and its lines come from afar: they are asked for before the long sum begins.
        ((__builtin_prefetch(y + P * y_stride, 1), __builtin_prefetch(y + P * y_stride + panel_rows - 1, 1)), ...);
        vec low[] = {(static_cast<void>(P), vec(0.0f))...};
        vec high[] = {(static_cast<void>(P), vec(0.0f))...};
        for (std::size_t k = 0; k < depth; k += piece, x += sizeof...(P) * piece, panel += piece * panel_rows) {
            const auto add_column = [&](const float* xk, const float* w) __attribute__((always_inline)) {
                const vec w_low = vec::load_unaligned(w), w_high = vec::load_unaligned(w + lanes);
                const auto step = [&](vec const& xkp, vec& a, vec& b) {
                    a = simd::fma(xkp, w_low, a);
                    b = simd::fma(xkp, w_high, b);
                };
                (step(vec(xk[P * piece]), low[P], high[P]), ...);
            };
            (add_column(x + K, panel + K * panel_rows), ...);
        }
        const auto store = [&](vec const& sum, float* out) {
            (add ? vec::load_unaligned(out) + sum : sum).store_unaligned(out);
        };
        ((store(low[P], y + P * y_stride), store(high[P], y + P * y_stride + lanes)), ...);
    }
};

} // namespace bitlens
