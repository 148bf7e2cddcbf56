// What the library's own probes listen to is a point. Each BITLENS_BAD is one mistake.
#include "bitlens/hooks/measure.hpp"
#include "bitlens/hooks/record.hpp"

using namespace bitlens;

struct resid_middle {};

int main() {
    const record<hook::resid_mid> r;
    const residual_norms<hook::resid_mid> n(1);
#if BITLENS_BAD == 1
    const record<resid_middle> s;
#elif BITLENS_BAD == 2
    const residual_norms<resid_middle> s(1);
#elif BITLENS_BAD == 3
    const token_kurtosis<resid_middle> s(1);
#endif
}
