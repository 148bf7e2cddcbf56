#include "bitlens/models/score.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/formats/uniform.hpp"
#include "bitlens/hooks/record.hpp"
#include "bitlens/models/architectures.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/quantizers/rtn.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

using namespace bitlens;

namespace {

using any_weight = mixed_matrix<dense<float>, uniform<3, 32>>;

std::vector<std::int32_t> ids_to_score(std::size_t count, std::size_t vocabulary) {
    random_generator random(9);
    std::vector<std::int32_t> ids(count);
    for (auto& id : ids) id = static_cast<std::int32_t>(random.below(vocabulary));
    return ids;
}

/// −log softmax(logits_t)[ids_{t+1}] in double, of the logits that a run makes in so many tasks.
template <class Model>
std::vector<double> by_log_softmax(Model const& model, std::vector<std::int32_t> const& ids) {
    record<hook::logits> said;
    workspace scratch(model.forward_bytes(ids.size(), 1), 1, model.products());
    model.forward(ids, said, scratch);
    std::vector<double> nll;
    for (std::size_t t = 0; t + 1 < ids.size(); ++t) {
        const auto logits = said.template get<hook::logits>().row(t);
        const double largest = double{*std::max_element(logits.begin(), logits.end())};
        double sum = 0;
        for (const float l : logits) sum += std::exp(double{l} - largest);
        nll.push_back(largest + std::log(sum) - double{logits[static_cast<std::size_t>(ids[t + 1])]});
    }
    return nll;
}

/// Sums of e^l are of floats within eight registers, so a loss is right to some roundings of 6e-8 relative to them.
void check_near(std::vector<double> const& a, std::vector<double> const& b) {
    REQUIRE(a.size() == b.size());
    for (std::size_t t = 0; t < a.size(); ++t) CHECK(std::abs(a[t] - b[t]) < 2e-6);
}

struct zero_outputs {
    using points = hook::set<hook::mlp_out>;
    std::size_t heard = 0;
    void on(hook::mlp_out, site, matrix_view<float> a) {
        ++heard;
        for (std::size_t t = 0; t < a.rows; ++t) std::ranges::fill(a.row(t), 0.0f);
    }
};
struct doubled_final_norm {
    using points = hook::set<hook::final_norm>;
    void on(hook::final_norm, site, matrix_view<float> a) {
        for (std::size_t t = 0; t < a.rows; ++t)
            for (float& x : a.row(t)) x *= 2;
    }
};

} // namespace

TEST_CASE_TEMPLATE("score is log-softmax of the logits", Architecture, llama, qwen2) {
    for (const bool tied : {true, false})
        for (const std::size_t vocabulary : {256u, 1500u}) { // one tile of the vocabulary, and two
            auto config = tiny_config<Architecture>();
            config.tied_head = tied;
            config.vocabulary = vocabulary;
            const auto model = tiny_model<Architecture, any_weight>(config, 4);
            const auto ids = ids_to_score(21, vocabulary);
            check_near(score(model, ids), by_log_softmax(model, ids));
            CHECK(score(model, std::vector<std::int32_t>{3, 5}).size() == 1);
        }
}

TEST_CASE("score takes weights of any kind and the model's arithmetic, in any number of tasks") {
    const auto full = tiny_model<llama, any_weight>(tiny_config<llama>(), 4);
    std::vector<block_weights<any_weight>> blocks;
    for (std::size_t k = 0; k < full.config().layers; ++k) {
        blocks.push_back(full.layers()->layer(k));
        for (auto& w : blocks.back().linear)
            w = w->visit([&]<class F>(packed_matrix<F> const& m) {
                if constexpr (std::same_as<F, dense<float>>)
                    return std::make_shared<const any_weight>(rtn<uniform<3, 32>>{}(m.view()));
                else
                    return w;
            });
    }
    const auto low = full.with_layers(std::make_shared<resident_layers<any_weight>>(std::move(blocks)));
    const auto ids = ids_to_score(33, 256);
    check_near(score(low, ids), by_log_softmax(low, ids));
    CHECK(score(low, ids) != score(full, ids));
    for (const unsigned tasks : {1u, 2u, 7u}) {
        workspace scratch(score_bytes(low, ids.size(), tasks), tasks);
        CHECK(score(low, ids, scratch) == score(low, ids));
    }
    const auto rounded = low.with_products(arithmetic::bf16_emulated);
    check_near(score(rounded, ids), by_log_softmax(rounded, ids));
    CHECK(score(rounded, ids) != score(low, ids));
}

TEST_CASE("what a probe hears and writes is what is scored") {
    const auto model = tiny_model<llama, any_weight>(tiny_config<llama>(), 4);
    const auto ids = ids_to_score(12, 256);
    record<hook::resid_mid, hook::final_norm> heard;
    CHECK(score(model, ids, heard) == score(model, ids));
    CHECK(heard.get<hook::resid_mid>(3).rows == 12);
    CHECK(heard.get<hook::final_norm>().rows == 12);

    zero_outputs zero;
    record<hook::logits> changed;
    chain both(zero, changed);
    model.forward(ids, both);
    const auto logits = changed.get<hook::logits>();
    zero_outputs again;
    const auto nll = score(model, ids, again);
    CHECK(again.heard == 4);
    CHECK(nll != score(model, ids));
    double sum = 0;
    for (const float l : logits.row(0)) sum += std::exp(double{l});
    CHECK(nll[0] == doctest::Approx(std::log(sum) - double{logits(0, static_cast<std::size_t>(ids[1]))}).epsilon(1e-6));

    doubled_final_norm twice; // it speaks before the head reads
    CHECK(score(model, ids, twice) != score(model, ids));
}

TEST_CASE("score refuses what is no text of this model, and a workspace that is too small") {
    const auto model = tiny_model<llama, any_weight>(tiny_config<llama>(), 4);
    CHECK_THROWS_WITH_AS(score(model, std::vector<std::int32_t>{}),
                         "score: 0 token ids, expected at least 2: each but the first is scored", shape_error);
    CHECK_THROWS_AS(score(model, std::vector<std::int32_t>{1}), shape_error);
    CHECK_THROWS_WITH_AS(score(model, std::vector<std::int32_t>{1, 256}),
                         "token id 256 at position 1 is outside the vocabulary of 256", shape_error);
    workspace small(64);
    CHECK_THROWS_WITH_AS(score(model, std::vector<std::int32_t>{1, 2}, small),
                         doctest::Contains("score: the workspace has 64 of 64 bytes free"), shape_error);
}
