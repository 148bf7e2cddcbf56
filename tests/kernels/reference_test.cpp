#include "bitlens/formats.hpp"
#include "bitlens/kernels/reference.hpp"

#include <doctest/doctest.h>

using namespace bitlens;

TEST_CASE("the reference multiplies as on paper") {
    packed_matrix<uniform<3, 32>> w(2, 2); // rows: 0.5 · (q − 1) = −0.5 1 | 2 · (q − 0) = 6 14
    for (std::size_t r = 0; r < 2; ++r) w.set_scale(r, 0, r == 0 ? 0.5f : 2.0f);
    w.set_zero(0, 0, 1);
    w.set_code(0, 1, 3);
    w.set_code(1, 0, 3);
    w.set_code(1, 1, 7);
    matrix<float> x(2, 2), y(2, 2);
    x(0, 0) = 1;
    x(1, 0) = 2;
    x(1, 1) = -3;
    reference::matmul(w, x, y);
    CHECK(y(0, 0) == -0.5f);
    CHECK(y(0, 1) == 6.0f);
    CHECK(y(1, 0) == -4.0f);
    CHECK(y(1, 1) == -30.0f);
    reference::matvec(w, x.row(0), y.row(1));
    CHECK(y(1, 0) == -0.5f);
    CHECK(y(1, 1) == 6.0f);
}
