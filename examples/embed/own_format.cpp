/// Quantizes a matrix in a format that is defined here, beside two of the library's.

#include <bitlens/core.hpp>
#include <bitlens/quantizers.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
using namespace bitlens;

/// 4-bit floats, E2M1 of the OCP Microscaling Formats 1.0: the sign is the highest bit of a code. A float scale for 32.
struct fp4 {
    static constexpr int bits = 4;
    static constexpr std::size_t group_size = 32;
    static constexpr bool has_zero = false;
    static constexpr std::array<float, 16> codebook{0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                                    -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
    static std::string name() { return "fp4-g32"; }
};

/// The nearest level, with the largest weight of each group at ±6.   Shapes: w (out, in).
struct nearest_fp4 {
    using format = fp4;
    packed_matrix<fp4> operator()(matrix_view<const float> w) const {
        packed_matrix<fp4> packed(w.rows, w.cols);
        for (std::size_t r = 0; r < w.rows; ++r)
            for (std::size_t first = 0; first < w.cols; first += fp4::group_size) {
                const auto group = w.row(r).subspan(first, std::min(fp4::group_size, w.cols - first));
                const auto [low, high] = std::ranges::minmax(group);
                const float scale = std::max(-low, high) / 6;
                packed.set_scale(r, first / fp4::group_size, scale);
                for (std::size_t i = 0; i < group.size(); ++i) packed.set_code(r, first + i, code(group[i], scale));
            }
        return packed;
    }
    static std::uint8_t code(float w, float scale) {
        const auto distance = [&](float level) { return std::abs(scale * level - w); };
        return static_cast<std::uint8_t>(std::ranges::min_element(fp4::codebook, {}, distance) - fp4::codebook.begin());
    }
};

template <quantizer Q>
void show_error(matrix_view<const float> w, Q const& quantize) {
    const auto packed = quantize(w);
    double error = 0;
    for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t c = 0; c < w.cols; ++c) error += std::pow(w(r, c) - packed.value(r, c), 2);
    std::printf("%-12s %5zu bytes, error %.4f\n", Q::format::name().c_str(), packed.bytes(),
                std::sqrt(error / static_cast<double>(w.rows * w.cols)));
}

int main() {
    matrix<float> w(64, 256);
    random_generator random(1);
    for (float& x : w.span()) x = static_cast<float>(random.normal()); // so that errors are shares of a weight's size
    show_error(w, nearest_fp4{});
    show_error(w, absmax<normal_float<4, 32>>{});
    show_error(w, rtn<uniform<4, 32>>{});
}
