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

} // namespace detail

/// y_t = w · x_t.   Shapes: w (rows, cols), x (T, cols), y (T, rows).   Each row has the bits of matvec.   Errors: as
/// matmul.
template <class Arch = simd::default_arch, weight_format F>
void matvec_each(packed_matrix<F> const& w, matrix_view<const float> x, matrix_view<float> y, workspace& scratch) {
    detail::check_product("matvec_each", w.rows(), w.cols(), x, y);
    if (x.rows == 1) return matvec<Arch>(w, x.row(0), y.row(0), scratch);
    if (x.rows == 0 || w.rows() == 0) return;
    scratch.require("matvec_each", detail::matvec_each_bytes(w.cols(), x.rows));
    const row_decoder decoder = decoder_of<Arch>(w);
    const auto packed = detail::fetched_rows::of(w);
    const std::size_t stride = detail::dot_stride(w.cols());
    for (std::size_t first = 0; first < x.rows; first += detail::most_dot_positions) {
        const std::size_t positions = std::min(detail::most_dot_positions, x.rows - first);
        workspace::frame frame(scratch);
        const auto padded = frame.take<float>(positions, stride);
        for (std::size_t t = 0; t < positions; ++t) detail::padded_copy(x.row(first + t), decoder.order, padded.row(t));
        const auto out = y.middle_rows(first, positions);
        parallel_pieces(w.rows(), detail::matvec_pieces(w.bytes(), scratch.tasks()), detail::dot_tile<Arch>::rows,
                        [&](std::size_t, std::size_t begin, std::size_t end) {
                            detail::dot_each<Arch>(decoder, packed, begin, w.cols(), padded,
                                                   out.middle_cols(begin, end - begin));
                        });
    }
}

template <class Arch = simd::default_arch, weight_format... F>
void matvec_each(mixed_matrix<F...> const& w, matrix_view<const float> x, matrix_view<float> y, workspace& scratch) {
    w.visit([&](auto const& m) { matvec_each<Arch>(m, x, y, scratch); });
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
