#pragma once
/// One block of a decoder: attention and a gated MLP around a residual stream, run in stages that can be resumed.

#include "bitlens/core/parallel.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/hooks/probe.hpp"
#include "bitlens/kernels/matvec_each.hpp"
#include "bitlens/kernels/weight_panels.hpp"
#include "bitlens/layers/attention.hpp"
#include "bitlens/layers/block_form.hpp"
#include "bitlens/layers/gated_mlp.hpp"
#include "bitlens/layers/key_value_cache.hpp"
#include "bitlens/layers/linear.hpp"
#include "bitlens/layers/rms_norm.hpp"
#include "bitlens/layers/rope.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// By how much queries are longer at later positions: times 1 + rate · ln(1 + ⌊position / period⌋).
struct query_growth {
    double rate = 0; // 0: not at all
    std::size_t period = 1;

    bool operator==(query_growth const&) const = default;
    float at(std::size_t position) const noexcept {
        return static_cast<float>(1 + rate * std::log1p(static_cast<double>(position / period)));
    }
};

/// The numbers of one block: its sizes d, heads, key and value heads, head_dim, d_ff; ε of its norms; how it attends.
struct block_shape {
    std::size_t width = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn_width = 0;
    float norm_eps = 0;
    std::optional<float> attention_scale{}; // of q·k; else 1 / √head_dim
    std::size_t window = attention_rule::everything;
    float attention_soft_cap = no_soft_cap;
    std::size_t rope = 0;    // which of the model's rotary tables turns its queries and keys
    projection_set biases{}; // the linear layers that have one
    query_growth growth{};

    bool operator==(block_shape const&) const = default;

    std::size_t query_width() const noexcept { return heads * head_dim; }
    std::size_t key_width() const noexcept { return kv_heads * head_dim; }
    attention_rule attention() const noexcept {
        return {attention_scale.value_or(bitlens::attention_scale(head_dim)), window, attention_soft_cap};
    }
};

/// Shape of a projection's weight.
struct matrix_shape {
    std::size_t rows = 0, cols = 0; // outputs, inputs

    bool operator==(matrix_shape const&) const = default;
};
constexpr matrix_shape shape_of(projection p, block_shape const& s) noexcept {
    switch (p) {
    case projection::q:
        return {s.heads * s.head_dim, s.width};
    case projection::k:
    case projection::v:
        return {s.kv_heads * s.head_dim, s.width};
    case projection::o:
        return {s.width, s.heads * s.head_dim};
    case projection::gate:
    case projection::up:
        return {s.ffn_width, s.width};
    case projection::down:
        break;
    }
    return {s.width, s.ffn_width};
}

/// Numbers of γ, in a block that has the norm.
constexpr std::size_t size_of(block_norm n, block_form form, block_shape const& s) noexcept {
    if (n != block_norm::query && n != block_norm::key) return s.width;
    if (form.queries_keys == query_key_norm::each_head) return s.head_dim;
    return (n == block_norm::query ? s.heads : s.kv_heads) * s.head_dim;
}

/// What a block has besides its matrices: γ of its norms, and the biases of its linear layers. Empty where it has none:
/// one that would be left out is refused.
struct norms_and_biases {
    std::array<std::vector<float>, block_norm_count> norms;
    std::array<std::vector<float>, projection_count> biases;

    std::vector<float>& gamma(block_norm n) noexcept { return norms[static_cast<std::size_t>(n)]; }
    std::vector<float> const& gamma(block_norm n) const noexcept { return norms[static_cast<std::size_t>(n)]; }
    std::vector<float>& bias(projection p) noexcept { return biases[static_cast<std::size_t>(p)]; }
    std::vector<float> const& bias(projection p) const noexcept { return biases[static_cast<std::size_t>(p)]; }
};

/// The weights of one block. Each part is shared by all models that have it.
template <class W>
struct block_weights {
    std::array<std::shared_ptr<const W>, projection_count> linear;
    std::shared_ptr<const norms_and_biases> rest;

    W const& operator[](projection p) const noexcept { return *linear[static_cast<std::size_t>(p)]; }
};

/// The stages of a block, named after the matrices they multiply with.
enum class stage : std::uint8_t { qkv, o, gate_up, down, end };

/// Numbers of one position at a point.
constexpr std::size_t width_of(point_id point, block_shape const& s) noexcept {
    const auto is_any_of = [point](auto... points) { return ((point == point_id(points)) || ...); };
    if (is_any_of(hook::attn_q{}, hook::attn_heads{})) return s.heads * s.head_dim;
    if (is_any_of(hook::attn_k{}, hook::attn_v{})) return s.kv_heads * s.head_dim;
    if (is_any_of(hook::mlp_gate{}, hook::mlp_up{}, hook::mlp_act{})) return s.ffn_width;
    return s.width;
}

/// What an example keeps from stage to stage and from block to block.
struct residual_stream {
    matrix<float> x; // (T, d)
    stage next = stage::qkv;

    residual_stream(std::size_t positions, block_shape const& s) : x(positions, s.width) {}
};

/// The rotary tables of a model, for texts of one length.
using rope_tables = std::vector<rope_table>;
inline rope_tables tables_of(std::span<const rope_rule> rules, std::size_t positions, std::size_t head_dim) {
    rope_tables tables;
    for (auto const& rule : rules) tables.emplace_back(positions, head_dim, rule);
    return tables;
}

/// What the task that runs a block works with. The heads of a stage qkv, and the activations of gate_up, lie in it
/// until the next stage has read them: a stream that rests before o or down goes on with the same buffers.
struct block_buffers {
    matrix<float> heads; // input of W_o (T, heads · head_dim)
    matrix<float> act;   // input of W_down (T, d_ff)
    std::shared_ptr<const rope_tables> ropes;

    /// With tables that other tasks have too, for texts of this length; none for texts that go on with their own.
    block_buffers(std::size_t positions, block_shape const& s, std::shared_ptr<const rope_tables> tables)
        : heads(positions, s.heads * s.head_dim), act(positions, s.ffn_width), ropes(std::move(tables)) {}
    block_buffers(std::size_t positions, block_shape const& s, std::span<const rope_rule> rules)
        : block_buffers(positions, s, std::make_shared<const rope_tables>(tables_of(rules, positions, s.head_dim))) {}

    /// Bytes of one, but for the tables.
    static constexpr std::size_t bytes(std::size_t positions, block_shape const& s) noexcept {
        return positions * (s.heads * s.head_dim + s.ffn_width) * sizeof(float);
    }
};

/// How matrix products of a few rows are computed: as those of a document, or each as if it were alone. They round
/// differently, and so it is said by who runs a model, never taken from the number of rows.
enum class row_products : std::uint8_t {
    matmul, ///< the bits that a document's rows have
    matvec, ///< float32 whatever the workspace's arithmetic: the bits of matvec, which reads weights fastest
};

/// y = x · wᵀ, by `products`.   Shapes, scratch and errors: as matmul.
template <weight_matrix W>
void multiply_rows(row_products products, W const& w, matrix_view<const float> x, matrix_view<float> y,
                   workspace& scratch) {
    if (products == row_products::matmul) return matmul(w, x, y, scratch);
    matvec_each(w, x, y, scratch);
}
/// The same of several matrices with one x.
template <weight_matrix W, std::size_t Count>
void multiply_rows(row_products products, std::array<product_to<W>, Count> const& all, matrix_view<const float> x,
                   workspace& scratch) {
    if (products == row_products::matvec) return matvec_each_of(all, x, scratch);
    for (auto const& [w, y] : all) matmul(*w, x, y, scratch);
}

/// A text that rows of a stream go on: its next positions.
struct text_rows {
    std::size_t rows;                         // after those of the texts before it in the stream
    std::span<key_value_cache<>> layers;      // what it has been so far, in each layer of the model
    std::shared_ptr<const rope_tables> ropes; // of the text that these rows belong to
};

/// What a stream is when it is no document from its first position on: texts that go on, side by side.
struct continuation {
    std::span<const text_rows> texts;
    row_products products = row_products::matmul;

    std::size_t rows() const noexcept {
        std::size_t sum = 0;
        for (auto const& text : texts) sum += text.rows;
        return sum;
    }
};

namespace detail {

/// Products that are computed side by side: q, k and v.
inline constexpr std::size_t most_products_at_once = 3;

/// Bytes of workspace that a block needs for so many rows, and some beside its queries, keys and values.
inline std::size_t block_bytes(block_shape const& s, std::size_t positions, unsigned tasks, std::size_t attention) {
    const auto floats = [&](std::size_t width) { return workspace::bytes_for<float>(positions * width); };
    std::size_t product = 0;
    for (std::size_t p = 0; p < projection_count; ++p) {
        const auto [rows, cols] = shape_of(static_cast<projection>(p), s);
        product = std::max(product, matmul_bytes(rows, cols, positions, tasks));
    }
    product = std::max(product, most_products_at_once * matvec_each_bytes(s.width, positions));
    const std::size_t query = floats(s.heads * s.head_dim), key = floats(s.kv_heads * s.head_dim);
    const std::size_t attend = floats(s.width) + query + 2 * key + std::max(product, attention);
    const std::size_t gate = 2 * floats(s.width) + floats(s.ffn_width) + product;
    return std::max(attend, gate);
}

} // namespace detail

/// Bytes of workspace that advance needs, whoever listens.
inline std::size_t advance_bytes(block_shape const& s, std::size_t positions, unsigned tasks) {
    return detail::block_bytes(s, positions, tasks, attention_bytes(positions, s.kv_heads, s.head_dim, tasks));
}

/// The same for rows of `texts` texts that go on, the longest of them of `keys` positions with its new ones.
inline std::size_t continue_bytes(block_shape const& s, std::size_t rows, std::size_t texts, std::size_t keys,
                                  unsigned tasks) {
    return detail::block_bytes(s, rows, tasks,
                               workspace::bytes_for<cached_queries<>>(texts) +
                                   workspace::bytes_for<std::size_t>(texts) +
                                   cached_attention_bytes(rows, keys, s.head_dim, tasks));
}

namespace detail {

/// f(first, count) over the rows of a document, in as many pieces as there are tasks.
template <class F>
void over_rows(std::size_t positions, unsigned tasks, F const& f) {
    parallel_pieces(positions, std::clamp<std::size_t>(positions, 1, tasks), 1,
                    [&](std::size_t, std::size_t first, std::size_t end) { f(first, end - first); });
}

/// What a stream is that is no continuation.
struct whole_document {};

/// One block at work on one example, or on texts that go on; a member function per stage.
template <block_form Form, class W, class P, class Texts>
struct block_run {
    block_shape const& shape;
    block_weights<W> const& weights;
    site at;
    residual_stream& stream;
    block_buffers& buffers;
    workspace& scratch;
    P& probe;
    Texts const& texts; // a whole_document, or a continuation

    std::size_t positions() const noexcept { return stream.x.rows(); }
    template <class Point>
    static constexpr bool hears = listens<P, Point>;
    static constexpr bool goes_on = std::same_as<Texts, continuation>;

    void normalise(matrix_view<const float> x, block_norm n, matrix_view<float> y) {
        over_rows(positions(), scratch.tasks(), [&](std::size_t first, std::size_t count) {
            rms_norm(x.middle_rows(first, count), weights.rest->gamma(n), shape.norm_eps, y.middle_rows(first, count));
        });
    }

    /// The residual stream as the next linear layers read it: norm(x), or x where the block has no such norm.
    template <block_norm Norm, class Point>
    matrix_view<const float> input(workspace::frame& frame) {
        if constexpr (!has_norm(Form, Norm) && !hears<Point>) {
            return stream.x;
        } else {
            const auto n = frame.template take<float>(positions(), shape.width);
            if constexpr (has_norm(Form, Norm))
                normalise(stream.x, Norm, n);
            else
                copy_rows(stream.x, n); // for a probe that may write there, and not to the stream
            emit<Point>(probe, at, n);
            return n;
        }
    }

    /// y = W x + b of a few projections with the same input.
    struct output {
        projection p;
        matrix_view<float> y;
    };
    template <std::size_t Count>
    void apply(matrix_view<const float> x, output const (&outputs)[Count]) {
        static_assert(Count <= most_products_at_once);
        if constexpr (goes_on && weight_matrix<W>) {
            std::array<product_to<W>, Count> all;
            for (std::size_t i = 0; i < Count; ++i) all[i] = {&weights[outputs[i].p], outputs[i].y};
            multiply_rows(texts.products, all, x, scratch);
        } else {
            for (auto const& out : outputs) matmul(weights[out.p], x, out.y, scratch);
        }
        for (auto const& out : outputs) {
            auto const& bias = weights.rest->bias(out.p);
            if (!bias.empty())
                over_rows(positions(), scratch.tasks(), [&](std::size_t first, std::size_t count) {
                    add_bias(bias, out.y.middle_rows(first, count));
                });
        }
    }

    /// x += what a linear layer gives, normalised where the block does so.
    template <block_norm Norm, class Raw, class Added, class After>
    void add_output(projection p, matrix_view<const float> of) {
        workspace::frame frame(scratch);
        const auto out = frame.template take<float>(positions(), shape.width);
        apply(of, {{p, out}});
        emit<Raw>(probe, at, out);
        if constexpr (has_norm(Form, Norm)) normalise(out, Norm, out);
        emit<Added>(probe, at, out);
        add(stream.x, out);
        emit<After>(probe, at, stream.x);
    }

    /// Queries or keys, normalised where the block does so and turned by their positions.
    void turn(block_norm n, matrix_view<float> x, std::size_t first, rope_tables const& ropes) {
        if constexpr (Form.queries_keys == query_key_norm::each_head)
            rms_norm_of_heads(x, weights.rest->gamma(n), shape.norm_eps, x);
        else if constexpr (Form.queries_keys == query_key_norm::all_heads)
            rms_norm(x, weights.rest->gamma(n), shape.norm_eps, x);
        rope(ropes[shape.rope], first, x);
        if (n != block_norm::query || shape.growth.rate == 0) return;
        for (std::size_t t = 0; t < x.rows; ++t) {
            const float longer = shape.growth.at(first + t);
            for (float& value : x.row(t)) value *= longer;
        }
    }

    /// heads = attention(input).
    void qkv() {
        emit<hook::resid_pre>(probe, at, stream.x);
        workspace::frame frame(scratch);
        const auto n = input<block_norm::attn, hook::attn_in>(frame);
        const auto q = frame.template take<float>(positions(), shape.query_width());
        const auto k = frame.template take<float>(positions(), shape.key_width());
        const auto v = frame.template take<float>(positions(), shape.key_width());
        apply(n, {{projection::q, q}, {projection::k, k}, {projection::v, v}});
        emit<hook::attn_q>(probe, at, q);
        emit<hook::attn_k>(probe, at, k);
        emit<hook::attn_v>(probe, at, v);
        if constexpr (goes_on) {
            attend_on(q, k, v);
        } else {
            over_rows(positions(), scratch.tasks(), [&](std::size_t first, std::size_t count) {
                turn(block_norm::query, q.middle_rows(first, count), first, *buffers.ropes);
                turn(block_norm::key, k.middle_rows(first, count), first, *buffers.ropes);
            });
            attention(q, k, v, shape.head_dim, shape.attention(), buffers.heads, scratch);
        }
        emit<hook::attn_heads>(probe, at, buffers.heads);
    }

    /// heads = attention of queries that go on their texts, whose caches take up the keys and values.
    void attend_on(matrix_view<float> q, matrix_view<float> k, matrix_view<float> v) {
        workspace::frame frame(scratch);
        const std::size_t count = texts.texts.size();
        const unsigned tasks_of_text = count == 1 ? scratch.tasks() : 1;
        const auto all = frame.template take<cached_queries<>>(count);
        const auto first_rows = frame.template take<std::size_t>(count);
        for (std::size_t i = 0, row = 0; i < count; row += texts.texts[i++].rows) first_rows[i] = row;
        parallel_pieces(count, scratch.tasks(), 1, [&](std::size_t, std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) {
                text_rows const& text = texts.texts[i];
                key_value_cache<>& cache = text.layers[at.layer];
                const std::size_t first = cache.positions();
                const auto of_text = [&](matrix_view<float> x) { return x.middle_rows(first_rows[i], text.rows); };
                over_rows(text.rows, tasks_of_text, [&](std::size_t row, std::size_t rows) {
                    turn(block_norm::query, of_text(q).middle_rows(row, rows), first + row, *text.ropes);
                    turn(block_norm::key, of_text(k).middle_rows(row, rows), first + row, *text.ropes);
                });
                cache.append(of_text(k), of_text(v), tasks_of_text);
                all[i] = {&cache, first, of_text(q), of_text(buffers.heads)};
            }
        });
        attention(std::span<const cached_queries<>>(all), shape.attention(), scratch);
    }

    /// x += W_o · heads.
    void o() {
        add_output<block_norm::attn_out, hook::attn_proj_out, hook::attn_out, hook::resid_mid>(projection::o,
                                                                                               buffers.heads);
    }

    /// act = σ(W_gate · input) ⊙ W_up · input.
    void gate_up() {
        workspace::frame frame(scratch);
        const auto n = input<block_norm::mlp, hook::mlp_in>(frame);
        const auto gate = buffers.act.view(), up = frame.template take<float>(positions(), shape.ffn_width);
        if constexpr (hears<hook::mlp_gate_in>) { // W_gate alone reads what the probe leaves there
            const auto gate_in = frame.template take<float>(positions(), shape.width);
            copy_rows(n, gate_in);
            emit<hook::mlp_gate_in>(probe, at, gate_in);
            apply(gate_in, {{projection::gate, gate}});
            apply(n, {{projection::up, up}});
        } else {
            apply(n, {{projection::gate, gate}, {projection::up, up}});
        }
        over_rows(positions(), scratch.tasks(), [&](std::size_t first, std::size_t count) {
            if constexpr (listens_to_any<P, hook::mlp_gate, hook::mlp_up>)
                activate<Form.gate>(gate.middle_rows(first, count));
            else
                activate_multiply<Form.gate>(gate.middle_rows(first, count), up.middle_rows(first, count));
        });
        if constexpr (listens_to_any<P, hook::mlp_gate, hook::mlp_up>) {
            emit<hook::mlp_gate>(probe, at, gate);
            emit<hook::mlp_up>(probe, at, up);
            multiply(gate, up);
        }
        emit<hook::mlp_act>(probe, at, gate);
    }

    /// x += W_down · act.
    void down() {
        add_output<block_norm::mlp_out, hook::mlp_down_out, hook::mlp_out, hook::resid_post>(projection::down,
                                                                                             buffers.act);
    }
};

/// Errors: shape_error where weights, stream or buffers do not fit the shape.
template <block_form Form, class W>
void check_block(block_shape const& shape, block_weights<W> const& weights, residual_stream const& stream,
                 block_buffers const& buffers) {
    constexpr const char* who = "advance";
    if (weights.rest == nullptr) throw shape_error("advance: the block has no norms, which are expected");
    for (std::size_t i = 0; i < projection_count; ++i) {
        const auto p = static_cast<projection>(i);
        if (weights.linear[i] == nullptr)
            throw shape_error("advance: the block has no " + std::string(name(p)) + "; all projections are expected");
        const auto [rows, cols] = shape_of(p, shape);
        check_shape(who, name(p).data(), weights.linear[i]->rows(), weights.linear[i]->cols(), rows, cols);
        const std::size_t bias = weights.rest->biases[i].size(), expected = has(shape.biases, p) ? rows : 0;
        if (bias != expected) check_size(who, ("the bias of " + std::string(name(p))).c_str(), bias, expected);
    }
    for (std::size_t i = 0; i < block_norm_count; ++i) {
        const auto n = static_cast<block_norm>(i);
        check_size(who, name(n).data(), weights.rest->gamma(n).size(), has_norm(Form, n) ? size_of(n, Form, shape) : 0);
    }
    const std::size_t positions = stream.x.rows();
    check_shape(who, "the stream's x", stream.x.view(), positions, shape.width);
    check_shape(who, "the buffers' heads", buffers.heads.view(), positions, shape.query_width());
    check_shape(who, "the buffers' act", buffers.act.view(), positions, shape.ffn_width);
}
inline void check_ropes(block_shape const& shape, rope_tables const* ropes) {
    const std::size_t tables = ropes == nullptr ? 0 : ropes->size();
    if (shape.rope >= tables)
        throw shape_error("advance: the block turns by rotary table " + std::to_string(shape.rope) + " of " +
                          std::to_string(tables));
}
/// Errors: shape_error where texts do not fit the block or the stream.
inline void check_texts(block_shape const& shape, site at, std::size_t rows, continuation const& texts) {
    constexpr const char* who = "advance";
    check_size(who, "the stream of texts", rows, texts.rows());
    for (auto const& text : texts.texts) {
        check_ropes(shape, text.ropes.get());
        check_range(who, "layers of a text", at.layer, 1, text.layers.size());
        auto const& cache = text.layers[at.layer];
        check_shape(who, "the cache of a text", cache.kv_heads(), cache.head_dim(), shape.kv_heads, shape.head_dim);
    }
}

template <block_form Form, class W, class P, class Texts>
void advance_stages(block_shape const& shape, block_weights<W> const& weights, site at, residual_stream& stream,
                    block_buffers& buffers, Texts const& texts, stage until, workspace& scratch, P& p) {
    block_run<Form, W, P, Texts> run{shape, weights, at, stream, buffers, scratch, p, texts};
    for (; stream.next < until; stream.next = static_cast<stage>(static_cast<int>(stream.next) + 1))
        switch (stream.next) {
        case stage::qkv:
            run.qkv();
            break;
        case stage::o:
            run.o();
            break;
        case stage::gate_up:
            run.gate_up();
            break;
        case stage::down:
            run.down();
            break;
        case stage::end:
            break;
        }
    if (stream.next == stage::end) stream.next = stage::qkv;
}

} // namespace detail

/// Runs the stages stream.next … until − 1 of one block on one example and speaks to the probe on the way; after the
/// last stage the stream is ready for the next block. Weights may change between two calls: a stage that left x alone
/// (qkv, gate_up) can be run again.   Scratch: advance_bytes.   Errors: shape_error where weights, stream or buffers do
/// not fit the shape, or the workspace is too small.
template <block_form Form, product_weights W, detail::meant_as_probe P>
void advance(block_shape const& shape, block_weights<W> const& weights, site at, residual_stream& stream,
             block_buffers& buffers, stage until, workspace& scratch, P& p) {
    detail::check_block<Form>(shape, weights, stream, buffers);
    detail::check_ropes(shape, buffers.ropes.get());
    scratch.require("advance", advance_bytes(shape, stream.x.rows(), scratch.tasks()));
    detail::advance_stages<Form>(shape, weights, at, stream, buffers, detail::whole_document{}, until, scratch, p);
}

/// The same of texts that go on: rows of the stream are their next positions, which their caches of layer at.layer take
/// up in the stage qkv, which can therefore not be run again. With row_products::matmul a row has the bits that it has
/// in a document.   Scratch: continue_bytes.   Errors: as above; shape_error where the texts do not fit, or their
/// tables do not have a position.
template <block_form Form, product_weights W, detail::meant_as_probe P>
void advance(block_shape const& shape, block_weights<W> const& weights, site at, residual_stream& stream,
             block_buffers& buffers, continuation const& texts, stage until, workspace& scratch, P& p) {
    detail::check_block<Form>(shape, weights, stream, buffers);
    detail::check_texts(shape, at, stream.x.rows(), texts);
    detail::advance_stages<Form>(shape, weights, at, stream, buffers, texts, until, scratch, p);
}

} // namespace bitlens
