/// Table 2 and figures 8 to 11: do residual magnitudes of the full model foretell the errors of its quantized versions?
///
///     S(l) = norm(x; r) = 1/T · Σ_t ‖r_t‖₂   of a document at layer l, position 0 left out (eq. 7)
///     ρ(S(l), E)                             over all documents, with the error E under a method (eq. 4)

#include "experiment.hpp"

#include "bitlens/analysis/study_figures.hpp"

#include <iostream>

namespace {

using namespace bitlens;

void show_correlations(finished_study const& s) {
    run_results const& run = s.run;
    table last{"table_2",
               "Correlation of the residual magnitude at the last layer with the error",
               {{"method", "method"}, {"pearson", "Pearson"}, {"low", "95 % from"}, {"high", "to"}},
               {},
               {"The paper: -0.66 to -0.80, means of a model's methods."}};
    for (auto const& m : run.methods) {
        const auto interval = correlation_interval(run.norm_r.back(), m.error, run.seed);
        last.add({m.name, correlation(run.norm_r.back(), m.error), interval.lo, interval.hi});
    }
    std::cout << to_text(last) << '\n';

    table layers{"figure_8", "The same over the upper half of the layers", {{"layer", "layer"}}, {}, {}};
    for (auto const& m : run.methods) layers.columns.push_back({m.name, m.name});
    for (std::size_t k = upper_half(run.layers()); k < run.layers(); ++k) {
        std::vector<cell> row{k};
        for (auto const& m : run.methods) row.push_back(correlation(run.norm_r[k], m.error));
        layers.add(std::move(row));
    }
    std::cout << to_text(layers);

    const figure f = correlation_r_figure(s);
    write_figure(".", f);
    std::cout << "\nFigure: " << f.name << ".svg\n";
}

} // namespace

int main(int argc, char** argv) { return paper::run(argc, argv, "rtn3-g64,nf3-g64", show_correlations); }
