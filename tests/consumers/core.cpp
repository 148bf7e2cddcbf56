// A program of someone who uses bitlens::core.
#include <bitlens/formats.hpp>

#include <cstdio>

int main() {
    bitlens::packed_matrix<bitlens::uniform<3, 64>> w(4, 128);
    w.set_scale(3, 1, 0.5f);
    w.set_code(3, 127, 7);
    std::printf("%s: %g\n", bitlens::format_name<bitlens::uniform<3, 64>>().c_str(),
                static_cast<double>(w.value(3, 127)));
    return w.value(3, 127) == 3.5f ? 0 : 1;
}
