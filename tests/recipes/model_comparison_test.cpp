#include "bitlens/recipes/model_comparison.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/quantizers/rtn.hpp"

#include "models/written_model.hpp"
#include "temporary_folder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

using compared_weight = mixed_matrix<dense<float>, uniform<4, 32>>;
constexpr std::size_t compared_layers = 7;

const model_config compared_config{"llama", compared_layers, 50, 256, {64, 4, 4, 16, 128, 1e-5f}, true};

/// A model whose tensors a test may change before it is written.
struct changeable_model {
    struct numbers {
        std::vector<std::size_t> shape;
        std::vector<float> values;

        matrix_view<float> view() { return {values.data(), shape.size() == 2 ? shape[0] : 1, shape.back()}; }
    };
    std::map<std::string, numbers> tensors;

    changeable_model() {
        detail::for_each_tensor(llama::description, compared_config,
                                [&](std::string const& name, std::vector<std::size_t> const& shape) {
                                    tensors[name] = {shape, test::formula_weight(name, shape)};
                                });
    }
    matrix_view<float> at(std::size_t layer, std::string const& below) {
        return tensors.at(detail::layer_prefix(layer) + below).view();
    }
    checkpoint write(std::filesystem::path const& folder, safetensors_type type = safetensors_type::f32,
                     bool has_head = false) {
        const json config = {{"architectures", {"LlamaForCausalLM"}},
                             {"model_type", "llama"},
                             {"hidden_size", 64},
                             {"intermediate_size", 128},
                             {"num_hidden_layers", compared_layers},
                             {"num_attention_heads", 4},
                             {"num_key_value_heads", 4},
                             {"vocab_size", 50},
                             {"max_position_embeddings", 256},
                             {"rms_norm_eps", 1e-5},
                             {"rope_theta", 10000.0},
                             {"hidden_act", "silu"},
                             {"tie_word_embeddings", !has_head}};
        std::vector<test::written_tensor> all;
        for (auto const& [name, n] : tensors) all.push_back(test::store_tensor(name, n.shape, type, n.values));
        if (has_head) {
            auto const& n = tensors.at("model.embed_tokens.weight");
            all.push_back(test::store_tensor("lm_head.weight", n.shape, type, n.values));
        }
        test::write_folder(folder, config, all);
        return checkpoint(folder);
    }
    /// Every weight in blocks, rounded.
    void round() {
        for (auto& [name, n] : tensors)
            if (name.find("_proj.weight") != std::string::npos) {
                const auto all = coded(rtn<uniform<4, 32>>{}(n.view()));
                for (std::size_t r = 0; r < n.shape[0]; ++r) all.read_row(r, n.view().row(r));
            }
    }
};

model_comparison compared(checkpoint const& a, checkpoint const& b, char const* method = nullptr) {
    checkpoint_tensors of_a(a), of_b(b);
    std::optional<expected_quantization> expected;
    if (method != nullptr) expected = expected_of(parse_method(method));
    return compare_models(a, of_a, of_b, expected);
}
compared_tensor const& tensor_called(model_comparison const& c, std::string const& name) {
    const auto found = std::ranges::find(c.tensors, name, [](compared_tensor const& t) { return t.difference.name; });
    REQUIRE(found != c.tensors.end());
    return *found;
}
std::size_t count_odd(model_comparison const& c) {
    return static_cast<std::size_t>(std::ranges::count_if(c.tensors, [](auto const& t) { return t.is_odd(); }));
}

} // namespace

TEST_CASE("a model is itself, with a tied head beside a stored one; one number of another is found") {
    const test::temporary_folder folder;
    changeable_model m;
    const auto a = m.write(folder / "a"), headed = m.write(folder / "headed", safetensors_type::f32, true);
    const auto same = compared(a, headed);
    CHECK(same.is_same());
    CHECK(same.tensors.size() == 9 * compared_layers + 3); // embedding, final norm, head
    CHECK(compared(headed, a).is_same());

    m.at(3, "self_attn.k_proj.weight")(5, 7) += 1;
    const auto other = compared(a, m.write(folder / "b"));
    CHECK_FALSE(other.is_same());
    auto const& t = tensor_called(other, "model.layers.3.self_attn.k_proj.weight");
    CHECK(t.difference.unequal == 1);
    REQUIRE(t.difference.first);
    CHECK(t.difference.first->row == 5);
    CHECK(t.difference.first->col == 7);
    CHECK(t.layer == 3);
    CHECK(t.kind == "self_attn.k_proj.weight");
    REQUIRE(t.among_layers); // the others are equal
    CHECK(std::isinf(t.among_layers->times));
    CHECK(count_odd(other) == 1);
}

TEST_CASE("a layer and rows that a broken file has are named, and an honest one has none") {
    const test::temporary_folder folder;
    changeable_model m;
    const auto a = m.write(folder / "a");
    m.round();
    CHECK(count_odd(compared(a, m.write(folder / "good"))) == 0);
    for (float& x : m.at(2, "mlp.up_proj.weight").row(9)) x = 0;
    for (float& x : m.at(4, "self_attn.o_proj.weight").row(1)) x *= 20;
    auto down = m.at(5, "mlp.down_proj.weight");
    for (std::size_t r = 0; r < down.rows; ++r)
        for (float& x : down.row(r)) x *= 2;
    const auto c = compared(a, m.write(folder / "broken"));
    CHECK(tensor_called(c, "model.layers.2.mlp.up_proj.weight").difference.in_b.zero_rows == 1);
    auto const& o = tensor_called(c, "model.layers.4.self_attn.o_proj.weight");
    REQUIRE(o.rows.size() == 1);
    CHECK(o.rows[0].index == 1);
    REQUIRE(o.among_layers);
    CHECK(o.among_layers->times > 10);
    auto const& d = tensor_called(c, "model.layers.5.mlp.down_proj.weight");
    REQUIRE(d.among_layers);
    CHECK(d.rows.empty());
    CHECK(count_odd(c) == 3);
}

TEST_CASE("numbers that are not finite make a tensor that cannot be compared, and no other") {
    const test::temporary_folder folder;
    changeable_model m;
    const auto a = m.write(folder / "a");
    m.at(1, "mlp.gate_proj.weight")(3, 3) = std::numeric_limits<float>::quiet_NaN();
    m.at(6, "input_layernorm.weight")(0, 2) = std::numeric_limits<float>::infinity();
    const auto c = compared(a, m.write(folder / "b"));
    CHECK(count_odd(c) == 2);
    CHECK(tensor_called(c, "model.layers.1.mlp.gate_proj.weight").unreadable.find("row 3 holds a number that is not") !=
          std::string::npos);
    CHECK_FALSE(c.is_same());
}

TEST_CASE("AWQ's scales are found in norms and rows, undone, and the quantization is plausible") {
    const test::temporary_folder folder;
    changeable_model m;
    const auto a = m.write(folder / "a", safetensors_type::bf16);
    random_generator random(11);
    const auto scales = [&](std::size_t size) {
        std::vector<float> s(size);
        for (float& x : s) x = static_cast<float>(std::exp(0.5 * random.normal()));
        return s;
    };
    for (std::size_t k = 0; k < compared_layers; ++k) {
        const auto multiply = [&](char const* name, std::vector<float> const& s) {
            auto w = m.at(k, name);
            for (std::size_t r = 0; r < w.rows; ++r)
                for (std::size_t c = 0; c < w.cols; ++c) w(r, c) *= s[c];
        };
        const auto divide_rows = [&](char const* name, std::vector<float> const& s) {
            auto w = m.at(k, name);
            for (std::size_t r = 0; r < w.rows; ++r)
                for (float& x : w.row(r)) x /= s[r];
        };
        const auto divide = [&](char const* name, std::vector<float> const& s) {
            for (std::size_t c = 0; c < s.size(); ++c) m.at(k, name)(0, c) /= s[c];
        };
        const auto attention = scales(64), heads = scales(64), mlp = scales(64), activations = scales(128);
        for (char const* name : {"self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"})
            multiply(name, attention);
        divide("input_layernorm.weight", attention);
        divide_rows("self_attn.v_proj.weight", heads);
        multiply("self_attn.o_proj.weight", heads);
        multiply("mlp.gate_proj.weight", mlp);
        multiply("mlp.up_proj.weight", mlp);
        divide("post_attention_layernorm.weight", mlp);
        divide_rows("mlp.up_proj.weight", activations);
        multiply("mlp.down_proj.weight", activations);
    }
    m.round();
    const auto b = m.write(folder / "b", safetensors_type::bf16);
    const auto c = compared(a, b, "awq4-g32");
    REQUIRE(c.checks.size() == 7 * compared_layers);
    for (auto const& one : c.checks) {
        CAPTURE(c.tensors[one.tensor].difference.name);
        CAPTURE(one.check.ratio);
        CHECK_MESSAGE(one.check.is_plausible(), one.check.text);
        CHECK(one.is_folded);
    }
    // Without scales none are found.
    changeable_model plain;
    plain.round();
    for (auto const& one : compared(a, plain.write(folder / "plain"), "awq4-g32").checks) {
        CAPTURE(c.tensors[one.tensor].difference.name);
        CHECK_FALSE(one.is_folded);
        CHECK_MESSAGE(one.check.is_plausible(), one.check.text);
    }
}

TEST_CASE("a folder of a quantized model is read beside its full one") {
    const test::temporary_folder folder;
    changeable_model m;
    const auto a = m.write(folder / "a");
    quantized_manifest manifest;
    manifest.method = "rtn4-g32";
    manifest.format = "uniform4-g32";
    manifest.layers = compared_layers;
    {
        const quantized_folder_writer writer(folder / "q", manifest);
        for (std::size_t k = 0; k < compared_layers; ++k) {
            quantized_block<compared_weight> block;
            for (std::size_t p = 0; p < projection_count; ++p) { // o_proj stays full
                const auto which = static_cast<projection>(p);
                if (which == projection::o) continue;
                const std::string name = std::string(which < projection::o ? "self_attn." : "mlp.") +
                                         std::string(bitlens::name(which)) + ".weight";
                block.linear[p] = std::make_shared<const compared_weight>(rtn<uniform<4, 32>>{}(m.at(k, name)));
            }
            write_quantized_layer(writer, k, block);
        }
    }
    checkpoint_tensors of_a(a);
    folder_tensors<compared_weight> of_b(quantized_folder(folder / "q"), a);
    const auto c = compare_models(a, of_a, of_b, expected_of(parse_method("rtn4-g32")));
    CHECK(c.tensors.size() == 9 * compared_layers + 2);
    for (auto const& t : c.tensors) {
        CAPTURE(t.difference.name);
        CHECK(t.unreadable.empty());
        const bool is_quantized = t.kind.ends_with("_proj.weight") && t.kind != "self_attn.o_proj.weight";
        CHECK(t.is_equal() != is_quantized);
        if (is_quantized) CHECK(t.type_b == "uniform4-g32");
    }
    for (auto const& one : c.checks) {
        const bool is_full = c.tensors[one.tensor].kind == "self_attn.o_proj.weight";
        CHECK(name(one.check.finding) == name(is_full ? quantization_finding::equal : quantization_finding::plausible));
    }
}
