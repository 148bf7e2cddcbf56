// A user's program: a llama from a checkpoint, its layers in 4 bits, and how well it predicts one document.

#include <bitlens/hooks.hpp>
#include <bitlens/kernels.hpp>
#include <bitlens/models.hpp>
#include <bitlens/quantizers.hpp>
#include <bitlens/recipes.hpp>

#include <cstdio>

using namespace bitlens;
using weight = mixed_matrix<dense<float>, uniform<4, 64>>;

int main(int, char** argv) {
    const checkpoint source(argv[1]);
    const auto ids = source.load_tokenizer().encode(argv[2]);
    transformer<llama, weight> model(source, true);
    model = model.with_layers(quantize_layers(*model.layers(), model.config().layers, rtn<uniform<4, 64>>{}));

    record<hook::final_norm> last;
    model.forward(ids, last);
    const std::size_t scored = ids.size() - 1;
    const auto hidden = last.get<hook::final_norm>().middle_rows(0, scored);
    std::vector<double> nll(scored);
    std::vector<std::int32_t> top(scored);
    std::vector<float> margin(scored);
    const token_scores scores{nll, {}, top, margin};
    workspace scratch(vocabulary_loss_bytes(model.config().vocabulary, hidden.cols, scored, 1, 1));
    vocabulary_loss(model.head(), no_soft_cap, {&hidden, 1}, std::span(ids).subspan(1), {&scores, 1}, scratch);
    for (const double x : nll) std::printf("%.4f\n", x);
}
