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
///   positions, of x: rows as they are, broadcast from memory. Only rows that are whole pages apart are copied first:
///   they would fall into the same few sets of every cache.
template <class Arch>
struct f32_micro_kernel {
    using vec = simd::batch<float, Arch>;
    using element = float;

    static constexpr std::size_t lanes = vec::size;
    static constexpr std::size_t panel_rows = 2 * lanes;
    static constexpr std::size_t tile_positions = simd::has_32_registers<Arch> ? 12 : 6;
    static constexpr std::size_t max_depth = 512;
    static constexpr std::size_t copy_stride = max_depth + 16;
    static constexpr std::size_t panel_elements = max_depth * panel_rows;

    /// Puts `depth` columns of weights into a panel, from its column `at` on. rows: [panel_rows][stride], room for
    /// depth rounded up to the lanes.
    static void pack_weights(const float* rows, std::size_t stride, std::size_t at, std::size_t depth,
                             float* panel) noexcept {
        for (std::size_t k = 0; k < depth; k += lanes)
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
    }
    static constexpr bool reads_in_place(matrix_view<const float> x) noexcept {
        return x.stride * sizeof(float) % 4096 != 0;
    }
    static void pack_positions(matrix_view<const float> x, float* copy) noexcept {
        for (std::size_t t = 0; t < x.rows; ++t) std::copy_n(x.row(t).data(), x.cols, copy + t * copy_stride);
    }
    /// y (positions ≤ tile_positions, panel_rows) = x · panelᵀ, or added to what y holds.
    static void multiply(matrix_view<const float> x, const float* panel, float* y, std::size_t y_stride,
                         bool add) noexcept {
        BITLENS_ASSERT(x.rows >= 1 && x.rows <= tile_positions);
        static constexpr auto by_positions = []<std::size_t... P>(std::index_sequence<P...>) {
            return std::array{&multiply_positions<P + 1>...};
        }
        (std::make_index_sequence<tile_positions>{});
        by_positions[x.rows - 1](x, panel, y, y_stride, add);
    }

private:
    template <std::size_t Positions>
    static void multiply_positions(matrix_view<const float> x, const float* panel, float* y, std::size_t y_stride,
                                   bool add) noexcept {
        multiply_unrolled(std::make_index_sequence<Positions>{}, x, panel, y, y_stride, add);
    }
    template <std::size_t... P>
    static void multiply_unrolled(std::index_sequence<P...>, matrix_view<const float> x, const float* panel, float* y,
                                  std::size_t y_stride, bool add) noexcept {
        // y was last touched a panel ago, and its lines come from afar: they are asked for before the long sum begins.
        ((__builtin_prefetch(y + P * y_stride, 1), __builtin_prefetch(y + P * y_stride + panel_rows - 1, 1)), ...);
        const float* row[] = {x.data + P * x.stride...};
        vec low[] = {(static_cast<void>(P), vec(0.0f))...};
        vec high[] = {(static_cast<void>(P), vec(0.0f))...};
        for (std::size_t k = 0; k < x.cols; ++k) {
            const vec w_low = vec::load_unaligned(panel + k * panel_rows);
            const vec w_high = vec::load_unaligned(panel + k * panel_rows + lanes);
            const auto step = [&](vec const& xk, vec& a, vec& b) {
                a = simd::fma(xk, w_low, a);
                b = simd::fma(xk, w_high, b);
            };
            (step(vec(row[P][k]), low[P], high[P]), ...);
        }
        const auto store = [&](vec const& sum, float* out) {
            (add ? vec::load_unaligned(out) + sum : sum).store_unaligned(out);
        };
        ((store(low[P], y + P * y_stride), store(high[P], y + P * y_stride + lanes)), ...);
    }
};

} // namespace bitlens
