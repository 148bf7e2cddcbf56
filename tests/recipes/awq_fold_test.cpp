#include "bitlens/recipes/awq_fold.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/hooks/record.hpp"
#include "bitlens/models/random_model.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <tuple>
#include <vector>

using namespace bitlens;

namespace {

using folded_weight = mixed_matrix<dense<float>, dense<bf16>>;

/// As many heads for keys and values as for queries, so that v and o are alike, or fewer; all biases.
template <class Architecture>
transformer<Architecture, folded_weight> model_to_fold(bool shares_heads) {
    auto config = tiny_config<Architecture>();
    if (!shares_heads) config.block.kv_heads = config.block.heads;
    for (auto const& parameter : Architecture::description.parameters)
        if (auto const* const bias = std::get_if<bias_of>(&parameter.part)) config.block.biases |= only(bias->linear);
    return tiny_model<Architecture, folded_weight>(config, 3);
}

/// s from 1/8 to 8 wherever such blocks can be scaled.
awq_fold random_fold(block_form form, block_shape const& shape, std::size_t layers) {
    random_generator random(11);
    awq_fold fold;
    for (std::size_t k = 0; k < layers; ++k) {
        auto& scales = fold.scales.emplace_back();
        for (std::size_t g = 0; g < scales.size(); ++g) {
            if (why_not_scaled(form, shape, g)) continue;
            const input_group input = input_groups(form)[g];
            for (std::size_t p = 0; p < projection_count; ++p)
                if (input.readers[p]) scales[g].resize(shape_of(static_cast<projection>(p), shape).cols);
            for (float& s : scales[g]) s = static_cast<float>(std::exp2(std::clamp(1.5 * random.normal(), -3.0, 3.0)));
        }
    }
    return fold;
}

template <class Model, class Point>
matrix<float> heard_of_fold(Model const& m, Point, std::size_t layer) {
    std::vector<std::int32_t> ids(24);
    std::iota(ids.begin(), ids.end(), 7);
    record<Point> probe;
    m.forward(ids, probe);
    matrix_view<const float> found;
    if constexpr (hook::per_layer<Point>)
        found = probe.template get<Point>(layer);
    else
        found = probe.template get<Point>();
    matrix<float> copy(found.rows, found.cols);
    copy_rows(found, copy.view());
    return copy;
}

/// Largest |a − b| beside the largest |a|.
double difference(matrix<float> const& a, matrix<float> const& b) {
    double largest = 0, size = 0;
    for (std::size_t i = 0; i < a.span().size(); ++i) {
        largest = std::max(largest, std::abs(double{a.span()[i]} - b.span()[i]));
        size = std::max(size, std::abs(double{a.span()[i]}));
    }
    return largest / size;
}

} // namespace

TEST_CASE_TEMPLATE_DEFINE("a folded model computes the same but for roundings", Architecture, form_of_a_block) {
    constexpr block_form form = Architecture::description.form;
    for (const bool shares_heads : {true, false}) {
        const auto full = model_to_fold<Architecture>(shares_heads);
        auto const& shape = full.config().block;
        const auto fold = random_fold(form, shape, full.config().layers);
        const auto folded_model =
            full.with_layers(std::make_shared<folded_layers<folded_weight>>(full.layers(), form, shape, fold));
        // 4 layers of at most 160 products each, twice rounded: 4 · 2 · √160 · 2⁻²⁴ and room for the softmax.
        CHECK(difference(heard_of_fold(full, hook::logits{}, 0), heard_of_fold(folded_model, hook::logits{}, 0)) <
              2e-5);
        CHECK(difference(heard_of_fold(full, hook::mlp_gate{}, 2), heard_of_fold(folded_model, hook::mlp_gate{}, 2)) <
              2e-5);

        const auto own = full.layers()->layer(1), after = folded_model.layers()->layer(1);
        auto const& scales = fold.scales[1];
        CHECK(scales[3].size() == shape.ffn_width); // up takes 1/s, in every family
        CHECK(scales[1].empty() == shares_heads);
        CHECK(scales[0].empty() == !has_norm(form, block_norm::attn));
        if (!scales[2].empty()) {
            const auto h = heard_of_fold(full, hook::mlp_in{}, 1),
                       scaled = heard_of_fold(folded_model, hook::mlp_in{}, 1);
            for (std::size_t c = 0; c < h.cols(); ++c)
                CHECK(scaled(5, c) * scales[2][c] == doctest::Approx(h(5, c)).epsilon(1e-3));
            CHECK(after[projection::gate].value(3, 4) == own[projection::gate].value(3, 4) * scales[2][4]);
            CHECK(after.rest->gamma(block_norm::mlp)[4] == own.rest->gamma(block_norm::mlp)[4] / scales[2][4]);
        }
        const float up = own[projection::up].value(3, 4) * (scales[2].empty() ? 1.0f : scales[2][4]);
        CHECK(after[projection::up].value(3, 4) == up / scales[3][3]);
        CHECK(after.rest->gamma(block_norm::attn_out) == own.rest->gamma(block_norm::attn_out));
    }
}
TEST_CASE_TEMPLATE_APPLY(form_of_a_block, architectures_by_form);

TEST_CASE("no fold changes nothing and copies nothing") {
    const auto full = model_to_fold<llama>(true);
    folded_layers<folded_weight> same(full.layers(), llama::description.form, full.config().block,
                                      {std::vector<block_scales>(4)});
    CHECK(same.layer(2).linear == full.layers()->layer(2).linear);
    CHECK_THROWS_WITH_AS(same.layer(4), "awq_fold: layer 4 is asked of 4 layers; as many as the model has are expected",
                         shape_error);
}

TEST_CASE("what is not scaled is said") {
    const auto grouped = tiny_config<llama>().block;
    auto alike = grouped;
    alike.kv_heads = alike.heads;
    CHECK(inputs_not_scaled({}, alike).empty());
    CHECK(inputs_not_scaled({}, grouped) ==
          std::vector<std::string>{"o_proj is 64 × 64, v_proj is 32 × 64: v_proj takes 1/s only where both are alike"});
    CHECK(inputs_not_scaled(olmo2::description.form, alike) ==
          std::vector<std::string>{"q_proj, k_proj, v_proj: they read the residual stream, with no norm that takes 1/s",
                                   "gate_proj, up_proj: they read the residual stream, with no norm that takes 1/s"});
    auto wide = alike; // as many rows as o has columns, but of another shape
    wide.head_dim = 32;
    CHECK(inputs_not_scaled({}, wide).size() == 1);
}

TEST_CASE("scales that do not fit are refused") {
    const auto shape = tiny_config<llama>().block;
    const auto refuse = [&](std::size_t group, std::vector<float> s, block_form form = {}) {
        block_scales scales;
        scales[group] = std::move(s);
        check_scales(scales, form, shape);
    };
    refuse(0, std::vector<float>(64, 2.0f));
    CHECK_THROWS_WITH_AS(refuse(0, std::vector<float>(63, 1.0f)),
                         "awq_fold: the scales of the input of q_proj, k_proj, v_proj has 63 elements, expected 64",
                         shape_error);
    CHECK_THROWS_AS(refuse(3, std::vector<float>(64, 1.0f)), shape_error);
    CHECK_THROWS_WITH_AS(refuse(1, std::vector<float>(64, 1.0f)),
                         "awq_fold: the scales of the input of o_proj, expected none: o_proj is 64 × 64, v_proj is "
                         "32 × 64: v_proj takes 1/s only where both are alike",
                         shape_error);
    CHECK_THROWS_AS(refuse(2, std::vector<float>(64, 1.0f), olmo2::description.form), shape_error);
    for (const float bad : {0.0f, -1.0f, std::nanf(""), std::numeric_limits<float>::infinity()}) {
        std::vector<float> s(64, 1.0f);
        s[7] = bad;
        CHECK_THROWS_AS(refuse(2, s), format_error);
        awq_fold fold;
        fold.scales.resize(4);
        fold.scales[3][2] = s;
        CHECK_THROWS_AS(folded_layers<folded_weight>(model_to_fold<llama>(true).layers(), {}, shape, fold),
                        format_error);
    }
}
