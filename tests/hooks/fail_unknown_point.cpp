// A set may hold points of bitlens::hook only. Built with BITLENS_BAD=0 it compiles, with 1 it must not.
#include "bitlens/hooks/probe.hpp"

struct resid_middle {};

struct listener {
#if BITLENS_BAD
    using points = bitlens::hook::set<resid_middle>;
#else
    using points = bitlens::hook::set<bitlens::hook::resid_mid>;
#endif
    void on(bitlens::hook::resid_mid, bitlens::site, bitlens::matrix_view<float>) {}
};

int main() {
    listener p;
    bitlens::emit<bitlens::hook::resid_mid>(p, {0}, {});
}
