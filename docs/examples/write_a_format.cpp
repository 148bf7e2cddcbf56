#include <bitlens/core.hpp>
#include <bitlens/formats.hpp>
#include <bitlens/kernels.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>

/// Levels that double: ±1/8, ±1/4, ±1/2, ±1. The sign is the highest bit of a code.
struct powers_of_two {
    static constexpr int bits = 3;
    static constexpr std::size_t group_size = 32;
    static constexpr bool has_zero = false;
    static constexpr std::array<float, 8> codebook{0.125f, 0.25f, 0.5f, 1.0f, -0.125f, -0.25f, -0.5f, -1.0f};
    static std::string name() { return "powers-g32"; }
};
static_assert(bitlens::quant_format<powers_of_two>);

/// The code whose level is nearest to w / scale.
std::uint8_t nearest_code(float w, float scale) {
    const auto distance = [&](float level) { return std::abs(w - scale * level); };
    const auto nearest = std::min_element(powers_of_two::codebook.begin(), powers_of_two::codebook.end(),
                                          [&](float a, float b) { return distance(a) < distance(b); });
    return static_cast<std::uint8_t>(nearest - powers_of_two::codebook.begin());
}

int main() {
    const std::size_t rows = 8, cols = 96;
    bitlens::packed_matrix<powers_of_two> packed(rows, cols);
    double largest = 0;
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t g = 0; g < packed.groups(); ++g) {
            const float scale = 0.5f + 0.25f * static_cast<float>(r); // of weights in [−scale, scale]
            packed.set_scale(r, g, scale);
            for (std::size_t c = 32 * g; c < 32 * (g + 1); ++c) {
                const float w = scale * static_cast<float>(std::cos(0.7 * static_cast<double>(r + c * c)));
                packed.set_code(r, c, nearest_code(w, scale));
                largest = std::max(largest, std::abs(double{w} - double{packed.value(r, c)}) / double{scale});
            }
        }
    std::printf("%s: %zu weights in %zu bytes, the worst off by %.2f of its scale\n",
                bitlens::format_name<powers_of_two>().c_str(), rows * cols, packed.bytes(), largest);

    bitlens::matrix<float> x(2, cols), fast(2, rows), exact(2, rows);
    bitlens::random_generator random(1);
    for (float& v : x.span()) v = static_cast<float>(random.normal());
    bitlens::workspace scratch(bitlens::matmul_bytes(rows, cols, x.rows(), 1));
    bitlens::matmul(packed, x.view(), fast.view(), scratch);
    bitlens::reference::matmul(packed, x.view(), exact.view());
    const bool equal = std::equal(fast.span().begin(), fast.span().end(), exact.span().begin(),
                                  [](float a, float b) { return std::abs(a - b) <= 1e-5f * (1 + std::abs(b)); });
    std::printf("the product %s the reference's\n", equal ? "equals" : "is not");
}
