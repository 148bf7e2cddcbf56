#include "bitlens/models/random_model.hpp"

#include "bitlens/hooks/patch.hpp"
#include "bitlens/hooks/record.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

using namespace bitlens;

namespace {

using weights_type = packed_matrix<dense<float>>;

std::vector<std::int32_t> some_ids(std::size_t count) {
    std::vector<std::int32_t> ids(count);
    std::iota(ids.begin(), ids.end(), 7);
    return ids;
}

template <class Architecture>
transformer<Architecture, weights_type> model() {
    return tiny_model<Architecture, weights_type>(tiny_config<Architecture>(), 3);
}

template <class Model, class P>
std::vector<float> logits_with(Model const& m, P& probe) {
    record<hook::logits> last;
    chain both(probe, last);
    m.forward(some_ids(9), both);
    const auto logits = last.template get<hook::logits>();
    return {logits.data, logits.data + logits.rows * logits.cols};
}

/// Overwrites one point with zeros in one layer, and notes where it was called.
template <class Point>
struct zero_at {
    using points = hook::set<Point>;
    std::size_t layer;
    std::vector<std::size_t> calls = {};

    void on(Point, site at, matrix_view<float> a) {
        calls.push_back(at.layer);
        if (at.layer != layer) return;
        for (std::size_t t = 0; t < a.rows; ++t) std::ranges::fill(a.row(t), 0.0f);
    }
};

} // namespace

TEST_CASE_TEMPLATE_DEFINE("a point fires once in every layer, and what is written there changes the logits", Point,
                          point_of_a_layer) {
    const auto m = model<qwen2>();
    no_probe nobody;
    const auto undisturbed = logits_with(m, nobody);
    for (std::size_t layer = 0; layer < m.config().layers; ++layer) {
        zero_at<Point> zero{layer};
        CHECK(logits_with(m, zero) != undisturbed);
        CHECK(zero.calls == std::vector<std::size_t>{0, 1, 2, 3});
    }
    zero_at<Point> nowhere{99};
    CHECK(logits_with(m, nowhere) == undisturbed); // to listen changes nothing
}
TEST_CASE_TEMPLATE_APPLY(point_of_a_layer, hook::all);

TEST_CASE_TEMPLATE("final_norm and logits fire once per run", Point, hook::final_norm, hook::logits) {
    const auto m = model<llama>();
    zero_at<Point> zero{m.config().layers};
    for (float v : logits_with(m, zero)) CHECK(v == 0);
    CHECK(zero.calls == std::vector<std::size_t>{4});
}

TEST_CASE("patching a model with its own states changes no bit, with another's gives the other's result") {
    const auto m = model<llama>();
    const auto other = tiny_model<llama, weights_type>(tiny_config<llama>(), 4);
    no_probe nobody;
    record<hook::resid_post, hook::mlp_up> own, others;
    m.forward(some_ids(9), own);
    other.forward(some_ids(9), others);
    patch<hook::resid_post, hook::mlp_up> same(own);
    CHECK(logits_with(m, same) == logits_with(m, nobody));

    // From the last block on, its output decides all; both models then differ in final norm and head alone.
    patch<hook::resid_post> last_block(others, 3);
    const auto mixed = transformer<llama, weights_type>(
        m.config(), m.layers(), std::shared_ptr<const weights_type>(&m.embedding(), [](auto*) {}),
        {other.final_norm().begin(), other.final_norm().end()},
        std::shared_ptr<const weights_type>(&other.head(), [](auto*) {}));
    CHECK(logits_with(mixed, last_block) == logits_with(other, nobody));
}

TEST_CASE("a run has the same bits for any number of tasks, and a document's start does not know its end") {
    const auto m = model<qwen2>();
    const auto ids = some_ids(40);
    record<hook::logits> one, three, start;
    m.forward(ids, one);
    workspace scratch(m.forward_bytes(ids.size(), 3), 3);
    m.forward(ids, three, scratch);
    m.forward(some_ids(13), start);
    for (std::size_t t = 0; t < ids.size(); ++t)
        CHECK(std::ranges::equal(one.get<hook::logits>().row(t), three.get<hook::logits>().row(t)));
    for (std::size_t t = 0; t < 13; ++t)
        CHECK(std::ranges::equal(one.get<hook::logits>().row(t), start.get<hook::logits>().row(t)));
}

TEST_CASE("ids that are no document are refused") {
    const auto m = model<llama>();
    no_probe nobody;
    CHECK_THROWS_WITH_AS(m.forward(std::vector<std::int32_t>{}, nobody), "forward: at least one token id is expected",
                         shape_error);
    CHECK_THROWS_WITH_AS(m.forward(std::vector<std::int32_t>{1, 256}, nobody),
                         "token id 256 at position 1 is outside the vocabulary of 256", shape_error);
}

TEST_CASE("a tiny model follows from configuration and seed, and bad ones are refused") {
    no_probe nobody;
    const auto first = logits_with(model<llama>(), nobody);
    CHECK(first == logits_with(model<llama>(), nobody));
    CHECK(first != logits_with(tiny_model<llama, weights_type>(tiny_config<llama>(), 5), nobody));
    auto config = tiny_config<llama>();
    config.block.kv_heads = 3;
    CHECK_THROWS_AS((tiny_model<llama, weights_type>(config, 1)), format_error);
    CHECK_THROWS_AS((tiny_model<qwen2, weights_type>(tiny_config<llama>(), 1)), format_error);
}

TEST_CASE("a workspace, layers and parts that do not fit are refused in every build") {
    const auto m = model<llama>();
    no_probe nobody;
    workspace small(1000);
    CHECK_THROWS_WITH_AS(m.forward(some_ids(9), nobody, small),
                         doctest::Contains(("forward: the workspace has 1000 of 1000 bytes free, expected at least " +
                                            std::to_string(m.forward_bytes(9, 1)))
                                               .c_str()),
                         shape_error);
    auto wide = tiny_config<llama>();
    wide.block.ffn_width = 96;
    const auto other = m.with_layers(tiny_model<llama, weights_type>(wide, 1).layers());
    CHECK_THROWS_WITH_AS(other.forward(some_ids(9), nobody), "advance: gate_proj is 96 × 64, expected 160 × 64",
                         shape_error);
    const auto biased = tiny_model<qwen2, weights_type>(tiny_config<qwen2>(), 1);
    CHECK_THROWS_WITH_AS(m.with_layers(biased.layers()).forward(some_ids(9), nobody),
                         "advance: the bias of q_proj has 64 elements, expected 0", shape_error);
    CHECK_THROWS_AS(m.with_layers(nullptr), shape_error);

    const auto embedding = std::make_shared<const weights_type>(256, 64),
               narrow = std::make_shared<const weights_type>(256, 63);
    const auto made_of = [&](auto const& e, auto const& head, std::size_t norm) {
        return transformer<llama, weights_type>(m.config(), m.layers(), e, std::vector<float>(norm), head);
    };
    made_of(embedding, embedding, 64);
    CHECK_THROWS_WITH_AS(made_of(narrow, embedding, 64), "transformer: embedding is 256 × 63, expected 256 × 64",
                         shape_error);
    CHECK_THROWS_AS(made_of(embedding, narrow, 64), shape_error);
    CHECK_THROWS_WITH_AS(made_of(embedding, embedding, 65), "transformer: final_norm has 65 elements, expected 64",
                         shape_error);
}
