#pragma once
/// weight_panels: a weight matrix laid out once for many products, where `matmul` decodes and lays out anew each time.

#include "bitlens/kernels/matmul.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <string>

namespace bitlens {

/// A matrix as the micro-kernel of one arithmetic reads it, in float32 or bf16: [block of columns][panel of rows]. Its
/// memory can be packed anew with another matrix of the same shape. Products have the bits of those with the matrix
/// itself. Move-only.
template <class Arch = simd::default_arch>
class weight_panels {
public:
    /// Room for rows × cols weights, all zero.   Errors: option_error for products that are not available.
    weight_panels(std::size_t rows, std::size_t cols, arithmetic products)
        : rows_(rows), cols_(cols), products_(checked(products)), own_(bytes(rows, cols, products)),
          memory_(own_.data()) {}
    /// The same in memory of the caller, at least `bytes(…)` of it on a cache line of its own, which is zero only if it
    /// was.   Errors: also shape_error for less memory.
    weight_panels(std::size_t rows, std::size_t cols, arithmetic products, std::span<std::byte> memory)
        : rows_(rows), cols_(cols), products_(checked(products)), memory_(memory.data()) {
        const std::size_t needed = bytes(rows, cols, products);
        if (memory.size() < needed)
            throw shape_error("weight_panels: " + std::to_string(memory.size()) +
                              " bytes of memory, expected at least " + std::to_string(needed));
    }

    /// w itself, which must outlive it: each product makes the panels that it needs anew.
    template <weight_matrix W>
    static weight_panels made_at_use(W const& w, arithmetic products) {
        return weight_panels(w.rows(), w.cols(), products, decoder_of<Arch>(w));
    }

    std::size_t rows() const noexcept { return rows_; }
    std::size_t cols() const noexcept { return cols_; }
    arithmetic products() const noexcept { return products_; }

    /// Bytes that one takes.
    static std::size_t bytes(std::size_t rows, std::size_t cols, arithmetic products) noexcept {
        return detail::matmul_plan{micro_kernel_of<Arch>(products), cols}.elements(rows) * sizeof(packed_element);
    }

    /// Takes over rows `first` … of w, as many as it has itself.   Errors: shape_error where w has not so many, or
    /// other columns.
    template <weight_matrix W>
    void pack(W const& w, std::size_t first = 0, unsigned tasks = 1) {
        detail::check_range("weight_panels", "rows", first, rows_, w.rows());
        detail::check_shape("weight_panels", "w", w.rows(), w.cols(), w.rows(), cols_);
        pack(decoder_of<Arch>(w), first, tasks);
    }

    /// All of them, as a product takes them.
    detail::panel_source source() const noexcept {
        if (memory_ == nullptr) return {.decode = decode_};
        return {.laid_out = panels(), .rows = rows_};
    }

private:
    weight_panels(std::size_t rows, std::size_t cols, arithmetic products, row_decoder decode)
        : rows_(rows), cols_(cols), products_(checked(products)), decode_(decode) {}

    packed_element* panels() const noexcept { return reinterpret_cast<packed_element*>(memory_); }

    void pack(row_decoder decode, std::size_t first, unsigned tasks) {
        const detail::matmul_plan plan{micro_kernel_of<Arch>(products_), cols_};
        const detail::panel_source made{.decode = decode, .first = first};
        const std::size_t height = plan.kernel.panel_rows;
        if (!decode.order.empty())
            return parallel_pieces(rows_, tasks, height, [&](std::size_t, std::size_t begin, std::size_t end) {
                for (std::size_t r = begin; r < end; r += height)
                    pack_ordered(plan, decode, first, r, std::min(height, end - r));
            });
        parallel_pieces(rows_, tasks, height, [&](std::size_t, std::size_t begin, std::size_t end) {
            alignas(alignment) std::array<float, micro_kernel::most_panel_rows * detail::matmul_plan::strip> strip;
            for (std::size_t k = 0; k < cols_; k += plan.depth)
                for (std::size_t r = begin; r < end; r += height)
                    made.panel(plan, r, std::min(height, end - r), k, std::min(plan.depth, cols_ - k),
                               panels() + plan.place(rows_, r, k), strip.data());
        });
    }

    /// The panels of `count` rows from r on, of a matrix whose columns have an order: decoded as they lie, and each
    /// column put where it belongs.
    void pack_ordered(detail::matmul_plan const& plan, row_decoder const& decode, std::size_t first, std::size_t r,
                      std::size_t count) const {
        constexpr std::size_t strip = detail::matmul_plan::strip, lanes = simd::lanes<Arch>;
        alignas(alignment) std::array<float, micro_kernel::most_panel_rows * strip> rows, columns;
        const std::size_t height = plan.kernel.panel_rows, width = plan.kernel.padded_rows(count);
        std::fill(rows.data() + count * strip, rows.data() + width * strip, 0.0f);
        packed_element* const first_panel = panels() + plan.place(rows_, r, 0);
        const std::size_t to_next_block = plan.panels_of(rows_) * plan.panel_elements;
        if (cols_ % plan.kernel.piece_columns != 0) // no column follows the last one in its piece
            std::fill_n(first_panel + (plan.blocks - 1) * to_next_block, plan.panel_elements, packed_element{});
        for (std::size_t k = 0; k < cols_; k += strip) {
            const std::size_t places = std::min(strip, cols_ - k);
            decode.decode_places(decode.matrix, first + r, k, {rows.data(), count, places, strip});
            for (std::size_t i = 0; i < places; i += lanes)
                for (std::size_t j = 0; j < width; j += lanes)
                    simd::transpose<Arch>(rows.data() + j * strip + i, strip, columns.data() + i * width + j, width);
            // No machine foresees where columns go: part by part, the panels of the next rows come to a cache on the
            // way. Not in a function of its own: g++ takes one that only prefetches for one that does nothing.
            if (r + height < rows_) {
                const std::size_t col = k % plan.depth, end = std::min(col + strip, plan.depth);
                auto const* const next = first_panel + k / plan.depth * to_next_block + plan.panel_elements;
                for (std::size_t e = height * plan.kernel.row_elements(col), line = alignment / sizeof *next;
                     e < height * plan.kernel.row_elements(end); e += line)
                    __builtin_prefetch(next + e, 1, 2);
            }
            for (std::size_t i = 0; i < places; ++i) {
                const std::uint32_t column = decode.order[k + i], depth = static_cast<std::uint32_t>(plan.depth);
                plan.kernel.pack_column(columns.data() + i * width, width, column % depth,
                                        first_panel + column / depth * to_next_block);
            }
        }
    }

    std::size_t rows_, cols_;
    arithmetic products_;
    aligned_array<std::byte> own_; // empty in memory of the caller
    std::byte* memory_ = nullptr;  // none: the panels are made at use
    row_decoder decode_{};         // by this
};

template <class W>
inline constexpr bool is_weight_panels = false;
template <class Arch>
inline constexpr bool is_weight_panels<weight_panels<Arch>> = true;
template <class Arch>
inline constexpr bool detail::is_laid_out<weight_panels<Arch>> = true;

/// What matmul takes: weights in a format, or laid out.
template <class W>
concept product_weights = weight_matrix<W> || is_weight_panels<W>;

/// y = x · wᵀ, in the arithmetic of the workspace, which is that of w.   Shapes: w (rows, cols), x (T, cols), y (T,
/// rows).   Errors: as matmul; option_error for panels of another arithmetic.
template <class Arch>
void matmul(weight_panels<Arch> const& w, matrix_view<const float> x, matrix_view<float> y, workspace& scratch) {
    detail::check_product("matmul", w.rows(), w.cols(), x, y);
    if (scratch.products() != w.products())
        throw option_error("matmul: the weights are laid out for " + std::string(name(w.products())) +
                           ", the workspace is for " + std::string(name(scratch.products())));
    detail::multiply(micro_kernel_of<Arch>(w.products()), w.source(), x, y, scratch);
}

} // namespace bitlens
