#include <bitlens/core.hpp>
#include <bitlens/formats.hpp>
#include <bitlens/kernels.hpp>
#include <bitlens/quantizers.hpp>

#include <cmath>
#include <cstdio>

int main() {
    bitlens::matrix<float> w(48, 256), x(1, 256), exact(1, 48), rounded(1, 48);
    bitlens::random_generator random(1);
    for (float& v : w.span()) v = static_cast<float>(random.normal());
    for (float& v : x.span()) v = static_cast<float>(random.normal());

    const auto packed = bitlens::rtn<bitlens::uniform<3, 64>>{}(w.view()); // 3 bits, groups of 64 inputs

    bitlens::workspace scratch(bitlens::matmul_bytes(w.rows(), w.cols(), x.rows(), 1));
    bitlens::matmul(w.view(), x.view(), exact.view(), scratch);
    bitlens::matmul(packed, x.view(), rounded.view(), scratch);

    double error = 0, size = 0;
    for (std::size_t r = 0; r < w.rows(); ++r) {
        error += std::pow(rounded(0, r) - exact(0, r), 2);
        size += std::pow(exact(0, r), 2);
    }
    std::printf("%zu bytes instead of %zu; relative error of x·wᵀ: %.3f\n", packed.bytes(), w.span().size_bytes(),
                std::sqrt(error / size));
}
