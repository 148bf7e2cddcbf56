// The program of the headers that compile alone. That it was linked is the test; the version shows that it is ours.
#include "bitlens/version.hpp"

#include <cstdio>

int main() {
    std::printf("bitlens %s: every header compiles alone, and all of them link together\n", bitlens::version.data());
}
