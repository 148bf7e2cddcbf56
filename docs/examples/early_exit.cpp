#include <bitlens/analysis/location_results.hpp>
#include <bitlens/models/random_model.hpp>
#include <bitlens/quantizers.hpp>
#include <bitlens/recipes/quantize_layers.hpp>
#include <bitlens/stats/moments.hpp>

#include <cstdio>

using three_bits = bitlens::uniform<3, 32>;
using weight = bitlens::mixed_matrix<bitlens::dense<float>, three_bits>;

int main() {
    const auto config = bitlens::tiny_config<bitlens::llama>();
    const auto model = bitlens::tiny_model<bitlens::llama, weight>(config, 1);
    const auto name_of = [](auto state, auto scale, std::string const& of, std::size_t k) {
        return bitlens::location_names::early_exit(state, scale, of, k);
    };

    // The models, then each of them ending in each layer, in both states and both scales.
    using variant = bitlens::variant<weight>;
    std::vector<variant> variants{
        {"full", model.layers()},
        {"rtn3", bitlens::quantize_layers(*model.layers(), config.layers, bitlens::rtn<three_bits>{})}};
    for (std::string const of : {"full", "rtn3"})
        for (std::size_t k = 0; k < config.layers; ++k)
            for (const auto state : bitlens::exit_states)
                for (const auto scale : bitlens::exit_scales)
                    variants.push_back(variant::fork(name_of(state, scale, of, k), of).ending({k, state, scale}));

    bitlens::matrix<std::int32_t> ids(16, 33);
    bitlens::random_generator random(1);
    for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.below(config.vocabulary));
    const auto documents = bitlens::document_rows::numbered(std::move(ids));
    const auto table = bitlens::measure_run(model, variants, documents, {.examples_per_block = 8, .threads = 2},
                                            bitlens::location_losses{});

    const auto mean = [&](std::string const& column) { return bitlens::mean(table.of_documents(column)); };
    for (std::string const of : {"full", "rtn3"}) {
        std::printf("%s      r      z  frozen r      z\n", of.c_str());
        for (std::size_t k = 0; k < config.layers; ++k) {
            std::printf("   %zu", k);
            for (const auto scale : bitlens::exit_scales)
                for (const auto state : bitlens::exit_states)
                    std::printf(" %8.4f", mean(bitlens::location_names::exit_column(name_of(state, scale, of, k))));
            std::printf("\n");
        }
        std::printf("   end, as %s: %.4f\n", ("nll_" + of).c_str(), mean("nll_" + of));
    }
    const bitlens::variant_tree<weight> tree(variants, config.block, config.layers);
    std::printf("layers run of a row: %zu\n", tree.load().layers_run);
}
