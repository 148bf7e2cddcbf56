#pragma once
/// decode: the numbers of a weight matrix, row by row, as every kernel but matvec reads them.

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
    vec operator()(simd::batch<std::int32_t, Arch> const& q) const noexcept {
        if constexpr (looks_up<F, Arch>)
            return table_[q];
        else if constexpr (F::codebook[0] == 0.0f)
            return simd::to_float(q);
        else
            return simd::to_float(q) + vec(F::codebook[0]);
    }

private:
    struct nothing {
        explicit nothing(std::array<float, F::codebook.size()> const&) noexcept {}
    };
    [[no_unique_address]] std::conditional_t<looks_up<F, Arch>, simd::table<F::codebook.size(), Arch>, nothing> table_{
        F::codebook};
};

/// Calls f(group, first chunk, last chunk + 1) for the groups that chunks begin … end − 1 of a row touch.
template <quant_format F, class Function>
void for_each_group(std::size_t begin, std::size_t end, Function const& f) noexcept {
    constexpr std::size_t per_group = F::group_size / chunk_codes;
    if constexpr (per_group == 0) {
        if (begin < end) f(std::size_t{0}, begin, end);
    } else {
        while (begin < end) {
            const std::size_t group = begin / per_group;
            const std::size_t stop = std::min(end, (group + 1) * per_group);
            f(group, begin, stop);
            begin = stop;
        }
    }
}

} // namespace detail

/// out[i] = w.value(r, first + i), bit for bit.   first is a multiple of 32, and `out` has room for `count` rounded up
/// to one: what lies there beyond the last column is finite where the row's scales are, and means nothing.
template <class Arch = simd::default_arch, quant_format F>
void decode_row(packed_matrix<F> const& w, std::size_t r, std::size_t first, std::size_t count, float* out) noexcept {
    using vec = simd::batch<float, Arch>;
    BITLENS_ASSERT(first % chunk_codes == 0 && first + count <= w.cols());
    const std::uint8_t* chunk = w.codes(r).data() + first / chunk_codes * code_chunk<F::bits>::bytes;
    const float* scales = w.scales(r).data();
    const detail::level_decoder<F, Arch> level;
    const std::size_t end = (first + count + chunk_codes - 1) / chunk_codes;
    detail::for_each_group<F>(first / chunk_codes, end, [&](std::size_t group, std::size_t begin, std::size_t stop) {
        const vec scale(scales[group]);
        vec zero(0.0f);
        if constexpr (F::has_zero) zero = vec(static_cast<float>(w.zeros(r)[group]));
        const auto weight = [&](vec const& l) {
            if constexpr (F::has_zero)
                return scale * (l - zero);
            else
                return scale * l;
        };
        const auto decode_chunks = [&](auto const& decode) {
            for (std::size_t i = begin; i < stop; ++i, chunk += code_chunk<F::bits>::bytes, out += chunk_codes) {
                const auto q = simd::unpack<F::bits, Arch>(chunk);
                for (std::size_t v = 0; v < q.size(); ++v) decode(q[v]).store_unaligned(out + v * vec::size);
            }
        };
        if constexpr (simd::table<F::codebook.size(),
                                  Arch>::is_fast) { // scale and zero go into the table, once a group
            const auto weights = simd::table<F::codebook.size(), Arch>(F::codebook).map(weight);
            decode_chunks([&](auto const& q) { return weights[q]; });
        } else {
            decode_chunks([&](auto const& q) { return weight(level(q)); });
        }
    });
}

namespace detail {

/// `count` numbers as floats, then zeros up to a multiple of 32.
template <class Arch, class T>
void widen_row(const T* numbers, std::size_t count, float* out) noexcept {
    std::size_t i = 0;
    for (; i + simd::lanes<Arch> <= count; i += simd::lanes<Arch>)
        simd::widen<Arch>(numbers + i).store_unaligned(out + i);
    for (; i < count; ++i) out[i] = static_cast<float>(numbers[i]);
    for (; i % chunk_codes != 0; ++i) out[i] = 0;
}

} // namespace detail

template <class Arch = simd::default_arch, dense_format F>
void decode_row(packed_matrix<F> const& w, std::size_t r, std::size_t first, std::size_t count, float* out) noexcept {
    BITLENS_ASSERT(first + count <= w.cols());
    detail::widen_row<Arch>(w.row(r).data() + first, count, out);
}

/// What a product needs to know of a matrix: loops are compiled once, and only this function per format.
struct row_decoder {
    const void* matrix;
    std::size_t rows, cols;
    void (*decode)(const void* matrix, std::size_t r, std::size_t first, std::size_t count, float* out) noexcept;

    void operator()(std::size_t r, std::size_t first, std::size_t count, float* out) const noexcept {
        decode(matrix, r, first, count, out);
    }
};

template <class Arch = simd::default_arch, weight_format F>
row_decoder decoder_of(packed_matrix<F> const& w) noexcept {
    return {&w, w.rows(), w.cols(),
            [](const void* matrix, std::size_t r, std::size_t first, std::size_t count, float* out) noexcept {
                decode_row<Arch>(*static_cast<packed_matrix<F> const*>(matrix), r, first, count, out);
            }};
}
template <class Arch = simd::default_arch, weight_format... F>
row_decoder decoder_of(mixed_matrix<F...> const& w) noexcept {
    return w.visit([](auto const& m) { return decoder_of<Arch>(m); });
}

/// `w` must outlive the decoder.
template <class Arch = simd::default_arch>
row_decoder decoder_of(matrix_view<const float> const& w) noexcept {
    return {&w, w.rows, w.cols,
            [](const void* matrix, std::size_t r, std::size_t first, std::size_t count, float* out) noexcept {
                detail::widen_row<Arch>(static_cast<matrix_view<const float> const*>(matrix)->row(r).data() + first,
                                        count, out);
            }};
}

} // namespace bitlens
