#pragma once
/// weight_panels: a weight matrix laid out once for many products, where `matmul` decodes and lays out anew each time.

#include "bitlens/kernels/matmul.hpp"

#include <array>
#include <cstddef>

namespace bitlens {

/// A matrix as the micro-kernel of one arithmetic reads it, in float32 or bf16: [block of columns][panel of rows]. Its
/// memory can be packed anew with another matrix of the same shape. Products have the bits of those with the matrix
/// itself.
template <class Arch = simd::default_arch>
class weight_panels {
public:
    /// Room for rows × cols weights, all zero. `products` is available (asserted).
    weight_panels(std::size_t rows, std::size_t cols, arithmetic products)
        : rows_(rows), cols_(cols), products_(products), memory_(bytes(rows, cols, products)) {
        BITLENS_ASSERT(is_available(products));
    }

    std::size_t rows() const noexcept { return rows_; }
    std::size_t cols() const noexcept { return cols_; }
    arithmetic products() const noexcept { return products_; }

    /// Bytes that one takes.
    static std::size_t bytes(std::size_t rows, std::size_t cols, arithmetic products) noexcept {
        std::size_t bytes = 0;
        detail::with_micro_kernel<Arch>(products, [&]<class MicroKernel>() {
            bytes = layout<MicroKernel>(rows, cols).elements() * sizeof(typename MicroKernel::element);
        });
        return bytes;
    }

    /// Takes over the weights of w, which has its shape (asserted).
    template <weight_matrix W>
    void pack(W const& w) noexcept {
        BITLENS_ASSERT(w.rows() == rows_ && w.cols() == cols_);
        detail::with_micro_kernel<Arch>(products_, [&]<class MicroKernel>() {
            using plan = detail::matmul_plan<MicroKernel>;
            alignas(alignment) std::array<float, plan::strip_floats> strip;
            const detail::decoded_weights weights{decoder_of<Arch>(w), 0};
            const std::size_t depth = plan::depth(cols_);
            auto* const panels = reinterpret_cast<typename MicroKernel::element*>(memory_.data());
            for (std::size_t k = 0; k < cols_; k += depth)
                for (std::size_t r = 0; r < rows_; r += MicroKernel::panel_rows)
                    weights.template panel<MicroKernel>(r, std::min(MicroKernel::panel_rows, rows_ - r), k,
                                                        std::min(depth, cols_ - k), panels + offset<MicroKernel>(r, k),
                                                        strip.data());
        });
    }

    /// What a product asks of weights, see detail::decoded_weights: all panels are at hand.
    template <class MicroKernel>
    static constexpr std::size_t unit = MicroKernel::panel_rows;
    template <class MicroKernel>
    typename MicroKernel::element const* panel(std::size_t row, std::size_t, std::size_t col, std::size_t,
                                               typename MicroKernel::element*, float*) const noexcept {
        return at_hand<MicroKernel>(row, col);
    }
    template <class MicroKernel>
    typename MicroKernel::element const* at_hand(std::size_t row, std::size_t col) const noexcept {
        return reinterpret_cast<typename MicroKernel::element const*>(memory_.data()) + offset<MicroKernel>(row, col);
    }

private:
    template <class MicroKernel>
    struct layout {
        std::size_t panels, depth, blocks;

        layout(std::size_t rows, std::size_t cols) noexcept
            : panels((rows + MicroKernel::panel_rows - 1) / MicroKernel::panel_rows),
              depth(detail::matmul_plan<MicroKernel>::depth(cols)),
              blocks(std::max<std::size_t>(1, (cols + depth - 1) / depth)) {}
        std::size_t panel_elements() const noexcept {
            return MicroKernel::panel_rows * MicroKernel::row_elements(depth);
        }
        std::size_t elements() const noexcept { return blocks * panels * panel_elements(); }
    };

    /// Elements before the panel of a row, a multiple of a panel's, in the block of columns that begins at `col`.
    template <class MicroKernel>
    std::size_t offset(std::size_t row, std::size_t col) const noexcept {
        const layout<MicroKernel> l(rows_, cols_);
        BITLENS_ASSERT(row % MicroKernel::panel_rows == 0 && col % l.depth == 0);
        return (col / l.depth * l.panels + row / MicroKernel::panel_rows) * l.panel_elements();
    }

    std::size_t rows_, cols_;
    arithmetic products_;
    aligned_array<std::byte> memory_;
};

template <class W>
inline constexpr bool is_weight_panels = false;
template <class Arch>
inline constexpr bool is_weight_panels<weight_panels<Arch>> = true;

/// What matmul takes: weights in a format, or laid out.
template <class W>
concept product_weights = weight_matrix<W> || is_weight_panels<W>;

/// y = x · wᵀ, in the arithmetic of the workspace, which is that of w (asserted).   Shapes: w (rows, cols), x (T,
/// cols), y (T, rows).
template <class Arch>
void matmul(weight_panels<Arch> const& w, matrix_view<const float> x, matrix_view<float> y,
            workspace& scratch) noexcept {
    BITLENS_ASSERT(x.cols == w.cols() && y.cols == w.rows() && y.rows == x.rows && scratch.products() == w.products());
    detail::multiply_with<Arch>(w, x, y, scratch);
}

} // namespace bitlens
