#include <bitlens/analysis/location_results.hpp>
#include <bitlens/analysis/location_variants.hpp>

#include <cstdio>
#include <string>

int main() {
    using weight = bitlens::packed_matrix<bitlens::dense<float>>;
    constexpr std::size_t layers = 12;
    const std::vector<bitlens::located_model<weight>> models{{"full", "", nullptr}, {"<m>", "", nullptr}};
    const bitlens::layer_range upper{bitlens::upper_half(layers), layers};
    const bitlens::location_request all{.exits = true,
                                        .restore = true,
                                        .patch = true,
                                        .gates = true,
                                        .sensitivity = true,
                                        .attenuation = true,
                                        .layers = upper,
                                        .every = 3,
                                        .sensitive_layers = {8, 9}};
    const bitlens::location_request frozen{
        .exits = true, .layers = upper, .every = 3, .scale = bitlens::exit_scale::frozen};
    for (auto const& request : {all, frozen})
        for (auto const& v : bitlens::make_location_variants<weight>(std::span(models), request, layers).described) {
            if (v.name == "<m>" || v.name.ends_with("_l11")) continue; // one layer of each curve is enough
            const auto column = v.ends_early ? bitlens::location_names::exit_column(v.name)
                                             : bitlens::location_names::nll_column(v.name);
            std::printf("%-34s %s\n", column.c_str(), v.spec.c_str());
        }
}
