#include <bitlens/formats.hpp>
#include <bitlens/hooks.hpp>
#include <bitlens/models.hpp>
#include <bitlens/quantizers.hpp>
#include <bitlens/recipes/quantize_layers.hpp>

#include <cmath>
#include <cstdio>
#include <numeric>

namespace hook = bitlens::hook;
using weight = bitlens::mixed_matrix<bitlens::dense<float>, bitlens::uniform<3, 32>>;

/// Sets what one layer's MLP adds to the residual stream to zero.
struct without_mlp {
    using points = hook::set<hook::mlp_out>;
    std::size_t layer;

    void on(hook::mlp_out, bitlens::site at, bitlens::matrix_view<float> a) const {
        if (at.layer != layer) return;
        for (std::size_t t = 0; t < a.rows; ++t)
            for (float& x : a.row(t)) x = 0;
    }
};

/// √ mean (a − b)².
double distance(bitlens::matrix_view<const float> a, bitlens::matrix_view<const float> b) {
    double sum = 0;
    for (std::size_t t = 0; t < a.rows; ++t)
        for (std::size_t i = 0; i < a.cols; ++i) sum += std::pow(double{a(t, i)} - double{b(t, i)}, 2);
    return std::sqrt(sum / static_cast<double>(a.rows * a.cols));
}

int main() {
    const auto full = bitlens::tiny_model<bitlens::llama, weight>(bitlens::tiny_config<bitlens::llama>(), 1);
    const bitlens::rtn<bitlens::uniform<3, 32>> three_bits;
    const auto low = full.with_layers(bitlens::quantize_layers(*full.layers(), full.config().layers, three_bits));
    std::vector<std::int32_t> ids(32);
    std::iota(ids.begin(), ids.end(), 1);

    // Read: the mean length of the residual stream after attention, at every layer.
    bitlens::residual_norms<hook::resid_mid> norms(full.config().layers);
    // Keep: copies of two points of the full model's run. A chain hands each point to every probe that listens.
    bitlens::record<hook::mlp_gate, hook::logits> kept;
    bitlens::chain both(norms, kept);
    full.forward(ids, both);
    std::printf("norm(x; r):");
    for (const double norm : norms.per_layer) std::printf(" %.2f", norm);
    std::printf("\n");

    const auto error = [&](auto&& change) {
        bitlens::record<hook::logits> after;
        bitlens::chain probes(change, after);
        low.forward(ids, probes);
        return distance(after.get<hook::logits>(), kept.get<hook::logits>());
    };
    bitlens::no_probe nothing;
    bitlens::patch<hook::mlp_gate> gates(kept, /*first layer*/ 2);
    bitlens::patch<hook::logits> everything(kept);
    std::printf("the quantized model's logits are off by  %.3f\n", error(nothing));
    std::printf("without the MLP of layer 3               %.3f\n", error(without_mlp{3}));
    std::printf("with the full model's gates from layer 2 %.3f\n", error(gates));
    std::printf("with the full model's logits             %.3f\n", error(everything));

    // The same gates at every position but the first, and at positions 0 to 15 alone.
    const std::size_t layers = low.config().layers;
    bitlens::patch<hook::mlp_gate> not_the_first(kept, 2, layers, {1}), first_half(kept, 2, layers, {0, 16});
    std::printf("gates, but for position 0                %.3f\n", error(not_the_first));
    std::printf("gates at positions 0 to 15               %.3f\n", error(first_half));
    std::printf("these patches overwrote %zu and %zu values\n", not_the_first.replaced(), first_half.replaced());
}
