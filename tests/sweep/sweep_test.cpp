#include "bitlens/sweep/sweep.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/hooks/record.hpp"
#include "bitlens/models/architectures.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/models/score.hpp"
#include "bitlens/quantizers/rtn.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

using weight = mixed_matrix<dense<float>, uniform<3, 32>>;
using model_type = transformer<llama, weight>;

/// 3-bit weights for every linear layer of the model.
std::shared_ptr<layer_source<weight>> quantized(model_type const& model) {
    std::vector<block_weights<weight>> layers;
    for (std::size_t k = 0; k < model.config().layers; ++k) {
        auto w = model.layers()->layer(k);
        for (auto& matrix : w.linear)
            matrix->visit([&]<class F>(packed_matrix<F> const& m) {
                if constexpr (std::same_as<F, dense<float>>)
                    matrix = std::make_shared<const weight>(
                        rtn<uniform<3, 32>>{}(matrix_view<const float>(m.row(0).data(), m.rows(), m.cols())));
            });
        layers.push_back(std::move(w));
    }
    return std::make_shared<resident_layers<weight>>(std::move(layers));
}

/// Blocks 0 … fork − 1 of one source, the others of another.
struct spliced final : layer_source<weight> {
    std::shared_ptr<layer_source<weight>> lower, upper;
    std::size_t fork;
    spliced(std::shared_ptr<layer_source<weight>> a, std::shared_ptr<layer_source<weight>> b, std::size_t k)
        : lower(std::move(a)), upper(std::move(b)), fork(k) {}
    block_weights<weight> layer(std::size_t k) override { return (k < fork ? lower : upper)->layer(k); }
};

/// Everything a sweep says of one example.
class record_everything {
public:
    record_everything(std::size_t variants, std::size_t positions) : nll(variants), kl(variants), outputs(variants) {
        for (std::size_t v = 0; v < variants; ++v) {
            nll[v].resize(positions);
            kl[v].resize(v == 0 ? 0 : positions);
            tops.emplace_back(positions);
            margins.emplace_back(positions);
        }
        for (std::size_t v = 0; v < variants; ++v) views.push_back({nll[v], kl[v], tops[v], margins[v]});
    }
    template <class F>
    void with_probe(std::size_t v, F const& f) {
        outputs_probe probe{outputs[v]};
        f(probe);
    }
    std::span<const token_scores> scores() { return views; }

    std::vector<std::vector<double>> nll, kl;
    std::vector<std::vector<std::int32_t>> tops;
    std::vector<std::vector<float>> margins;
    std::vector<std::vector<float>> outputs; // resid_post of all layers that ran, one after the other

private:
    struct outputs_probe {
        using points = hook::set<hook::resid_post>;
        std::vector<float>& kept;
        void on(hook::resid_post, site, matrix_view<float> a) {
            for (std::size_t t = 0; t < a.rows; ++t) kept.insert(kept.end(), a.row(t).begin(), a.row(t).end());
        }
    };
    std::vector<token_scores> views;
};

variant<weight> fork(std::string name, std::string parent = {}) {
    return variant<weight>::fork(std::move(name), std::move(parent));
}

constexpr std::size_t rows = 5, tokens = 9;

matrix<std::int32_t> random_ids(std::size_t vocabulary) {
    matrix<std::int32_t> ids(rows, tokens);
    random_generator random(3);
    for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.below(vocabulary));
    return ids;
}

std::vector<record_everything> run(model_type const& model, std::vector<variant<weight>> const& variants,
                                   sweep_cut cut) {
    const auto ids = random_ids(model.config().vocabulary);
    std::vector<record_everything> all;
    sweep<llama, weight>(
        model, variants, ids, cut, [&](std::size_t) { return record_everything(variants.size(), tokens - 1); },
        [&](std::size_t first, std::span<record_everything> block) {
            CHECK(first == all.size());
            for (auto& m : block) all.push_back(std::move(m));
        });
    return all;
}

} // namespace

TEST_CASE("a sweep gives what a forward pass of each variant gives, bit for bit") {
    const auto model = tiny_model<llama, weight>(tiny_config<llama>(), 1);
    const auto low = quantized(model);
    const auto swept = run(model, {{"full", model.layers()}, {"rtn3", low}}, {});
    REQUIRE(swept.size() == rows);
    const auto ids = random_ids(model.config().vocabulary);
    for (std::size_t v = 0; v < 2; ++v)
        for (std::size_t n = 0; n < rows; ++n) {
            record_everything alone(1, tokens - 1);
            alone.with_probe(
                0, [&](auto& probe) { (v == 0 ? model : model.with_layers(low)).forward(ids.row(n), probe); });
            CHECK(swept[n].outputs[v] == alone.outputs[0]);
            CHECK(swept[n].nll[v] == score(v == 0 ? model : model.with_layers(low), ids.row(n)));
        }
    for (auto const& m : swept) {
        CHECK(m.nll[0] != m.nll[1]);
        CHECK(std::ranges::all_of(m.kl[1], [](double kl) { return kl > 0; }));
    }
}

TEST_CASE("position t is scored on the token at t + 1") {
    struct keep_logits {
        using points = hook::set<hook::logits>;
        matrix<float> logits;
        void on(hook::logits, site, matrix_view<float> a) {
            for (std::size_t t = 0; t < a.rows; ++t) std::ranges::copy(a.row(t), logits.row(t).begin());
        }
    };
    const auto model = tiny_model<llama, weight>(tiny_config<llama>(), 1);
    const auto swept = run(model, {{"full", model.layers()}}, {});
    const auto ids = random_ids(model.config().vocabulary);
    for (std::size_t n = 0; n < rows; ++n) {
        keep_logits probe{matrix<float>(tokens, model.config().vocabulary)};
        model.forward(ids.row(n), probe);
        for (std::size_t t = 0; t + 1 < tokens; ++t) {
            const auto logits = std::as_const(probe.logits).row(t);
            double sum = 0;
            for (const float l : logits) sum += std::exp(double{l});
            const double expected = std::log(sum) - double{logits[static_cast<std::size_t>(ids(n, t + 1))]};
            CHECK(std::abs(swept[n].nll[0][t] - expected) <= 1e-6 * (1 + expected));
        }
    }
}

TEST_CASE("nothing depends on the size of a block, the number of threads, or whether weights are laid out") {
    const auto model = tiny_model<llama, weight>(tiny_config<llama>(), 1);
    const std::vector<variant<weight>> variants{{"full", model.layers()}, {"rtn3", quantized(model)}};
    const auto expected = run(model, variants, {1, 1});
    for (const sweep_cut cut :
         {sweep_cut{2, 1}, sweep_cut{5, 2}, sweep_cut{1, 3}, sweep_cut{100, 7}, sweep_cut{2, 3, false}}) {
        const auto found = run(model, variants, cut);
        REQUIRE(found.size() == rows);
        for (std::size_t n = 0; n < rows; ++n) {
            CHECK(found[n].nll == expected[n].nll);
            CHECK(found[n].kl == expected[n].kl);
            CHECK(found[n].tops == expected[n].tops);
            CHECK(found[n].margins == expected[n].margins);
            CHECK(found[n].outputs == expected[n].outputs);
        }
    }
}

TEST_CASE("a variant that forks shares the blocks before with its parent") {
    const auto model = tiny_model<llama, weight>(tiny_config<llama>(), 2);
    const auto low = quantized(model);
    const auto found = run(
        model, {{"full", model.layers()}, {"low", low}, fork("restored", "low").with_weights(model.layers(), {2})}, {});
    const auto whole =
        run(model, {{"full", model.layers()}, {"the same", std::make_shared<spliced>(low, model.layers(), 2)}}, {});
    for (std::size_t n = 0; n < rows; ++n) {
        CHECK(found[n].nll[2] == whole[n].nll[1]);
        CHECK(found[n].outputs[2].size() == (model.config().layers - 2) * tokens * model.config().block.width);
    }
}

TEST_CASE("the full model against itself has no error") {
    const auto model = tiny_model<llama, weight>(tiny_config<llama>(), 1);
    for (auto const& m : run(model, {{"full", model.layers()}, {"again", model.layers()}}, {})) {
        CHECK(m.nll[0] == m.nll[1]);
        CHECK(std::ranges::all_of(m.kl[1], [](double kl) { return kl == 0; }));
    }
}

TEST_CASE("rows of unequal length, and prompts that are only read, change nothing of a row") {
    for (const bool by_length : {false, true}) { // frequencies that a row's own length decides
        auto config = tiny_config<llama>();
        if (by_length) config.ropes = {rope_rule{.scaling = rope_dynamic{4, 6}}};
        const auto model = tiny_model<llama, weight>(config, 2);
        std::vector<variant<weight>> variants{{"full", model.layers()}, {"low", quantized(model)}};
        variants.push_back(fork("patched", "low"));
        variants.back().patches.push_back({point_id(hook::attn_out{}), "full"});
        variants.push_back(fork("exit", "low").ending({1, exit_state::r}));
        variants.push_back(fork("frozen", "low").ending({1, exit_state::z, exit_scale::frozen}));
        const auto ids = random_ids(config.vocabulary);
        token_rows all;
        const std::array<std::size_t, rows> lengths{9, 2, 7, 3, 8}, prompts{1, 1, 5, 2, 7};
        for (std::size_t n = 0; n < rows; ++n) all.add(ids.row(n).first(lengths[n]), prompts[n]);
        for (const sweep_cut cut : {sweep_cut{1, 1}, sweep_cut{5, 2}, sweep_cut{2, 3, false}}) {
            std::vector<record_everything> together;
            sweep<llama, weight>(
                model, variants, all, cut,
                [&](std::size_t n) { return record_everything(variants.size(), all.scored(n).count()); },
                [&](std::size_t, std::span<record_everything> block) {
                    for (auto& m : block) together.push_back(std::move(m));
                });
            REQUIRE(together.size() == rows);
            for (std::size_t n = 0; n < rows; ++n) {
                CAPTURE(n);
                token_rows alone;
                alone.add(all.row(n));
                sweep<llama, weight>(
                    model, variants, alone, {},
                    [&](std::size_t) { return record_everything(variants.size(), lengths[n] - 1); },
                    [&](std::size_t, std::span<record_everything> one) {
                        const auto tail = [&](auto const& list) {
                            using list_type = std::remove_cvref_t<decltype(list)>;
                            return list.empty() ? list_type()
                                                : list_type(list.begin() + static_cast<std::ptrdiff_t>(prompts[n] - 1),
                                                            list.end());
                        };
                        for (std::size_t v = 0; v < variants.size(); ++v) {
                            CHECK(together[n].nll[v] == tail(one[0].nll[v]));
                            CHECK(together[n].kl[v] == tail(one[0].kl[v]));
                            CHECK(together[n].tops[v] == tail(one[0].tops[v]));
                            CHECK(together[n].margins[v] == tail(one[0].margins[v]));
                            CHECK(together[n].outputs[v] == one[0].outputs[v]);
                        }
                    });
                CHECK(together[n].nll[0].size() == lengths[n] - prompts[n]);
            }
        }
    }
}

TEST_CASE("what cannot run is refused before anything runs") {
    const auto model = tiny_model<llama, weight>(tiny_config<llama>(), 1);
    const auto layers = model.layers();
    const std::vector<variant<weight>> full{{"full", layers}};
    const auto make = [](std::size_t) { return record_everything(1, 1); };
    const auto done = [](std::size_t, std::span<record_everything>) { FAIL("ran"); };
    matrix<std::int32_t> ids(2, 2);
    ids(1, 1) = 256;
    CHECK_THROWS_WITH_AS((sweep<llama, weight>(model, full, ids, {}, make, done)), doctest::Contains("256"),
                         shape_error);
    CHECK_THROWS_AS((sweep<llama, weight>(model, full, matrix<std::int32_t>(2, 1), {}, make, done)), shape_error);
    token_rows no_scored;
    no_scored.add(std::vector<std::int32_t>{1, 2, 3}, 3);
    CHECK_THROWS_WITH_AS((sweep<llama, weight>(model, full, no_scored, {}, make, done)),
                         doctest::Contains("row 0 has 3 token ids, of which none is scored"), shape_error);
    CHECK_THROWS_AS(no_scored.add({}), shape_error);
    CHECK_THROWS_AS(no_scored.add(std::vector<std::int32_t>{1, 2}, 0), shape_error);
    ids(1, 1) = 0; // room for the scores of another number of variants, or positions
    const auto too_many = [](std::size_t) { return record_everything(2, 1); };
    CHECK_THROWS_WITH_AS(sweep(model, full, ids, {}, too_many, done), "sweep: scores() has 2 elements, expected 1",
                         shape_error);
    const auto too_long = [](std::size_t) { return record_everything(1, 2); };
    CHECK_THROWS_WITH_AS(sweep(model, full, ids, {}, too_long, done), "vocabulary_loss: nll has 2 elements, expected 1",
                         shape_error);
}
