#pragma once
/// How keys and values lie in memory for attention: packed as the operands of a micro-kernel, and packed on as a text
/// grows.

#include "bitlens/core/error.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/formats/quant_format.hpp"
#include "bitlens/kernels/micro_kernel.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace bitlens::detail {

/// Keys are what the panels of a micro-kernel hold as rows of "weights", and values are the same with rows and columns
/// exchanged: [panel of positions][block of dimensions] and [panel of dimensions][position]. There is room for
/// `capacity` positions; where one lies is said by no other size than that of the values' panels, so that all can be
/// moved to larger ones as they are.
struct attention_layout {
    micro_kernel const& kernel;
    std::size_t capacity, head_dim;

    /// Keys from which the sum over values may begin: whole registers of any instruction set, and whole pieces of any
    /// micro-kernel, so that a key's place among the lanes does not depend on where the sum begins.
    static constexpr std::size_t key_unit = chunk_codes;

    /// Queries that read a panel while it is in the nearest cache.
    std::size_t block_rows = std::max<std::size_t>(1, 32 / kernel.tile_positions) * kernel.tile_positions;
    std::size_t key_depth = std::min(kernel.max_depth, head_dim);
    /// Positions whose values are summed at once, counted from the first of the text, however long that is.
    std::size_t value_depth = kernel.max_depth;
    std::size_t key_panels = pieces(capacity, kernel.panel_rows), key_blocks = pieces(head_dim, key_depth);
    std::size_t value_panels = pieces(head_dim, kernel.panel_rows);
    std::size_t key_panel_elements = panel_elements(key_depth), value_panel_elements = panel_elements(capacity);
    std::size_t strip_cols = pieces(head_dim, chunk_codes) * chunk_codes;

    static constexpr std::size_t pieces(std::size_t n, std::size_t size) noexcept { return (n + size - 1) / size; }

    /// Elements of the keys or values of one head.
    std::size_t keys() const noexcept { return key_panels * key_blocks * key_panel_elements; }
    std::size_t values() const noexcept { return value_panels * value_panel_elements; }
    /// Where a panel begins, of some keys and a block of dimensions; of some dimensions.
    std::size_t key_panel(std::size_t panel, std::size_t block) const noexcept {
        return (panel * key_blocks + block) * key_panel_elements;
    }
    std::size_t value_panel(std::size_t panel) const noexcept { return panel * value_panel_elements; }
    /// Where the position `at` of a panel of `dims` dimensions begins, at a multiple of the kernel's pieces.
    std::size_t in_value_panel(std::size_t at, std::size_t dims) const noexcept {
        BITLENS_ASSERT(at % kernel.piece_columns == 0);
        return kernel.row_elements(at) * kernel.padded_rows(dims);
    }
    /// Dimensions of a panel of values.
    std::size_t dims_of(std::size_t panel) const noexcept {
        return std::min(kernel.panel_rows, head_dim - panel * kernel.panel_rows);
    }
    /// Floats of the keys of one panel, as they were before they were packed.
    std::size_t strip() const noexcept { return kernel.panel_rows * strip_cols; }

private:
    /// Weights are packed by whole registers, which may be more columns than a panel needs.
    std::size_t panel_elements(std::size_t depth) const noexcept {
        return kernel.panel_rows * kernel.row_elements(pieces(depth, chunk_codes) * chunk_codes);
    }
};

/// Keys of one head, those of positions from `at` on, into their panels. A panel is packed whole: strip, layout.strip()
/// floats, holds the keys of its positions before `at`, and afterwards those of the last panel.
inline void pack_keys(attention_layout const& layout, std::size_t at, matrix_view<const float> k, packed_element* keys,
                      float* strip) noexcept {
    const std::size_t panel_rows = layout.kernel.panel_rows, stride = layout.strip_cols;
    for (std::size_t s = 0, rows; s < k.rows; s += rows) {
        const std::size_t panel = (at + s) / panel_rows, row = (at + s) % panel_rows;
        rows = std::min(panel_rows - row, k.rows - s);
        if (row == 0) std::fill_n(strip, layout.strip(), 0.0f);
        for (std::size_t r = 0; r < rows; ++r) std::ranges::copy(k.row(s + r), strip + (row + r) * stride);
        for (std::size_t i = 0, block = 0; i < k.cols; i += layout.key_depth, ++block)
            layout.kernel.pack_weights(strip + i, stride, panel_rows, 0, std::min(layout.key_depth, k.cols - i),
                                       keys + layout.key_panel(panel, block));
    }
}

/// Values of one head, those of positions from `at` on, into their panels. Those up to the next piece of the kernel go
/// to places that are there, and zeros after them, already.
inline void pack_values(attention_layout const& layout, std::size_t at, matrix_view<const float> v,
                        packed_element* values) noexcept {
    micro_kernel const& kernel = layout.kernel;
    std::size_t s = 0;
    for (; s < v.rows && (at + s) % kernel.piece_columns != 0; ++s)
        for (std::size_t panel = 0; panel < layout.value_panels; ++panel) {
            std::array<float, micro_kernel::most_panel_rows> column{};
            const std::size_t dims = layout.dims_of(panel);
            std::copy_n(&v(s, panel * kernel.panel_rows), dims, column.data());
            kernel.pack_column(column.data(), kernel.padded_rows(dims), at + s, values + layout.value_panel(panel));
        }
    for (std::size_t rows; s < v.rows; s += rows) {
        rows = std::min(layout.value_depth, v.rows - s);
        for (std::size_t panel = 0; panel < layout.value_panels; ++panel) {
            const std::size_t dims = layout.dims_of(panel);
            kernel.pack_transposed(&v(s, panel * kernel.panel_rows), v.stride, dims, rows,
                                   values + layout.value_panel(panel) + layout.in_value_panel(at + s, dims));
        }
    }
}

} // namespace bitlens::detail
