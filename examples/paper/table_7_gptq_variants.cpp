/// Table 7: do variants of GPTQ fail on the same documents?
///
///     damp   λ = damp · mean(diag H), added to the diagonal of the Hessian H
///     sort   columns are quantized by falling diag H; no_sort: as they lie
///     ρ(e_a, e_b) over all documents, of the errors of every two of the variants

#include "experiment.hpp"

#include "bitlens/page/published_methods.hpp"
#include "bitlens/recipes/gptq_method.hpp"

#include <array>
#include <iostream>

namespace {

using namespace bitlens;

constexpr std::array<gptq_options, 4> variants{
    {{.damp = 0.005}, {.damp = 0.01}, {.damp = 0.02}, {.damp = 0.01, .act_order = false}}};

/// "damp-0.005-sort=gptq3-g64:damp=0.005,…"
std::string all_variants() {
    std::string methods;
    for (gptq_options const& o : variants)
        methods += (methods.empty() ? "damp-" : ",damp-") + exact_text(o.damp) +
                   (o.act_order ? "-sort=" : "-no_sort=") +
                   gptq_method{.bits = 3, .group_size = 64, .options = o}.text();
    return methods;
}

void show_correlations(finished_study const& s) {
    table t{"table_7",
            "Correlation of errors between variants of GPTQ",
            {{"first", "variant"},
             {"second", "and"},
             {"pearson", "Pearson", 2},
             {"low", "95 % from", 2},
             {"high", "to", 2}},
            {},
            {}};
    std::vector<measured> all;
    std::vector<std::string> in_paper;
    for (auto const& pair : method_pairs(s)) {
        auto const &first = s.methods[pair.first], &second = s.methods[pair.second];
        if (!published::are_variants(first, second)) continue;
        t.add({first.name, second.name, pair.pearson, pair.interval.lo, pair.interval.hi});
        all.push_back(pair.pearson);
        in_paper.push_back(published::correlations_of(first, second));
    }
    published::add_beside(t, in_paper);
    t.notes.push_back("Mean: " + shown(mean_defined(all), 2) + ". The paper's 6 pairs: 0.93.");
    std::cout << to_text(t);
}

} // namespace

int main(int argc, char** argv) { return paper::run(argc, argv, all_variants().c_str(), show_correlations); }
