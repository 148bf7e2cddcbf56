#include "bitlens/sweep/variant_tree.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/hooks/patch.hpp"
#include "bitlens/hooks/record.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/models/score.hpp"
#include "bitlens/quantizers/rtn.hpp"
#include "bitlens/recipes/quantize_layers.hpp"
#include "bitlens/sweep/position_scores.hpp"
#include "bitlens/sweep/sweep.hpp"

#include <algorithm>
#include <concepts>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

using forked_weight = mixed_matrix<dense<float>, uniform<3, 32>>;
using forked = variant<forked_weight>;
using forked_source = std::shared_ptr<layer_source<forked_weight>>;
constexpr std::size_t deep = 5, forked_tokens = 11, forked_rows = 3;

/// A model of five layers and its 3-bit version.
struct two_models {
    transformer<qwen2, forked_weight> model;
    forked_source full, low;
};
two_models two() {
    auto config = tiny_config<qwen2>();
    config.layers = deep;
    auto model = tiny_model<qwen2, forked_weight>(config, 4);
    return {model, model.layers(), quantize_layers(*model.layers(), deep, rtn<uniform<3, 32>>{})};
}

matrix<std::int32_t> forked_ids(std::size_t vocabulary) {
    matrix<std::int32_t> ids(forked_rows, forked_tokens);
    random_generator random(8);
    for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.below(vocabulary));
    return ids;
}

using losses = std::map<std::string, std::vector<std::vector<double>>>; // [variant][row][position]

losses sweep_losses(two_models const& m, std::vector<forked> const& variants, sweep_cut cut = {2, 1},
                    std::vector<patch_count>* counts = nullptr) {
    losses found;
    auto replaced = sweep(
        m.model, variants, forked_ids(m.model.config().vocabulary), cut,
        [&](std::size_t) { return score_measurement(forked_tokens - 1, variants.size()); },
        [&](std::size_t, std::span<score_measurement> block) {
            for (auto const& each : block)
                for (std::size_t v = 0; v < variants.size(); ++v)
                    found[variants[v].name].push_back(each.positions(v).nll);
        });
    if (counts) *counts = std::move(replaced);
    return found;
}

std::vector<double> loss_of(transformer<qwen2, forked_weight> const& model, std::size_t row, auto& probe) {
    const auto ids = forked_ids(model.config().vocabulary);
    return score(model, ids.row(row), probe);
}

std::string refusal(std::vector<forked> const& variants) {
    try {
        variant_tree<forked_weight>(variants, tiny_config<qwen2>().block, deep);
    } catch (option_error const& e) {
        return e.what();
    }
    return {};
}

} // namespace

TEST_CASE("a variant patched with another's points gives what a record and a patch give") {
    const auto m = two();
    std::apply(
        [&]<class... Points>(Points...) {
            const auto check = [&]<class Point>(Point) {
                CAPTURE(hook::name<Point>);
                const auto found =
                    sweep_losses(m, {{"full", m.full},
                                     {"low", m.low},
                                     forked::fork("patched", "low").patched(hook::id_of<Point>, "full", {2, 4}),
                                     forked::fork("after the first", "low")
                                         .patched(hook::id_of<Point>, "full", {2, 4}, position_range{1}),
                                     forked::fork("back", "full").patched(hook::id_of<Point>, "low", {2, 4}, {3, 6})});
                for (std::size_t n = 0; n < forked_rows; ++n) {
                    record<Point> of_full, of_low;
                    loss_of(m.model, n, of_full);
                    loss_of(m.model.with_layers(m.low), n, of_low);
                    patch<Point> all(of_full, 2, 4);
                    const auto patched = loss_of(m.model.with_layers(m.low), n, all);
                    CHECK(found.at("patched")[n] == patched);
                    CHECK(found.at("patched")[n] != found.at("low")[n]);
                    // Position 0 attends to itself alone, whatever it asks.
                    CHECK((found.at("after the first")[n] == patched) == std::same_as<Point, hook::attn_q>);
                    CHECK(found.at("back")[n] != found.at("full")[n]);
                    // Position t sees nothing of later ones.
                    CHECK(std::equal(found.at("back")[n].begin(), found.at("back")[n].begin() + 3,
                                     found.at("full")[n].begin()));
                }
            };
            (check(Points{}), ...);
        },
        hook::all{});
}

TEST_CASE("a variant with ends of its own is another model, and so are those that fork from it") {
    const auto m = two();
    auto config = m.model.config();
    const auto other = tiny_model<qwen2, forked_weight>(config, 5);
    const auto found =
        sweep_losses(m, {{"full", m.full},
                         forked{"other", other.layers()}.with_ends(other.ends()),
                         forked::fork("ends", "full").with_ends(other.ends()),
                         forked::fork("patched", "other").patched(hook::id_of<hook::mlp_out>, "other", {2, 4}),
                         forked::fork("first layer", "other").with_weights(m.low, {0, 1}),
                         forked::fork("exit", "other").ending({deep - 1})});
    const transformer<qwen2, forked_weight> ends_only(config, m.full, other.ends().embedding, *other.ends().final_norm,
                                                      other.ends().head);
    no_probe nobody;
    for (std::size_t n = 0; n < forked_rows; ++n) {
        const auto alone = loss_of(other, n, nobody);
        CHECK(found.at("other")[n] == alone);
        CHECK(found.at("patched")[n] == alone);
        CHECK(found.at("exit")[n] == alone);
        CHECK(found.at("full")[n] == loss_of(m.model, n, nobody));
        CHECK(found.at("ends")[n] == loss_of(ends_only, n, nobody));
        CHECK(found.at("ends")[n] != found.at("full")[n]);
        CHECK(found.at("first layer")[n] != alone);
    }
}

TEST_CASE("a variant patched from itself, or with what it computes anyway, has the same bits") {
    const auto m = two();
    std::vector<forked> variants{{"full", m.full}, {"low", m.low}, {"twin", m.low}};
    std::apply(
        [&](auto... points) {
            (variants.push_back(forked::fork("from its parent " + std::string(name(point_id(points))), "low")
                                    .patched(point_id(points), "low")),
             ...);
            (variants.push_back(forked::fork("from its twin " + std::string(name(point_id(points))), "low")
                                    .patched(point_id(points), "twin", {1})),
             ...);
        },
        hook::all{});
    const auto found = sweep_losses(m, variants);
    for (std::size_t v = 3; v < variants.size(); ++v) {
        CAPTURE(variants[v].name);
        CHECK(found.at(variants[v].name) == found.at("low"));
    }
}

TEST_CASE(
    "what attention and MLP add in all layers is the full model; so are all layers, or all projections, restored") {
    const auto m = two();
    std::vector<forked> variants{{"full", m.full},
                                 {"low", m.low},
                                 forked::fork("patched", "low")
                                     .patched(hook::id_of<hook::attn_out>, "full")
                                     .patched(hook::id_of<hook::mlp_out>, "full"),
                                 forked::fork("restored", "low").with_weights(m.full),
                                 forked::fork("quantized", "full").with_weights(m.low)};
    auto projections = forked::fork("projection by projection", "low");
    auto layers = forked::fork("layer by layer", "full");
    for (std::size_t p = 0; p < projection_count; ++p)
        projections = std::move(projections).with_weights(m.full, {}, only(static_cast<projection>(p)));
    for (std::size_t k = 0; k < deep; ++k) layers = std::move(layers).with_weights(m.low, {k, k + 1});
    variants.push_back(projections);
    variants.push_back(layers);
    const auto found = sweep_losses(m, variants);
    CHECK(found.at("full") != found.at("low"));
    for (const char* name : {"patched", "restored", "projection by projection"})
        CHECK(found.at(name) == found.at("full"));
    for (const char* name : {"quantized", "layer by layer"}) CHECK(found.at(name) == found.at("low"));
}

TEST_CASE("weights of some layers, and of some projections, are those of a model that is made of them") {
    const auto m = two();
    const auto spliced = [&](auto const& is_low) {
        std::vector<block_weights<forked_weight>> blocks;
        for (std::size_t k = 0; k < deep; ++k) {
            blocks.push_back(m.full->layer(k));
            for (std::size_t p = 0; p < projection_count; ++p)
                if (is_low(k, static_cast<projection>(p))) blocks[k].linear[p] = m.low->layer(k).linear[p];
        }
        return m.model.with_layers(forked_source(std::make_shared<resident_layers<forked_weight>>(std::move(blocks))));
    };
    const auto found =
        sweep_losses(m, {{"full", m.full},
                         {"low", m.low},
                         forked::fork("late", "low").with_weights(m.full, {3}),
                         forked::fork("gate", "low").with_weights(m.full, {}, only(projection::gate)),
                         forked::fork("one", "full").with_weights(m.low, {1, 2}),
                         forked::fork("one of late", "late").with_weights(m.low, {4, 5}, only(projection::down)),
                         forked::fork("earlier than its parent", "late").with_weights(m.full, {1, 2})});
    const std::vector<std::pair<const char*, bool (*)(std::size_t, projection)>> expected{
        {"late", [](std::size_t k, projection) { return k < 3; }},
        {"gate", [](std::size_t, projection p) { return p != projection::gate; }},
        {"one", [](std::size_t k, projection) { return k == 1; }},
        {"one of late", [](std::size_t k, projection p) { return k < 3 || (k == 4 && p == projection::down); }},
        {"earlier than its parent", [](std::size_t k, projection) { return k < 3 && k != 1; }}};
    for (auto const& each : expected) { // a doctest macro captures no structured binding in clang 14
        CAPTURE(std::string(each.first));
        no_probe nobody;
        for (std::size_t n = 0; n < forked_rows; ++n)
            CHECK(found.at(each.first)[n] == loss_of(spliced(each.second), n, nobody));
    }
}

TEST_CASE("a variant that ends early is scored where it ends, afresh or in the scale of the last state") {
    const auto m = two();
    std::vector<forked> variants{{"full", m.full}, {"low", m.low}};
    for (const char* parent : {"full", "low"})
        for (std::size_t k = 0; k < deep; ++k)
            for (const exit_state state : exit_states)
                for (const exit_scale scale : exit_scales)
                    variants.push_back(forked::fork(std::string(parent) + std::to_string(k) + std::string(name(state)) +
                                                        (scale == exit_scale::frozen ? "frozen" : ""),
                                                    parent)
                                           .ending({k, state, scale}));
    variants.push_back(forked::fork("own", "low").with_weights(m.full, {3}).ending({3, exit_state::r}));
    variants.push_back(forked::fork("own z", "low").with_weights(m.full, {3}).ending({3, exit_state::z}));
    variants.push_back(
        forked::fork("own frozen", "low").with_weights(m.full, {3}).ending({3, exit_state::r, exit_scale::frozen}));
    const auto found = sweep_losses(m, variants);

    const auto ids = forked_ids(m.model.config().vocabulary);
    const auto score_states = [&](matrix_view<const float> x, matrix_view<const float> scale, std::size_t n) {
        matrix<float> normed(forked_tokens, x.cols);
        rms_norm_of_scale(x, scale, m.model.final_norm(), m.model.config().block.norm_eps, normed.view());
        const matrix_view<const float> hidden = normed.view().middle_rows(0, forked_tokens - 1);
        position_scores scores(forked_tokens - 1, true);
        const token_scores view = scores.view();
        workspace scratch(vocabulary_loss_bytes(m.model.config().vocabulary, x.cols, forked_tokens - 1, 1, 1));
        vocabulary_loss(m.model.head(), no_soft_cap, std::span(&hidden, 1), ids.row(n).subspan(1), std::span(&view, 1),
                        scratch);
        return scores.nll;
    };
    for (const char* parent : {"full", "low"})
        for (std::size_t n = 0; n < forked_rows; ++n) {
            record<hook::resid_mid, hook::resid_post> states;
            loss_of(parent == std::string("full") ? m.model : m.model.with_layers(m.low), n, states);
            const auto last = states.get<hook::resid_post>(deep - 1);
            for (std::size_t k = 0; k < deep; ++k) {
                const std::string exit = parent + std::to_string(k);
                const auto r = states.get<hook::resid_mid>(k), z = states.get<hook::resid_post>(k);
                CAPTURE(exit);
                CHECK(found.at(exit + "r")[n] == score_states(r, r, n));
                CHECK(found.at(exit + "z")[n] == score_states(z, z, n));
                CHECK(found.at(exit + "rfrozen")[n] == score_states(r, last, n));
                CHECK(found.at(exit + "zfrozen")[n] == score_states(z, last, n));
            }
            const std::string end = parent + std::to_string(deep - 1) + "z";
            CHECK(found.at(end)[n] == found.at(parent)[n]);
            CHECK(found.at(end + "frozen")[n] == found.at(parent)[n]);
        }
    CHECK(found.at("own") != found.at("low3r"));
    CHECK(found.at("own z") != found.at("low3z"));
    CHECK(found.at("own frozen") != found.at("own"));
}

TEST_CASE("a tree of many variants depends neither on blocks and threads nor on who else runs") {
    const auto m = two();
    std::vector<forked> variants{{"full", m.full}, {"low", m.low}};
    for (std::size_t k = 0; k < deep; ++k) {
        const std::string at = std::to_string(k);
        variants.push_back(forked::fork("restore" + at, "low").with_weights(m.full, {k, k + 1}));
        variants.push_back(forked::fork("only" + at, "full").with_weights(m.low, {k, k + 1}));
        variants.push_back(forked::fork("from" + at, "low").patched(hook::id_of<hook::mlp_out>, "full", {k}));
        variants.push_back(forked::fork("exit" + at, "restore" + at).ending({deep - 1, exit_state::r}));
        variants.push_back(forked::fork("patched from an intervention" + at, "low")
                               .patched(hook::id_of<hook::mlp_gate>, "restore" + at, {k}));
    }
    const auto expected = sweep_losses(m, variants, {1, 1});
    for (const sweep_cut cut : {sweep_cut{2, 2}, sweep_cut{3, 3}}) CHECK(sweep_losses(m, variants, cut) == expected);
    for (std::size_t v = 2; v < variants.size(); ++v) {
        std::vector<forked> few{variants[0], variants[1]};
        for (auto const& other : variants)
            if (other.name == variants[v].parent || other.name == variants[v].name ||
                (!variants[v].patches.empty() && other.name == variants[v].patches[0].source))
                if (other.name != "full" && other.name != "low") few.push_back(other);
        CAPTURE(variants[v].name);
        CHECK(sweep_losses(m, few).at(variants[v].name) == expected.at(variants[v].name));
    }
}

TEST_CASE("patches say how many values they replaced") {
    const auto m = two();
    std::vector<patch_count> counts;
    sweep_losses(m,
                 {{"full", m.full},
                  {"low", m.low},
                  forked::fork("a", "low").patched(hook::id_of<hook::mlp_out>, "full", {2}),
                  forked::fork("b", "low")
                      .patched(hook::id_of<hook::mlp_gate>, "full", {4, 5}, {1, 3})
                      .patched(hook::id_of<hook::attn_heads>, "full", {0, 1}, position_range{1})},
                 {2, 1}, &counts);
    auto const& s = m.model.config().block;
    REQUIRE(counts.size() == 3);
    CHECK(counts[0].variant == "a");
    CHECK(counts[0].values == 3 * forked_rows * forked_tokens * s.width);
    CHECK((counts[1].variant == "b" && counts[1].point == hook::id_of<hook::mlp_gate>));
    CHECK(counts[1].values == forked_rows * 2 * s.ffn_width);
    CHECK(counts[2].values == forked_rows * (forked_tokens - 1) * s.heads * s.head_dim);
    CHECK_THROWS_WITH_AS(
        sweep_losses(m, {{"full", m.full},
                         {"low", m.low},
                         forked::fork("late words", "low").patched(hook::id_of<hook::mlp_out>, "full", {}, {11, 20})}),
        "sweep: variant 'late words': its patch of mlp_out begins at position 11 and ends before 20; the rows have 11",
        option_error);
}

TEST_CASE("a fork costs the layers from there on, and a weight is laid out once, whoever uses it") {
    const auto m = two();
    const auto load = [&](std::vector<forked> const& variants) {
        return variant_tree<forked_weight>(variants, m.model.config().block, deep).load();
    };
    std::vector<forked> variants{{"full", m.full}, {"low", m.low}};
    CHECK(load(variants).layers_run == 2 * deep);
    CHECK(load(variants).streams == 2);
    CHECK(load(variants).kept_numbers == 0);
    for (std::size_t k = 0; k < deep; ++k)
        variants.push_back(
            forked::fork("from" + std::to_string(k), "low").patched(hook::id_of<hook::mlp_out>, "full", {k}));
    auto const& shape = m.model.config().block;
    CHECK(load(variants).layers_run == 2 * deep + 15);
    CHECK(load(variants).streams == 7);
    CHECK(load(variants).kept_numbers == shape.width);
    CHECK(load(variants).matrices == layer_panels::matrix_counts{2, 2, 2, 2, 2, 2, 2});

    // Exits run nothing, and a stream that has ended is taken by the next.
    std::vector<forked> exits{{"full", m.full}, {"low", m.low}};
    for (std::size_t k = 0; k < deep; ++k) exits.push_back(forked::fork("exit" + std::to_string(k), "low").ending({k}));
    CHECK(load(exits).layers_run == 2 * deep);
    CHECK((load(exits).streams == 2 && load(exits).exits == 1 && load(exits).scored == 2));
    exits.push_back(forked::fork("gate", "low").with_weights(m.full, {0, 1}, only(projection::gate)).ending({1}));
    exits.push_back(forked::fork("later", "low").with_weights(m.full, {3}, only(projection::up)));
    CHECK(load(exits).streams == 3);
    CHECK(load(exits).matrices == layer_panels::matrix_counts{2, 2, 2, 2, 2, 2, 2});
    CHECK(load({{"full", m.full}}).matrices == layer_panels::matrix_counts{1, 1, 1, 1, 1, 1, 1});
    CHECK(
        load({{"full", m.full}, forked::fork("up", "full").with_weights(m.low, {4}, only(projection::up))}).matrices ==
        layer_panels::matrix_counts{1, 1, 1, 1, 1, 2, 1});
}

TEST_CASE("variants that are no tree are refused by name before anything runs") {
    const auto m = two();
    const forked full{"full", m.full}, low{"low", m.low};
    const auto out = hook::id_of<hook::mlp_out>;
    CHECK(refusal({}) == "sweep: at least one variant is expected, the full-precision model");
    CHECK(refusal({full, full}) == "sweep: variant 'full' has the name of an earlier one");
    CHECK(refusal({{"nothing", nullptr}}) == "sweep: variant 'nothing' has no weights; a layer_source is expected");
    CHECK(refusal({full, {"nothing", nullptr}}) ==
          "sweep: variant 'nothing' has no weights; a layer_source is expected");
    CHECK(refusal({forked::fork("half").with_weights(m.full, {2})}) ==
          "sweep: variant 'half' has no weights for the whole model; a layer_source is expected");
    CHECK(refusal({forked::fork("half").with_weights(m.full).ending({2})}) ==
          "sweep: variant 'half' comes first: it is the root, which has weights and nothing else");
    CHECK(refusal({full, forked::fork("a", "b")}) ==
          "sweep: variant 'a' has 'b' as its parent, and there is no variant of that name");
    CHECK(refusal({full, forked::fork("a", "a")}) == "sweep: variant 'a' has itself as its parent");
    CHECK(refusal({full, forked::fork("a", "b"), forked::fork("b", "full")}) ==
          "sweep: variant 'a' has 'b' as its parent, which comes after it; an earlier variant is expected");
    CHECK(
        refusal({full, forked::fork("a", "b"), forked::fork("b", "a")}) ==
        "sweep: variant 'a' has 'b' as its parent, which comes after it and refers to it, a cycle; an earlier variant "
        "is expected");
    CHECK(
        refusal({full, forked::fork("a").patched(out, "b"), forked::fork("b").patched(out, "a")}) ==
        "sweep: variant 'a' has 'b' as its source, which comes after it and refers to it, a cycle; an earlier variant "
        "is expected");
    CHECK(refusal({full, forked::fork("a").patched(out, "a")}) == "sweep: variant 'a' has itself as its source");
    CHECK(refusal({full, low, forked::fork("a", "low").patched(out, "full", {5})}) ==
          "sweep: variant 'a' patches mlp_out in layers 5 and above, where it never fires");
    CHECK(refusal({full, low, forked::fork("a", "low").patched(out, "full", {3, 3})}) ==
          "sweep: variant 'a' patches mlp_out in layers 3 to below 3, where it never fires");
    CHECK(refusal({full, low, forked::fork("a", "low").patched(out, "full", {2}).ending({2, exit_state::r})}) ==
          "sweep: variant 'a' patches mlp_out in layers 2 and above, where it never fires");
    CHECK(refusal({full, forked::fork("a").with_weights(m.low, {4}).ending({2})}) ==
          "sweep: variant 'a' changes weights in layers 4 and above, of which it runs none: it has layers 0 to 2");
    CHECK(refusal({full, forked::fork("a").with_weights(m.low, {}, projection_set())}) ==
          "sweep: variant 'a' changes the weights of no projection");
    CHECK(refusal({full, forked::fork("a").ending({5})}) ==
          "sweep: variant 'a' ends in layer 5 of a model with layers 0 to 4");
    const auto early = forked::fork("early").with_weights(m.low, {0, 1}).ending({2, exit_state::r});
    CHECK(refusal({full, early, forked::fork("a", "early").with_weights(m.low, {3})}) ==
          "sweep: variant 'a' forks at layer 3 from 'early', which has ended there");
    CHECK(refusal({full, early, forked::fork("a", "early").with_weights(m.low, {2})}).empty());
    CHECK(refusal({full, early, forked::fork("a").patched(out, "early", {1, 3})}) ==
          "sweep: variant 'a' patches mlp_out of layer 2 with that of 'early', which has ended there");
    CHECK(refusal({full, early, forked::fork("a").patched(hook::id_of<hook::attn_out>, "early", {1, 3})}).empty());
    CHECK(refusal({full, early, forked::fork("a", "early").ending({1, exit_state::z, exit_scale::frozen})}) ==
          "sweep: variant 'a' ends in the scale of 'early', which never comes to the last layer");
}
