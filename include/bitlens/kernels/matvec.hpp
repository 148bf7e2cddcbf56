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

/// Pieces that tasks share: small ones, so that a core that others slow down does fewer of them, and as many for each.
constexpr std::size_t matvec_pieces(std::size_t bytes, std::size_t tasks) noexcept {
    constexpr std::size_t piece_bytes = 64 << 10;
    return tasks == 1 ? 1 : tasks * std::max<std::size_t>(1, bytes / (piece_bytes * tasks));
}

/// A product that was prepared: pieces of its rows may be computed in any order.
struct row_product {
    void const* matrix;
    std::size_t rows, bytes, unit; // of w; a piece begins at a multiple of the unit
    matrix_view<const float> x;    // as the columns of w lie, and zeros up to the end of its last chunk
    matrix_view<float> y;
    void (*run)(row_product const& self, std::size_t begin, std::size_t end) noexcept;
};

/// All of them at once: tasks wait for one another at the end only.
inline void run_products(std::span<const row_product> all, std::size_t tasks) {
    std::size_t pieces = 0;
    for (auto const& p : all) pieces += matvec_pieces(p.bytes, tasks);
    const auto run_piece = [&](std::size_t n) {
        for (auto const& p : all) {
            const std::size_t own = matvec_pieces(p.bytes, tasks);
            if (n >= own) {
                n -= own;
                continue;
            }
            const std::size_t begin = piece_begin(p.rows, own, p.unit, n),
                              end = piece_begin(p.rows, own, p.unit, n + 1);
            if (begin < end) p.run(p, begin, end);
            return;
        }
    };
    if (tasks > 1) return parallel_for(pieces, run_piece);
    for (std::size_t n = 0; n < pieces; ++n) run_piece(n);
}

/// Rows that share the loads of x, and whose sums do not wait for one another.
inline constexpr std::size_t rows_at_once = 4;

/// y[i] = Σ_c w_c · x_c for rows_at_once rows, of `chunks` chunks, in a format with F's levels.
/// x: zero from the last column to the end of its chunk.
template <quant_format F, class Arch>
std::array<float, rows_at_once> dot_weights(packed_rows const& from, std::size_t chunks, const float* x) noexcept {
    using vec = simd::batch<float, Arch>;
    using table = simd::table<F::codebook.size(), Arch>;
    constexpr std::size_t chunk_bytes = code_chunk<F::bits>::bytes;
    const std::size_t next_rows = rows_at_once * chunks * chunk_bytes; // too far for the machine to foresee
    const level_decoder<F, Arch> level;
    packed_rows row = from;
    packed_row rows[rows_at_once];
    vec total[rows_at_once];
#pragma GCC unroll 4
    for (std::size_t k = 0; k < rows_at_once; ++k, row.advance()) {
        rows[k] = row.first;
        total[k] = vec(0.0f);
    }
    // Chunk c of row k, where weight(v, q) is what its codes q of register v stand for.
    const auto add_chunk = [&](std::size_t k, std::size_t c, auto const& weight) {
        const std::uint8_t* codes = rows[k].codes + c * chunk_bytes;
        __builtin_prefetch(codes + next_rows);
        const auto q = level.unpack(codes);
#pragma GCC unroll 8
        for (std::size_t v = 0; v < q.size(); ++v)
            total[k] = simd::fma(weight(v, q[v]), vec::load_unaligned(x + c * chunk_codes + v * vec::size), total[k]);
    };
    if constexpr (has_half_chunks<F>) {
        for (std::size_t c = 0; c < chunks; ++c)
#pragma GCC unroll 4
            for (std::size_t k = 0; k < rows_at_once; ++k) {
                const group_rule<F, Arch> first(rows[k], rows[k].half_group(c, 0)),
                    second(rows[k], rows[k].half_group(c, 1));
                add_chunk(k, c, [&](std::size_t v, auto const& q) {
                    return (v < simd::codes<Arch>{}.size() / 2 ? first : second)(level(q));
                });
            }
        return simd::sums<Arch>(total);
    }
    const std::size_t group_chunks = from.first.group_chunks();
    for (std::size_t c = 0, group = 0; c < chunks; ++group) {
        const std::size_t stop = std::min(chunks, c + group_chunks);
        const std::size_t next_groups = rows_at_once * (rows[0].groups + group); // of the next rows, a part of them
        __builtin_prefetch(rows[0].scales + next_groups);
        if constexpr (has_offset<F>) __builtin_prefetch(rows[0].offsets + next_groups);
        const auto add_group = [&](auto const& decoders, auto const& weight) {
            for (; c < stop; ++c)
#pragma GCC unroll 4 // sums in registers, at -O2 too
                for (std::size_t k = 0; k < rows_at_once; ++k)
                    add_chunk(k, c, [&](std::size_t, auto const& q) { return weight(decoders[k], q); });
        };
        const std::array rules{group_rule<F, Arch>(rows[0], group), group_rule<F, Arch>(rows[1], group),
                               group_rule<F, Arch>(rows[2], group), group_rule<F, Arch>(rows[3], group)};
        static_assert(rows_at_once == 4);
        if constexpr (table::is_fast) // the rule goes into the table, once a group
            add_group(std::array{level.levels().map(rules[0]), level.levels().map(rules[1]),
                                 level.levels().map(rules[2]), level.levels().map(rules[3])},
                      [](auto const& weights, auto const& q) { return weights[q]; });
        else
            add_group(rules, [&](auto const& rule, auto const& q) { return rule(level(q)); });
    }
    return simd::sums<Arch>(total);
}

/// y[i] = Σ_c w_c · x_c for rows first … first + count − 1.
template <quant_format F, class Arch>
void dot_rows(packed_matrix<F> const& w, std::size_t first, std::size_t count, const float* x, float* y) noexcept {
    const std::size_t chunks = (w.cols() + chunk_codes - 1) / chunk_codes;
    const std::size_t whole = count / rows_at_once * rows_at_once;
    packed_rows rows = packed_rows::of(w, first);
    for (std::size_t i = 0; i < whole; i += rows_at_once, rows.advance(rows_at_once)) {
        const auto dots = dot_weights<row_format<F>, Arch>(rows, chunks, x);
        std::copy(dots.begin(), dots.end(), y + i);
    }
    for (std::size_t i = whole; i < count; ++i) // a row several times, rather than another loop
        y[i] = dot_weights<row_format<F>, Arch>(packed_rows::same(w, first + i), chunks, x)[0];
}

template <dense_format F, class Arch>
void dot_rows(packed_matrix<F> const& w, std::size_t first, std::size_t count, const float* x, float* y) noexcept {
    using vec = simd::batch<float, Arch>;
    using number = typename F::value_type;
    constexpr std::size_t line = 64 / sizeof(number);
    const std::size_t whole = w.cols() / chunk_codes * chunk_codes, next_rows = rows_at_once * w.cols();
    for (std::size_t i = 0; i < count; i += rows_at_once) {
        std::array<number const*, rows_at_once> numbers;
        vec total[rows_at_once];
        for (std::size_t k = 0; k < rows_at_once; ++k) {
            numbers[k] = w.row(first + std::min(i + k, count - 1)).data();
            total[k] = vec(0.0f);
        }
        const auto add_chunk = [&](std::size_t k, number const* of_row, const float* of_x) {
#pragma GCC unroll 8
            for (std::size_t v = 0; v < chunk_codes; v += vec::size)
                total[k] = simd::fma(simd::widen<Arch>(of_row + v), vec::load_unaligned(of_x + v), total[k]);
        };
        for (std::size_t c = 0; c < whole; c += chunk_codes)
#pragma GCC unroll 4
            for (std::size_t k = 0; k < rows_at_once; ++k) {
                for (std::size_t ahead = 0; ahead < chunk_codes; ahead += line)
                    __builtin_prefetch(numbers[k] + c + next_rows + ahead);
                add_chunk(k, numbers[k] + c, x + c);
            }
        if (whole < w.cols())
            for (std::size_t k = 0; k < rows_at_once; ++k) {
                std::array<number, chunk_codes> last{};
                std::copy(numbers[k] + whole, numbers[k] + w.cols(), last.begin());
                add_chunk(k, last.data(), x + whole);
            }
        const auto dots = simd::sums<Arch>(total);
        std::copy_n(dots.begin(), std::min(rows_at_once, count - i), y + i);
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

} // namespace detail

namespace detail {

/// matvec, prepared.   x: of one row.   frame: matvec_bytes.
template <class Arch, weight_format F>
row_product prepare_matvec(packed_matrix<F> const& w, std::span<const float> x, matrix_view<float> y,
                           workspace::frame& frame) {
    std::span<const std::uint32_t> order;
    if constexpr (quant_format<F>) order = w.order();
    const auto padded =
        padded_copy(x, order, frame.take<float>((x.size() + chunk_codes - 1) / chunk_codes * chunk_codes));
    const auto run = [](row_product const& self, std::size_t begin, std::size_t end) noexcept {
        dot_rows<F, Arch>(*static_cast<packed_matrix<F> const*>(self.matrix), begin, end - begin, self.x.data,
                          self.y.data + begin);
    };
    return {&w, w.rows(), w.bytes(), rows_at_once, {padded.data(), 1, padded.size()}, y, run};
}

/// As product_call; plain numbers have no matvec.
template <class Read, class Write, class... Operands>
struct packed_product : product_call<Read, Write, Operands...> {};
template <class Read, class Write, class W, class... Others>
    requires(!weight_matrix<std::remove_cvref_t<W>>)
struct packed_product<Read, Write, W, Others...> : product_call<Read, Write, W, Others...> {
    static constexpr bool w = false, fits = false;
};
template <class... Operands>
using vector_product = packed_product<std::span<const float>, std::span<float>, Operands...>;

} // namespace detail

/// y = w · x.   Shapes: w (rows, cols), x (cols), y (rows).   Agrees with reference::matvec; rounds differently from
/// matmul, for each lane of a register sums its own columns. The same bits for any number of tasks.   Errors: as
/// matmul.
template <class Arch = simd::default_arch, weight_format F>
void matvec(packed_matrix<F> const& w, std::span<const float> x, std::span<float> y, workspace& scratch) {
    detail::check_size("matvec", "x", x.size(), w.cols());
    detail::check_size("matvec", "y", y.size(), w.rows());
    scratch.require("matvec", detail::matvec_bytes(w.cols()));
    workspace::frame frame(scratch);
    const auto product = detail::prepare_matvec<Arch>(w, x, {y.data(), 1, y.size()}, frame);
    detail::run_products(std::span(&product, 1), scratch.tasks());
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
