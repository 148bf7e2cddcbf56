/// Table 4: whose clean output gives back what quantization broke?
///
///     patched   overwritten with the full model's for the same document, at all positions of the layers ⌊L/2⌋ … L − 1
///     exp(mean NLL) over D_large of the first method, and over its D_ctrl, which the paper does not have

#include "experiment.hpp"

#include "bitlens/page/location_tables.hpp"

#include <array>
#include <iostream>

namespace {

using namespace bitlens;

struct patched_point {
    const char* in_paper;
    std::string_view point;
};
constexpr std::array points{
    patched_point{"h_gate", hook::name<hook::mlp_gate>}, patched_point{"h_up", hook::name<hook::mlp_up>},
    patched_point{"h_down", hook::name<hook::mlp_out>}, patched_point{"h_attn", hook::name<hook::attn_out>}};

void show_patches(finished_study const& s, location const& l) {
    table t{"table_4",
            "Perplexity with the full model's activations in the upper half of the layers",
            {{"method", "method"}, {"set", "documents"}, {"full", "full", 2}, {"quantized", "quantized", 2}},
            {},
            paper::location_notes(s, l)};
    for (auto const& p : points) t.columns.push_back({p.in_paper, p.in_paper, 2});
    for (located_method const& m : l.methods)
        for (const located_set set : {located_set::large, located_set::ctrl}) {
            std::vector<cell> row{s.methods[m.method].name, std::string(set_title(set)),
                                  m.full_on(set).perplexity.value, m.itself_on(set).perplexity.value};
            for (auto const& p : points) row.push_back(m.find({change_kind::patch, p.point})->on(set).perplexity.value);
            t.add(std::move(row));
        }
    std::cout << to_text(t);
}

} // namespace

int main(int argc, char** argv) { return paper::run(argc, argv, "rtn3-g64,nf3-g64", {.patch = true}, show_patches); }
