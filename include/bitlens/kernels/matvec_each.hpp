#pragma once
/// matvec_each: y_t = w · x_t for a few positions, as texts need it that grow side by side. A few rows of w at a time
/// are decoded once for all of them.

#include "bitlens/core/parallel.hpp"
#include "bitlens/kernels/matvec.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>

namespace bitlens {

namespace detail {

/// Sums that stay in registers: rows of w and positions that meet them at once.
template <class Arch>
struct dot_tile {
    static constexpr std::size_t rows = simd::has_32_registers<Arch> ? 6 : 2, positions = 4;
    static constexpr std::size_t strip = 512; // columns decoded at once: a tile's rows of them stay in the first cache
};

/// The packed numbers of w's rows, one after the other: what is fetched on the way.
struct fetched_rows {
    char const* first;
    std::size_t of_row;

    template <quant_format F>
    static fetched_rows of(packed_matrix<F> const& w) noexcept {
        return {reinterpret_cast<char const*>(w.codes(0).data()), w.codes(0).size()};
    }
    template <dense_format F>
    static fetched_rows of(packed_matrix<F> const& w) noexcept {
        return {reinterpret_cast<char const*>(w.row(0).data()), w.cols() * sizeof(typename F::value_type)};
    }
    /// One of `parts` parts of rows from `row` on.
    void fetch(std::size_t row, std::size_t rows, std::size_t part, std::size_t parts) const noexcept {
        constexpr std::size_t line = 64;
        const std::size_t bytes = rows * of_row;
        char const* const from = first + row * of_row;
        for (std::size_t at = bytes * part / parts / line * line; at < bytes * (part + 1) / parts; at += line)
            __builtin_prefetch(from + at);
    }
};

/// totals[r][t] += w_r ⊙ x_t, a register of lanes each, over columns in order.   cols: whole chunks.
template <std::size_t Positions, class Arch>
void add_dots(matrix_view<const float> w, matrix_view<const float> x, simd::batch<float, Arch>* totals) noexcept {
    using vec = simd::batch<float, Arch>;
    constexpr std::size_t rows = dot_tile<Arch>::rows;
    vec total[rows][Positions];
#pragma GCC unroll 8
    for (std::size_t r = 0; r < rows; ++r)
#pragma GCC unroll 8
        for (std::size_t t = 0; t < Positions; ++t) total[r][t] = totals[r * most_dot_positions + t];
    for (std::size_t c = 0; c < w.cols; c += vec::size) {
        vec here[Positions];
#pragma GCC unroll 8
        for (std::size_t t = 0; t < Positions; ++t) here[t] = vec::load_unaligned(x.data + t * x.stride + c);
#pragma GCC unroll 8
        for (std::size_t r = 0; r < rows; ++r) {
            const vec weight = vec::load_unaligned(w.data + r * w.stride + c);
#pragma GCC unroll 8
            for (std::size_t t = 0; t < Positions; ++t) total[r][t] = simd::fma(weight, here[t], total[r][t]);
        }
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < rows; ++r)
#pragma GCC unroll 8
        for (std::size_t t = 0; t < Positions; ++t) totals[r * most_dot_positions + t] = total[r][t];
}

/// The same for 1 … dot_tile::positions rows of x.
template <class Arch>
void add_dots(matrix_view<const float> w, matrix_view<const float> x, simd::batch<float, Arch>* totals) noexcept {
    const auto try_all = [&]<std::size_t... N>(std::index_sequence<N...>) {
        ((x.rows == N + 1 ? add_dots<N + 1, Arch>(w, x, totals) : void()), ...);
    };
    try_all(std::make_index_sequence<dot_tile<Arch>::positions>{});
}

/// y(t, r) = w_r · x_t for rows of w from `first` on, as many as y has columns.   x: whole chunks, zero from the last
/// column on.   cols: of w.
template <class Arch>
void dot_each(row_decoder const& decoder, fetched_rows const& packed, std::size_t first, std::size_t cols,
              matrix_view<const float> x, matrix_view<float> y) noexcept {
    using vec = simd::batch<float, Arch>;
    using tile = dot_tile<Arch>;
    const auto decode = decoder.order.empty() ? decoder.decode : decoder.decode_places;
    alignas(alignment) std::array<float, tile::rows * tile::strip> weights;
    std::array<vec, tile::rows * most_dot_positions> totals;
    const std::size_t strips = (cols + tile::strip - 1) / tile::strip;
    for (std::size_t i = 0; i < y.cols; i += tile::rows) {
        const std::size_t rows = std::min(tile::rows, y.cols - i), next = std::min(tile::rows, y.cols - i - rows);
        if (rows < tile::rows) weights.fill(0.0f);
        totals.fill(vec(0.0f));
        for (std::size_t n = 0; n < strips; ++n) {
            const std::size_t c = n * tile::strip, columns = std::min(tile::strip, cols - c);
            const std::size_t padded = (columns + chunk_codes - 1) / chunk_codes * chunk_codes;
            packed.fetch(first + i + rows, next, n, strips);
            decode(decoder.matrix, first + i, c, {weights.data(), rows, columns, tile::strip});
            for (std::size_t t = 0; t < x.rows; t += tile::positions)
                add_dots<Arch>({weights.data(), tile::rows, padded, tile::strip},
                               x.middle_rows(t, std::min(tile::positions, x.rows - t)).middle_cols(c, padded),
                               &totals[t]);
        }
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t t = 0; t < x.rows; t += tile::positions) {
                const auto dots = simd::sums<Arch>(&totals[r * most_dot_positions + t]);
                for (std::size_t k = 0; k < std::min(tile::positions, x.rows - t); ++k) y(t + k, i + r) = dots[k];
            }
    }
}

/// matvec_each of at most most_dot_positions rows, prepared.   frame: matvec_each_bytes.
template <class Arch, weight_format F>
row_product prepare_rows(packed_matrix<F> const& w, matrix_view<const float> x, matrix_view<float> y,
                         workspace::frame& frame) {
    BITLENS_ASSERT(x.rows <= most_dot_positions);
    if (x.rows == 1) return prepare_matvec<Arch>(w, x.row(0), y, frame);
    const auto padded = frame.take<float>(x.rows, dot_stride(w.cols()));
    const auto order = decoder_of<Arch>(w).order;
    for (std::size_t t = 0; t < x.rows; ++t) padded_copy(x.row(t), order, padded.row(t));
    const auto run = [](row_product const& self, std::size_t begin, std::size_t end) noexcept {
        auto const& m = *static_cast<packed_matrix<F> const*>(self.matrix);
        dot_each<Arch>(decoder_of<Arch>(m), fetched_rows::of(m), begin, m.cols(), self.x,
                       self.y.middle_cols(begin, end - begin));
    };
    return {&w, w.rows(), w.bytes(), dot_tile<Arch>::rows, padded, y, run};
}
template <class Arch, weight_format... F>
row_product prepare_rows(mixed_matrix<F...> const& w, matrix_view<const float> x, matrix_view<float> y,
                         workspace::frame& frame) {
    return w.visit([&](auto const& m) { return prepare_rows<Arch>(m, x, y, frame); });
}

} // namespace detail

/// Weights, and where their product goes.
template <weight_matrix W>
struct product_to {
    W const* w;
    matrix_view<float> y;
};

/// The products of several matrices with the same x, computed side by side: y_t = w · x_t of each.   Shapes: as
/// matvec_each.   Scratch: matmul_bytes for each of them.   Errors: as matmul.
template <class Arch = simd::default_arch, weight_matrix W, std::size_t Count>
void matvec_each_of(std::array<product_to<W>, Count> const& all, matrix_view<const float> x, workspace& scratch) {
    for (auto const& [w, y] : all) detail::check_product("matvec_each", w->rows(), w->cols(), x, y);
    scratch.require("matvec_each", Count * detail::matvec_each_bytes(x.cols, x.rows));
    for (std::size_t first = 0; first < x.rows; first += detail::most_dot_positions) {
        const std::size_t positions = std::min(detail::most_dot_positions, x.rows - first);
        workspace::frame frame(scratch);
        std::array<detail::row_product, Count> products;
        for (std::size_t i = 0; i < Count; ++i)
            products[i] = detail::prepare_rows<Arch>(*all[i].w, x.middle_rows(first, positions),
                                                     all[i].y.middle_rows(first, positions), frame);
        detail::run_products(products, scratch.tasks());
    }
}

/// y_t = w · x_t.   Shapes: w (rows, cols), x (T, cols), y (T, rows).   Each row has the bits of matvec.   Errors: as
/// matmul.
template <class Arch = simd::default_arch, weight_matrix W>
void matvec_each(W const& w, matrix_view<const float> x, matrix_view<float> y, workspace& scratch) {
    matvec_each_of<Arch>(std::array{product_to<W>{&w, y}}, x, scratch);
}

namespace detail {
template <class... Operands>
using vector_products = packed_product<matrix_view<const float>, matrix_view<float>, Operands...>;
} // namespace detail

/// A call that no product takes.
template <class Arch = simd::default_arch, class... Operands>
    requires(!detail::vector_products<Operands...>::fits)
void matvec_each(Operands&&...) { detail::explain_product<detail::vector_products<Operands...>>(); }

} // namespace bitlens
