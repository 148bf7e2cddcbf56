/// Tables 1 and 6: do different methods fail on the same documents?
///
///     e(x) = NLL_quantized(x) − NLL_full(x)   the error of a document under a method, nats per token (eq. 4)
///     ρ(e_a, e_b)                             over all documents, for every two methods of different families

#include "experiment.hpp"

#include "bitlens/page/published_methods.hpp"

#include <iostream>

namespace {

using namespace bitlens;

void show_correlations(finished_study const& s) {
    table t{"table_1",
            "Correlation of errors between methods",
            {{"first", "method"}, {"second", "and"}, {"pearson", "Pearson"}, {"low", "95 % from"}, {"high", "to"}},
            {},
            {}};
    std::vector<measured> all;
    std::vector<std::string> in_paper;
    for (auto const& pair : method_pairs(s)) {
        if (pair.same_family) continue;
        t.add({s.methods[pair.first].name, s.methods[pair.second].name, pair.pearson, pair.interval.lo,
               pair.interval.hi});
        all.push_back(pair.pearson);
        in_paper.push_back(published::correlations_of(s.methods[pair.first], s.methods[pair.second]));
    }
    published::add_beside(t, in_paper);
    t.notes.push_back("Mean: " + shown(mean_defined(all), 3) + ". The paper's 50 pairs: 0.82.");
    std::cout << to_text(t);
}

} // namespace

int main(int argc, char** argv) {
    return paper::run(argc, argv, "rtn3-g64,rtn4-g64,nf3-g64,nf4-g64,gptq3-g64,gptq4-g128", show_correlations);
}
