#pragma once
/// rtn: round to nearest, the quantizer that every other one is measured against.

#include "bitlens/quantizers/affine_grid.hpp"
#include "bitlens/quantizers/quantizer.hpp"
#include "bitlens/quantizers/rows.hpp"

#include <cmath>
#include <string>

namespace bitlens {

namespace detail {

/// w on a grid of each of its groups, grid_of(group), with the codebook of RowFormat.   Errors: format_error for a
/// weight that is not finite, or a group whose range leaves float32; `who` begins it.
template <quant_format RowFormat, class Grid>
void round_to_grids(const char* who, matrix_view<const float> w, packed_arrays& packed, Grid const& grid_of) {
    for_each_row(w, [&](std::size_t r) {
        const row_storage row = packed.row(r);
        for (std::size_t g = 0; g < row.scales.size(); ++g) {
            const auto group = group_of_row(w.row(r), row, g);
            const affine_grid grid = grid_of(group);
            if (!std::isfinite(grid.scale)) {
                const std::size_t first = g * row.group_columns;
                check_finite(who, group, r, first);
                throw format_error(std::string(who) + ": the weights of row " + std::to_string(r) + ", columns " +
                                   std::to_string(first) + " to " + std::to_string(first + group.size() - 1) +
                                   ", span more than float32 can hold");
            }
            row.scales[g] = grid.scale;
            if constexpr (RowFormat::has_zero) row.zeros[g] = static_cast<std::uint8_t>(grid.zero);
            set_codes<RowFormat::bits>(group, row, g, [grid](float x) {
                return grid.code(x, static_cast<float>(RowFormat::codebook.size() - 1));
            });
        }
    });
}

} // namespace detail

/// code = clip(rne(w/scale) + zero, 0, 2^b − 1) on the min-max grid of every group (affine_grid.hpp). Scales are
/// float32. In exact arithmetic |w − ŵ| ≤ scale/2, but for what a symmetric grid cuts off.
template <class F>
struct rtn {
    static_assert(is_uniform<F>, "bitlens: rtn<F> rounds to a uniform<bits, group_size> format; a normal_float is what "
                                 "absmax<F> quantizes to");
    using format = F;

    /// Shapes: w (out, in), in ≥ 0; the last group of a row may be short.
    /// Errors: format_error for a weight that is not finite, or a group whose range leaves float32.
    packed_matrix<F> operator()(matrix_view<const float> w) const {
        packed_matrix<F> packed(w.rows, w.cols);
        using row_format = detail::row_format<F>;
        detail::round_to_grids<row_format>("rtn", w, packed.arrays(), &min_max_grid<row_format>);
        return packed;
    }
};

static_assert(quantizer<rtn<uniform<3, 64>>> && quantizer<rtn<uniform<4, 0, zero_kind::symmetric>>>);

} // namespace bitlens
