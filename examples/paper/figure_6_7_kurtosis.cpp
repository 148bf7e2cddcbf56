/// Figures 6 and 7: do the documents that quantization breaks have more outliers in the full model's states?
///
///     kurtosis(v) = 1/d · Σ_i ((v_i − v̄) / σ)⁴   of one token's state, 3 for a normal distribution; mean over tokens
///
/// of r (before the second norm of a block) and h (after it), over D_large and D_ctrl, layer by layer.

#include "experiment.hpp"

#include "bitlens/page/figures.hpp"

#include <functional>
#include <iostream>

namespace {

using namespace bitlens;

std::string layers_below(set_curves const& kurtosis) {
    const auto [below, of] = count_layers(kurtosis.large, kurtosis.ctrl, 0, std::less<>{});
    return std::to_string(below) + " of " + std::to_string(of);
}

void show_kurtosis(finished_study const& s) {
    constexpr std::size_t method = 0; // whose errors make the sets
    const auto r = curves_over(s.kurtosis_r, s.sets[method]), h = curves_over(s.kurtosis_h, s.sets[method]);

    table t{"figure_6_7",
            "Mean kurtosis over D_large and D_ctrl of " + s.methods[method].name,
            {{"layer", "layer"},
             {"r_large", "r, D_large"},
             {"r_ctrl", "D_ctrl"},
             {"h_large", "h, D_large"},
             {"h_ctrl", "D_ctrl"}},
            {},
            {"D_large is below D_ctrl in " + layers_below(r) + " layers for r, in " + layers_below(h) + " for h."}};
    for (std::size_t k = 0; k < s.layers(); ++k) t.add({k, r.large[k], r.ctrl[k], h.large[k], h.ctrl[k]});
    std::cout << to_text(t);

    resampler draws(s.seed);
    const figure f = kurtosis_figure(s, method, draws);
    write_figure(".", f);
    std::cout << "\nFigure: " << f.name << ".svg\n";
}

} // namespace

int main(int argc, char** argv) { return paper::run(argc, argv, "rtn3-g64", show_kurtosis); }
