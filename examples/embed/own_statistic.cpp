/// A statistic of one's own in a sweep: how far does a 3-bit model's residual stream drift from the full one's?

#include <bitlens/hooks.hpp>
#include <bitlens/models/random_model.hpp>
#include <bitlens/quantizers.hpp>
#include <bitlens/recipes/quantize_layers.hpp>
#include <bitlens/sweep/position_scores.hpp>
#include <bitlens/sweep/sweep.hpp>

#include <cstdio>
using namespace bitlens;
using weight = mixed_matrix<dense<float>, uniform<3, 32>>;

/// MSE(z, z̃)   of one document's residual stream in both models, layer by layer.
struct stream_drift {
    std::vector<double> per_layer;
    record<hook::resid_post> full;
    std::vector<position_scores> room; // for the losses, which every sweep computes
    std::vector<token_scores> views;

    stream_drift(std::size_t layers, std::size_t scored)
        : per_layer(layers), room{{scored, true}, {scored, false}}, views{room[0].view(), room[1].view()} {}

    struct comparison {
        using points = hook::set<hook::resid_post>;
        stream_drift& owner;

        void on(hook::resid_post, site at, matrix_view<float> z) {
            owner.per_layer[at.layer] = mean_squared_difference(owner.full.get<hook::resid_post>(at.layer), z);
        }
    };
    template <class F>
    void with_probe(std::size_t variant, F const& f) { // variant 0, the full model, comes first in every layer
        if (variant == 0) return f(full);
        comparison with_full{*this};
        f(with_full);
    }
    std::span<const token_scores> scores() const { return views; }
};

int main() {
    const auto model = tiny_model<llama, weight>(tiny_config<llama>(), 1);
    const std::size_t layers = model.config().layers, documents = 3, tokens = 16;
    const auto rtn3 = quantize_layers(*model.layers(), layers, rtn<uniform<3, 32>>{});
    const std::vector<variant<weight>> variants{{"full", model.layers()}, {"rtn3", rtn3}};
    matrix<std::int32_t> ids(documents, tokens);
    random_generator random(2);
    for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.below(model.config().vocabulary));

    const auto measure = [&](std::size_t) { return stream_drift(layers, tokens - 1); };
    const auto show = [](std::size_t first, std::span<stream_drift> block) {
        for (auto const& m : block) {
            std::printf("document %zu:", first++);
            for (const double drift : m.per_layer) std::printf(" %.3f", drift);
            std::printf("\n");
        }
    };
    sweep<llama, weight>(model, variants, ids, {}, measure, show);
}
