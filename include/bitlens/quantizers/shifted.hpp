#pragma once
/// shifted: a quantizer whose groups begin elsewhere in each row, so that they straddle those of a grid that the
/// weights may lie on already.

#include "bitlens/formats/packed_matrix.hpp"
#include "bitlens/quantizers/quantizer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace bitlens {

/// Column `columns` comes first, and what was before it last; 0: as `inner` itself. The result has an order.
template <class Q>
struct shifted {
    static_assert(quantizer<Q>, "bitlens: shifted<Q> moves the groups of a quantizer, such as rtn<uniform<3, 64>>");
    using format = typename Q::format;

    Q inner{};
    std::size_t columns = 0;

    /// Shapes: w (out, in).   Errors: those of `inner`, of columns in their new places.
    packed_matrix<format> operator()(matrix_view<const float> w) const {
        if (columns == 0 || w.cols == 0) return inner(w);
        const std::size_t first = columns % w.cols;
        matrix<float> turned(w.rows, w.cols);
        for (std::size_t r = 0; r < w.rows; ++r) {
            const auto row = w.row(r);
            std::ranges::rotate_copy(row, row.begin() + static_cast<std::ptrdiff_t>(first), turned.row(r).begin());
        }
        auto packed = inner(turned);
        std::vector<std::uint32_t> order(w.cols);
        for (std::size_t k = 0; k < order.size(); ++k) order[k] = static_cast<std::uint32_t>((k + first) % w.cols);
        packed.set_order(std::move(order));
        return packed;
    }
};

} // namespace bitlens
