// What a product takes: weights, floats to read, floats to write, a workspace. Each BITLENS_BAD is one mistake.
#include "bitlens/formats/uniform.hpp"
#include "bitlens/kernels/matmul.hpp"
#include "bitlens/kernels/matvec_each.hpp"

using namespace bitlens;

int main() {
    const packed_matrix<uniform<3, 64>> w(2, 64);
    const matrix<float> x(1, 64);
    const matrix<double> precise(1, 64);
    matrix<float> y(1, 2);
    const matrix<float> finished(1, 2);
    workspace scratch(matmul_bytes(2, 64, 1, 1));
    const workspace lent(0);
    matmul(w, x, y, scratch);
    matmul(x.view(), x.view(), y.view().middle_cols(0, 1), scratch);
    matvec(w, x.row(0), y.row(0), scratch);
    matvec_each(w, x, y, scratch);
#if BITLENS_BAD == 1
    matmul(precise, x, y, scratch);
#elif BITLENS_BAD == 2
    matmul(w, precise.view(), y, scratch);
#elif BITLENS_BAD == 3
    matmul(w, x, finished.view(), scratch);
#elif BITLENS_BAD == 4
    matmul(w, x, y);
#elif BITLENS_BAD == 5
    matmul(w, x, y, lent);
#elif BITLENS_BAD == 6
    matvec(x.view(), x.row(0), y.row(0), scratch);
#elif BITLENS_BAD == 7
    matvec(w, precise.row(0), y.row(0), scratch);
#elif BITLENS_BAD == 8
    matvec_each(x.view(), x, y, scratch);
#elif BITLENS_BAD == 9
    matvec_each(w, x, finished.view(), scratch);
#endif
}
