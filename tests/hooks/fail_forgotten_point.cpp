// A probe whose set lacks a point that it has an `on` for would never hear it. Each BITLENS_BAD is one mistake.
#include "bitlens/hooks/probe.hpp"

using namespace bitlens;

struct listener {
#if BITLENS_BAD == 5
    using points = hook::mlp_up;
#elif BITLENS_BAD != 6
    using points = hook::set<hook::mlp_up>;
#endif
    void on(hook::mlp_up, site, matrix_view<float>) const {}
#if BITLENS_BAD == 1
    void on(hook::mlp_out, site, matrix_view<float>) {}
#elif BITLENS_BAD == 2
    void on(hook::logits const&, site, matrix_view<const float>) const {}
#elif BITLENS_BAD == 3 || BITLENS_BAD == 4
    template <class Tensor>
    auto on(hook::resid_pre, site at, Tensor) const {
        return at.layer;
    }
#endif
};

template <class P>
void run(P& p) {
    const matrix_view<float> a;
    emit<hook::attn_in>(p, {0}, a); // the mistake is told wherever the probe is used
}

int main() {
#if BITLENS_BAD == 4
    listener p;
    chain both(p, no_probe{});
    run(both);
#else
    const listener p;
    run(p);
#endif
}
