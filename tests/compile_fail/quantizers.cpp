// A quantizer has its formats, and a model lists those of its quantizer. Each BITLENS_BAD is one mistake.
#include "bitlens/models/architectures.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/quantizers/absmax.hpp"
#include "bitlens/quantizers/rtn.hpp"
#include "bitlens/recipes/quantize_layers.hpp"
#include "bitlens/recipes/quantize_model.hpp"

using namespace bitlens;
using weight = mixed_matrix<dense<float>, uniform<3, 32>, normal_float<3, 32>>;

int main() {
    const auto model = tiny_model<llama, weight>(tiny_config<llama>(), 1);
    const matrix<float> w(1, 64);
    (void)quantize_layers(*model.layers(), 4, rtn<uniform<3, 32>>{});
    (void)quantize_layers(*model.layers(), 4, absmax<normal_float<3, 32>>{});
    (void)quantize<weight>(method{}, w);
#if BITLENS_BAD == 1
    (void)rtn<normal_float<3, 32>>{}(w);
#elif BITLENS_BAD == 2
    (void)absmax<uniform<3, 32>>{}(w);
#elif BITLENS_BAD == 3
    (void)rtn<dense<float>>{}(w);
#elif BITLENS_BAD == 4
    (void)quantize_layers(*model.layers(), 4, rtn<uniform<4, 32>>{});
#elif BITLENS_BAD == 5
    (void)quantize_layers(*model.layers(), 4, uniform<3, 32>{});
#elif BITLENS_BAD == 6
    (void)quantize_layers(model.layers(), 4, rtn<uniform<3, 32>>{});
#elif BITLENS_BAD == 7
    (void)quantize<packed_matrix<uniform<3, 32>>>(method{}, w);
#elif BITLENS_BAD == 8
    (void)quantized_layers<packed_matrix<dense<float>>>(nullptr, method{});
#endif
}
