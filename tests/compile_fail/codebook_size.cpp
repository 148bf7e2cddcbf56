// A format of b bits has 2^b levels; the static_assert beside a new format says so.
#include "bitlens/formats/packed_matrix.hpp"

#include <array>
#include <string>

struct made_up {
    static constexpr int bits = 2;
    static constexpr std::size_t group_size = 32;
    static constexpr bool has_zero = false;
    static constexpr std::array<float, BITLENS_BAD ? 3 : 4> codebook{-1, 0, 1};
    static std::string name() { return "made_up"; }
};

static_assert(bitlens::quant_format<made_up>);

int main() {
    bitlens::packed_matrix<made_up> w(1, 32);
    return w.code(0, 0);
}
