/// Appendix A: would another definition of the error say the same?
///
///     e(x)       = NLL_quantized(x) − NLL_full(x)                             (eq. 4)
///     e_KL(x)    = 1/T · Σ_t Σ_v p_full(v) · log(p_full(v) / p_quantized(v))    of the predictions at each position
///     ρ(e, e_KL) over all documents

#include "experiment.hpp"

#include "bitlens/page/tables.hpp"

#include <iostream>

namespace {

using namespace bitlens;

void show_divergence(finished_study const& s) { std::cout << to_text(kl_correlation_table(s)); }

} // namespace

int main(int argc, char** argv) { return paper::run(argc, argv, "rtn3-g64,rtn4-g64,nf3-g64,nf4-g64", show_divergence); }
