/// Section 6.1: is the damage done in the last layers?
///
///     the last ⌊0.18 · L⌋ layers in full precision, the paper's 7 of 40: perplexity, and the share of the damage
///     (NLL_quantized − NLL_restored) / (NLL_quantized − NLL_full), of means over D_large and over D_ctrl
///     layers k … L − 1 in full precision, for each k of the upper half

#include "experiment.hpp"

#include "bitlens/page/location_figures.hpp"

#include <iostream>

namespace {

using namespace bitlens;

void show_restored(finished_study const& s, location const& l) {
    table late = location_late_table(s, l);
    late.notes = paper::location_notes(s, l);
    std::cout << to_text(late) << '\n' << to_text(from_layer_table(s, l)) << '\n';
    const figure f = from_layer_figure(s, l);
    write_figure(".", f);
    std::cout << "Figure: " << f.name << ".svg\n";
}

} // namespace

int main(int argc, char** argv) { return paper::run(argc, argv, "rtn3-g64,nf3-g64", {.restore = true}, show_restored); }
