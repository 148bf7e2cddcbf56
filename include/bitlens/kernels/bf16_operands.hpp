#pragma once
/// Layouts of bf16 operands, which the kernels of dot products and of tiles share.

#include "bitlens/kernels/micro_kernel.hpp"
#include "bitlens/simd/bf16.hpp"
#include "bitlens/simd/transpose.hpp"

#include <algorithm>
#include <array>

namespace bitlens {

#if defined(__x86_64__)

/// Operands come in squares of 16 rows × 32 columns (16 pairs), 1 KiB each:
///   panel, of w: [column / 32][row / 16], a square [pair][row]
///   positions, of x: tile by tile [column / 32][position], 16 pairs of each.
template <class Arch>
struct bf16_operands {
    using pair = simd::bf16_pair;

    static constexpr std::size_t lanes = 16, square_columns = 2 * simd::bf16_pairs;
    static constexpr std::size_t square_pairs = lanes * simd::bf16_pairs;

    static void pack_weights(const float* weights, std::size_t stride, std::size_t rows, std::size_t at,
                             std::size_t depth, packed_element* panel) noexcept {
        std::array<pair, square_pairs> square;
        const std::size_t width = padded(rows, lanes);
        for (std::size_t r = 0; r < width; r += lanes)
            for (std::size_t k = 0; k < depth; k += square_columns) {
                for (std::size_t i = 0; i < lanes; ++i)
                    simd::round_to_pairs(weights + (r + i) * stride + k, square_columns, &square[i * simd::bf16_pairs]);
                transpose(square.data(), pairs(panel) + square_at(at + k, r, width));
            }
    }
    static void pack_transposed(const float* weights, std::size_t stride, std::size_t rows, std::size_t depth,
                                packed_element* panel) noexcept {
        const std::size_t width = padded(rows, lanes);
        for (std::size_t k = 0; k < padded(depth, square_columns); ++k)
            for (std::size_t r = 0; r < width; ++r) {
                const bool inside = k < depth && r < rows;
                const std::uint32_t bits = bf16(inside ? weights[k * stride + r] : 0.0f).bits;
                pair& both = pairs(panel)[square_at(k, r, width) + k % square_columns / 2 * lanes + r % lanes];
                both.bits = k % 2 == 0 ? bits : both.bits | bits << 16;
            }
    }
    static void pack_column(const float* column, std::size_t width, std::size_t at, packed_element* panel) noexcept {
        for (std::size_t r = 0; r < width; r += lanes)
            simd::round_to_halves(column + r, at % 2,
                                  pairs(panel) + square_at(at, r, width) + at % square_columns / 2 * lanes);
    }
    /// As rows of a tile of `positions` ≥ x.rows.
    static void pack_positions(matrix_view<const float> const& x, std::size_t positions,
                               packed_element* packed) noexcept {
        pair* const rows = pairs(packed);
        for (std::size_t t = 0; t < x.rows; ++t)
            simd::round_to_pairs(x.data + t * x.stride, x.cols, rows + t * simd::bf16_pairs,
                                 positions * simd::bf16_pairs);
        for (std::size_t k = 0; k < padded(x.cols, square_columns) / 2; k += simd::bf16_pairs)
            std::fill(rows + k * positions + x.rows * simd::bf16_pairs, rows + (k + simd::bf16_pairs) * positions,
                      pair{});
    }

private:
    static pair* pairs(packed_element* packed) noexcept { return reinterpret_cast<pair*>(packed); }
    static constexpr std::size_t padded(std::size_t n, std::size_t unit) noexcept {
        return (n + unit - 1) / unit * unit;
    }
    /// Where the square of column k and row r begins in a panel of `width` rows.
    static constexpr std::size_t square_at(std::size_t k, std::size_t r, std::size_t width) noexcept {
        return k / square_columns * simd::bf16_pairs * width + r / lanes * square_pairs;
    }
    static void transpose(const pair* square, pair* out) noexcept {
        constexpr std::size_t n = simd::lanes<Arch>;
        for (std::size_t i = 0; i < lanes; i += n)
            for (std::size_t j = 0; j < simd::bf16_pairs; j += n)
                simd::transpose<Arch>(square + i * simd::bf16_pairs + j, simd::bf16_pairs, out + j * lanes + i, lanes);
    }
};

#endif

} // namespace bitlens
