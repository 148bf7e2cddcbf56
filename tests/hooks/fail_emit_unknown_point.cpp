// A layer can emit points of bitlens::hook only. Built with BITLENS_BAD=0 it compiles, with 1 it must not.
#include "bitlens/hooks/probe.hpp"

#if BITLENS_BAD
struct mlp_gate_output {};
#else
using mlp_gate_output = bitlens::hook::mlp_gate;
#endif

int main() {
    bitlens::no_probe p;
    bitlens::emit<mlp_gate_output>(p, {0}, {});
}
