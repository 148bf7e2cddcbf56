/// Section 5.3: do larger inputs of an MLP get larger errors of its output?
///
///     MSE(l)             of the outputs of the MLP of layer l, õ of a quantized model against o of the full one
///     ρ(MSE(l), norm(x; h))    over all documents; h: what the full model's MLP reads

#include "experiment.hpp"

#include "bitlens/page/figures.hpp"
#include "bitlens/page/published.hpp"

#include <functional>
#include <iostream>

namespace {

using namespace bitlens;

void show_mlp_errors(finished_study const& s) {
    const std::size_t first = upper_half(s.layers());
    table t{"section_5_3", "Correlation of norm(x; h) with the MSE of the MLP output", {{"layer", "layer"}}, {}, {}};
    std::vector<std::vector<measured>> rho;
    for (auto const& m : s.methods) {
        t.columns.push_back({m.name, m.name});
        rho.push_back(mse_correlations(s, m));
        const std::vector<measured> threshold(s.layers(), published::norm_h_mse_correlation);
        const auto above = count_layers(rho.back(), threshold, first, std::greater<>{});
        t.notes.push_back(m.name + ": above 0.6 in " + std::to_string(above.holds) + " of " + std::to_string(above.of) +
                          " upper layers.");
    }
    for (std::size_t k = 0; k < s.layers(); ++k) {
        std::vector<cell> row{k};
        for (auto const& of_method : rho) row.push_back(of_method[k]);
        t.add(std::move(row));
    }
    t.notes.push_back("The paper: in most upper layers.");
    std::cout << to_text(t);

    resampler draws(s.seed);
    const figure f = mse_figure(s, draws);
    write_figure(".", f);
    std::cout << "\nFigure: " << f.name << ".svg\n";
}

} // namespace

int main(int argc, char** argv) { return paper::run(argc, argv, "rtn3-g64,nf3-g64", show_mlp_errors); }
