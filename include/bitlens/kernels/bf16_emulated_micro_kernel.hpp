#pragma once
/// bf16_emulated_micro_kernel: the innermost product of bf16 operands where no instruction is made for it.

#include "bitlens/core/half.hpp"
#include "bitlens/kernels/f32_micro_kernel.hpp"

namespace bitlens {

/// As f32_micro_kernel, but for its operands, which are rounded to bf16 and kept as floats: a product of two bf16
/// numbers is exact in float32.
template <class Arch>
struct bf16_emulated_micro_kernel : f32_micro_kernel<Arch> {
    using base = f32_micro_kernel<Arch>;
    static constexpr micro_kernel_sizes sizes = [] {
        micro_kernel_sizes s = base::sizes;
        s.rows_worth_packing = 0; // positions are rounded on the way
        return s;
    }();

    static void pack_weights(const float* weights, std::size_t stride, std::size_t rows, std::size_t at,
                             std::size_t depth, packed_element* panel) noexcept {
        base::pack_weights(weights, stride, rows, at, depth, panel);
        const std::size_t width = sizes.padded_rows(rows);
        round(panel + at * width, depth * width);
    }
    static void pack_transposed(const float* weights, std::size_t stride, std::size_t rows, std::size_t depth,
                                packed_element* panel) noexcept {
        base::pack_transposed(weights, stride, rows, depth, panel);
        round(panel, depth * sizes.padded_rows(rows));
    }
    static void pack_column(const float* column, std::size_t width, std::size_t at, packed_element* panel) noexcept {
        base::pack_column(column, width, at, panel);
        round(panel + at * width, width);
    }
    static void pack_positions(matrix_view<const float> const& x, packed_element* packed) noexcept {
        base::pack_positions(x, packed);
        round(packed, sizes.padded_positions(x.rows) * sizes.row_elements(x.cols));
    }

private:
    static void round(packed_element* packed, std::size_t n) noexcept {
        float* const x = reinterpret_cast<float*>(packed);
        for (std::size_t i = 0; i < n; ++i) x[i] = float{bf16(x[i])};
    }
};

} // namespace bitlens
