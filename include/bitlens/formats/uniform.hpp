#pragma once
/// uniform: equally spaced levels, what RTN, GPTQ, AWQ and EfficientQAT store.

#include "bitlens/formats/quant_format.hpp"

#include <array>

namespace bitlens {

/// w = scale · (q − zero), 0 ≤ q < 2^Bits. Symmetric: no stored zero, codebook[q] = q − 2^(Bits−1).
template <int Bits, std::size_t GroupSize, zero_kind Zero = zero_kind::asymmetric>
struct uniform {
    static_assert(Bits >= 2 && Bits <= 8, "uniform: 2 to 8 bits");
    static_assert(is_group_size(GroupSize), "uniform: group_size is 16, a multiple of 32, or 0 for a whole row");

    static constexpr int bits = Bits;
    static constexpr std::size_t group_size = GroupSize;
    static constexpr bool has_zero = Zero == zero_kind::asymmetric;
    static constexpr auto codebook = [] {
        std::array<float, std::size_t{1} << Bits> level{};
        for (std::size_t q = 0; q < level.size(); ++q)
            level[q] = static_cast<float>(q) - (has_zero ? 0.0f : static_cast<float>(level.size() / 2));
        return level;
    }();
    using row_format = uniform<Bits, detail::row_group(GroupSize), Zero>;
    static std::string name() { return detail::numbered_name("uniform", Bits, GroupSize, has_zero ? "" : "-sym"); }
};

static_assert(quant_format<uniform<3, 128>> && uniform<3, 128>::codebook[7] == 7.0f);
static_assert(uniform<3, 64, zero_kind::symmetric>::codebook[0] == -4.0f);

} // namespace bitlens
