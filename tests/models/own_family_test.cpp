// A family that the library does not know: from Hugging Face folders and GGUF files by its own names.
#include "bitlens/hooks/record.hpp"
#include "bitlens/models/transformer.hpp"

#include "written_model.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

namespace {

/// Gate and up in one tensor, norms with names of their own, a bias on o; GGUF files with rows of q and k in pairs.
struct kingfisher {
    static constexpr auto parameters =
        joined(std::to_array<block_parameter>({
                   {weight_of{projection::q}, "self_attn.q_proj.weight", "attn_q.weight"},
                   {weight_of{projection::k}, "self_attn.k_proj.weight", "attn_k.weight"},
                   {weight_of{projection::v}, "self_attn.v_proj.weight", "attn_v.weight"},
                   {weight_of{projection::o}, "self_attn.o_proj.weight", "attn_output.weight"},
                   {weight_of{projection::gate}, "mlp.both.weight", "ffn_both.weight"},
                   {weight_of{projection::up}, "mlp.both.weight", "ffn_both.weight"},
                   {weight_of{projection::down}, "mlp.down_proj.weight", "ffn_down.weight"},
                   {block_norm::attn, "first_norm.weight", "norm_1.weight"},
                   {block_norm::mlp, "second_norm.weight", "norm_2.weight"},
               }),
               attention_biases);
    static constexpr model_family description{
        .name = "kingfisher",
        .hugging_face_class = "KingfisherForCausalLM",
        .gguf_name = "bird",
        .form = {.gate = activation::gelu_tanh},
        .parameters = parameters,
        .defaults = {.vocabulary = 20, .width = 12, .ffn_width = 10, .layers = 2, .heads = 3, .context = 32},
        .biases = only(projection::o),
        .stores_gamma_less_one = true,
        .gguf_interleaves_heads = true,
    };
};

constexpr std::size_t bird_width = 12, bird_ffn = 10, bird_rows = 20;

/// f(name in a folder, name in a GGUF file, shape) of every tensor.
template <class F>
void for_each_stored(F const& f) {
    f("model.embed_tokens.weight", "token_embd.weight", std::vector<std::size_t>{bird_rows, bird_width});
    f("lm_head.weight", "output.weight", std::vector<std::size_t>{bird_rows, bird_width});
    f("model.norm.weight", "output_norm.weight", std::vector<std::size_t>{bird_width});
    for (std::size_t k = 0; k < 2; ++k) {
        const std::string hf = "model.layers." + std::to_string(k) + ".", gguf = "blk." + std::to_string(k) + ".";
        for (const char* p : {"q", "k", "v"})
            f(hf + "self_attn." + p + "_proj.weight", gguf + "attn_" + p + ".weight",
              std::vector<std::size_t>{bird_width, bird_width});
        f(hf + "self_attn.o_proj.weight", gguf + "attn_output.weight",
          std::vector<std::size_t>{bird_width, bird_width});
        f(hf + "self_attn.o_proj.bias", gguf + "attn_output.bias", std::vector<std::size_t>{bird_width});
        f(hf + "mlp.both.weight", gguf + "ffn_both.weight", std::vector<std::size_t>{2 * bird_ffn, bird_width});
        f(hf + "mlp.down_proj.weight", gguf + "ffn_down.weight", std::vector<std::size_t>{bird_width, bird_ffn});
        f(hf + "first_norm.weight", gguf + "norm_1.weight", std::vector<std::size_t>{bird_width});
        f(hf + "second_norm.weight", gguf + "norm_2.weight", std::vector<std::size_t>{bird_width});
    }
}

void write_both(std::filesystem::path const& folder, std::filesystem::path const& gguf) {
    std::vector<written_tensor> tensors;
    gguf_writer file;
    file.text("general.architecture", "bird");
    for (auto const& [key, n] :
         std::initializer_list<std::pair<const char*, std::uint32_t>>{{"block_count", 2},
                                                                      {"context_length", 32},
                                                                      {"embedding_length", 12},
                                                                      {"feed_forward_length", 10},
                                                                      {"attention.head_count", 3}})
        file.number(std::string("bird.") + key, n);
    file.real("bird.attention.layer_norm_rms_epsilon", 1e-6f);
    for_each_stored([&](std::string const& name, std::string const& stored, std::vector<std::size_t> const& shape) {
        tensors.push_back(make_tensor(name, shape, safetensors_type::f32));
        written_tensor t = tensors.back();
        if (name.ends_with("norm.weight")) { // γ − 1 in the folder, γ here
            auto values = formula_weight(name, shape);
            for (float& v : values) v += 1;
            t = store_tensor(name, shape, safetensors_type::f32, values);
        }
        const bool is_pair = name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight");
        file.tensor(stored, shape, 0, is_pair ? interleave_heads(t, 4) : t.bytes);
    });
    write_folder(folder, {{"model_type", "kingfisher"}, {"hidden_act", "gelu_pytorch_tanh"}, {"rms_norm_eps", 1e-6}},
                 tensors);
    file.write(gguf);
}

using weight = packed_matrix<dense<float>>;

} // namespace

TEST_CASE("a family of one's own is read by its own names, from a folder and from a GGUF file") {
    const temporary_folder folder;
    write_both(folder / "hf", folder / "model.gguf");
    const auto hf = checkpoint::of<kingfisher>(folder / "hf"), gguf = checkpoint::of<kingfisher>(folder / "model.gguf");
    CHECK(hf.config() == gguf.config());
    CHECK(hf.config().block.biases == only(projection::o));

    const auto both = formula_weight("model.layers.1.mlp.both.weight", {2 * bird_ffn, bird_width});
    const auto gamma = formula_weight("model.layers.1.second_norm.weight", {bird_width});
    for (auto const& source : {hf, gguf}) {
        const auto gate = source.load_matrix<weight>("model.layers.1.mlp.gate_proj.weight"),
                   up = source.load_matrix<weight>("model.layers.1.mlp.up_proj.weight");
        CHECK(gate.rows() == bird_ffn);
        CHECK(std::ranges::equal(gate.row(3), std::span(both).subspan(3 * bird_width, bird_width)));
        CHECK(std::ranges::equal(up.row(3), std::span(both).subspan((bird_ffn + 3) * bird_width, bird_width)));
        const auto loaded = source.load_vector("model.layers.1.second_norm.weight");
        for (std::size_t i = 0; i < bird_width; ++i) CHECK(loaded[i] == gamma[i] + 1);
    }

    const transformer<kingfisher, weight> a(hf, true), b(gguf, false);
    const std::vector<std::int32_t> ids{3, 1, 4, 1, 5};
    record<hook::logits> of_a, of_b;
    a.forward(ids, of_a);
    b.forward(ids, of_b);
    for (std::size_t t = 0; t < ids.size(); ++t)
        CHECK(std::ranges::equal(of_a.get<hook::logits>().row(t), of_b.get<hook::logits>().row(t)));
}

TEST_CASE("a family that was not named is refused, with those that are known") {
    const temporary_folder folder;
    write_both(folder / "hf", folder / "model.gguf");
    CHECK_THROWS_WITH_AS(checkpoint(folder / "hf"), doctest::Contains("architecture 'kingfisher' is not supported"),
                         format_error);
    CHECK_THROWS_WITH_AS(checkpoint(folder / "model.gguf"), doctest::Contains("'bird' is not supported"), format_error);
}
