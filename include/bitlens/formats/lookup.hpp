#pragma once
/// lookup: levels from a table that others published.

#include "bitlens/core/level_tables.hpp"
#include "bitlens/formats/quant_format.hpp"

#include <string>

namespace bitlens {

/// The levels of MXFP4 and NVFP4, of FP4 in bitsandbytes, of IQ4_NL and IQ4_XS in GGUF (core/level_tables.hpp).
struct e2m1_levels {
    static constexpr const char* name = "e2m1";
    static constexpr auto table = e2m1_table;
};
struct fp4_levels {
    static constexpr const char* name = "fp4";
    static constexpr auto table = fp4_table;
};
struct iq4_levels {
    static constexpr const char* name = "iq4";
    static constexpr auto table = iq4_table;
};

/// w = scale · Levels::table[q], 4 bits.
template <class Levels, std::size_t GroupSize>
struct lookup {
    static_assert(is_group_size(GroupSize), "lookup: group_size is 16, a multiple of 32, or 0 for a whole row");

    static constexpr int bits = 4;
    static constexpr std::size_t group_size = GroupSize;
    static constexpr bool has_zero = false;
    static constexpr auto codebook = Levels::table;
    using row_format = lookup<Levels, detail::row_group(GroupSize)>;
    static std::string name() { return Levels::name + detail::group_suffix(GroupSize); }
};

static_assert(quant_format<lookup<e2m1_levels, 16>> && lookup<fp4_levels, 64>::codebook[3] == 1.0f);

} // namespace bitlens
