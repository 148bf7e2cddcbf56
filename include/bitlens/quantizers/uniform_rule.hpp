#pragma once
/// uniform_rule: a uniform format at run time.

#include "bitlens/formats/uniform.hpp"
#include "bitlens/quantizers/affine_grid.hpp"

#include <algorithm>
#include <cstddef>
#include <span>

namespace bitlens {

/// Bits, group and zero of a uniform format, where they are known when a program runs: what is compiled once
/// for all formats, and its groups may have any size.
struct uniform_rule {
    int bits = 4;
    std::size_t group_size = 128; ///< 0: a whole row
    zero_kind zero = zero_kind::asymmetric;

    bool operator==(uniform_rule const&) const = default;
    affine_codes codes() const noexcept { return {static_cast<float>((1u << bits) - 1), zero == zero_kind::symmetric}; }
    /// Of every group of a row of so many columns, but for a short last one.
    std::size_t group_columns(std::size_t cols) const noexcept { return group_size == 0 ? cols : group_size; }
    std::size_t groups(std::size_t cols) const noexcept {
        return cols == 0 ? 0 : (cols + group_columns(cols) - 1) / group_columns(cols);
    }
    /// Group g of a row.
    template <class T>
    std::span<T> group_of(std::span<T> row, std::size_t g) const noexcept {
        const std::size_t width = group_columns(row.size());
        return row.subspan(g * width, std::min(width, row.size() - g * width));
    }
};
template <class F>
    requires is_uniform<F>
inline constexpr uniform_rule rule_of{F::bits, F::group_size,
                                      F::has_zero ? zero_kind::asymmetric : zero_kind::symmetric};

} // namespace bitlens
