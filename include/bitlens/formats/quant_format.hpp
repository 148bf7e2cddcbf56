#pragma once
/// What a low-bit weight format is: the concept quant_format, and the two kinds of zero point.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>

namespace bitlens {

/// asymmetric: every group stores a zero point. symmetric: the zero point is the middle code, part of the codebook.
enum class zero_kind : std::uint8_t { asymmetric, symmetric };

/// Codes are stored in chunks of 32 (formats/code_chunk.hpp); a group is a whole number of chunks, or half of one.
inline constexpr std::size_t chunk_codes = 32;

/// Whether `columns` can be the size of a group.   0: a whole row.
constexpr bool is_group_size(std::size_t columns) noexcept {
    return columns % chunk_codes == 0 || columns == chunk_codes / 2;
}

namespace detail {

template <class F>
inline constexpr bool has_offset = false;
template <class F>
    requires requires { F::has_offset; }
inline constexpr bool has_offset<F> = F::has_offset;

} // namespace detail

/// One way to write a weight in `bits` bits:  w = fl32(scale · (codebook[code] − zero)).
/// `group_size` neighbouring inputs share one scale, and one zero when `has_zero`; group_size 0: the whole row does.
/// A format whose groups have a number of their own instead of a zero says `static constexpr bool has_offset = true`:
/// w = fl32(scale · codebook[code] + offset), where every product is exact, so that any way to compute it is the same.
/// A format whose method has no short last group says `static constexpr bool whole_groups_only = true`. One of several
/// that differ in group_size alone may name their common `row_format`, so that kernels are compiled once for all of
/// them; groups of half a chunk have another one.
template <class F>
concept quant_format = requires(std::uint32_t code) {
    { F::bits } -> std::convertible_to<int>;
    { F::group_size } -> std::convertible_to<std::size_t>;
    { F::has_zero } -> std::convertible_to<bool>;
    { F::codebook[code] } -> std::convertible_to<float>;
    { F::name() } -> std::convertible_to<std::string>;
}
&&F::bits >= 2 && F::bits <= 8 && F::codebook.size() == (std::size_t{1} << F::bits) && is_group_size(F::group_size) &&
    !(F::has_zero && detail::has_offset<F>);

/// Name of a format, as reports print it: "uniform3-g64", "nf4-g64", "bf16".
template <class F>
std::string format_name() {
    return F::name();
}

namespace detail {

/// "-g64", or "-row" when one group is a whole row.
inline std::string group_suffix(std::size_t group_size) {
    return group_size == 0 ? std::string("-row") : "-g" + std::to_string(group_size);
}
/// "nf4-g64".
inline std::string numbered_name(const char* kind, int bits, std::size_t group_size, const char* suffix = "") {
    return kind + std::to_string(bits) + group_suffix(group_size) + suffix;
}

template <class F>
inline constexpr bool whole_groups_only = false;
template <class F>
    requires requires { F::whole_groups_only; }
inline constexpr bool whole_groups_only<F> = F::whole_groups_only;

template <class F>
struct row_format_of {
    using type = F;
};
template <class F>
    requires requires { typename F::row_format; }
struct row_format_of<F> {
    using type = typename F::row_format;
    static_assert(type::bits == F::bits && type::has_zero == F::has_zero && has_offset<type> == has_offset<F> &&
                      type::codebook == F::codebook,
                  "row_format: a format of the same bits, codebook, zero and offset is expected");
};
template <class F>
using row_format = typename row_format_of<F>::type;

/// Whether a chunk has two groups.
template <class F>
inline constexpr bool has_half_chunks = F::group_size == chunk_codes / 2;
/// The size of the groups of the row_format of those with groups of so many columns.
constexpr std::size_t row_group(std::size_t columns) noexcept { return columns == chunk_codes / 2 ? columns : 0; }

} // namespace detail

} // namespace bitlens
