// Operands that do not fit are refused, once per call, in every build.
#include "bitlens/layers/attention.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/layers/embedding.hpp"
#include "bitlens/layers/gated_mlp.hpp"
#include "bitlens/layers/linear.hpp"
#include "bitlens/layers/reference.hpp"
#include "bitlens/layers/rms_norm.hpp"
#include "bitlens/layers/rope.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

using plain_weights = packed_matrix<dense<float>>;
const block_shape small_shape{16, 4, 2, 4, 24, 1e-5f};
const block_shape biased_shape = [] {
    block_shape s = small_shape;
    s.biases = only(projection::q);
    return s;
}();
const std::vector<rope_rule> one_rope(1);

block_weights<plain_weights> zero_weights(bool biased) {
    block_weights<plain_weights> w;
    for (std::size_t p = 0; p < projection_count; ++p) {
        const auto [rows, cols] = shape_of(static_cast<projection>(p), small_shape);
        w.linear[p] = std::make_shared<const plain_weights>(rows, cols);
    }
    norms_and_biases rest;
    rest.gamma(block_norm::attn).resize(16), rest.gamma(block_norm::mlp).resize(16);
    if (biased) rest.bias(projection::q).resize(16);
    w.rest = std::make_shared<const norms_and_biases>(std::move(rest));
    return w;
}

template <block_form Form = block_form{}>
void run_block(block_weights<plain_weights> const& w, block_buffers& buffers, block_shape const& of = small_shape,
               std::size_t bytes = advance_bytes(small_shape, 5, 1)) {
    workspace scratch(bytes);
    residual_stream stream(5, of);
    no_probe nobody;
    advance<Form>(of, w, site{0}, stream, buffers, stage::end, scratch, nobody);
}

} // namespace

TEST_CASE("the parts of a block refuse operands that do not fit") {
    matrix<float> a(3, 8), b(3, 7), c(2, 8);
    const std::vector<float> seven(7), eight(8);
    CHECK_THROWS_WITH_AS(rms_norm(a.view(), seven, 1e-5f, a.view()), "rms_norm: gamma has 7 elements, expected 8",
                         shape_error);
    CHECK_THROWS_WITH_AS(rms_norm(a.view(), eight, 1e-5f, c.view()), "rms_norm: y is 2 × 8, expected 3 × 8",
                         shape_error);
    CHECK_THROWS_AS(reference::rms_norm(a.view(), seven, 1e-5f, a.view()), shape_error);
    CHECK_THROWS_WITH_AS(rms_norm_of_heads(a.view(), seven, 1e-5f, a.view()),
                         "rms_norm_of_heads: x has 8 columns, expected whole heads of 7", shape_error);
    CHECK_THROWS_WITH_AS(rms_norm_of_heads(a.view(), {}, 1e-5f, a.view()),
                         "rms_norm_of_heads: x has 8 columns, expected whole heads of 0", shape_error);
    CHECK_THROWS_WITH_AS(rms_norm_of_heads(a.view(), eight, 1e-5f, c.view()),
                         "rms_norm_of_heads: y is 2 × 8, expected 3 × 8", shape_error);
    CHECK_THROWS_AS(reference::rms_norm_of_heads(a.view(), seven, 1e-5f, a.view()), shape_error);
    CHECK_THROWS_WITH_AS(add(a.view(), b.view()), "add: b is 3 × 7, expected 3 × 8", shape_error);
    CHECK_THROWS_AS(multiply(a.view(), c.view()), shape_error);
    CHECK_THROWS_AS(activate_multiply<activation::silu>(a.view(), c.view()), shape_error);
    CHECK_THROWS_AS(reference::activate_multiply<activation::silu>(a.view(), c.view()), shape_error);
    CHECK_THROWS_WITH_AS(add_bias(seven, a.view()), "add_bias: b has 7 elements, expected 8", shape_error);
    add_bias({}, a.view());

    CHECK_THROWS_AS(rope_table(4, 5, rope_rule{}), shape_error);
    CHECK_THROWS_AS(rope_table(4, 4, rope_rule{.theta = 0}), option_error);
    const rope_table table(4, 4, rope_rule{});
    CHECK_THROWS_WITH_AS(rope(table, 2, a.view()), "rope: 3 positions from 2 on, of 4", shape_error);
    CHECK_THROWS_WITH_AS(rope(table, 0, b.view()), "rope: x has 7 columns, expected whole heads of 4", shape_error);

    const plain_weights embedding(10, 8);
    const std::vector<std::int32_t> ids{1, 9, 10};
    CHECK_THROWS_WITH_AS(embed(embedding, ids, a.view()), "token id 10 at position 2 is outside the vocabulary of 10",
                         shape_error);
    CHECK_THROWS_WITH_AS(embed(embedding, ids, c.view()), "embed: x is 2 × 8, expected 3 × 8", shape_error);
}

TEST_CASE("attention refuses heads, shapes and a workspace that do not fit") {
    const matrix<float> q(3, 16), k(3, 8), uneven(3, 12), short_k(2, 8);
    matrix<float> out(3, 16), narrow(3, 8);
    const attention_rule rule{.scale = 0.5f};
    workspace scratch(attention_bytes(3, 2, 4, 1)), small(64);
    CHECK_THROWS_WITH_AS(
        attention(q, uneven, uneven, 4, rule, out, scratch),
        "attention: q has 16 columns and k 12, expected whole heads of 4, and as many of q for each of k", shape_error);
    CHECK_THROWS_AS(attention(q, k, k, 0, rule, out, scratch), shape_error);
    CHECK_THROWS_AS(attention(q, k, k, 3, rule, out, scratch), shape_error);
    CHECK_THROWS_WITH_AS(attention(q, short_k, k, 4, rule, out, scratch), "attention: 3 queries from 0 on, of 2",
                         shape_error);
    CHECK_THROWS_WITH_AS(attention(q, k, short_k, 4, rule, out, scratch), "attention: v is 2 × 8, expected 3 × 8",
                         shape_error);
    CHECK_THROWS_WITH_AS(attention(q, k, k, 4, rule, narrow, scratch), "attention: out is 3 × 8, expected 3 × 16",
                         shape_error);
    CHECK_THROWS_WITH_AS(attention(q, k, k, 4, rule, out, small),
                         doctest::Contains("attention: the workspace has 64 of 64 bytes free, expected at least"),
                         shape_error);
    CHECK_THROWS_AS(reference::attention(q, uneven, uneven, 4, rule, out), shape_error);
    attention(q, k, k, 4, rule, out, scratch);

    const auto refused = [&](attention_rule const& other) {
        try {
            attention(q, k, k, 4, other, out, scratch);
            return std::string("no refusal");
        } catch (error const& e) {
            CHECK_THROWS_WITH(reference::attention(q, k, k, 4, other, out), e.what());
            return std::string(e.what());
        }
    };
    constexpr std::size_t huge = std::numeric_limits<std::size_t>::max();
    constexpr float infinity = std::numeric_limits<float>::infinity();
    CHECK(refused({.scale = 1, .first = 1}) == "attention: 3 queries from 1 on, of 3");
    CHECK(refused({.scale = 1, .first = huge}) == "attention: 3 queries from 18446744073709551615 on, of 3");
    CHECK(refused({.scale = 0}) == "attention: scale 0.000000, expected a positive number");
    CHECK(refused({.scale = std::nanf("")}) == "attention: scale nan, expected a positive number");
    CHECK(refused({.scale = infinity}) == "attention: scale inf, expected a positive number");
    CHECK(refused({.scale = 1, .window = 0}) == "attention: a window of 0 keys, expected at least 1, the query's own");
    CHECK(refused({.scale = 1, .soft_cap = -1}) ==
          "attention: soft cap -1.000000, expected a positive number, or 0 for none");
    CHECK(refused({.scale = 1, .soft_cap = infinity}) ==
          "attention: soft cap inf, expected a positive number, or 0 for none");
    CHECK(refused({.scale = 1, .window = huge, .soft_cap = 30}) == "no refusal");
}

TEST_CASE("a block refuses weights, buffers and workspace of another shape") {
    block_buffers buffers(5, small_shape, one_rope);
    run_block(zero_weights(false), buffers);
    run_block(zero_weights(true), buffers, biased_shape);

    auto w = zero_weights(false);
    w.linear[4] = std::make_shared<const plain_weights>(24, 15);
    CHECK_THROWS_WITH_AS(run_block(w, buffers), "advance: gate_proj is 24 × 15, expected 24 × 16", shape_error);
    w.linear[4] = nullptr;
    CHECK_THROWS_WITH_AS(run_block(w, buffers), "advance: the block has no gate_proj; all projections are expected",
                         shape_error);
    w = zero_weights(false);
    w.rest = nullptr;
    CHECK_THROWS_AS(run_block(w, buffers), shape_error);
    norms_and_biases rest;
    rest.gamma(block_norm::attn).resize(16);
    w.rest = std::make_shared<const norms_and_biases>(rest);
    CHECK_THROWS_WITH_AS(run_block(w, buffers), "advance: mlp_norm has 0 elements, expected 16", shape_error);
    CHECK_THROWS_WITH_AS(run_block(zero_weights(false), buffers, biased_shape),
                         "advance: the bias of q_proj has 0 elements, expected 16", shape_error);
    CHECK_THROWS_WITH_AS(run_block(zero_weights(true), buffers),
                         "advance: the bias of q_proj has 16 elements, expected 0", shape_error);
    constexpr block_form heads{.queries_keys = query_key_norm::each_head}, after{.norms = norm_places::after};
    CHECK_THROWS_WITH_AS(run_block<heads>(zero_weights(false), buffers), "advance: q_norm has 0 elements, expected 4",
                         shape_error);
    CHECK_THROWS_WITH_AS(run_block<after>(zero_weights(false), buffers),
                         "advance: attn_norm has 16 elements, expected 0", shape_error);
    block_shape second_table = small_shape;
    second_table.rope = 1;
    CHECK_THROWS_WITH_AS(run_block(zero_weights(false), buffers, second_table),
                         "advance: the block turns by rotary table 1 of 1", shape_error);

    block_buffers other(5, block_shape{16, 4, 2, 4, 25, 1e-5f}, one_rope);
    CHECK_THROWS_WITH_AS(run_block(zero_weights(false), other), "advance: the buffers' act is 5 × 25, expected 5 × 24",
                         shape_error);
    CHECK_THROWS_WITH_AS(run_block(zero_weights(false), buffers, small_shape, 100),
                         doctest::Contains("advance: the workspace has 100 of 100 bytes free"), shape_error);
}
