#include "bitlens/recipes/model_walk.hpp"

#include "temporary_folder.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/hooks/record.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/recipes/stored_layers.hpp"

#include <doctest/doctest.h>

#include <array>
#include <limits>
#include <map>

using namespace bitlens;

namespace {

using walked_weight = mixed_matrix<dense<float>, uniform<3, 32>, uniform<3, 32, zero_kind::symmetric>, uniform<4, 32>>;

constexpr std::size_t layer_count = 3;

template <class Architecture>
transformer<Architecture, walked_weight> walked_model() {
    auto config = tiny_config<Architecture>();
    config.layers = layer_count;
    if (!config.layer_rules.empty()) config.layer_rules.resize(layer_count, config.layer_rules[0]);
    return tiny_model<Architecture, walked_weight>(config, 3);
}

std::vector<std::vector<std::int32_t>> documents_for(model_config const& config) {
    random_generator random(5);
    std::vector<std::vector<std::int32_t>> texts;
    for (const std::size_t length : {37u, 5u, 64u, 64u, 1u, 50u}) {
        auto& ids = texts.emplace_back(length);
        for (auto& id : ids) id = static_cast<std::int32_t>(random.below(config.vocabulary));
    }
    return texts;
}

quantized_manifest manifest_for(std::string text, std::string format) {
    return {.method = std::move(text), .format = std::move(format), .layers = layer_count};
}

/// Files of all layers, by name.
std::map<std::string, std::string> bytes_of(std::filesystem::path const& folder) {
    std::map<std::string, std::string> files;
    for (auto const& entry : std::filesystem::directory_iterator(folder))
        if (entry.path().extension() == ".safetensors")
            files[entry.path().filename()] = std::string(as_text(mapped_file(entry.path()).bytes()));
    return files;
}

template <class Architecture>
std::map<std::string, std::string> walk_into(
    std::filesystem::path const& folder, gptq_method const& how, unsigned threads, override_rules const& rules = {},
    layer_done const& done = [](std::size_t) {}) {
    const auto model = walked_model<Architecture>();
    const thread_limit limit(threads);
    const quantized_folder_writer out(folder, manifest_for(how.text(), "uniform3-g32-sym"));
    folder_target<walked_weight> target(out, model.config().block);
    gptq_walk(model, how, rules, documents_for(model.config()), threads, target, done);
    return bytes_of(folder);
}

constexpr gptq_method usual{3, 32, true, {}};

/// What a model of these blocks reads at one point, of all documents.
template <class Point, class Architecture>
input_hessian hessian_at(transformer<Architecture, walked_weight> const& model,
                         std::vector<block_weights<walked_weight>> const& blocks, std::size_t layer,
                         std::size_t width) {
    input_hessian all(width);
    const auto changed = model.with_layers(std::make_shared<resident_layers<walked_weight>>(blocks));
    for (auto const& ids : documents_for(model.config())) {
        record<Point> heard;
        changed.forward(ids, heard);
        const std::array one{heard.template get<Point>(layer)};
        all.add(one, 1);
    }
    return all;
}

/// The same walk by whole forward passes of models that are quantized as far as the walk has come.
template <class Architecture>
void check_against_forward_passes() {
    const auto model = walked_model<Architecture>();
    std::vector<block_weights<walked_weight>> blocks;
    for (std::size_t k = 0; k < layer_count; ++k) blocks.push_back(model.layers()->layer(k));
    const auto full = blocks;
    walked_layers<walked_weight> out(model.layers(), model.config().block, Architecture::description.form);
    gptq_walk(model, usual, {}, documents_for(model.config()), 2, out);
    const gptq<uniform<3, 32, zero_kind::symmetric>> q{usual.options};
    for (std::size_t k = 0; k < layer_count; ++k) {
        const auto found = out.finished(k);
        const auto expect = [&]<class Point>(Point, std::initializer_list<projection> readers) {
            const std::size_t width = full[k][*readers.begin()].cols();
            const auto hessian = hessian_at<Point>(model, blocks, k, width);
            for (const projection p : readers) {
                const auto i = static_cast<std::size_t>(p);
                const auto expected = detail::with_floats(*full[k].linear[i], [&](auto w) { return q(w, hessian); });
                for (std::size_t r = 0; r < expected.rows(); ++r)
                    for (std::size_t c = 0; c < expected.cols(); ++c)
                        REQUIRE(found.linear[i]->value(r, c) == expected.value(r, c));
            }
            for (const projection p : readers)
                blocks[k].linear[static_cast<std::size_t>(p)] = found.linear[static_cast<std::size_t>(p)];
        };
        expect(hook::attn_in{}, {projection::q, projection::k, projection::v});
        expect(hook::attn_heads{}, {projection::o});
        expect(hook::mlp_in{}, {projection::gate, projection::up});
        expect(hook::mlp_act{}, {projection::down});
    }
}

} // namespace

TEST_CASE("a walk of GPTQ gives what whole passes of the half-quantized model give, bit for bit") {
    check_against_forward_passes<llama>();
    check_against_forward_passes<qwen3>();
    check_against_forward_passes<gemma2>();
    check_against_forward_passes<olmo2>();
}

TEST_CASE("a walk's bytes do not depend on threads, nor on where it was interrupted") {
    const test::temporary_folder folder;
    const auto whole = walk_into<llama>(folder.path() / "one", usual, 1);
    CHECK(whole.size() == layer_count);
    CHECK(walk_into<llama>(folder.path() / "two", usual, 2) == whole);
    for (std::size_t last = 0; last < layer_count; ++last) {
        const auto place = folder.path() / ("stopped" + std::to_string(last));
        CHECK_THROWS_AS(walk_into<llama>(place, usual, 2, {},
                                         [&](std::size_t k) {
                                             if (k == last) throw error("stop");
                                         }),
                        error);
        CHECK(bytes_of(place).size() == last + 1);
        CHECK(walk_into<llama>(place, usual, 2) == whole);
        const csv_table log(as_text(mapped_file(place / "modules.csv").bytes()), "modules.csv");
        CHECK(log.counts("layer").size() == layer_count * projection_count); // each once
    }
}

TEST_CASE("what rules treat otherwise stays full, or is rounded as they say, and the walk goes on from that") {
    const override_rules rules(parse_json(R"({"rules": [{"projection": "gate_proj", "layers": "*", "use": "full"},
                                                        {"projection": "q_proj", "layers": "1", "use": "rtn4-g32"}]})",
                                          "o.json"),
                               "o.json", layer_count);
    const test::temporary_folder folder;
    walk_into<llama>(folder.path() / "q", usual, 2, rules);
    const auto model = walked_model<llama>();
    const quantized_folder found(folder.path() / "q");
    const auto block = read_quantized_layer<walked_weight>(found, 1, model.config().block);
    CHECK(block.linear[static_cast<std::size_t>(projection::gate)] == nullptr);
    CHECK(block.linear[0]->format_name() == "uniform4-g32");
    CHECK(block.linear[1]->format_name() == "uniform3-g32-sym");
    stored_layers<walked_weight> layers(found, model.layers(), model.config(), llama::description.form);
    CHECK(layers.layer(1)[projection::gate].format_name() == "f32");
}

TEST_CASE("an activation that is not finite is named with its layer") {
    auto config = tiny_config<llama>();
    config.layers = layer_count;
    const auto model = tiny_model<llama, walked_weight>(config, 3);
    std::vector<block_weights<walked_weight>> blocks;
    for (std::size_t k = 0; k < layer_count; ++k) blocks.push_back(model.layers()->layer(k));
    auto rest = *blocks[1].rest;
    rest.gamma(block_norm::mlp)[2] = std::numeric_limits<float>::infinity();
    blocks[1].rest = std::make_shared<const norms_and_biases>(std::move(rest));
    const auto broken = model.with_layers(std::make_shared<resident_layers<walked_weight>>(std::move(blocks)));
    walked_layers<walked_weight> out(model.layers(), config.block, llama::description.form);
    CHECK_THROWS_WITH_AS(gptq_walk(broken, usual, {}, documents_for(config), 2, out),
                         doctest::Contains("input of layer 1 gate_proj, gptq3-g32: "), format_error);
    CHECK(out.has_layer(0));
    CHECK_FALSE(out.has_layer(1));
}

TEST_CASE("documents of a walk have tokens that the model knows") {
    const auto model = walked_model<llama>();
    walked_layers<walked_weight> out(model.layers(), model.config().block, llama::description.form);
    std::vector<std::vector<std::int32_t>> texts;
    CHECK_THROWS_AS(gptq_walk(model, usual, {}, texts, 2, out), shape_error);
    texts = {{1, 2}, {}};
    CHECK_THROWS_AS(gptq_walk(model, usual, {}, texts, 2, out), shape_error);
    texts = {{1, 2}, {static_cast<std::int32_t>(model.config().vocabulary)}};
    CHECK_THROWS_AS(gptq_walk(model, usual, {}, texts, 2, out), shape_error);
}
