/// Beyond the paper: what becomes of its findings as models grow?
///
///     size_study RUN RUN …      finished run folders: several models, the same documents, methods and settings
///
///     ρ(S(L − 1), E)            of the residual magnitude at the last layer with the error (eq. 4 and 7; table 2)
///     reversal                  the same of norm(x; h), after the norm, and in how many of the last ten layers the
///     norm
///                               turns the order of D_large and D_ctrl round (figure 1)
///     growth                    norm(x; r) at the last layer over that at the first
///     overlap                   Jaccard of the documents with the largest errors, between methods and between models

#include "experiment.hpp"

#include "bitlens/page/size_study.hpp"

#include <iostream>
#include <span>

namespace {

using namespace bitlens;

void show_sizes(std::span<const named_study> studies) {
    const size_study s = make_size_study(studies);
    std::cout << to_text(size_table(s));
    if (s.models.size() > 1) std::cout << '\n' << to_text(models_in_common_table(s));
    write_size_study(".", s);
    std::cout << "\nFigure: size_study.svg, with the tables: size_study.html\n";
}

} // namespace

int main(int argc, char** argv) { return paper::run(argc, argv, "rtn3-g64,nf3-g64", show_sizes); }
