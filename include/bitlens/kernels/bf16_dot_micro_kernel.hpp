#pragma once
/// bf16_dot_micro_kernel: the innermost product by the dot products of AVX512_BF16.

#include "bitlens/kernels/bf16_operands.hpp"

#include <utility>

namespace bitlens {

#if defined(__x86_64__)

/// Sums of pairs of products, in float32: 8 positions × 48 rows in registers. Chosen when the program runs, so that it
/// need not be compiled for the machine.
template <class Arch>
struct bf16_dot_micro_kernel : bf16_operands<Arch> {
    using base = bf16_operands<Arch>;
    static constexpr micro_kernel_sizes sizes{.lanes = base::lanes,
                                              .panel_rows = 48,
                                              .tile_positions = 8,
                                              .position_unit = 4,
                                              .max_depth = 512,
                                              .piece_columns = base::square_columns,
                                              .piece_elements = simd::bf16_pairs,
                                              .panels_at_once = 8};

    static void begin() noexcept {}
    static void end() noexcept {}

    static void pack_positions(matrix_view<const float> const& x, packed_element* packed) noexcept {
        BITLENS_ASSERT(x.rows <= sizes.tile_positions && x.cols <= sizes.max_depth);
        base::pack_positions(x, sizes.padded_positions(x.rows), packed);
    }
    static void multiply(micro_kernel::operand const& x, std::size_t depth, const packed_element* panel,
                         matrix_view<float> const& y, matrix_view<const float> const& start,
                         matrix_view<const float> const&) noexcept {
        constexpr std::size_t unit = sizes.position_unit, heights = sizes.tile_positions / unit;
        BITLENS_ASSERT(y.rows >= 1 && y.rows <= sizes.tile_positions && y.rows % unit == 0);
        BITLENS_ASSERT(y.cols >= 1 && y.cols <= sizes.panel_rows && y.cols % base::lanes == 0);
        static constexpr auto by_shape = []<std::size_t... I>(std::index_sequence<I...>) {
            return std::array{&multiply_shape<(I % heights + 1) * unit, I / heights + 1>...};
        }
        (std::make_index_sequence<heights * sizes.panel_rows / base::lanes>{});
        by_shape[(y.cols / base::lanes - 1) * heights + y.rows / unit - 1](
            static_cast<const typename base::pair*>(x.data), sizes.row_elements(depth),
            reinterpret_cast<const typename base::pair*>(panel), y, start);
    }

private:
    template <std::size_t Positions, std::size_t Registers>
    [[gnu::target("avx512f,avx512bw,avx512vl,avx512bf16")]] static void
    multiply_shape(const typename base::pair* x, std::size_t pairs, const typename base::pair* panel,
                   matrix_view<float> const& y, matrix_view<const float> const& start) noexcept {
        __m512 sum[Positions][Registers];
#pragma GCC unroll 8
        for (std::size_t p = 0; p < Positions; ++p)
#pragma GCC unroll 3
            for (std::size_t r = 0; r < Registers; ++r) sum[p][r] = _mm512_setzero_ps();
        for (std::size_t k = 0; k < pairs;
             k += simd::bf16_pairs, x += Positions * simd::bf16_pairs, panel += Registers * base::square_pairs)
            for (std::size_t i = 0; i < simd::bf16_pairs; ++i) {
                __m512i weights[Registers];
#pragma GCC unroll 3
                for (std::size_t r = 0; r < Registers; ++r)
                    weights[r] = _mm512_loadu_si512(panel + r * base::square_pairs + i * base::lanes);
#pragma GCC unroll 8
                for (std::size_t p = 0; p < Positions; ++p) {
                    const __m512i xp = _mm512_set1_epi32(static_cast<int>(x[p * simd::bf16_pairs + i].bits));
#pragma GCC unroll 3
                    for (std::size_t r = 0; r < Registers; ++r)
                        sum[p][r] = _mm512_dpbf16_ps(sum[p][r], (__m512bh)xp, (__m512bh)weights[r]);
                }
            }
#pragma GCC unroll 8
        for (std::size_t p = 0; p < Positions; ++p)
#pragma GCC unroll 3
            for (std::size_t r = 0; r < Registers; ++r) {
                const __m512 before = start.rows == 0
                                          ? _mm512_setzero_ps()
                                          : _mm512_loadu_ps(start.data + p * start.stride + r * base::lanes);
                _mm512_storeu_ps(y.data + p * y.stride + r * base::lanes, _mm512_add_ps(before, sum[p][r]));
            }
    }
};

#endif

} // namespace bitlens
