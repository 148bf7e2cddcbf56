#include <bitlens/core.hpp>
#include <bitlens/formats.hpp>
#include <bitlens/hooks.hpp>
#include <bitlens/kernels.hpp>
#include <bitlens/models.hpp>
#include <bitlens/quantizers.hpp>
#include <bitlens/recipes/quantize_layers.hpp>

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

/// The nearest level, with the largest weight of each group at ±1.   Shapes: w (out, in).
struct nearest {
    using format = powers_of_two;
    bitlens::packed_matrix<format> operator()(bitlens::matrix_view<const float> w) const {
        bitlens::packed_matrix<format> packed(w.rows, w.cols);
        for (std::size_t r = 0; r < w.rows; ++r)
            for (std::size_t first = 0; first < w.cols; first += format::group_size) {
                const auto group = w.row(r).subspan(first, std::min(format::group_size, w.cols - first));
                const auto [low, high] = std::ranges::minmax(group);
                const float scale = std::max(-low, high);
                packed.set_scale(r, first / format::group_size, scale);
                for (std::size_t i = 0; i < group.size(); ++i) packed.set_code(r, first + i, code(group[i], scale));
            }
        return packed;
    }
    static std::uint8_t code(float w, float scale) {
        const auto distance = [&](float level) { return std::abs(scale * level - w); };
        return static_cast<std::uint8_t>(std::ranges::min_element(format::codebook, {}, distance) -
                                         format::codebook.begin());
    }
};
static_assert(bitlens::quantizer<nearest>);

/// What a weight of the model may be stored as: the full model's format, and the one of this page.
using weight = bitlens::mixed_matrix<bitlens::dense<float>, powers_of_two>;

/// ‖a − b‖ / ‖b‖.
double relative_error(bitlens::matrix_view<const float> a, bitlens::matrix_view<const float> b) {
    double error = 0, size = 0;
    for (std::size_t r = 0; r < b.rows; ++r)
        for (std::size_t c = 0; c < b.cols; ++c) {
            error += std::pow(double{a(r, c)} - double{b(r, c)}, 2);
            size += std::pow(double{b(r, c)}, 2);
        }
    return std::sqrt(error / size);
}

int main() {
    bitlens::matrix<float> w(8, 96), x(2, 96), fast(2, 8), exact(2, 8);
    bitlens::random_generator random(1);
    for (float& v : w.span()) v = static_cast<float>(random.normal());
    for (float& v : x.span()) v = static_cast<float>(random.normal());
    const auto packed = nearest{}(w.view());
    double largest = 0;
    for (std::size_t r = 0; r < w.rows(); ++r)
        for (std::size_t c = 0; c < w.cols(); ++c) {
            const double scale = packed.scale(r, c / powers_of_two::group_size);
            largest = std::max(largest, std::abs(double{w(r, c)} - double{packed.value(r, c)}) / scale);
        }
    std::printf("%s: %zu weights in %zu bytes, the worst off by %.2f of its scale\n",
                bitlens::format_name<powers_of_two>().c_str(), w.span().size(), packed.bytes(), largest);

    bitlens::workspace scratch(bitlens::matmul_bytes(w.rows(), w.cols(), x.rows(), 1));
    bitlens::matmul(packed, x.view(), fast.view(), scratch);
    bitlens::reference::matmul(packed, x.view(), exact.view());
    const bool equal = std::ranges::equal(fast.span(), exact.span(), [](float a, float b) {
        return std::abs(a - b) <= 1e-5f * (1 + std::abs(b)); // the kernel sums in float, the reference in double
    });
    std::printf("the product %s the reference's\n", equal ? "equals" : "is not");

    const auto full = bitlens::tiny_model<bitlens::llama, weight>(bitlens::tiny_config<bitlens::llama>(), /*seed*/ 1);
    const auto low = full.with_layers(bitlens::quantize_layers(*full.layers(), full.config().layers, nearest{}));

    using bitlens::hook::logits;
    const std::vector<std::int32_t> ids{1, 2, 3, 4, 5, 6, 7, 8};
    bitlens::record<logits> of_full, of_low;
    full.forward(ids, of_full);
    low.forward(ids, of_low);
    std::printf("W_gate of layer 0: %s; relative error of the logits: %.2f\n",
                low.layers()->layer(0)[bitlens::projection::gate].format_name().c_str(),
                relative_error(of_low.get<logits>(), of_full.get<logits>()));
}
