#pragma once
/// bf16_tile_micro_kernel: the innermost product by the tiles of AMX-BF16.

#include "bitlens/kernels/bf16_operands.hpp"

#include <atomic>

namespace bitlens {

#if defined(__x86_64__)

/// Sums of pairs of products, in float32: four tiles of 16 positions × 16 rows of w. Chosen when the program runs, so
/// that it need not be compiled for the machine.
template <class Arch>
struct bf16_tile_micro_kernel : bf16_operands<Arch> {
    using base = bf16_operands<Arch>;
    static constexpr std::size_t panel_rows = 32, first_cache = 40 << 10; // bytes of the cache for operands
    /// Tiles multiply so fast that what they read and write decides: a panel stays in the first cache and meets all
    /// positions, which come from the second, past the first; of 1536 columns they take 768 KiB of it, and the sums of
    /// rows_at_once rows 256 KiB (both as where they are unbounded, but bounded).
    static constexpr micro_kernel_sizes sizes{.lanes = base::lanes,
                                              .panel_rows = panel_rows,
                                              .tile_positions = 32,
                                              .position_unit = 16,
                                              .max_depth = first_cache / (panel_rows * sizeof(bf16)),
                                              .piece_columns = base::square_columns,
                                              .piece_elements = simd::bf16_pairs,
                                              .panels_at_once = 1,
                                              .rows_at_once = 256,
                                              .positions_at_hand = 256};

    [[gnu::target("amx-tile")]] static void begin() noexcept { _tile_loadconfig(&all_tiles); }
    [[gnu::target("amx-tile")]] static void end() noexcept { _tile_release(); }

    static void pack_positions(matrix_view<const float> const& x, packed_element* packed) noexcept {
        BITLENS_ASSERT(x.rows <= sizes.tile_positions && x.cols <= sizes.max_depth);
        base::pack_positions(x, sizes.padded_positions(x.rows), packed);
    }
    static void multiply(micro_kernel::operand const& x, std::size_t depth, const packed_element* panel,
                         matrix_view<float> const& y, matrix_view<const float> const& start,
                         matrix_view<const float> const& soon) noexcept {
        BITLENS_ASSERT(y.rows >= 1 && y.rows <= sizes.tile_positions && y.cols >= 1 && y.cols <= sizes.panel_rows);
        const auto run = y.rows > 16 ? (y.cols > 16 ? &multiply_tiles<true, true> : &multiply_tiles<true, false>)
                                     : (y.cols > 16 ? &multiply_tiles<false, true> : &multiply_tiles<false, false>);
        run(static_cast<const typename base::pair*>(x.data), sizes.row_elements(depth),
            reinterpret_cast<const typename base::pair*>(panel), y, start, soon);
    }

private:
    struct alignas(64) layout {
        std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
        std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    static_assert(sizeof(layout) == 64);
    // A constant: g++ 12 believes that only the first bytes are read, and drops what is written to others.
    static constexpr layout all_tiles{};

    /// Tiles 0 … 3: sums of (positions, rows) (0, 0), (0, 1), (1, 0), (1, 1); 4, 5: positions; 6, 7: rows of w.
    template <bool TwoOfX, bool TwoOfW>
    [[gnu::target("amx-tile,amx-bf16")]] static void
    multiply_tiles(const typename base::pair* x, std::size_t pairs, const typename base::pair* panel,
                   matrix_view<float> const& y, matrix_view<const float> const& start,
                   matrix_view<const float> const& soon) noexcept {
        constexpr std::size_t row_bytes = 64;
        const std::size_t y_bytes = y.stride * sizeof(float), start_bytes = start.stride * sizeof(float);
        // Where the first cache has no room for both operands, positions that pass through it would drive panels out.
        const bool streams =
            pairs * sizeof(typename base::pair) * (sizes.panel_rows + sizes.tile_positions) > first_cache;
        // Operands are written before: loads of tiles do not tell g++ 12 that they read memory.
        std::atomic_signal_fence(std::memory_order_seq_cst);
        if (start.rows != 0) {
            _tile_loadd(0, start.data, start_bytes);
            if constexpr (TwoOfW) _tile_loadd(1, start.data + 16, start_bytes);
            if constexpr (TwoOfX) _tile_loadd(2, start.data + 16 * start.stride, start_bytes);
            if constexpr (TwoOfX && TwoOfW) _tile_loadd(3, start.data + 16 * start.stride + 16, start_bytes);
        } else {
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
        }
        // y was last touched a panel ago: some of its rows are asked for at each step.
        const float* y_row = y.data;
        for (std::size_t k = 0; k < pairs; k += simd::bf16_pairs) {
            if (k < (TwoOfX ? 8 : 4) * simd::bf16_pairs)
                for (std::size_t i = 0; i < 4; ++i, y_row += y.stride) {
                    __builtin_prefetch(y_row, 1);
                    if constexpr (TwoOfW) __builtin_prefetch(y_row + 16, 1);
                }
            for (std::size_t i = 0; i < soon.rows; ++i) {
                __builtin_prefetch(soon.data + i * soon.stride + 2 * k, 0, 2);
                __builtin_prefetch(soon.data + i * soon.stride + 2 * k + 16, 0, 2);
            }
            if (streams)
                _tile_stream_loadd(4, x, row_bytes);
            else
                _tile_loadd(4, x, row_bytes);
            _tile_loadd(6, panel, row_bytes);
            _tile_dpbf16ps(0, 4, 6);
            if constexpr (TwoOfW) {
                _tile_loadd(7, panel + base::square_pairs, row_bytes);
                _tile_dpbf16ps(1, 4, 7);
            }
            if constexpr (TwoOfX) {
                if (streams)
                    _tile_stream_loadd(5, x + base::square_pairs, row_bytes);
                else
                    _tile_loadd(5, x + base::square_pairs, row_bytes);
                _tile_dpbf16ps(2, 5, 6);
            }
            if constexpr (TwoOfX && TwoOfW) _tile_dpbf16ps(3, 5, 7);
            x += (TwoOfX ? 2 : 1) * base::square_pairs;
            panel += (TwoOfW ? 2 : 1) * base::square_pairs;
        }
        _tile_stored(0, y.data, y_bytes);
        if constexpr (TwoOfW) _tile_stored(1, y.data + 16, y_bytes);
        if constexpr (TwoOfX) _tile_stored(2, y.data + 16 * y.stride, y_bytes);
        if constexpr (TwoOfX && TwoOfW) _tile_stored(3, y.data + 16 * y.stride + 16, y_bytes);
    }
};

#endif

} // namespace bitlens
