#pragma once
/// decode: the numbers of a weight matrix, row by row, as every kernel reads them; matvec does so without unpacking a
/// row.

#include "bitlens/core/view.hpp"
#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/simd/gather.hpp"
#include "bitlens/simd/lookup.hpp"
#include "bitlens/simd/unpack.hpp"
#include "bitlens/simd/widen.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

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

/// One row of a packed matrix. The size of groups is known at run time: formats that differ in it alone share code.
struct packed_row {
    const std::uint8_t* codes;
    const float* scales;
    const std::uint8_t* zeros;
    const float* offsets;
    std::size_t groups, group_columns;

    template <quant_format F>
    static packed_row of(packed_matrix<F> const& w, std::size_t r) noexcept {
        packed_row row{w.codes(r).data(), w.scales(r).data(), nullptr, nullptr, w.groups(), columns_per_group(w)};
        if constexpr (F::has_zero) row.zeros = w.zeros(r).data();
        if constexpr (has_offset<F>) row.offsets = w.offsets(r).data();
        return row;
    }
    /// Of formats whose groups are whole chunks.
    std::size_t group_chunks() const noexcept { return group_columns / chunk_codes; }
    /// Where a chunk has two groups, the one of its first or second half; none follows the last one of a row.
    std::size_t half_group(std::size_t chunk, std::size_t half) const noexcept {
        return std::min(2 * chunk + half, groups - 1);
    }

private:
    template <quant_format F>
    static std::size_t columns_per_group(packed_matrix<F> const& w) noexcept {
        if (F::group_size != 0) return F::group_size;
        return std::max<std::size_t>(1, (w.cols() + chunk_codes - 1) / chunk_codes) * chunk_codes;
    }
};

/// Rows of a packed matrix: the first, and the bytes and groups from one to the next.
struct packed_rows {
    packed_row first;
    std::size_t code_bytes, groups;

    template <quant_format F>
    static packed_rows of(packed_matrix<F> const& w, std::size_t r) noexcept {
        return {packed_row::of(w, r), w.codes(r).size(), w.groups()};
    }
    /// One row again and again.
    template <quant_format F>
    static packed_rows same(packed_matrix<F> const& w, std::size_t r) noexcept {
        return {packed_row::of(w, r), 0, 0};
    }
    void advance(std::size_t rows = 1) noexcept {
        first.codes += rows * code_bytes;
        first.scales += rows * groups;
        if (first.zeros != nullptr) first.zeros += rows * groups;
        if (first.offsets != nullptr) first.offsets += rows * groups;
    }
};

/// The numbers 0 … 255, which are read faster than converted where all lanes need one.
inline constexpr auto byte_values = [] {
    std::array<float, 256> values{};
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
    return values;
}();

/// What levels become in a group of F.
template <quant_format F, class Arch>
class group_rule {
public:
    using vec = simd::batch<float, Arch>;

    group_rule(packed_row const& row, std::size_t group) noexcept : scale_(row.scales[group]), shift_(0.0f) {
        if constexpr (F::has_zero) shift_ = vec(byte_values[row.zeros[group]]);
        if constexpr (has_offset<F>) shift_ = vec(row.offsets[group]);
    }
    vec operator()(vec const& level) const noexcept {
        if constexpr (F::has_zero)
            return scale_ * (level - shift_);
        else if constexpr (has_offset<F>)
            return simd::fma(scale_, level, shift_);
        else
            return scale_ * level;
    }

private:
    vec scale_, shift_;
};

/// Chunks begin … of rows of a format with F's levels, whatever its groups, into out (rows, columns).
template <quant_format F, class Arch>
void decode_chunks(packed_rows rows, std::size_t begin, matrix_view<float> out) noexcept {
    using vec = simd::batch<float, Arch>;
    using table = simd::table<F::codebook.size(), Arch>;
    const level_decoder<F, Arch> level;
    const std::size_t end = begin + (out.cols + chunk_codes - 1) / chunk_codes;
    if constexpr (has_half_chunks<F>) {
        for (std::size_t r = 0; r < out.rows; ++r, rows.advance()) {
            packed_row const& row = rows.first;
            float* to = out.data + r * out.stride;
            for (std::size_t i = begin; i < end; ++i, to += chunk_codes) {
                const auto q = level.unpack(row.codes + i * code_chunk<F::bits>::bytes);
                const group_rule<F, Arch> first(row, row.half_group(i, 0)), second(row, row.half_group(i, 1));
#pragma GCC unroll 8
                for (std::size_t v = 0; v < q.size(); ++v)
                    (v < q.size() / 2 ? first : second)(level(q[v])).store_unaligned(to + v * vec::size);
            }
        }
        return;
    }
    const std::size_t group_chunks = rows.first.group_chunks(), first_group = begin / group_chunks;
    for (std::size_t r = 0; r < out.rows; ++r, rows.advance()) {
        packed_row const& row = rows.first;
        float* to = out.data + r * out.stride;
        for (std::size_t i = begin, group = first_group; i < end; ++group) {
            const std::size_t stop = std::min(end, (group + 1) * group_chunks);
            const group_rule<F, Arch> weight(row, group);
            const auto decode_group = [&](auto const& decode) {
                for (; i < stop; ++i, to += chunk_codes) {
                    const auto q = level.unpack(row.codes + i * code_chunk<F::bits>::bytes);
#pragma GCC unroll 8 // codes stay in registers, at -O2 too
                    for (std::size_t v = 0; v < q.size(); ++v) decode(q[v]).store_unaligned(to + v * vec::size);
                }
            };
            if constexpr (table::is_fast) { // the rule goes into the table, once a group
                const auto weights = level.levels().map(weight);
                decode_group([&](auto const& q) { return weights[q]; });
            } else {
                decode_group([&](auto const& q) { return weight(level(q)); });
            }
        }
    }
}

/// Where a few columns lie in rows that have an order: of each part of their codes' bits the 32-bit word, of which a
/// part is a whole number, and the shift in it; and their groups.
template <int Bits>
class code_places {
public:
    static constexpr std::size_t most = 128; // columns

    /// Room up to a whole chunk is filled with place 0.
    code_places(std::span<const std::uint32_t> places, std::size_t group_columns) noexcept {
        BITLENS_ASSERT(places.size() <= most);
        const std::size_t end = (places.size() + chunk_codes - 1) / chunk_codes * chunk_codes;
        for (std::size_t c = 0; c < end; ++c) {
            const std::uint32_t place = c < places.size() ? places[c] : 0, chunk = place / chunk_codes;
            group[c] = static_cast<std::int32_t>(place / static_cast<std::uint32_t>(group_columns));
            std::size_t begin = chunk * code_chunk<Bits>::bytes;
            for (std::size_t part = 0; part < parts; begin += chunk_codes * width(part) / 8, ++part) {
                const auto [byte, first_bit] = code_chunk<Bits>::place(width(part), place % chunk_codes);
                word[part][c] = static_cast<std::int32_t>((begin + byte) / word_bytes);
                shift[part][c] = static_cast<std::int32_t>(byte % word_bytes * 8 + first_bit);
            }
        }
    }

    /// The codes of as many columns as a register has lanes, from one on.
    template <class Arch>
    simd::batch<std::int32_t, Arch> codes(const std::int32_t* row, std::size_t column) const noexcept {
        using ints = simd::batch<std::int32_t, Arch>;
        ints code(0);
        std::int32_t times = 1;
#pragma GCC unroll 3
        for (std::size_t part = 0; part < parts; times <<= width(part), ++part) {
            const auto bits = simd::field<Arch>(simd::gather<Arch>(row, ints::load_unaligned(&word[part][column])),
                                                ints::load_unaligned(&shift[part][column]), (1 << width(part)) - 1);
            code = part == 0 ? bits : code + ints(times) * bits;
        }
        return code;
    }

    std::array<std::int32_t, most> group;

private:
    static constexpr std::size_t word_bytes = sizeof(std::int32_t), parts = std::popcount(unsigned{Bits});
    /// Bits of a part: from the lowest of a code up, ever fewer.
    static constexpr unsigned width(std::size_t part) noexcept {
        unsigned left = Bits;
        for (; part > 0; --part) left -= std::bit_floor(left);
        return std::bit_floor(left);
    }

    std::array<std::array<std::int32_t, most>, parts> word, shift;
};

/// Columns of rows of a format with F's levels, from where `places` says that they lie, into out (rows, columns).
template <quant_format F, class Arch>
void decode_ordered(packed_rows rows, std::span<const std::uint32_t> places, matrix_view<float> out) noexcept {
    using vec = simd::batch<float, Arch>;
    using ints = simd::batch<std::int32_t, Arch>;
    const level_decoder<F, Arch> level;
    constexpr std::size_t most = code_places<F::bits>::most;
    for (std::size_t first = 0; first < out.cols; first += most) {
        const std::size_t count = std::min(most, out.cols - first);
        const code_places<F::bits> at(places.subspan(first, count), rows.first.group_columns);
        packed_rows here = rows;
        for (std::size_t r = 0; r < out.rows; ++r, here.advance()) {
            packed_row const& row = here.first;
            float* const to = out.data + r * out.stride + first;
            for (std::size_t c = 0; c < count; c += vec::size) {
                const auto q = at.template codes<Arch>(reinterpret_cast<const std::int32_t*>(row.codes), c);
                const vec scale = simd::gather<Arch>(row.scales, ints::load_unaligned(&at.group[c]));
                vec weight = level(q);
                if constexpr (F::has_zero) {
                    std::array<float, vec::size> zeros;
                    for (std::size_t i = 0; i < zeros.size(); ++i)
                        zeros[i] = static_cast<float>(row.zeros[static_cast<std::uint32_t>(at.group[c + i])]);
                    weight = weight - vec::load_unaligned(zeros.data());
                }
                if constexpr (has_offset<F>)
                    weight =
                        simd::fma(scale, weight, simd::gather<Arch>(row.offsets, ints::load_unaligned(&at.group[c])));
                else
                    weight = scale * weight;
                weight.store_unaligned(to + c);
            }
            std::fill(to + (count + vec::size - 1) / vec::size * vec::size,
                      to + (count + chunk_codes - 1) / chunk_codes * chunk_codes, 0.0f);
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

namespace detail {

/// As decode_rows, but of places `first` … of the rows.
template <class Arch, quant_format F>
void decode_places(packed_matrix<F> const& w, std::size_t r, std::size_t first, matrix_view<float> out) noexcept {
    BITLENS_ASSERT(first % chunk_codes == 0 && first + out.cols <= w.cols() && r + out.rows <= w.rows());
    if (out.rows == 0 || out.cols == 0) return;
    decode_chunks<row_format<F>, Arch>(packed_rows::of(w, r), first / chunk_codes, out);
}

} // namespace detail

/// out(i, k) = w.value(r + i, first + k), bit for bit.   first is a multiple of 32, and out's rows have room for their
/// columns rounded up to one: what lies there beyond the last column of w is finite where the row's scales are, and
/// means nothing.
template <class Arch = simd::default_arch, quant_format F>
void decode_rows(packed_matrix<F> const& w, std::size_t r, std::size_t first, matrix_view<float> out) noexcept {
    if (w.places().empty()) return detail::decode_places<Arch>(w, r, first, out);
    BITLENS_ASSERT(first % chunk_codes == 0 && r + out.rows <= w.rows());
    if (out.rows == 0 || out.cols == 0) return;
    detail::decode_ordered<detail::row_format<F>, Arch>(detail::packed_rows::of(w, r),
                                                        w.places().subspan(first, out.cols), out);
}
template <class Arch = simd::default_arch, dense_format F>
void decode_rows(packed_matrix<F> const& w, std::size_t r, std::size_t first, matrix_view<float> out) noexcept {
    detail::widen_rows<Arch>(w.view(), r, first, out);
}

/// What a product needs to know of a matrix: loops are compiled once, and only these functions per format.
struct row_decoder {
    using function = void (*)(const void* matrix, std::size_t r, std::size_t first, matrix_view<float> out) noexcept;

    const void* matrix;
    function decode;
    function decode_places = nullptr;       // as the columns lie, where they have an order
    std::span<const std::uint32_t> order{}; // of them

    void operator()(std::size_t r, std::size_t first, matrix_view<float> out) const noexcept {
        decode(matrix, r, first, out);
    }
};

template <class Arch = simd::default_arch, weight_format F>
row_decoder decoder_of(packed_matrix<F> const& w) noexcept {
    row_decoder decoder{&w, [](const void* matrix, std::size_t r, std::size_t first, matrix_view<float> out) noexcept {
                            decode_rows<Arch>(*static_cast<packed_matrix<F> const*>(matrix), r, first, out);
                        }};
    if constexpr (quant_format<F>) {
        decoder.decode_places = [](const void* matrix, std::size_t r, std::size_t first,
                                   matrix_view<float> out) noexcept {
            detail::decode_places<Arch>(*static_cast<packed_matrix<F> const*>(matrix), r, first, out);
        };
        decoder.order = w.order();
    }
    return decoder;
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
