#include <bitlens/bitlens.hpp>

#include <cstdio>

int main() {
    bitlens::matrix<float> w(48, 256), y(1, 48);
    for (bitlens::random_generator random(1); float& v : w.span()) v = static_cast<float>(random.normal());
    const auto packed = bitlens::rtn<bitlens::uniform<3, 64>>{}(w.view()); // 3 bits, groups of 64 inputs
    bitlens::workspace scratch(bitlens::matmul_bytes(w.rows(), w.cols(), y.rows(), 1));
    bitlens::matvec(packed, w.row(0), y.row(0), scratch);
    std::printf("%zu bytes instead of %zu; row 0 times itself: %.1f\n", packed.bytes(), w.span().size_bytes(), y(0, 0));
}
