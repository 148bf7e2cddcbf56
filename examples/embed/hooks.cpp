/// Runs a model twice: with a probe that measures, and with another in front of it that overwrites.

#include <bitlens/hooks.hpp>
#include <bitlens/models.hpp>

#include <algorithm>
#include <cstdio>

using namespace bitlens;

/// Keeps what the MLP of one layer gives out of the residual stream.
struct without_mlp {
    using points = hook::set<hook::mlp_out>;
    std::size_t layer;

    void on(hook::mlp_out, site at, matrix_view<float> o) const {
        if (at.layer != layer) return;
        for (std::size_t t = 0; t < o.rows; ++t) std::ranges::fill(o.row(t), 0.0f);
    }
};

int main() {
    // A checkpoint's: transformer<qwen2, packed_matrix<dense<bf16>>> model(checkpoint("Qwen2.5-0.5B"), true);
    const auto model = tiny_model<qwen2, packed_matrix<dense<float>>>(tiny_config<qwen2>(), 1);
    const std::size_t layers = model.config().layers;
    const std::vector<std::int32_t> ids{17, 4, 211, 98, 60, 133, 5, 78};

    residual_norms<hook::resid_post> as_it_is(layers), cut(layers); // mean length of z at every layer
    model.forward(ids, as_it_is);
    chain overwritten_then_measured{without_mlp{1}, cut};
    model.forward(ids, overwritten_then_measured);

    std::puts("layer,norm_z,norm_z_without_mlp_1");
    for (std::size_t k = 0; k < layers; ++k) std::printf("%zu,%.3f,%.3f\n", k, as_it_is.per_layer[k], cut.per_layer[k]);
}
