#pragma once
/// matvec: y = w · x for one position, as generation needs it. Reads the packed weights once, and never unpacks a row.

#include "bitlens/core/parallel.hpp"
#include "bitlens/kernels/matmul.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace bitlens {

namespace detail {

/// Pieces that tasks share: small ones, so that a core that others slow down does fewer of them.
constexpr std::size_t matvec_pieces(std::size_t bytes, std::size_t tasks) noexcept {
    constexpr std::size_t piece_bytes = 64 << 10;
    return tasks == 1 ? 1 : std::max(tasks, bytes / piece_bytes);
}

/// Rows that share the loads of x, and whose sums do not wait for one another.
inline constexpr std::size_t rows_at_once = 4;

/// What groups add to a row's sum beside their levels: Σ_g −s_g · z_g · sums[g], or Σ_g o_g · sums[g].
template <quant_format F, class Arch>
float shift_part(packed_row const& row, const float* sums) noexcept {
    using vec = simd::batch<float, Arch>;
    const std::size_t whole = row.groups / vec::size * vec::size;
    vec total(0.0f);
    float rest = 0;
    if constexpr (has_offset<F>) {
        for (std::size_t g = 0; g < whole; g += vec::size)
            total = simd::fma(vec::load_unaligned(row.offsets + g), vec::load_unaligned(sums + g), total);
        for (std::size_t g = whole; g < row.groups; ++g) rest += row.offsets[g] * sums[g];
        return simd::sum(total) + rest;
    } else {
        for (std::size_t g = 0; g < whole; g += vec::size)
            total = simd::fma(vec::load_unaligned(row.scales + g) * simd::widen<Arch>(row.zeros + g),
                              vec::load_unaligned(sums + g), total);
        for (std::size_t g = whole; g < row.groups; ++g)
            rest += row.scales[g] * static_cast<float>(row.zeros[g]) * sums[g];
        return -(simd::sum(total) + rest);
    }
}

template <class Arch>
std::array<float, rows_at_once> sums_of(simd::batch<float, Arch> const (&total)[rows_at_once]) noexcept {
    std::array<float, rows_at_once> y;
    for (std::size_t k = 0; k < rows_at_once; ++k) y[k] = simd::sum(total[k]);
    return y;
}

/// y[i] = Σ_g s_g · Σ_{c∈g} T[q_c]·x_c for a few rows of `chunks` chunks, in a format with F's levels.
/// x: zero from the last column to the end of its chunk.
template <quant_format F, class Arch>
std::array<float, rows_at_once> dot_levels(std::array<packed_row, rows_at_once> const& rows, std::size_t chunks,
                                           const float* x) noexcept {
    using vec = simd::batch<float, Arch>;
    constexpr std::size_t chunk_bytes = code_chunk<F::bits>::bytes;
    const std::size_t next_rows = rows_at_once * chunks * chunk_bytes; // too far for the machine to foresee
    const level_decoder<F, Arch> level;
    vec total[rows_at_once];
    for (auto& t : total) t = vec(0.0f);
    if constexpr (has_half_chunks<F>) {
        for (std::size_t c = 0; c < chunks; ++c)
#pragma GCC unroll 4
            for (std::size_t k = 0; k < rows_at_once; ++k) {
                const std::uint8_t* codes = rows[k].codes + c * chunk_bytes;
                __builtin_prefetch(codes + next_rows);
                const auto q = level.unpack(codes);
                vec sum[2]{vec(0.0f), vec(0.0f)};
#pragma GCC unroll 8
                for (std::size_t v = 0; v < q.size(); ++v) {
                    vec& half = sum[v < q.size() / 2 ? 0 : 1];
                    half = simd::fma(level(q[v]), vec::load_unaligned(x + c * chunk_codes + v * vec::size), half);
                }
                for (std::size_t half = 0; half < 2; ++half)
                    total[k] = simd::fma(vec(rows[k].scales[rows[k].half_group(c, half)]), sum[half], total[k]);
            }
        return sums_of<Arch>(total);
    }
    for (std::size_t c = 0, group = 0; c < chunks; ++group) {
        vec sum[rows_at_once];
        for (auto& s : sum) s = vec(0.0f);
        for (const std::size_t stop = std::min(chunks, c + rows[0].group_chunks()); c < stop; ++c)
#pragma GCC unroll 4 // sums in registers, at -O2 too
            for (std::size_t k = 0; k < rows_at_once; ++k) {
                const std::uint8_t* codes = rows[k].codes + c * chunk_bytes;
                __builtin_prefetch(codes + next_rows);
                const auto q = level.unpack(codes);
#pragma GCC unroll 8
                for (std::size_t v = 0; v < q.size(); ++v)
                    sum[k] = simd::fma(level(q[v]), vec::load_unaligned(x + c * chunk_codes + v * vec::size), sum[k]);
            }
#pragma GCC unroll 4
        for (std::size_t k = 0; k < rows_at_once; ++k)
            total[k] = simd::fma(vec(rows[k].scales[group]), sum[k], total[k]);
    }
    return sums_of<Arch>(total);
}

/// y[i] = Σ_g s_g · ( Σ_{c∈g} T[q_c]·x_c − z_g · Σ_{c∈g} x_c ) + o_g · Σ_{c∈g} x_c for rows first … first + count − 1.
/// sums[g] = Σ_{c∈g} x_c, read only when there are zeros or offsets.
template <quant_format F, class Arch>
void dot_rows(packed_matrix<F> const& w, std::size_t first, std::size_t count, const float* x, const float* sums,
              float* y) noexcept {
    const std::size_t chunks = (w.cols() + chunk_codes - 1) / chunk_codes;
    for (std::size_t i = 0; i < count; i += rows_at_once) {
        std::array<packed_row, rows_at_once> rows;
        for (std::size_t k = 0; k < rows_at_once; ++k) // the last row once more, rather than another loop
            rows[k] = packed_row::of(w, first + std::min(i + k, count - 1));
        const auto dots = dot_levels<row_format<F>, Arch>(rows, chunks, x);
        for (std::size_t k = 0; k < std::min(rows_at_once, count - i); ++k) {
            y[i + k] = dots[k];
            if constexpr (F::has_zero || has_offset<F>) y[i + k] += shift_part<row_format<F>, Arch>(rows[k], sums);
        }
    }
}

/// y[i] = Σ_c w_c · x_c.
template <dense_format F, class Arch>
void dot_rows(packed_matrix<F> const& w, std::size_t first, std::size_t count, const float* x, const float*,
              float* y) noexcept {
    using vec = simd::batch<float, Arch>;
    for (std::size_t i = 0; i < count; i += rows_at_once) {
        std::array<typename F::value_type const*, rows_at_once> numbers;
        vec total[rows_at_once];
        for (std::size_t k = 0; k < rows_at_once; ++k) {
            numbers[k] = w.row(first + std::min(i + k, count - 1)).data();
            total[k] = vec(0.0f);
        }
        std::size_t c = 0;
        for (; c + vec::size <= w.cols(); c += vec::size)
#pragma GCC unroll 4
            for (std::size_t k = 0; k < rows_at_once; ++k)
                total[k] = simd::fma(simd::widen<Arch>(numbers[k] + c), vec::load_unaligned(x + c), total[k]);
        for (std::size_t k = 0; k < std::min(rows_at_once, count - i); ++k) {
            float rest = 0;
            for (std::size_t tail = c; tail < w.cols(); ++tail) rest += static_cast<float>(numbers[k][tail]) * x[tail];
            y[i + k] = simd::sum(total[k]) + rest;
        }
    }
}

/// x as the columns of w lie, and zeros up to the end of its last chunk.
inline std::span<float> padded_copy(std::span<const float> x, std::span<const std::uint32_t> order,
                                    std::span<float> padded) noexcept {
    if (order.empty())
        std::copy(x.begin(), x.end(), padded.begin());
    else
        std::transform(order.begin(), order.end(), padded.begin(), [x](std::uint32_t c) { return x[c]; });
    std::fill(padded.begin() + static_cast<std::ptrdiff_t>(x.size()), padded.end(), 0.0f);
    return padded;
}

/// sums[g] = Σ of the group's part of x, in double.   group_size 0: one group.
inline void sum_groups(std::span<const float> x, std::size_t group_size, std::span<float> sums) noexcept {
    if (group_size == 0) group_size = x.size();
    for (std::size_t g = 0; g < sums.size(); ++g) {
        double sum = 0;
        for (std::size_t c = g * group_size; c < std::min(x.size(), (g + 1) * group_size); ++c) sum += double{x[c]};
        sums[g] = static_cast<float>(sum);
    }
}

} // namespace detail

namespace detail {

/// As product_call; plain numbers have no matvec.
template <class... Operands>
struct vector_product : product_call<std::span<const float>, std::span<float>, Operands...> {};
template <class W, class... Others>
    requires(!weight_matrix<std::remove_cvref_t<W>>)
struct vector_product<W, Others...> : product_call<std::span<const float>, std::span<float>, W, Others...> {
    static constexpr bool w = false, fits = false;
};

} // namespace detail

/// y = w · x.   Shapes: w (rows, cols), x (cols), y (rows).   Agrees with reference::matvec; rounds differently from
/// matmul, for it factors the scales out. The same bits for any number of tasks.   Errors: as matmul.
template <class Arch = simd::default_arch, weight_format F>
void matvec(packed_matrix<F> const& w, std::span<const float> x, std::span<float> y, workspace& scratch) {
    detail::check_size("matvec", "x", x.size(), w.cols());
    detail::check_size("matvec", "y", y.size(), w.rows());
    scratch.require("matvec", detail::matvec_bytes(w.cols()));
    workspace::frame frame(scratch);
    const std::size_t chunks = (x.size() + chunk_codes - 1) / chunk_codes;
    std::span<const std::uint32_t> order;
    if constexpr (quant_format<F>) order = w.order();
    const auto padded = detail::padded_copy(x, order, frame.take<float>(chunks * chunk_codes));
    std::span<float> sums;
    if constexpr (quant_format<F>)
        if constexpr (F::has_zero || detail::has_offset<F>) {
            sums = frame.take<float>(w.groups());
            detail::sum_groups(padded.first(x.size()), F::group_size, sums);
        }
    parallel_pieces(w.rows(), detail::matvec_pieces(w.bytes(), scratch.tasks()), detail::rows_at_once,
                    [&](std::size_t, std::size_t begin, std::size_t end) {
                        detail::dot_rows<F, Arch>(w, begin, end - begin, padded.data(), sums.data(), y.data() + begin);
                    });
}

template <class Arch = simd::default_arch, weight_format... F>
void matvec(mixed_matrix<F...> const& w, std::span<const float> x, std::span<float> y, workspace& scratch) {
    w.visit([&](auto const& m) { matvec<Arch>(m, x, y, scratch); });
}

/// A call that no product takes.
template <class Arch = simd::default_arch, class... Operands>
    requires(!detail::vector_product<Operands...>::fits)
void matvec(Operands&&...) { detail::explain_product<detail::vector_product<Operands...>>(); }

} // namespace bitlens
