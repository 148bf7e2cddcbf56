// A product takes a matrix in a format, not the format.
#include "bitlens/formats/packed_matrix.hpp"
#include "bitlens/formats/uniform.hpp"
#include "bitlens/kernels/matmul.hpp"

int main() {
    using format = bitlens::uniform<3, 64>;
#if BITLENS_BAD
    const format w;
#else
    const bitlens::packed_matrix<format> w(1, 64);
#endif
    const bitlens::matrix<float> x(1, 64);
    bitlens::matrix<float> y(1, 1);
    bitlens::workspace scratch(bitlens::matmul_bytes(1, 64, 1, 1));
    bitlens::matmul(w, x.view(), y.view(), scratch);
}
