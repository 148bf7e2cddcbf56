// A weight is stored in a format, and a mixed matrix in one of those that it lists. Each BITLENS_BAD is one mistake.
#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/formats/uniform.hpp"

using namespace bitlens;

int main() {
    const mixed_matrix<dense<float>, uniform<3, 64>> w(packed_matrix<uniform<3, 64>>(1, 64));
#if BITLENS_BAD == 1
    const packed_matrix<float> v(1, 64);
#elif BITLENS_BAD == 2
    const mixed_matrix<float, uniform<3, 64>> v(packed_matrix<uniform<3, 64>>(1, 64));
#elif BITLENS_BAD == 3
    const mixed_matrix<dense<float>, uniform<3, 64>> v(packed_matrix<uniform<4, 64>>(1, 64));
#elif BITLENS_BAD == 4
    const packed_matrix<packed_matrix<uniform<3, 64>>> v(1, 64);
#endif
    return static_cast<int>(w.rows());
}
