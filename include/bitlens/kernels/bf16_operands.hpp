#pragma once
/// Layouts of bf16 operands, which the kernels of dot products and of tiles share.

#include "bitlens/core/view.hpp"
#include "bitlens/simd/bf16.hpp"
#include "bitlens/simd/transpose.hpp"

#include <algorithm>
#include <array>

namespace bitlens {

#if defined(__x86_64__)

/// Operands come in squares of 16 rows × 32 columns (16 pairs), 1 KiB each:
///   panel, of w: [column / 32][row / 16], a square [pair][row]
///   positions, of x: tile by tile [column / 32][position], 16 pairs of each; zeros from the last column on, and for
///   positions up to a multiple of Sizes::position_unit.
template <class Arch, class Sizes>
struct bf16_operands {
    using element = simd::bf16_pair;
    using operand = const element*; // a tile of packed positions

    static constexpr std::size_t lanes = 16;
    static constexpr std::size_t panel_rows = Sizes::panel_rows;
    static constexpr std::size_t tile_positions = Sizes::tile_positions;
    static constexpr std::size_t max_depth = Sizes::max_depth;
    static constexpr std::size_t panels_at_once = Sizes::panels_at_once;
    static constexpr std::size_t rows_at_once = Sizes::rows_at_once;
    static constexpr std::size_t positions_at_hand = Sizes::positions_at_hand;
    static constexpr std::size_t rows_worth_packing = 0; // positions are rounded on the way

    static constexpr std::size_t row_elements(std::size_t depth) noexcept {
        return (depth + square_columns - 1) / square_columns * simd::bf16_pairs;
    }
    static constexpr std::size_t padded_rows(std::size_t rows) noexcept { return (rows + lanes - 1) / lanes * lanes; }
    static constexpr std::size_t padded_positions(std::size_t positions) noexcept {
        return (positions + Sizes::position_unit - 1) / Sizes::position_unit * Sizes::position_unit;
    }

    static void pack_weights(const float* weights, std::size_t stride, std::size_t rows, std::size_t at,
                             std::size_t depth, element* panel) noexcept {
        std::array<element, lanes * simd::bf16_pairs> square;
        const std::size_t width = padded_rows(rows);
        for (std::size_t r = 0; r < width; r += lanes)
            for (std::size_t k = 0; k < depth; k += square_columns) {
                for (std::size_t i = 0; i < lanes; ++i)
                    simd::round_to_pairs(weights + (r + i) * stride + k, square_columns, &square[i * simd::bf16_pairs]);
                transpose(square.data(), panel + square_at(at + k, r, width));
            }
    }
    static void pack_transposed(const float* weights, std::size_t stride, std::size_t rows, std::size_t depth,
                                element* panel) noexcept {
        const std::size_t width = padded_rows(rows);
        for (std::size_t k = 0; k < row_elements(depth) * 2; ++k)
            for (std::size_t r = 0; r < width; ++r) {
                const bool inside = k < depth && r < rows;
                const std::uint32_t bits = bf16(inside ? weights[k * stride + r] : 0.0f).bits;
                element& pair = panel[square_at(k, r, width) + k % square_columns / 2 * lanes + r % lanes];
                pair.bits = k % 2 == 0 ? bits : pair.bits | bits << 16;
            }
    }
    static void pack_positions(matrix_view<const float> x, element* packed) noexcept {
        BITLENS_ASSERT(x.rows <= tile_positions && x.cols <= max_depth);
        const std::size_t positions = padded_positions(x.rows);
        for (std::size_t t = 0; t < x.rows; ++t)
            simd::round_to_pairs(x.data + t * x.stride, x.cols, packed + t * simd::bf16_pairs,
                                 positions * simd::bf16_pairs);
        for (std::size_t k = 0; k < row_elements(x.cols); k += simd::bf16_pairs)
            std::fill(packed + k * positions + x.rows * simd::bf16_pairs, packed + (k + simd::bf16_pairs) * positions,
                      element{});
    }
    static operand packed_operand(const element* packed, std::size_t) noexcept { return packed; }

protected:
    static constexpr std::size_t square_columns = 2 * simd::bf16_pairs;
    static constexpr std::size_t square_elements = lanes * simd::bf16_pairs;

    /// Where the square of column k and row r begins in a panel of `width` rows.
    static constexpr std::size_t square_at(std::size_t k, std::size_t r, std::size_t width) noexcept {
        return k / square_columns * simd::bf16_pairs * width + r / lanes * square_elements;
    }

private:
    static void transpose(const element* square, element* out) noexcept {
        constexpr std::size_t n = simd::lanes<Arch>;
        for (std::size_t i = 0; i < lanes; i += n)
            for (std::size_t j = 0; j < simd::bf16_pairs; j += n)
                simd::transpose<Arch>(square + i * simd::bf16_pairs + j, simd::bf16_pairs, out + j * lanes + i, lanes);
    }
};

#endif

} // namespace bitlens
