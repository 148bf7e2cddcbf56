#pragma once
/// rtn: round to nearest, the quantizer that every other one is measured against.

#include "bitlens/quantizers/affine_grid.hpp"
#include "bitlens/quantizers/quantizer.hpp"
#include "bitlens/quantizers/rows.hpp"

#include <cmath>
#include <vector>

namespace bitlens {

/// code = clip(rne(w/scale) + zero, 0, 2^b − 1) on the min-max grid of every group (affine_grid.hpp). Scales are
/// float32. In exact arithmetic |w − ŵ| ≤ scale/2, but for what a symmetric grid cuts off.
template <quant_format F>
    requires is_uniform<F>
struct rtn {
    using format = F;

    /// Shapes: w (out, in), in ≥ 0; the last group of a row may be short.
    /// Errors: format_error for a weight that is not finite, or a group whose range leaves float32.
    packed_matrix<F> operator()(matrix_view<const float> w) const {
        packed_matrix<F> packed(w.rows, w.cols);
        detail::for_each_row(w, [&](std::size_t r) {
            const auto row = w.row(r);
            std::vector<affine_grid> grids(packed.groups());
            for (std::size_t g = 0; g < grids.size(); ++g) {
                const auto [first, count] = detail::columns_of_group<F>(w.cols, g);
                const auto group = row.subspan(first, count);
                grids[g] = min_max_grid<F>(group);
                if (!std::isfinite(grids[g].scale)) {
                    detail::check_finite("rtn", group, r, first);
                    throw format_error("rtn: the weights of row " + std::to_string(r) + ", columns " +
                                       std::to_string(first) + " to " + std::to_string(first + count - 1) +
                                       ", span more than float32 can hold");
                }
                packed.set_scale(r, g, grids[g].scale);
                if constexpr (F::has_zero) packed.set_zero(r, g, static_cast<std::uint8_t>(grids[g].zero));
            }
            detail::set_row_codes(packed, r, row, [&](std::size_t g) {
                return [grid = grids[g]](float x) { return grid.code(x, static_cast<float>(F::codebook.size() - 1)); };
            });
        });
        return packed;
    }
};

static_assert(quantizer<rtn<uniform<3, 64>>> && quantizer<rtn<uniform<4, 0, zero_kind::symmetric>>>);

} // namespace bitlens
