// There are codebooks of 3 and of 4 bits.
#include "bitlens/formats/normal_float.hpp"
#include "bitlens/formats/packed_matrix.hpp"

int main() {
    bitlens::packed_matrix<bitlens::normal_float<BITLENS_BAD ? 5 : 4, 64>> w(1, 64);
    return w.code(0, 0);
}
