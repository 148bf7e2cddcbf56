#include <bitlens/hooks.hpp>
#include <bitlens/models.hpp>

#include <cstdio>

/// A family of one's own: built like Llama, with biases on q, k and v, and GGUF files that leave q and k as they are.
struct my_family {
    static constexpr std::string_view name = "my_family";
    static constexpr std::string_view hugging_face_class = "MyFamilyForCausalLM";
    static constexpr bool qkv_bias = true;
    static constexpr bool gguf_interleaves_heads = false;
};

using weight = bitlens::packed_matrix<bitlens::dense<float>>;

template <class Architecture>
double norm_of_the_last_layer() {
    const auto config = bitlens::tiny_config<Architecture>();
    const auto model = bitlens::tiny_model<Architecture, weight>(config, 1);
    bitlens::residual_norms<bitlens::hook::resid_post> norms(config.layers);
    model.forward(std::vector<std::int32_t>{1, 2, 3, 4}, norms);
    return norms.per_layer.back();
}

int main() {
    // The traits alone decide what is computed: equal ones, equal bits.
    std::printf("my_family and qwen2 %s\n",
                norm_of_the_last_layer<my_family>() == norm_of_the_last_layer<bitlens::qwen2>() ? "agree" : "differ");
    std::printf("my_family and llama %s\n",
                norm_of_the_last_layer<my_family>() == norm_of_the_last_layer<bitlens::llama>() ? "agree" : "differ");
}
