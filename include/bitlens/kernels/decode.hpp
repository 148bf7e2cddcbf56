#pragma once
/// decode: the numbers of a weight matrix, row by row, as every kernel but matvec reads them.

#include "bitlens/core/view.hpp"
#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/simd/lookup.hpp"
#include "bitlens/simd/unpack.hpp"
#include "bitlens/simd/widen.hpp"

namespace bitlens {

namespace detail {

/// Whether codebook[q] = codebook[0] + q, so that a conversion can stand for the lookup.
template <quant_format F>
inline constexpr bool counts_up = [] {
    for (std::size_t q = 0; q < F::codebook.size(); ++q)
        if (F::codebook[q] != F::codebook[0] + static_cast<float>(q)) return false;
    return true;
}();

/// Whether kernels look levels up, rather than converting codes to floats.
template <quant_format F, class Arch>
inline constexpr bool looks_up = !counts_up<F> || simd::table<F::codebook.size(), Arch>::is_fast;

/// The levels codebook[q] of 32 codes.
template <quant_format F, class Arch>
class level_decoder {
public:
    using vec = simd::batch<float, Arch>;
    /// The codes of a chunk, as the lookup needs them.
    static simd::codes<Arch> unpack(const std::uint8_t* chunk) noexcept {
        if constexpr (simd::table<F::codebook.size(), Arch>::is_fast)
            return simd::unpack_unmasked<F::bits, Arch>(chunk);
        else
            return simd::unpack<F::bits, Arch>(chunk);
    }
    vec operator()(simd::batch<std::int32_t, Arch> const& q) const noexcept {
        if constexpr (looks_up<F, Arch>)
            return table_[q];
        else if constexpr (F::codebook[0] == 0.0f)
            return simd::to_float(q);
        else
            return simd::to_float(q) + vec(F::codebook[0]);
    }

    auto const& levels() const noexcept requires(looks_up<F, Arch>) { return table_; }

private:
    struct nothing {
        explicit nothing(std::array<float, F::codebook.size()> const&) noexcept {}
    };
    [[no_unique_address]] std::conditional_t<looks_up<F, Arch>, simd::table<F::codebook.size(), Arch>, nothing> table_{
        F::codebook};
};

/// One row of a packed matrix. Groups are counted in chunks at run time: formats that differ in group_size share code.
struct packed_row {
    const std::uint8_t* codes;
    const float* scales;
    const std::uint8_t* zeros;
    std::size_t group_chunks;

    template <quant_format F>
    static packed_row of(packed_matrix<F> const& w, std::size_t r) noexcept {
        packed_row row{w.codes(r).data(), w.scales(r).data(), nullptr, chunks_per_group(w)};
        if constexpr (F::has_zero) row.zeros = w.zeros(r).data();
        return row;
    }
    template <quant_format F>
    static std::size_t chunks_per_group(packed_matrix<F> const& w) noexcept {
        return F::group_size == 0 ? std::max<std::size_t>(1, (w.cols() + chunk_codes - 1) / chunk_codes)
                                  : F::group_size / chunk_codes;
    }
};

/// Rows of a packed matrix: the first, and the bytes or numbers from one to the next.
struct packed_rows {
    packed_row first;
    std::size_t code_bytes, groups;

    template <quant_format F>
    static packed_rows of(packed_matrix<F> const& w, std::size_t r) noexcept {
        return {packed_row::of(w, r), w.codes(r).size(), w.groups()};
    }
    void advance() noexcept {
        first.codes += code_bytes;
        first.scales += groups;
        if (first.zeros != nullptr) first.zeros += groups;
    }
};

/// Chunks begin … of rows of a format with F's levels, whatever its groups, into out (rows, columns).
template <quant_format F, class Arch>
void decode_chunks(packed_rows rows, std::size_t begin, matrix_view<float> out) noexcept {
    using vec = simd::batch<float, Arch>;
    using table = simd::table<F::codebook.size(), Arch>;
    const level_decoder<F, Arch> level;
    const std::size_t end = begin + (out.cols + chunk_codes - 1) / chunk_codes;
    const std::size_t first_group = begin / rows.first.group_chunks;
    for (std::size_t r = 0; r < out.rows; ++r, rows.advance()) {
        packed_row const& row = rows.first;
        float* to = out.data + r * out.stride;
        for (std::size_t i = begin, group = first_group; i < end; ++group) {
            const std::size_t stop = std::min(end, (group + 1) * row.group_chunks);
            const vec scale(row.scales[group]);
            vec zero(0.0f);
            if constexpr (F::has_zero) zero = vec(static_cast<float>(row.zeros[group]));
            const auto weight = [&](vec const& l) {
                if constexpr (F::has_zero)
                    return scale * (l - zero);
                else
                    return scale * l;
            };
            const auto decode_group = [&](auto const& decode) {
                for (; i < stop; ++i, to += chunk_codes) {
                    const auto q = level.unpack(row.codes + i * code_chunk<F::bits>::bytes);
#pragma GCC unroll 8 // codes stay in registers, at -O2 too
                    for (std::size_t v = 0; v < q.size(); ++v) decode(q[v]).store_unaligned(to + v * vec::size);
                }
            };
            if constexpr (table::is_fast) { // scale and zero go into the table, once a group
                const auto weights = level.levels().map(weight);
                decode_group([&](auto const& q) { return weights[q]; });
            } else {
                decode_group([&](auto const& q) { return weight(level(q)); });
            }
        }
    }
}

/// `count` numbers as floats, then zeros up to a multiple of 32.
template <class Arch, class T>
void widen_row(const T* numbers, std::size_t count, float* out) noexcept {
    const std::size_t whole = count / simd::lanes<Arch> * simd::lanes<Arch>;
    for (std::size_t i = 0; i < whole; i += simd::lanes<Arch>) simd::widen<Arch>(numbers + i).store_unaligned(out + i);
    for (std::size_t i = whole; i < count; ++i) out[i] = static_cast<float>(numbers[i]);
    std::fill(out + count, out + (count + chunk_codes - 1) / chunk_codes * chunk_codes, 0.0f);
}

template <class Arch, class T>
void widen_rows(matrix_view<const T> numbers, std::size_t r, std::size_t first, matrix_view<float> out) noexcept {
    BITLENS_ASSERT(r + out.rows <= numbers.rows && first + out.cols <= numbers.cols);
    for (std::size_t i = 0; i < out.rows; ++i)
        widen_row<Arch>(numbers.data + (r + i) * numbers.stride + first, out.cols, out.data + i * out.stride);
}

} // namespace detail

/// out(i, k) = w.value(r + i, first + k), bit for bit.   first is a multiple of 32, and out's rows have room for their
/// columns rounded up to one: what lies there beyond the last column of w is finite where the row's scales are, and
/// means nothing.
template <class Arch = simd::default_arch, quant_format F>
void decode_rows(packed_matrix<F> const& w, std::size_t r, std::size_t first, matrix_view<float> out) noexcept {
    BITLENS_ASSERT(first % chunk_codes == 0 && first + out.cols <= w.cols() && r + out.rows <= w.rows());
    if (out.rows == 0 || out.cols == 0) return;
    detail::decode_chunks<detail::row_format<F>, Arch>(detail::packed_rows::of(w, r), first / chunk_codes, out);
}
template <class Arch = simd::default_arch, dense_format F>
void decode_rows(packed_matrix<F> const& w, std::size_t r, std::size_t first, matrix_view<float> out) noexcept {
    detail::widen_rows<Arch>(w.view(), r, first, out);
}

/// What a product needs to know of a matrix: loops are compiled once, and only this function per format.
struct row_decoder {
    const void* matrix;
    void (*decode)(const void* matrix, std::size_t r, std::size_t first, matrix_view<float> out) noexcept;

    void operator()(std::size_t r, std::size_t first, matrix_view<float> out) const noexcept {
        decode(matrix, r, first, out);
    }
};

template <class Arch = simd::default_arch, weight_format F>
row_decoder decoder_of(packed_matrix<F> const& w) noexcept {
    return {&w, [](const void* matrix, std::size_t r, std::size_t first, matrix_view<float> out) noexcept {
                decode_rows<Arch>(*static_cast<packed_matrix<F> const*>(matrix), r, first, out);
            }};
}
template <class Arch = simd::default_arch, weight_format... F>
row_decoder decoder_of(mixed_matrix<F...> const& w) noexcept {
    return w.visit([](auto const& m) { return decoder_of<Arch>(m); });
}

/// `w` must outlive the decoder.
template <class Arch = simd::default_arch>
row_decoder decoder_of(matrix_view<const float> const& w) noexcept {
    return {&w, [](const void* matrix, std::size_t r, std::size_t first, matrix_view<float> out) noexcept {
                detail::widen_rows<Arch>(*static_cast<matrix_view<const float> const*>(matrix), r, first, out);
            }};
}

} // namespace bitlens
