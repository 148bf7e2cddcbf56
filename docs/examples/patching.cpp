#include <bitlens/models/random_model.hpp>
#include <bitlens/quantizers.hpp>
#include <bitlens/recipes/quantize_layers.hpp>
#include <bitlens/stats/moments.hpp>
#include <bitlens/sweep/position_scores.hpp>
#include <bitlens/sweep/sweep.hpp>

#include <cstdio>

namespace hook = bitlens::hook;
using three_bits = bitlens::uniform<3, 32>;
using weight = bitlens::mixed_matrix<bitlens::dense<float>, three_bits>;
using model_layers = std::shared_ptr<bitlens::layer_source<weight>>;

/// W_up times 2 and W_down by 2: the same function, whose mlp_up is twice as large.
model_layers rescaled(model_layers const& full, std::size_t layers) {
    std::vector<bitlens::block_weights<weight>> blocks;
    for (std::size_t k = 0; k < layers; ++k) {
        blocks.push_back(full->layer(k));
        const auto multiply = [&](bitlens::projection p, float factor) {
            auto& of_block = blocks.back().linear[static_cast<std::size_t>(p)];
            bitlens::packed_matrix<bitlens::dense<float>> w(of_block->rows(), of_block->cols());
            for (std::size_t r = 0; r < w.rows(); ++r)
                for (std::size_t c = 0; c < w.cols(); ++c) w.writable_row(r)[c] = factor * of_block->value(r, c);
            of_block = std::make_shared<const weight>(std::move(w));
        };
        multiply(bitlens::projection::up, 2);
        multiply(bitlens::projection::down, 0.5f);
    }
    return std::make_shared<bitlens::resident_layers<weight>>(std::move(blocks));
}

int main() {
    const auto config = bitlens::tiny_config<bitlens::llama>();
    const auto model = bitlens::tiny_model<bitlens::llama, weight>(config, 1);
    const model_layers full = model.layers(), scaled = rescaled(full, config.layers);
    const auto quantized = [&](model_layers const& of) {
        return bitlens::quantize_layers(*of, config.layers, bitlens::rtn<three_bits>{});
    };
    constexpr auto mlp_out = hook::id_of<hook::mlp_out>, attn_out = hook::id_of<hook::attn_out>;
    constexpr auto mlp_up = hook::id_of<hook::mlp_up>;

    using variant = bitlens::variant<weight>;
    const std::vector<variant> variants{
        {"full", full},
        {"rtn3", quantized(full)},
        // Weights of the full model in layer 3, and in W_gate of all layers.
        variant::fork("late", "rtn3").with_weights(full, {3}),
        variant::fork("W_gate", "rtn3").with_weights(full, {}, bitlens::only(bitlens::projection::gate)),
        // What the full model computes for the same row, in layers 2 and 3; at all positions but the first; at 8 to 15.
        variant::fork("mlp_out", "rtn3").patched(mlp_out, "full", {2}),
        variant::fork("not the first", "rtn3").patched(mlp_out, "full", {2}, {1}),
        variant::fork("8 to 15", "rtn3").patched(mlp_out, "full", {2}, {8, 16}),
        variant::fork("both, from 2", "mlp_out").patched(attn_out, "full", {2}),
        variant::fork("both, all", "rtn3").patched(mlp_out, "full").patched(attn_out, "full"),
        // A model whose mlp_up has another scale is patched from a full model that has it too.
        {"rescaled", scaled},
        {"rescaled rtn3", quantized(scaled)},
        variant::fork("up of full", "rescaled rtn3").patched(mlp_up, "full", {2}),
        variant::fork("up of rescaled", "rescaled rtn3").patched(mlp_up, "rescaled", {2})};

    bitlens::matrix<std::int32_t> ids(16, 33);
    bitlens::random_generator random(1);
    for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.below(config.vocabulary));
    using losses = bitlens::score_measurement;       // of one row, under every variant
    std::vector<double> divergence(variants.size()); // from the full model
    const auto replaced = bitlens::sweep(
        model, variants, ids.view(), {.examples_per_block = 8, .threads = 2},
        [&](std::size_t) { return losses(ids.cols() - 1, variants.size()); },
        [&](std::size_t, std::span<losses> block) {
            for (auto const& row : block)
                for (std::size_t v = 1; v < variants.size(); ++v)
                    divergence[v] += bitlens::mean<double>(row.positions(v).kl) / static_cast<double>(ids.rows());
        });

    const bitlens::variant_tree<weight> tree(variants, config.block, config.layers);
    for (std::size_t v = 1; v < variants.size(); ++v)
        std::printf("%-15s runs %zu layers, divergence %.4f\n", variants[v].name.c_str(), tree.layers_of(v),
                    divergence[v]);
    for (auto const& p : replaced)
        std::printf("%s: %llu values of %s replaced\n", p.variant.c_str(), static_cast<unsigned long long>(p.values),
                    std::string(name(p.point)).c_str());
}
