/// Table 8: does the norm after attention suppress the dimensions that are activated most?
///
///     |r_i|    of each dimension of the states before the second norm of a block, mean over documents and positions
///     γ_i      its weight in that norm; rank: place of |γ_i| among those of all dimensions, from the smallest, 1

#include "experiment.hpp"

#include <algorithm>
#include <iostream>

namespace {

using namespace bitlens;

void show_norm_weights(paper::request const& asked) {
    const auto layers = paper::measure_outliers(asked);
    table t{"table_8",
            "Weights of the second norm for the most activated dimensions, the most activated first",
            {{"layer", "layer"},
             {"dimensions", "dimensions"},
             {"ranks", "ranks of |γ|"},
             {"median", "median |γ|", 4},
             {"gammas", "their |γ|"}},
            {},
            {}};
    std::size_t below = 0, all = 0;
    for (std::size_t k = upper_half(layers.size()); k < layers.size(); ++k) {
        std::string dimensions, ranks, gammas;
        for (auto const& o : layers[k].outliers) {
            const std::string separator = dimensions.empty() ? "" : " ";
            const double gamma = std::abs(double{o.gamma});
            dimensions += separator + std::to_string(o.dimension);
            ranks += separator + std::to_string(o.rank);
            gammas += separator + rounded_text(gamma, 4);
            below += gamma < layers[k].median_gamma ? 1u : 0u;
            ++all;
        }
        t.add({k, dimensions, ranks, layers[k].median_gamma, gammas});
    }
    t.notes.push_back("Below the median: " + std::to_string(below) + " of " + std::to_string(all) +
                      ". The paper: all of Llama3-70B; of Mistral-12B the first, with rank 1 or 2 in most layers.");
    std::cout << to_text(t);
}

} // namespace

int main(int argc, char** argv) {
    return paper::run(argc, argv, nullptr, paper::own_option::first_position, show_norm_weights);
}
