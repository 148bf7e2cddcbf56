#include "bitlens/models/parameter_names.hpp"

#include "bitlens/models/random_model.hpp"

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
