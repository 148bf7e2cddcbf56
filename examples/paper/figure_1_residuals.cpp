/// Figure 1: what did the full model's states look like on the documents that quantization breaks?
///
///     D_large   the tenth of the documents with the largest errors, without near-duplicates
///     D_ctrl    as many at random from the half with the smaller errors
///     (a)       mean norm(x; r) of both sets over the upper layers: large below control
///     (b)       densities of norm(x; r), before the second norm of a block, at each of the last ten layers
///     (c)       densities of norm(x; h), after it: the order is reversed

#include "experiment.hpp"

#include "bitlens/page/figures.hpp"

#include <functional>
#include <iostream>

namespace {

using namespace bitlens;

void show_residuals(finished_study const& s) {
    constexpr std::size_t method = 0; // whose errors make the sets
    error_sets const& sets = s.sets[method];
    const auto r = curves_over(s.norm_r, sets), h = curves_over(s.norm_h, sets);
    const std::size_t first = upper_half(s.layers());

    table t{"figure_1",
            "Mean magnitudes over D_large and D_ctrl of " + s.methods[method].name,
            {{"layer", "layer"},
             {"r_large", "norm(x; r), D_large"},
             {"r_ctrl", "D_ctrl"},
             {"h_large", "norm(x; h), D_large"},
             {"h_ctrl", "D_ctrl"}},
            {},
            {}};
    for (std::size_t k = first; k < s.layers(); ++k) t.add({k, r.large[k], r.ctrl[k], h.large[k], h.ctrl[k]});
    const auto below = count_layers(r.large, r.ctrl, first, std::less<>{});
    const auto above = count_layers(h.large, h.ctrl, first, std::greater<>{});
    t.notes.push_back("D_large is below D_ctrl before the norm in " + std::to_string(below.holds) + " of " +
                      std::to_string(below.of) + " layers, above it after the norm in " + std::to_string(above.holds) +
                      " of " + std::to_string(above.of) + ".");
    std::cout << to_text(t) << '\n';

    resampler draws(s.seed);
    for (auto const& f :
         {norm_curves_figure(s, method, draws), norm_r_density_figure(s, method), norm_h_density_figure(s, method)}) {
        write_figure(".", f);
        std::cout << "Figure: " << f.name << ".svg\n";
    }
}

} // namespace

int main(int argc, char** argv) { return paper::run(argc, argv, "rtn3-g64", show_residuals); }
