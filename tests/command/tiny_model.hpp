#pragma once
/// A model that the command can run in no time.

#include "../models/written_model.hpp"

#include "bitlens/text/tokenizer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>

namespace bitlens::test {

/// Writes a Hugging Face folder: a llama in float32, 64 wide, with a tokenizer. Returns the size of its vocabulary.
/// gain: of the last norm, and so of all logits.   padding: rows of the model that no token has.   tied: its head.
inline std::size_t write_tiny_model(std::filesystem::path const& folder, std::size_t layers, float gain = 1,
                                    std::size_t padding = 0, bool tied = true) {
    const auto tokenizer_path = std::filesystem::path(BITLENS_TEST_DATA) / "text" / "tiny_smollm.json";
    const std::size_t vocabulary = tokenizer::from_json(tokenizer_path).vocabulary_size();
    const std::size_t model_rows = vocabulary + padding;
    const json config = {{"architectures", {"LlamaForCausalLM"}},
                         {"model_type", "llama"},
                         {"hidden_size", 64},
                         {"intermediate_size", 128},
                         {"num_hidden_layers", layers},
                         {"num_attention_heads", 4},
                         {"num_key_value_heads", 2},
                         {"vocab_size", model_rows},
                         {"max_position_embeddings", 256},
                         {"rms_norm_eps", 1e-5},
                         {"rope_theta", 10000.0},
                         {"hidden_act", "silu"},
                         {"tie_word_embeddings", tied},
                         {"torch_dtype", "float32"}};
    const model_config c{"llama", layers, model_rows, 256, {64, 4, 2, 16, 128, 1e-5f}, tied};
    auto tensors = make_tensors(c, safetensors_type::f32);
    auto& norm = std::ranges::find(tensors, "model.norm.weight", &written_tensor::name)->bytes;
    for (std::size_t i = 0; i < norm.size(); i += sizeof(float)) {
        float weight;
        std::memcpy(&weight, &norm[i], sizeof weight);
        weight *= gain;
        std::memcpy(&norm[i], &weight, sizeof weight);
    }
    write_folder(folder, config, tensors);
    std::filesystem::copy_file(tokenizer_path, folder / "tokenizer.json");
    return vocabulary;
}

} // namespace bitlens::test
