#pragma once
/// normal_float: codebooks whose levels follow the quantiles of a normal distribution (NF3, NF4).

#include "bitlens/formats/quant_format.hpp"

#include <array>
#include <bit>

namespace bitlens {

namespace detail {

/// The levels as bits of float32: a decimal literal could round differently.
template <std::size_t Size>
constexpr std::array<float, Size> levels_from_bits(std::array<std::uint32_t, Size> const& bits) {
    std::array<float, Size> level{};
    for (std::size_t q = 0; q < Size; ++q) level[q] = std::bit_cast<float>(bits[q]);
    return level;
}

template <int Bits>
inline constexpr std::array<float, std::size_t{1} << Bits> normal_float_levels{};

/// The exact table of FLUTE's construction (arXiv 2407.10960), rounded to float32: quantiles at equally spaced
/// probabilities up to 929/960, four below zero, zero, three above.
template <>
inline constexpr auto normal_float_levels<3> = levels_from_bits<8>({0xBF800000, 0xBEF50EDF, 0xBE5E5A6A, 0x00000000,
                                                                    0x3E24CADF, 0x3EAD0336, 0x3F1007A9, 0x3F800000});

/// The constants of bitsandbytes (Dettmers et al. 2023, arXiv 2305.14314); they, not the exact quantiles, are
/// normative.
template <>
inline constexpr auto normal_float_levels<4> = levels_from_bits<16>({0xBF800000, 0xBF3239B1, 0xBF066B30, 0xBECA32A0,
                                                                     0xBE91A24D, 0xBE3D353F, 0xBDBA7871, 0x00000000,
                                                                     0x3DA2FAFF, 0x3E24CAE3, 0x3E7C04DD, 0x3EAD033A,
                                                                     0x3EE1A4B8, 0x3F1007AB, 0x3F3913B3, 0x3F800000});

} // namespace detail

/// w = scale · codebook[q], scale = the largest |w| of the group. There is no short last group.
template <int Bits, std::size_t GroupSize>
struct normal_float {
    static_assert(Bits == 3 || Bits == 4, "normal_float: 3 or 4 bits");
    static_assert(GroupSize % chunk_codes == 0, "normal_float: group_size is a multiple of 32, or 0 for a whole row");

    static constexpr int bits = Bits;
    static constexpr std::size_t group_size = GroupSize;
    static constexpr bool has_zero = false;
    static constexpr bool whole_groups_only = true;
    static constexpr auto codebook = detail::normal_float_levels<Bits>;
    using row_format = normal_float<Bits, 0>;
    static std::string name() { return detail::numbered_name("nf", Bits, GroupSize); }
};

static_assert(quant_format<normal_float<3, 64>> && normal_float<3, 64>::codebook[3] == 0.0f);
static_assert(normal_float<4, 64>::codebook[15] == 1.0f && normal_float<4, 64>::codebook[7] == 0.0f);

} // namespace bitlens
