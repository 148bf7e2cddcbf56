/// `bitlens inspect`: what a checkpoint is, and what would be refused and why.

#include "commands.hpp"

#include "bitlens/models/checkpoint.hpp"
#include "bitlens/sweep/memory_plan.hpp"

#include <cstdio>
#include <exception>
#include <string>

namespace bitlens::command {

namespace {

void print_config(model_config const& c) {
    auto const& b = c.block;
    std::printf("architecture  %s\n", c.architecture.c_str());
    std::printf(
        "sizes         %zu layers, width %zu, %zu heads of %zu, %zu key and value heads, MLP %zu, vocabulary %zu%s\n",
        c.layers, b.width, b.heads, b.head_dim, b.kv_heads, b.ffn_width, c.vocabulary,
        c.tied_head ? ", tied head" : "");
    std::printf("              norm epsilon %g, rope theta %g, context %zu\n", static_cast<double>(b.norm_eps),
                b.rope_theta, c.context);
}

void print_tensors(checkpoint const& source) {
    std::uint64_t bytes = 0, numbers = 0;
    for (auto const& t : source.tensors()) {
        std::uint64_t count = 1;
        std::string shape;
        for (const std::size_t n : t.shape) {
            count *= n;
            shape += (shape.empty() ? "" : " x ") + std::to_string(n);
        }
        std::printf("  %-52s %-6s %s\n", t.name.c_str(), t.type.c_str(), shape.c_str());
        bytes += t.bytes;
        numbers += count;
    }
    std::printf("in all        %zu tensors, %.1f million numbers, %s\n", source.tensors().size(),
                static_cast<double>(numbers) / 1e6, bytes_text(bytes).c_str());
}

} // namespace

void inspect(std::filesystem::path const& model) {
    const checkpoint source = checkpoint::inspect(model);
    std::printf("format        %s\n", source.format_description().c_str());
    print_config(source.config());
    std::printf("tensors\n");
    print_tensors(source);
    std::size_t refusals = source.problems().size();
    try {
        std::printf("tokenizer     %s\n", source.load_tokenizer().description().c_str());
    } catch (error const& e) {
        ++refusals;
        std::printf("refused       tokenizer: %s\n", e.what());
    }
    for (auto const& problem : source.problems()) std::printf("refused       %s\n", problem.c_str());
    if (refusals == 0) std::printf("refused       nothing\n");
}

} // namespace bitlens::command
