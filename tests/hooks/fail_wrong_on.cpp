// A probe that listens must have an `on` that can be called. Built with BITLENS_BAD=0 it compiles, with 1 it must not.
#include "bitlens/hooks/probe.hpp"

struct listener {
    using points = bitlens::hook::set<bitlens::hook::mlp_up>;
#if BITLENS_BAD
    void on(bitlens::hook::mlp_up, bitlens::matrix_view<float>) {}
#else
    void on(bitlens::hook::mlp_up, bitlens::site, bitlens::matrix_view<float>) {}
#endif
};

int main() {
    listener p;
    bitlens::emit<bitlens::hook::mlp_up>(p, {0}, {});
}
