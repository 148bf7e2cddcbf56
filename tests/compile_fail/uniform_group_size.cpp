// A group is half a chunk of 32 codes or a whole number of them.
#include "bitlens/formats/packed_matrix.hpp"
#include "bitlens/formats/uniform.hpp"

int main() {
    bitlens::packed_matrix<bitlens::uniform<3, BITLENS_BAD ? 48 : 96>> w(1, 96);
    return w.code(0, 0);
}
