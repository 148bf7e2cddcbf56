// A code has 2 to 8 bits.
#include "bitlens/formats/packed_matrix.hpp"
#include "bitlens/formats/uniform.hpp"

int main() {
    bitlens::packed_matrix<bitlens::uniform<BITLENS_BAD ? 9 : 8, 64>> w(1, 64);
    bitlens::packed_matrix<bitlens::uniform<BITLENS_BAD ? 1 : 2, 64>> v(1, 64);
    return static_cast<int>(w.code(0, 0) + v.code(0, 0));
}
