#include "bitlens/layers/block.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/hooks/patch.hpp"
#include "bitlens/hooks/record.hpp"
#include "bitlens/layers/reference.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using namespace bitlens;

namespace {

using weights_type = packed_matrix<dense<float>>;

/// The forms that families have, one type each.
struct pre_norm {
    static constexpr block_form form{};
};
struct pre_norm_of_heads { // Qwen 3
    static constexpr block_form form{.queries_keys = query_key_norm::each_head};
};
struct around { // Gemma 2
    static constexpr block_form form{.norms = norm_places::around, .gate = activation::gelu_tanh};
};
struct around_of_heads { // Gemma 3
    static constexpr block_form form{norm_places::around, query_key_norm::each_head, activation::gelu_tanh};
};
struct post_norm { // OLMo 2
    static constexpr block_form form{norm_places::after, query_key_norm::all_heads, activation::silu};
};
#define EVERY_FORM pre_norm, pre_norm_of_heads, around, around_of_heads, post_norm

constexpr std::size_t positions = 13;
const rope_rule turning{.theta = 100, .rotated = 4}; // of heads of 6
const std::vector<rope_rule> ropes{rope_rule{}, turning};

/// heads · head_dim ≠ width; a window shorter than the text, a cap, another scale and another table than the first.
const block_shape shape{.width = 20,
                        .heads = 4,
                        .kv_heads = 2,
                        .head_dim = 6,
                        .ffn_width = 34,
                        .norm_eps = 1e-5f,
                        .attention_scale = 0.3f,
                        .window = 5,
                        .attention_soft_cap = 2,
                        .rope = 1,
                        .biases = only(projection::q, projection::v, projection::o, projection::up, projection::down)};

template <class Form = pre_norm>
block_weights<weights_type> random_weights() {
    random_generator random(11);
    const auto numbers = [&](std::size_t count, double mean, double deviation) {
        std::vector<float> v(count);
        for (float& x : v) x = static_cast<float>(mean + deviation * random.normal());
        return v;
    };
    block_weights<weights_type> w;
    norms_and_biases rest;
    for (std::size_t p = 0; p < projection_count; ++p) {
        const auto [rows, cols] = shape_of(static_cast<projection>(p), shape);
        auto m = std::make_shared<weights_type>(rows, cols);
        for (std::size_t r = 0; r < rows; ++r)
            std::ranges::copy(numbers(cols, 0, 1 / std::sqrt(static_cast<double>(cols))), m->writable_row(r).begin());
        w.linear[p] = std::move(m);
        if (has(shape.biases, static_cast<projection>(p))) rest.biases[p] = numbers(rows, 0, 1);
    }
    for (std::size_t n = 0; n < block_norm_count; ++n)
        if (const auto which = static_cast<block_norm>(n); has_norm(Form::form, which))
            rest.norms[n] = numbers(size_of(which, Form::form, shape), 1, 0.5);
    w.rest = std::make_shared<const norms_and_biases>(std::move(rest));
    return w;
}

residual_stream start() {
    residual_stream s(positions, shape);
    random_generator random(12);
    for (float& v : s.x.span()) v = static_cast<float>(random.normal());
    return s;
}

template <class Form = pre_norm, class P>
matrix<float> run(block_weights<weights_type> const& w, P& p, unsigned tasks = 1) {
    auto stream = start();
    block_buffers buffers(positions, shape, ropes);
    workspace scratch(advance_bytes(shape, positions, tasks), tasks);
    advance<Form::form>(shape, w, site{3}, stream, buffers, stage::end, scratch, p);
    CHECK(stream.next == stage::qkv);
    return std::move(stream.x);
}

struct zero_gate_input {
    using points = hook::set<hook::mlp_gate_in>;
    void on(hook::mlp_gate_in, site, matrix_view<float> a) {
        for (std::size_t t = 0; t < a.rows; ++t) std::ranges::fill(a.row(t), 0.0f);
    }
};

struct zero_inputs {
    using points = hook::set<hook::attn_in, hook::mlp_in>;
    template <class Point>
    void on(Point, site, matrix_view<float> a) {
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

/// A block in plain loops, and what it adds to the stream.
struct plain_block {
    block_form form;
    block_weights<weights_type> const& w;
    matrix<float> x = std::move(start().x), attn_proj_out{}, attn_out{}, mlp_in{}, mlp_down_out{}, mlp_out{};

    matrix<float> copy(matrix_view<const float> from) const {
        matrix<float> to(from.rows, from.cols);
        copy_rows(from, to.view());
        return to;
    }
    matrix<float> normed(matrix_view<const float> from, block_norm n) const {
        auto to = copy(from);
        if (has_norm(form, n)) reference::rms_norm(to, w.rest->gamma(n), shape.norm_eps, to);
        return to;
    }
    matrix<float> linear(matrix_view<const float> of, projection p) const { return product(of, w[p], w.rest->bias(p)); }
    void turn(matrix<float>& of, block_norm n) const {
        if (form.queries_keys == query_key_norm::each_head)
            reference::rms_norm_of_heads(of, w.rest->gamma(n), shape.norm_eps, of);
        else if (form.queries_keys == query_key_norm::all_heads)
            reference::rms_norm(of, w.rest->gamma(n), shape.norm_eps, of);
        reference::rope(shape.head_dim, turning, of);
    }
    /// From queries, keys and values as the projections give them.
    void run(matrix<float> q, matrix<float> k, matrix<float> v) {
        turn(q, block_norm::query);
        turn(k, block_norm::key);
        matrix<float> heads(positions, shape.query_width());
        reference::attention(q, k, v, shape.head_dim, shape.attention(), heads);
        attn_proj_out = linear(heads, projection::o);
        attn_out = normed(attn_proj_out, block_norm::attn_out);
        add(x, attn_out);
        mlp_in = normed(x, block_norm::mlp);
        auto gate = linear(mlp_in, projection::gate);
        if (form.gate == activation::silu)
            reference::activate_multiply<activation::silu>(gate, linear(mlp_in, projection::up));
        else
            reference::activate_multiply<activation::gelu_tanh>(gate, linear(mlp_in, projection::up));
        mlp_down_out = linear(gate, projection::down);
        mlp_out = normed(mlp_down_out, block_norm::mlp_out);
        add(x, mlp_out);
    }
    matrix<float> input() const { return normed(x, block_norm::attn); }
    void run() {
        const auto n = input();
        run(linear(n, projection::q), linear(n, projection::k), linear(n, projection::v));
    }
};

} // namespace

TEST_CASE_TEMPLATE("a block is the formula of its parts", Form, EVERY_FORM) {
    const auto w = random_weights<Form>();
    plain_block plain{Form::form, w};
    plain.run();
    record<hook::attn_proj_out, hook::attn_out, hook::mlp_in, hook::mlp_down_out, hook::mlp_out> heard;
    CHECK(near(run<Form>(w, heard), plain.x));
    CHECK(near(heard.template get<hook::attn_proj_out>(3), plain.attn_proj_out));
    CHECK(near(heard.template get<hook::attn_out>(3), plain.attn_out));
    CHECK(near(heard.template get<hook::mlp_in>(3), plain.mlp_in));
    CHECK(near(heard.template get<hook::mlp_down_out>(3), plain.mlp_down_out));
    CHECK(near(heard.template get<hook::mlp_out>(3), plain.mlp_out));
}

TEST_CASE_TEMPLATE("a block's result depends neither on who listens nor on tasks", Form, EVERY_FORM) {
    const auto w = random_weights<Form>();
    no_probe nobody;
    const auto alone = run<Form>(w, nobody);
    std::apply(
        [&]<class... Points>(Points...) {
            record<Points...> everything;
            CHECK(std::ranges::equal(run<Form>(w, everything).span(), alone.span()));
            CHECK(std::ranges::equal(everything.template get<hook::resid_post>(3).row(5), alone.row(5)));
            CHECK(((everything.template get<Points>(3).rows == positions) && ...));
        },
        hook::all{});
    for (unsigned tasks : {2u, 5u}) CHECK(std::ranges::equal(run<Form>(w, nobody, tasks).span(), alone.span()));
}

TEST_CASE("a block can stop after any stage and go on") {
    const auto w = random_weights();
    no_probe nobody;
    auto stream = start();
    block_buffers buffers(positions, shape, ropes);
    workspace scratch(advance_bytes(shape, positions, 1));
    const auto until = [&](stage s) { advance<block_form{}>(shape, w, site{0}, stream, buffers, s, scratch, nobody); };
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

TEST_CASE_TEMPLATE("rows of texts that go on have the bits that they have in their documents", Form, EVERY_FORM) {
    const auto w = random_weights<Form>();
    no_probe nobody;
    const auto whole = run<Form>(w, nobody);
    const auto tables = std::make_shared<const rope_tables>(tables_of(ropes, positions + 3, shape.head_dim));
    const auto cache = [] { return key_value_cache(shape.kv_heads, shape.head_dim, arithmetic::f32); };
    for (const unsigned tasks : {1u, 3u}) {
        // Two texts of the same rows side by side, the second two rows behind.
        std::vector<key_value_cache<>> first, second;
        for (auto* layers : {&first, &second})
            for (std::size_t k = 0; k < 4; ++k) layers->push_back(cache());
        std::size_t at[]{0, 0};
        for (auto const& rows : {std::pair<std::size_t, std::size_t>{5, 3}, {1, 1}, {1, 1}, {6, 6}, {0, 2}}) {
            const std::size_t ahead = rows.first, behind = rows.second;
            residual_stream stream(ahead + behind, shape);
            copy_rows(start().x.view().middle_rows(at[0], ahead), stream.x.view().middle_rows(0, ahead));
            copy_rows(start().x.view().middle_rows(at[1], behind), stream.x.view().middle_rows(ahead, behind));
            block_buffers buffers(ahead + behind, shape, nullptr);
            workspace scratch(continue_bytes(shape, ahead + behind, 2, positions, tasks), tasks);
            const text_rows texts[]{{ahead, first, tables}, {behind, second, tables}};
            advance<Form::form>(shape, w, site{3}, stream, buffers, continuation{texts}, stage::end, scratch, nobody);
            CHECK(stream.next == stage::qkv);
            for (std::size_t t = 0; t < ahead; ++t) CHECK(std::ranges::equal(stream.x.row(t), whole.row(at[0] + t)));
            for (std::size_t t = 0; t < behind; ++t)
                CHECK(std::ranges::equal(stream.x.row(ahead + t), whole.row(at[1] + t)));
            at[0] += ahead, at[1] += behind;
        }
        CHECK(first[3].positions() == positions);
        CHECK(second[3].positions() == positions);
        CHECK(first[2].positions() == 0); // of another layer
    }
}

TEST_CASE("rows of a text that goes on by matvec are near those of its document") {
    const auto w = random_weights();
    no_probe nobody;
    const auto whole = run(w, nobody);
    const auto tables = std::make_shared<const rope_tables>(tables_of(ropes, positions, shape.head_dim));
    std::vector<key_value_cache<>> layers;
    layers.emplace_back(shape.kv_heads, shape.head_dim, arithmetic::f32);
    residual_stream stream = start();
    block_buffers buffers(positions, shape, nullptr);
    workspace scratch(continue_bytes(shape, positions, 1, positions, 2), 2);
    const text_rows text{positions, layers, tables};
    advance<block_form{}>(shape, w, site{0}, stream, buffers, continuation{{&text, 1}, row_products::matvec},
                          stage::end, scratch, nobody);
    CHECK(near(stream.x, whole));
    CHECK_FALSE(std::ranges::equal(stream.x.span(), whole.span()));
}

TEST_CASE("texts that do not fit a block or its stream are refused") {
    const auto w = random_weights();
    no_probe nobody;
    const auto tables = std::make_shared<const rope_tables>(tables_of(ropes, 2, shape.head_dim));
    std::vector<key_value_cache<>> layers, narrow;
    layers.emplace_back(shape.kv_heads, shape.head_dim, arithmetic::f32);
    narrow.emplace_back(shape.kv_heads, shape.head_dim - 2, arithmetic::f32);
    const auto refusal = [&](text_rows const& text, site at = {}) -> std::string {
        residual_stream stream(3, shape);
        block_buffers buffers(3, shape, nullptr);
        workspace scratch(continue_bytes(shape, 3, 1, 3, 1));
        try {
            advance<block_form{}>(shape, w, at, stream, buffers, continuation{{&text, 1}}, stage::end, scratch, nobody);
        } catch (shape_error const& e) {
            return e.what();
        }
        return "";
    };
    CHECK(refusal({2, layers, tables}) == "advance: the stream of texts has 3 elements, expected 2");
    CHECK(refusal({3, layers, tables}, site{1}) == "advance: 1 layers of a text from 1 on, of 1");
    CHECK(refusal({3, narrow, tables}) == "advance: the cache of a text is 2 × 4, expected 2 × 6");
    CHECK(refusal({3, layers, nullptr}) == "advance: the block turns by rotary table 1 of 0");
    CHECK(refusal({3, layers, tables}) == "rope: 3 positions from 0 on, of 2");
}

TEST_CASE("the points of a layer fire in the order in which they are listed") {
    order_of<hook::all> order;
    run(random_weights(), order);
    REQUIRE(order.fired.size() == std::tuple_size_v<hook::all>);
    for (std::size_t i = 0; i < order.fired.size(); ++i) CHECK(order.fired[i].index() == i);
}

TEST_CASE_TEMPLATE("attn_q, attn_k and attn_v lie between the biases and what turns them", Form, EVERY_FORM) {
    const auto w = random_weights<Form>();
    record<hook::attn_q, hook::attn_k, hook::attn_v> plain;
    run<Form>(w, plain);
    plain_block block{Form::form, w};
    const auto n = block.input();
    auto q = block.linear(n, projection::q), k = block.linear(n, projection::k), v = block.linear(n, projection::v);
    CHECK(near(plain.template get<hook::attn_q>(3), q));
    CHECK(near(plain.template get<hook::attn_k>(3), k));
    CHECK(near(plain.template get<hook::attn_v>(3), v));

    // What is written there is what attention reads.
    scale_qkv scaled;
    const auto x = run<Form>(w, scaled);
    scale_qkv::scale(q, 2), scale_qkv::scale(k, -1), scale_qkv::scale(v, 3);
    block.run(std::move(q), std::move(k), std::move(v));
    CHECK(near(x, block.x));
}

TEST_CASE_TEMPLATE("what is written to the input of attention or MLP does not reach the stream", Form, EVERY_FORM) {
    const auto w = random_weights<Form>();
    record<hook::resid_pre, hook::attn_out, hook::resid_mid, hook::mlp_out, hook::resid_post> heard;
    zero_inputs zero;
    chain both(zero, heard);
    run<Form>(w, both);
    auto sum = plain_block{Form::form, w}.x; // as it was before the block
    CHECK(near(heard.template get<hook::resid_pre>(3), sum));
    add(sum, heard.template get<hook::attn_out>(3));
    CHECK(near(heard.template get<hook::resid_mid>(3), sum));
    add(sum, heard.template get<hook::mlp_out>(3));
    CHECK(near(heard.template get<hook::resid_post>(3), sum));
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
        for (float v : zeroed.get<hook::mlp_gate>(3).row(t)) CHECK(v == 0); // W_gate has no bias here
        CHECK(plain.get<hook::mlp_gate>(3)(t, 0) != 0);
    }
}

TEST_CASE("what linear layers read, by form") {
    const auto pre = input_groups(pre_norm::form), post = input_groups(post_norm::form);
    CHECK(pre[0].readers == only(projection::q, projection::k, projection::v));
    CHECK(pre[0].norm == block_norm::attn);
    CHECK(pre[1].readers == only(projection::o));
    CHECK(pre[1].linear == projection::v);
    CHECK(pre[2].readers == only(projection::gate, projection::up));
    CHECK(pre[2].norm == block_norm::mlp);
    CHECK(pre[3].readers == only(projection::down));
    CHECK(pre[3].linear == projection::up);
    CHECK_FALSE(post[0].norm.has_value()); // the residual stream itself
    CHECK_FALSE(post[2].norm.has_value());
    CHECK(input_groups(around::form)[2].norm == block_norm::mlp);
}
