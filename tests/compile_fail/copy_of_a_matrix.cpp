// Weights are moved; a copy is never meant by accident.
#include "bitlens/formats/packed_matrix.hpp"
#include "bitlens/formats/uniform.hpp"

#include <utility>

int main() {
    bitlens::packed_matrix<bitlens::uniform<3, 64>> w(1, 64);
#if BITLENS_BAD
    const auto v = w;
#else
    const auto v = std::move(w);
#endif
    return v.code(0, 0);
}
