#include <bitlens/hooks.hpp>
#include <bitlens/models.hpp>
#include <bitlens/stats.hpp>

#include <algorithm>
#include <cstdio>
#include <exception>

// Whatever a checkpoint stores a weight as: which one it is, each matrix knows.
using weight =
    bitlens::mixed_matrix<bitlens::dense<float>, bitlens::dense<bitlens::bf16>, bitlens::dense<bitlens::f16>>;

/// The id that the model finds most likely to follow.
template <class Architecture>
std::int32_t next_id(bitlens::transformer<Architecture, weight> const& model, std::span<const std::int32_t> ids) {
    bitlens::record<bitlens::hook::logits> probe;
    model.forward(ids, probe);
    const auto last = probe.get<bitlens::hook::logits>().row(ids.size() - 1);
    return static_cast<std::int32_t>(std::max_element(last.begin(), last.end()) - last.begin());
}

/// How well the model foretells each id from those before it.
template <class Architecture>
void print_loss(bitlens::transformer<Architecture, weight> const& model, std::span<const std::int32_t> ids) {
    std::printf("nats per token: %.2f\n", bitlens::mean(bitlens::score(model, ids)));
}

void run_checkpoint(const char* path) {
    const bitlens::checkpoint source(path); // Hugging Face folder, or GGUF file
    const auto tokenizer = source.load_tokenizer();
    auto ids = tokenizer.encode_with_bos("The capital of France is");
    std::printf("%s\n", source.format_description().c_str());
    bitlens::visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        const bitlens::transformer<Architecture, weight> model(source, true);
        print_loss(model, ids);
        for (int step = 0; step < 5; ++step) ids.push_back(next_id(model, ids));
    });
    std::printf("%s\n", tokenizer.decode(ids).c_str());
}

void run_random_model() {
    const auto model = bitlens::tiny_model<bitlens::llama, weight>(bitlens::tiny_config<bitlens::llama>(), /*seed*/ 1);
    std::vector<std::int32_t> ids{1, 2, 3};
    print_loss(model, ids);
    for (int step = 0; step < 5; ++step) ids.push_back(next_id(model, ids));
    std::printf("ids");
    for (const auto id : ids) std::printf(" %d", id);
    std::printf("\n");
}

int main(int argc, char** argv) try {
    argc > 1 ? run_checkpoint(argv[1]) : run_random_model();
} catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
