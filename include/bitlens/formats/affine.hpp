#pragma once
/// affine: equally spaced levels from a least one on: the K-quants and Q4_1 of GGUF, and MLX.

#include "bitlens/formats/quant_format.hpp"

#include <array>

namespace bitlens {

/// w = scale · q + offset, 0 ≤ q < 2^Bits: the least level of a group is a number of its own, not a multiple of its
/// scale.
template <int Bits, std::size_t GroupSize>
struct affine {
    static_assert(Bits >= 2 && Bits <= 8, "affine: 2 to 8 bits");
    static_assert(is_group_size(GroupSize), "affine: group_size is 16, a multiple of 32, or 0 for a whole row");

    static constexpr int bits = Bits;
    static constexpr std::size_t group_size = GroupSize;
    static constexpr bool has_zero = false, has_offset = true;
    static constexpr auto codebook = [] {
        std::array<float, std::size_t{1} << Bits> level{};
        for (std::size_t q = 0; q < level.size(); ++q) level[q] = static_cast<float>(q);
        return level;
    }();
    using row_format = affine<Bits, detail::row_group(GroupSize)>;
    static std::string name() { return detail::numbered_name("affine", Bits, GroupSize); }
};

static_assert(quant_format<affine<4, 32>> && quant_format<affine<2, 16>> && affine<5, 32>::codebook[31] == 31.0f);

} // namespace bitlens
