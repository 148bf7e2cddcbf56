#include <bitlens/hooks.hpp>
#include <bitlens/io.hpp>
#include <bitlens/models.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace {

using namespace bitlens;

/// A family of one's own: norms before attention and MLP and of every query and key head, a GELU gate, biases on o, and
/// names of norms that no other family has.
struct kingfisher {
    static constexpr auto own = std::to_array<block_parameter>({
        {block_norm::attn, "norm_1.weight", "attn_norm.weight"},
        {block_norm::mlp, "norm_2.weight", "ffn_norm.weight"},
        {block_norm::query, "self_attn.queries.weight", "attn_q_norm.weight"},
        {block_norm::key, "self_attn.keys.weight", "attn_k_norm.weight"},
    });
    static constexpr auto parameters = joined(separate_weights, attention_biases, own);
    static constexpr model_family description{
        .name = "kingfisher",
        .hugging_face_class = "KingfisherForCausalLM",
        .gguf_name = "kingfisher",
        .form = {.queries_keys = query_key_norm::each_head, .gate = activation::gelu_tanh},
        .parameters = parameters,
        .defaults = {.vocabulary = 256, .width = 64, .ffn_width = 160, .layers = 4, .heads = 4, .context = 512},
        .biases = only(projection::o),
    };
};

using weight = packed_matrix<dense<float>>;

/// Writes a model as a Hugging Face folder: config.json and model.safetensors.
void write(std::filesystem::path const& folder, transformer<kingfisher, weight> const& model) {
    model_config const& c = model.config();
    std::vector<safetensors_entry> tensors;
    const auto add = [&](std::string name, std::vector<std::size_t> shape, std::span<const float> numbers) {
        tensors.push_back({std::move(name), safetensors_type::f32, std::move(shape), std::as_bytes(numbers)});
    };
    const auto numbers_of = [](weight const& w) { return std::span(w.row(0).data(), w.rows() * w.cols()); };
    add("model.embed_tokens.weight", {c.vocabulary, c.block.width}, numbers_of(model.embedding()));
    add("model.norm.weight", {c.block.width}, model.final_norm());
    std::vector<block_weights<weight>> layers;
    for (std::size_t k = 0; k < c.layers; ++k) layers.push_back(model.layers()->layer(k));
    for (std::size_t k = 0; k < c.layers; ++k)
        for (auto const& p : kingfisher::parameters) {
            const std::string name = "model.layers." + std::to_string(k) + "." + std::string(p.hugging_face);
            if (auto const* w = std::get_if<weight_of>(&p.part)) {
                weight const& m = layers[k][w->linear];
                add(name, {m.rows(), m.cols()}, numbers_of(m));
            } else if (auto const* b = std::get_if<bias_of>(&p.part)) {
                auto const& bias = layers[k].rest->bias(b->linear);
                if (!bias.empty()) add(name, {bias.size()}, bias);
            } else {
                auto const& gamma = layers[k].rest->gamma(std::get<block_norm>(p.part));
                add(name, {gamma.size()}, gamma);
            }
        }
    write_safetensors(folder / "model.safetensors", std::move(tensors));
    std::ofstream(folder / "config.json") << R"({
        "model_type": "kingfisher", "architectures": ["KingfisherForCausalLM"], "tie_word_embeddings": true,
        "hidden_act": "gelu_pytorch_tanh", "rms_norm_eps": 1e-5, "num_key_value_heads": 2, "head_dim": 16})";
}

double norm_of_the_last_layer(transformer<kingfisher, weight> const& model) {
    residual_norms<hook::resid_post> norms(model.config().layers);
    model.forward(std::vector<std::int32_t>{1, 2, 3, 4}, norms);
    return norms.per_layer.back();
}

} // namespace

int main() {
    const auto folder = std::filesystem::temp_directory_path() / "bitlens_kingfisher";
    std::filesystem::create_directories(folder);
    const auto model = tiny_model<kingfisher, weight>(tiny_config<kingfisher>(), 1);
    write(folder, model);
    const transformer<kingfisher, weight> read(checkpoint::of<kingfisher>(folder), true);
    std::printf("%zu layers of width %zu, written and read: the states %s\n", read.config().layers,
                read.config().block.width,
                norm_of_the_last_layer(read) == norm_of_the_last_layer(model) ? "agree" : "differ");
    std::filesystem::remove_all(folder);
}
