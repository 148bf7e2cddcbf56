#pragma once
/// sort_by_group: columns whose groups lie apart, as g_idx of GPTQ and weight_g_idx of compressed-tensors say.

#include "bitlens/core/error.hpp"
#include "bitlens/formats/coded_matrix.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/stored/linear_tensors.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens::detail {

/// Columns as they lie: where sort_by_group starts from, and what a form says of a layer that may have an order.
inline std::vector<std::uint32_t> columns_in_place(std::size_t cols) {
    std::vector<std::uint32_t> order(cols);
    std::iota(order.begin(), order.end(), 0u);
    return order;
}

/// Columns of a group beside each other, in the order of groups; nothing to do where they lie so. Negative groups count
/// from the last one.
/// Errors: format_error naming the tensor, for a group that is not there or has another number of columns.
inline void sort_by_group(coded_matrix& m, linear_tensors const& tensors, std::string_view suffix) {
    auto const* const g_idx = tensors.find(suffix);
    std::vector<std::uint32_t> group(m.cols());
    bool is_sorted = true;
    for (std::size_t c = 0; c < m.cols(); ++c) {
        auto g = std::int64_t{load<std::int32_t>(g_idx->bytes.data() + 4 * c)};
        if (g < 0) g += static_cast<std::int64_t>(m.groups());
        if (g < 0 || g >= static_cast<std::int64_t>(m.groups()))
            throw format_error(tensors.who(suffix) + ": input " + std::to_string(c) + " is of group " +
                               std::to_string(g) + ", there are " + std::to_string(m.groups()));
        group[c] = static_cast<std::uint32_t>(g);
        is_sorted = is_sorted && group[c] == c / m.group_columns;
    }
    if (is_sorted) return;
    m.order = columns_in_place(m.cols());
    std::ranges::stable_sort(m.order, {}, [&](std::uint32_t c) { return group[c]; });
    for (std::size_t k = 0; k < m.cols(); ++k)
        if (group[m.order[k]] != k / m.group_columns)
            throw format_error(tensors.who(suffix) + ": groups of " + std::to_string(m.group_columns) +
                               " inputs are expected, group " + std::to_string(group[m.order[k]]) +
                               " has another number of them");
    matrix<std::uint8_t> sorted(m.rows(), m.cols());
    for (std::size_t r = 0; r < m.rows(); ++r)
        for (std::size_t k = 0; k < m.cols(); ++k) sorted(r, k) = m.codes(r, m.order[k]);
    m.codes = std::move(sorted);
}

} // namespace bitlens::detail
