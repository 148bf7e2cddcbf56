/// Section 6.2: is it the weights of the gates, or what they read?
///
///     h_gate           clean outputs of the gates (mlp_gate) in the upper half, as in table 4
///     inputs alone     clean inputs of W_gate (mlp_gate_in) there, while W_up reads the quantized model's
///     W_gate           in full precision, in all layers

#include "experiment.hpp"

#include "bitlens/page/location_tables.hpp"

#include <iostream>

namespace {

using namespace bitlens;

void show_gates(finished_study const& s, location const& l) {
    table t = location_gates_table(s, l);
    for (auto& note : paper::location_notes(s, l)) t.notes.push_back(std::move(note));
    std::cout << to_text(t);
}

} // namespace

int main(int argc, char** argv) { return paper::run(argc, argv, "rtn3-g64,nf3-g64", {.gates = true}, show_gates); }
