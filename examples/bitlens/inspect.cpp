/// `bitlens inspect`: what a checkpoint is, and what would be refused and why.

#include "commands.hpp"

#include "bitlens/models/checkpoint.hpp"
#include "bitlens/sweep/memory_plan.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <string_view>

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

/// A tensor's name with a star for the number of its layer.
std::string without_layer(std::string name) {
    constexpr std::string_view before = "layers.";
    const auto at = name.find(before);
    if (at == std::string::npos) return name;
    const auto end = std::min(name.find('.', at + before.size()), name.size());
    return name.substr(0, at + before.size()) + '*' + name.substr(end);
}

/// One line for all layers whose tensors are alike, with their number.
void print_tensors(checkpoint const& source) {
    std::uint64_t bytes = 0, numbers = 0;
    std::map<std::array<std::string, 3>, std::size_t> alike; // name, type and shape → how many
    for (auto const& t : source.tensors()) {
        std::uint64_t count = 1;
        std::string shape;
        for (const std::size_t n : t.shape) {
            count *= n;
            shape += (shape.empty() ? "" : " x ") + std::to_string(n);
        }
        ++alike[{without_layer(t.name), t.type, shape}];
        bytes += t.bytes;
        numbers += count;
    }
    for (auto const& [tensor, count] : alike)
        std::printf("  %-48s %-6s %-14s %zu\n", tensor[0].c_str(), tensor[1].c_str(), tensor[2].c_str(), count);
    std::printf("in all        %zu tensors, %.1f million numbers, %s\n", source.tensors().size(),
                static_cast<double>(numbers) / 1e6, bytes_text(bytes).c_str());
}

/// And where its ids and the rows of the model are not the same.
void print_tokenizer(tokenizer const& t, std::size_t vocabulary) {
    std::printf("tokenizer     %s\n", t.description().c_str());
    const std::size_t with_row = t.tokens_below(vocabulary);
    if (with_row < vocabulary)
        std::printf("              of the %zu ids of the model %zu have no token\n", vocabulary, vocabulary - with_row);
    if (with_row < t.token_count())
        std::printf("              %zu tokens are beyond the ids of the model; a text that has one is refused\n",
                    t.token_count() - with_row);
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
        print_tokenizer(source.load_tokenizer(), source.config().vocabulary);
    } catch (error const& e) {
        ++refusals;
        std::printf("refused       tokenizer: %s; a study of token ids needs none\n", e.what());
    }
    for (auto const& problem : source.problems()) std::printf("refused       %s\n", problem.c_str());
    if (refusals == 0) std::printf("refused       nothing\n");
}

} // namespace bitlens::command
