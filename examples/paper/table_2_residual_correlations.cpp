/// Table 2 and figures 8 to 11: do residual magnitudes of the full model foretell the errors of its quantized versions?
///
///     S(l) = norm(x; r) = 1/T · Σ_t ‖r_t‖₂   of a document at layer l, position 0 left out (eq. 7)
///     ρ(S(l), E)                             over all documents, with the error E under a method (eq. 4)

#include "experiment.hpp"

#include "bitlens/page/figures.hpp"
#include "bitlens/page/published_methods.hpp"

#include <iostream>

namespace {

using namespace bitlens;

void show_correlations(finished_study const& s) {
    table last{"table_2",
               "Correlation of the residual magnitude at the last layer with the error",
               {{"method", "method"}, {"pearson", "Pearson"}, {"low", "95 % from"}, {"high", "to"}},
               {},
               {"The paper: -0.66 to -0.80, means of a model's methods."}};
    std::vector<std::string> in_paper;
    for (auto const& m : s.methods) {
        in_paper.push_back(published::last_layer_of(m));
        const auto interval = correlation_interval(s.norm_r.row(s.layers() - 1), m.error, s.seed);
        last.add({m.name, correlation(s.norm_r.row(s.layers() - 1), m.error), interval.lo, interval.hi});
    }
    published::add_beside(last, in_paper);
    std::cout << to_text(last) << '\n';

    table layers{"figure_8", "The same over the upper half of the layers", {{"layer", "layer"}}, {}, {}};
    for (auto const& m : s.methods) layers.columns.push_back({m.name, m.name});
    for (std::size_t k = upper_half(s.layers()); k < s.layers(); ++k) {
        std::vector<cell> row{k};
        for (auto const& m : s.methods) row.push_back(correlation(s.norm_r.row(k), m.error));
        layers.add(std::move(row));
    }
    std::cout << to_text(layers);

    resampler draws(s.seed);
    const figure f = correlation_r_figure(s, draws);
    write_figure(".", f);
    std::cout << "\nFigure: " << f.name << ".svg\n";
}

} // namespace

int main(int argc, char** argv) { return paper::run(argc, argv, "rtn3-g64,nf3-g64,gptq3-g64", show_correlations); }
