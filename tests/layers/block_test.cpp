#include "bitlens/layers/block.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/hooks/patch.hpp"
#include "bitlens/hooks/record.hpp"
#include "bitlens/layers/reference.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

using namespace bitlens;

namespace {

using weights_type = packed_matrix<dense<float>>;
struct with_bias {
    static constexpr bool qkv_bias = true;
};
struct without_bias {
    static constexpr bool qkv_bias = false;
};

constexpr block_shape shape{20, 4, 2, 6, 34, 1e-5f, 10000.0}; // heads · head_dim ≠ width
constexpr std::size_t positions = 13;

block_weights<weights_type> random_weights() {
    random_generator random(11);
    block_weights<weights_type> w;
    for (std::size_t p = 0; p < projection_count; ++p) {
        const auto [rows, cols] = shape_of(static_cast<projection>(p), shape);
        auto m = std::make_shared<weights_type>(rows, cols);
        for (std::size_t r = 0; r < rows; ++r)
            for (float& v : m->writable_row(r))
                v = static_cast<float>(random.normal() / std::sqrt(static_cast<double>(cols)));
        w.linear[p] = std::move(m);
    }
    norms_and_biases rest{std::vector<float>(20, 1.5f), std::vector<float>(20, 0.5f), std::vector<float>(24),
                          std::vector<float>(12), std::vector<float>(12)};
    for (auto* bias : {&rest.q_bias, &rest.k_bias, &rest.v_bias})
        for (float& v : *bias) v = static_cast<float>(random.normal());
    w.rest = std::make_shared<const norms_and_biases>(std::move(rest));
    return w;
}

block_weights<weights_type> without_biases(block_weights<weights_type> w) {
    w.rest =
        std::make_shared<const norms_and_biases>(norms_and_biases{w.rest->attn_norm, w.rest->mlp_norm, {}, {}, {}});
    return w;
}

residual_stream start() {
    residual_stream s(positions, shape);
    random_generator random(12);
    for (float& v : s.x.span()) v = static_cast<float>(random.normal());
    return s;
}

template <class Architecture = with_bias, class P>
matrix<float> run(block_weights<weights_type> const& w, P& p, unsigned tasks = 1) {
    auto stream = start();
    block_buffers buffers(positions, shape);
    workspace scratch(advance_bytes(shape, positions, tasks), tasks);
    advance<Architecture>(shape, w, site{3}, stream, buffers, stage::end, scratch, p);
    CHECK(stream.next == stage::qkv);
    return std::move(stream.x);
}

struct zero_gate_input {
    using points = hook::set<hook::mlp_gate_in>;
    void on(hook::mlp_gate_in, site, matrix_view<float> a) {
        for (std::size_t t = 0; t < a.rows; ++t) std::ranges::fill(a.row(t), 0.0f);
    }
};

/// q twice, k with its sign turned, v three times what they are.
struct scale_qkv {
    using points = hook::set<hook::attn_q, hook::attn_k, hook::attn_v>;
    void on(hook::attn_q, site, matrix_view<float> a) const { scale(a, 2); }
    void on(hook::attn_k, site, matrix_view<float> a) const { scale(a, -1); }
    void on(hook::attn_v, site, matrix_view<float> a) const { scale(a, 3); }
    static void scale(matrix_view<float> a, float factor) {
        for (std::size_t t = 0; t < a.rows; ++t)
            for (float& x : a.row(t)) x *= factor;
    }
};

/// Notes which points fire, one after the other.
template <class Points>
struct order_of;
template <class... Points>
struct order_of<std::tuple<Points...>> {
    using points = hook::set<Points...>;
    std::vector<point_id> fired;

    template <hook::point Point>
    void on(Point, site, matrix_view<const float>) {
        fired.push_back(hook::id_of<Point>);
    }
};

bool near(matrix_view<const float> a, matrix_view<const float> b) {
    double worst = 0, largest = 0;
    for (std::size_t t = 0; t < a.rows; ++t)
        for (std::size_t i = 0; i < a.cols; ++i) {
            worst = std::max(worst, std::abs(double{a(t, i)} - double{b(t, i)}));
            largest = std::max(largest, std::abs(double{b(t, i)}));
        }
    return worst <= 1e-5 * largest; // some hundred roundings of 6e-8
}

/// y = x·wᵀ (+ bias), in plain loops.
matrix<float> product(matrix_view<const float> x, weights_type const& w, std::vector<float> const& bias = {}) {
    matrix<float> y(x.rows, w.rows());
    for (std::size_t t = 0; t < x.rows; ++t)
        for (std::size_t r = 0; r < w.rows(); ++r) {
            double sum = bias.empty() ? 0.0 : double{bias[r]};
            for (std::size_t c = 0; c < w.cols(); ++c) sum += double{w.value(r, c)} * double{x(t, c)};
            y(t, r) = static_cast<float>(sum);
        }
    return y;
}

} // namespace

TEST_CASE("a block is the formula of its parts") {
    const auto w = random_weights();
    auto state = start();
    matrix<float> n(positions, shape.width), heads(positions, 24);
    reference::rms_norm(state.x, w.rest->attn_norm, shape.norm_eps, n);
    auto q = product(n, w[projection::q], w.rest->q_bias), k = product(n, w[projection::k], w.rest->k_bias);
    const auto v = product(n, w[projection::v], w.rest->v_bias);
    reference::rope(shape.head_dim, rope_rule{.theta = shape.rope_theta}, q);
    reference::rope(shape.head_dim, rope_rule{.theta = shape.rope_theta}, k);
    reference::attention(q, k, v, shape.head_dim, {.scale = attention_scale(shape.head_dim)}, heads);
    add(state.x, product(heads, w[projection::o]));
    reference::rms_norm(state.x, w.rest->mlp_norm, shape.norm_eps, n);
    auto gate = product(n, w[projection::gate]);
    reference::activate_multiply<activation::silu>(gate, product(n, w[projection::up]));
    add(state.x, product(gate, w[projection::down]));

    no_probe nobody;
    CHECK(near(run(w, nobody), state.x));
}

TEST_CASE("a block's result depends neither on who listens nor on tasks") {
    const auto w = random_weights();
    no_probe nobody;
    const auto alone = run(w, nobody);
    std::apply(
        [&]<class... Points>(Points...) {
            record<Points...> everything;
            CHECK(std::ranges::equal(run(w, everything).span(), alone.span()));
            CHECK(std::ranges::equal(everything.template get<hook::resid_post>(3).row(5), alone.row(5)));
            CHECK(((everything.template get<Points>(3).rows == positions) && ...));
        },
        hook::all{});
    for (unsigned tasks : {2u, 5u}) CHECK(std::ranges::equal(run(w, nobody, tasks).span(), alone.span()));
}

TEST_CASE("a block can stop after any stage and go on") {
    const auto w = random_weights();
    no_probe nobody;
    auto stream = start();
    block_buffers buffers(positions, shape);
    workspace scratch(advance_bytes(shape, positions, 1));
    const auto until = [&](stage s) { advance<with_bias>(shape, w, site{0}, stream, buffers, s, scratch, nobody); };
    until(stage::qkv);
    CHECK(std::ranges::equal(stream.x.span(), start().x.span())); // nothing to run yet
    until(stage::o);
    CHECK(stream.next == stage::o);
    stream.next = stage::qkv; // a stage that left x alone can be run again
    until(stage::gate_up);
    CHECK(stream.next == stage::gate_up);
    until(stage::down);
    until(stage::end);
    CHECK(stream.next == stage::qkv);
    CHECK(std::ranges::equal(stream.x.span(), run(w, nobody).span()));
}

TEST_CASE("the points of a layer fire in the order in which they are listed") {
    order_of<hook::all> order;
    run(random_weights(), order);
    REQUIRE(order.fired.size() == std::tuple_size_v<hook::all>);
    for (std::size_t i = 0; i < order.fired.size(); ++i) CHECK(order.fired[i].index() == i);
}

TEST_CASE_TEMPLATE("attn_q, attn_k and attn_v lie between the biases and the rotary embedding", Architecture, with_bias,
                   without_bias) {
    auto w = random_weights();
    if (!Architecture::qkv_bias) w = without_biases(std::move(w));
    record<hook::attn_in, hook::attn_q, hook::attn_k, hook::attn_v> plain;
    run<Architecture>(w, plain);
    const auto n = plain.template get<hook::attn_in>(3);
    auto q = product(n, w[projection::q], w.rest->q_bias), k = product(n, w[projection::k], w.rest->k_bias),
         v = product(n, w[projection::v], w.rest->v_bias);
    CHECK(near(plain.template get<hook::attn_q>(3), q));
    CHECK(near(plain.template get<hook::attn_k>(3), k));
    CHECK(near(plain.template get<hook::attn_v>(3), v));

    // What is written there is what attention reads.
    record<hook::attn_heads> scaled;
    chain both(scale_qkv{}, scaled);
    run<Architecture>(w, both);
    scale_qkv::scale(q, 2), scale_qkv::scale(k, -1), scale_qkv::scale(v, 3);
    reference::rope(shape.head_dim, rope_rule{.theta = shape.rope_theta}, q);
    reference::rope(shape.head_dim, rope_rule{.theta = shape.rope_theta}, k);
    matrix<float> heads(positions, 24);
    reference::attention(q, k, v, shape.head_dim, {.scale = attention_scale(shape.head_dim)}, heads);
    CHECK(near(scaled.get<hook::attn_heads>(3), heads));
}

TEST_CASE_TEMPLATE("overwriting a point of q, k or v with itself changes no bit", Point, hook::attn_q, hook::attn_k,
                   hook::attn_v) {
    const auto w = random_weights();
    no_probe nobody;
    record<Point> own;
    run(w, own);
    patch<Point> same(own);
    CHECK(std::ranges::equal(run(w, same, 3).span(), run(w, nobody).span()));
}

TEST_CASE("mlp_gate_in is what W_gate alone reads") {
    const auto w = random_weights();
    record<hook::mlp_in, hook::mlp_gate, hook::mlp_up> plain, zeroed;
    run(w, plain);
    zero_gate_input zero;
    chain both(zero, zeroed);
    run(w, both);
    for (std::size_t t = 0; t < positions; ++t) {
        CHECK(std::ranges::equal(zeroed.get<hook::mlp_in>(3).row(t), plain.get<hook::mlp_in>(3).row(t)));
        CHECK(std::ranges::equal(zeroed.get<hook::mlp_up>(3).row(t), plain.get<hook::mlp_up>(3).row(t)));
        for (float v : zeroed.get<hook::mlp_gate>(3).row(t)) CHECK(v == 0);
        CHECK(plain.get<hook::mlp_gate>(3)(t, 0) != 0);
    }
}

TEST_CASE("an architecture without biases adds none") {
    const auto w = random_weights(), without = without_biases(w);
    no_probe nobody;
    const auto biased = run<with_bias>(w, nobody), plain = run<without_bias>(without, nobody);
    CHECK_FALSE(std::ranges::equal(biased.span(), plain.span()));
}
