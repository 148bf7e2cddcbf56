#include "bitlens/analysis/window_losses.hpp"

#include "bitlens/analysis/dimension_means.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/formats/uniform.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/models/score.hpp"
#include "bitlens/quantizers/rtn.hpp"
#include "bitlens/recipes/quantize_layers.hpp"

#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <limits>
#include <vector>

using namespace bitlens;

namespace {

using three_bits = uniform<3, 32>;
using weight = mixed_matrix<dense<float>, three_bits>;
constexpr std::size_t rows = 5, tokens = 7;

transformer<llama, weight> model() { return tiny_model<llama, weight>(tiny_config<llama>(), 3); }

matrix<std::int32_t> made_up_ids() {
    matrix<std::int32_t> ids(rows, tokens);
    random_generator random(4);
    for (std::int32_t& id : ids.span()) id = static_cast<std::int32_t>(random.below(tiny_config<llama>().vocabulary));
    return ids;
}

} // namespace

TEST_CASE("a window's loss is the mean over all its ids but the first, under each variant") {
    const auto full = model();
    const auto quantized = quantize_layers(*full.layers(), full.config().layers, rtn<three_bits>{});
    const auto ids = made_up_ids();
    const std::vector<variant<weight>> variants{{"full", full.layers()}, {"rtn3", quantized}};
    std::size_t done = 0;
    const auto losses = window_losses(full, variants, ids.view(), {2, 1}, [&](std::size_t n) { done += n; });
    CHECK(done == rows);
    REQUIRE(losses.size() == 2);
    for (std::size_t n = 0; n < rows; ++n) {
        CHECK(losses[0][n] == mean<double>(score(full, ids.row(n))));
        CHECK(losses[1][n] == mean<double>(score(full.with_layers(quantized), ids.row(n))));
        CHECK(losses[0][n] != losses[1][n]);
    }
}

TEST_CASE("a loss that is not finite is named with its method, window and position") {
    const auto full = model();
    auto layer = full.layers()->layer(0);
    norms_and_biases broken = *layer.rest;
    broken.gamma(block_norm::mlp)[0] = std::numeric_limits<float>::quiet_NaN();
    layer.rest = std::make_shared<const norms_and_biases>(std::move(broken));
    std::vector<block_weights<weight>> layers{layer};
    for (std::size_t k = 1; k < full.config().layers; ++k) layers.push_back(full.layers()->layer(k));
    const std::vector<variant<weight>> variants{{"full", full.layers()},
                                                {"bad", std::make_shared<resident_layers<weight>>(std::move(layers))}};
    CHECK_THROWS_WITH_AS(window_losses(full, variants, made_up_ids().view(), {}),
                         "method bad, window 0, position 0 (both from 0): the loss is not a number; what the model "
                         "computes there is beyond float32",
                         error);
}

TEST_CASE("means of dimensions are those of all documents, position 0 only where it is asked for") {
    const auto full = model();
    const auto ids = made_up_ids();
    for (const auto positions : {position_range{}, every_position}) {
        const auto means = dimension_means<hook::resid_mid>(full, ids.view(), {2, 1}, positions);
        REQUIRE(means.rows() == full.config().layers);
        REQUIRE(means.cols() == full.config().block.width);
        matrix<double> expected(means.rows(), means.cols());
        for (std::size_t n = 0; n < rows; ++n) {
            dimension_magnitudes<hook::resid_mid> heard(means.rows(), positions);
            full.forward(ids.row(n), heard);
            for (std::size_t k = 0; k < means.rows(); ++k)
                for (std::size_t i = 0; i < means.cols(); ++i)
                    expected(k, i) += heard.per_layer[k][i] / static_cast<double>(rows);
        }
        for (std::size_t i = 0; i < means.span().size(); ++i) CHECK(means.span()[i] == expected.span()[i]);
    }
    CHECK_THROWS_AS(dimension_means<hook::resid_mid>(full, ids.view().middle_rows(0, 0), {}), shape_error);
}
