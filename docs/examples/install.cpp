#include <bitlens/formats.hpp>

#include <cstdio>

int main() {
    using format = bitlens::uniform<3, 64>; // 3 bits, one scale and one zero for 64 inputs
    const bitlens::packed_matrix<format> w(1024, 1024);
    std::printf("%s: %.4f bits per weight\n", bitlens::format_name<format>().c_str(),
                8.0 * static_cast<double>(w.bytes()) / 1024 / 1024);
}
