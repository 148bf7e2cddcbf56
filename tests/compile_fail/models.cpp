// A model has an architecture and weights, and is run with a named probe. Each BITLENS_BAD is one mistake.
#include "bitlens/hooks/record.hpp"
#include "bitlens/models/architectures.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/models/score.hpp"

#include <vector>

using namespace bitlens;
using weight = packed_matrix<dense<float>>;
using other_weight = mixed_matrix<dense<float>, dense<bf16>>;

struct no_family {
    static constexpr std::string_view name = "no_family";
};
struct no_points {};

int main() {
    const auto model = tiny_model<llama, weight>(tiny_config<llama>(), 1);
    const auto other = tiny_model<llama, other_weight>(tiny_config<llama>(), 1);
    const std::vector<std::int32_t> ids{1, 2};
    record<hook::logits> heard;
    no_probe nobody;
    model.forward(ids, heard);
    (void)score(model, ids, nobody);
    (void)model.with_layers(model.layers());
#if BITLENS_BAD == 1
    transformer<weight, llama>* const m = nullptr;
    (void)m->config();
#elif BITLENS_BAD == 2
    transformer<llama, dense<float>>* const m = nullptr;
    (void)m->config();
#elif BITLENS_BAD == 3
    (void)tiny_model<llama, float>(tiny_config<llama>(), 1);
#elif BITLENS_BAD == 4
    (void)tiny_config<no_family>();
#elif BITLENS_BAD == 5
    (void)model.with_layers(other.layers());
#elif BITLENS_BAD == 6
    model.forward(ids, record<hook::logits>{});
#elif BITLENS_BAD == 7
    no_points deaf;
    model.forward(ids, deaf);
#elif BITLENS_BAD == 8
    (void)score(model, ids, no_probe{});
#elif BITLENS_BAD == 9
    (void)score(model, ids, heard);
#elif BITLENS_BAD == 10
    (void)checkpoint("somewhere").load_matrix<dense<float>>("w");
#endif
}
