#include "bitlens/recipes/stored_layers.hpp"

#include "bitlens/models/architectures.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/models/score.hpp"
#include "bitlens/quantizers/rtn.hpp"
#include "bitlens/recipes/quantize_layers.hpp"

#include "temporary_folder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

namespace bitlens::test::stored_models {

namespace {

using stored_weight = mixed_matrix<dense<float>, uniform<4, 32>>;

quantized_manifest manifest_of(model_config const& config) {
    quantized_manifest m;
    m.method = "rtn4-g32";
    m.format = "uniform4-g32";
    m.layers = config.layers;
    return m;
}

} // namespace

namespace {

const model_config config = tiny_config<llama>();
const block_form form = llama::description.form;

transformer<llama, stored_weight> full_model() { return tiny_model<llama, stored_weight>(config, 7); }

std::vector<std::int32_t> some_ids() {
    std::vector<std::int32_t> ids;
    random_generator random(4);
    for (int t = 0; t < 40; ++t) ids.push_back(static_cast<std::int32_t>(random.below(config.vocabulary)));
    return ids;
}

/// Writes what `block` makes of each layer, and reads the folder again.
template <class Block>
quantized_folder write_folder(std::filesystem::path const& path, Block const& block) {
    const quantized_folder_writer folder(path, manifest_of(config));
    for (std::size_t k = 0; k < config.layers; ++k) write_quantized_layer(folder, k, block(k));
    return quantized_folder(path);
}

/// s of the inputs that a norm gives, and of down_proj's.
block_scales some_scales(std::size_t layer) {
    random_generator random(20 + layer);
    block_scales scales;
    for (const std::size_t g : {0u, 2u, 3u})
        for (std::size_t c = 0; c < (g == 3 ? config.block.ffn_width : config.block.width); ++c)
            scales[g].push_back(static_cast<float>(0.5 + random.uniform()));
    return scales;
}

} // namespace

TEST_CASE("a stored model has the losses of the model that was stored, bit for bit") {
    const test::temporary_folder parent;
    const auto full = full_model();
    const auto quantized = quantize_layers(*full.layers(), config.layers, rtn<uniform<4, 32>>{});
    const auto folder = write_folder(parent / "q", [&](std::size_t k) {
        quantized_block<stored_weight> block{quantized->layer(k).linear, {}};
        if (k == 1) block.linear[static_cast<std::size_t>(projection::down)] = nullptr; // stays full
        return block;
    });
    auto expected_blocks = std::vector<block_weights<stored_weight>>();
    for (std::size_t k = 0; k < config.layers; ++k) expected_blocks.push_back(quantized->layer(k));
    expected_blocks[1].linear.back() = full.layers()->layer(1).linear.back();
    const auto expected = score(
        full.with_layers(std::make_shared<resident_layers<stored_weight>>(std::move(expected_blocks))), some_ids());
    for (const bool keeps : {true, false}) {
        const auto stored = std::make_shared<stored_layers<stored_weight>>(folder, full.layers(), config, form, keeps);
        CHECK(score(full.with_layers(stored), some_ids()) == expected);
        CHECK(stored->layer(1).linear.back() == full.layers()->layer(1).linear.back()); // shared, not copied
        CHECK(stored->layer(0).rest == full.layers()->layer(0).rest);
        CHECK((stored->layer(2).linear[0] == stored->layer(2).linear[0]) == keeps);
    }
    CHECK(score(full, some_ids()) != expected);
}

TEST_CASE("what a fold scales is folded in norms and in matrices that stay full: the function of the model stays") {
    const test::temporary_folder parent;
    const auto full = full_model();
    const auto folder = write_folder(parent / "q", [&](std::size_t k) {
        quantized_block<stored_weight> block;
        block.fold = some_scales(k);
        return block;
    });
    const auto stored = std::make_shared<stored_layers<stored_weight>>(folder, full.layers(), config, form);
    const auto plain = score(full, some_ids()), folded_losses = score(full.with_layers(stored), some_ids());
    CHECK(plain != folded_losses);
    for (std::size_t t = 0; t < plain.size(); ++t) CHECK(folded_losses[t] == doctest::Approx(plain[t]).epsilon(1e-5));
    const auto block = stored->layer(2), before = full.layers()->layer(2);
    const auto scales = some_scales(2);
    CHECK(block.rest->gamma(block_norm::attn)[5] == before.rest->gamma(block_norm::attn)[5] / scales[0][5]);
    CHECK(block[projection::q].value(3, 5) == before[projection::q].value(3, 5) * scales[0][5]);
    CHECK(block.linear[static_cast<std::size_t>(projection::o)] == // no scale meets it
          before.linear[static_cast<std::size_t>(projection::o)]);
}

TEST_CASE("matrices that were folded and quantized are taken as they are, beside folded norms") {
    const test::temporary_folder parent;
    const auto full = full_model();
    awq_fold fold;
    for (std::size_t k = 0; k < config.layers; ++k) fold.scales.push_back(some_scales(k));
    const auto folded_source = std::make_shared<folded_layers<stored_weight>>(full.layers(), form, config.block, fold);
    const auto quantized = quantize_layers(*folded_source, config.layers, rtn<uniform<4, 32>>{});
    const auto folder = write_folder(parent / "q", [&](std::size_t k) {
        return quantized_block<stored_weight>{quantized->layer(k).linear, fold.scales[k]};
    });
    const auto stored = std::make_shared<stored_layers<stored_weight>>(folder, full.layers(), config, form, false);
    CHECK(score(full.with_layers(stored), some_ids()) == score(full.with_layers(quantized), some_ids()));
}

TEST_CASE("folders that do not fit are refused by name") {
    const test::temporary_folder parent;
    const auto full = full_model();
    using stored = stored_layers<stored_weight>;
    const auto folder = write_folder(parent / "q", [](std::size_t k) {
        quantized_block<stored_weight> block;
        if (k == 2) block.fold[1].assign(config.block.query_width(), 2.0f); // which grouped heads do not take
        return block;
    });
    CHECK_THROWS_WITH_AS(stored(folder, full.layers(), config, form).layer(2),
                         doctest::Contains("layer-0002.safetensors: awq_fold: the scales of the input of o_proj"),
                         format_error);
    model_config deeper = config;
    deeper.layers = 5;
    CHECK_THROWS_WITH_AS(stored(folder, full.layers(), deeper, form),
                         doctest::Contains("holds 4 layers, the model has 5"), shape_error);
    CHECK_THROWS_AS(stored(folder, full.layers(), config, form).layer(4), shape_error);
    std::filesystem::remove(folder.layer_path(1));
    CHECK_THROWS_WITH_AS(stored(folder, full.layers(), config, form),
                         doctest::Contains("layer 1 of 4 is missing; the folder is not finished"), format_error);
}

} // namespace bitlens::test::stored_models
