#include "bitlens.hpp"

#include <cstdio>

int main() {
    bitlens::matrix<float> m(2, 3);
    m(1, 2) = 1;
    std::printf("bitlens %s from one header\n", bitlens::version.data());
    return m.row(1)[2] == 1 ? 0 : 1;
}
