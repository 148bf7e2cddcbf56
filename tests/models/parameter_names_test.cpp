#include "bitlens/models/parameter_names.hpp"

#include "bitlens/models/random_model.hpp"

#include <cstddef>
#include <string>

#include <doctest/doctest.h>

using namespace bitlens;

TEST_CASE("parameters are counted as the family lists them, a tied head once") {
    // Width 64, 4 and 2 heads of 16, MLP 160, 4 layers, vocabulary 256.
    constexpr std::uint64_t block = 64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 160 * 64 + 2 * 64;
    const auto llama_config = tiny_config<llama>();
    CHECK(count_parameters(llama::description, llama_config) == parameter_count{256 * 64 + 64 + 4 * block, 4 * block});
    auto untied = llama_config;
    untied.tied_head = false;
    CHECK(count_parameters(llama::description, untied).all == 2 * 256 * 64 + 64 + 4 * block);

    constexpr std::uint64_t biases = 64 + 2 * 32, norms_of_heads = 2 * 16;
    CHECK(count_parameters(qwen2::description, tiny_config<qwen2>()).blocks == 4 * (block + biases));
    CHECK(count_parameters(qwen3::description, tiny_config<qwen3>()).blocks == 4 * (block + norms_of_heads));
    // Two norms more around attention and MLP; of OLMo 2 as many, elsewhere, and norms of all heads.
    CHECK(count_parameters(gemma2::description, tiny_config<gemma2>()).blocks == 4 * (block + 2 * 64));
    CHECK(count_parameters(olmo2::description, tiny_config<olmo2>()).blocks == 4 * (block + 64 + 32));
}

TEST_CASE("a tensor of a block is found by its name") {
    const auto config = tiny_config<qwen2>();
    std::size_t in_blocks = 0;
    detail::for_each_tensor(qwen2::description, config, [&](std::string const& name, auto const&) {
        const auto found = detail::find_in_blocks(qwen2::description, name);
        CHECK(found.has_value() == name.starts_with("model.layers."));
        if (!found) return;
        ++in_blocks;
        CHECK(detail::layer_prefix(found->layer) + detail::name_below_layer(*found->parameter) == name);
    });
    CHECK(in_blocks == config.layers * (7 + 3 + 2));
    for (const char* name : {"model.layers.0.mlp.odd_proj.weight", "model.layers.x.mlp.up_proj.weight",
                             "model.layers.1x.mlp.up_proj.weight", "model.layers.1", "blk.0.attn_q.weight", ""})
        CHECK_FALSE(detail::find_in_blocks(qwen2::description, name).has_value());
}
