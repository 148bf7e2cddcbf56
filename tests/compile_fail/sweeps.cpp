// What a sweep takes: variants of the model's weights, and measurements. Each BITLENS_BAD is one mistake.
#include "bitlens/models/architectures.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/sweep/sweep.hpp"

#include <vector>

using namespace bitlens;
using weight = packed_matrix<dense<float>>;
using other_weight = mixed_matrix<dense<float>, dense<bf16>>;

struct measured {
#if BITLENS_BAD != 3
    std::span<const token_scores> scores() { return {}; }
#endif
#if BITLENS_BAD != 4
    template <class F>
    void with_probe(std::size_t, F const& f) {
        no_probe nobody;
        f(nobody);
    }
#endif
};

int main() {
    const auto model = tiny_model<llama, weight>(tiny_config<llama>(), 1);
    const auto other = tiny_model<llama, other_weight>(tiny_config<llama>(), 1);
    std::vector<variant<weight>> variants{{"full", model.layers()}};
    const std::vector<variant<other_weight>> others{{"full", other.layers()}};
    const matrix<std::int32_t> ids(1, 2);
    [[maybe_unused]] const auto make = [](std::size_t) { return measured{}; };
    [[maybe_unused]] const auto done = [](std::size_t, std::span<measured>) {};
#if BITLENS_BAD == 1
    variants.push_back({"other", other.layers()});
#elif BITLENS_BAD == 2
    sweep(model, others, ids, {}, make, done);
#elif BITLENS_BAD == 5
    sweep(model, variants, ids, {}, measured{}, done);
#elif BITLENS_BAD == 6
    sweep(model, variants, ids, {}, make, [](measured&) {});
#else
    sweep(model, variants, ids, {}, make, done);
#endif
}
