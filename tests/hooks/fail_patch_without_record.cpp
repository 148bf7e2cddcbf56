// A patch reads from a record that heard all its points. Built with BITLENS_BAD=0 it compiles, with 1 it must not.
#include "bitlens/hooks/patch.hpp"

using namespace bitlens;

int main() {
#if BITLENS_BAD
    record<hook::mlp_up> source;
#else
    record<hook::mlp_up, hook::mlp_gate> source;
#endif
    patch<hook::mlp_gate> p(source);
    (void)p;
}
