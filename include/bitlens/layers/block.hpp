#pragma once
/// One block of a decoder: attention and a gated MLP around a residual stream, run in stages that can be resumed.

#include "bitlens/core/parallel.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/hooks/probe.hpp"
#include "bitlens/kernels/weight_panels.hpp"
#include "bitlens/layers/attention.hpp"
#include "bitlens/layers/gated_mlp.hpp"
#include "bitlens/layers/linear.hpp"
#include "bitlens/layers/rms_norm.hpp"
#include "bitlens/layers/rope.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// The sizes of a block: d, heads, key and value heads, head_dim, d_ff; ε of its norms and θ of its rotary embedding.
struct block_shape {
    std::size_t width = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn_width = 0;
    float norm_eps = 0;
    double rope_theta = 0;

    bool operator==(block_shape const&) const = default;
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

/// What a block has besides its matrices: γ of both norms (d), and biases (empty when the architecture has none: one
/// that would be left out is refused).
struct norms_and_biases {
    std::vector<float> attn_norm, mlp_norm, q_bias, k_bias, v_bias;
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

/// What the task that runs a block works with. The heads of a stage qkv, and the activations of gate_up, lie in it
/// until the next stage has read them: a stream that rests before o or down goes on with the same buffers.
struct block_buffers {
    matrix<float> heads; // input of W_o (T, heads · head_dim)
    matrix<float> act;   // input of W_down (T, d_ff)
    std::shared_ptr<const rope_table> rope;

    /// With a table that other tasks have too, of at least so many positions.
    block_buffers(std::size_t positions, block_shape const& s, std::shared_ptr<const rope_table> table)
        : heads(positions, s.heads * s.head_dim), act(positions, s.ffn_width), rope(std::move(table)) {}
    block_buffers(std::size_t positions, block_shape const& s)
        : block_buffers(positions, s,
                        std::make_shared<const rope_table>(positions, s.head_dim, rope_rule{.theta = s.rope_theta})) {}

    /// Bytes of one, but for the table.
    static constexpr std::size_t bytes(std::size_t positions, block_shape const& s) noexcept {
        return positions * (s.heads * s.head_dim + s.ffn_width) * sizeof(float);
    }
};

/// Bytes of workspace that advance needs, whoever listens.
inline std::size_t advance_bytes(block_shape const& s, std::size_t positions, unsigned tasks) {
    const auto floats = [&](std::size_t width) { return workspace::bytes_for<float>(positions * width); };
    std::size_t product = 0;
    for (std::size_t p = 0; p < projection_count; ++p) {
        const auto [rows, cols] = shape_of(static_cast<projection>(p), s);
        product = std::max(product, matmul_bytes(rows, cols, positions, tasks));
    }
    const std::size_t query = floats(s.heads * s.head_dim), key = floats(s.kv_heads * s.head_dim);
    const std::size_t attend = floats(s.width) + query + 2 * key +
                               std::max(product, attention_bytes(positions, s.kv_heads, s.head_dim, tasks));
    const std::size_t gate = 2 * floats(s.width) + floats(s.ffn_width) + product;
    return std::max(attend, gate);
}

namespace detail {

/// f(first, count) over the rows of a document, in as many pieces as the workspace has tasks.
template <class F>
void over_rows(std::size_t positions, workspace const& scratch, F const& f) {
    parallel_pieces(positions, scratch.tasks(), 1,
                    [&](std::size_t, std::size_t first, std::size_t end) { f(first, end - first); });
}

/// One block at work on one example; a member function per stage.
template <class Architecture, class W, class P>
struct block_run {
    block_shape const& shape;
    block_weights<W> const& weights;
    site at;
    residual_stream& stream;
    block_buffers& buffers;
    workspace& scratch;
    P& probe;

    std::size_t positions() const noexcept { return stream.x.rows(); }
    void normalise(std::vector<float> const& gamma, matrix_view<float> y) {
        over_rows(positions(), scratch, [&](std::size_t first, std::size_t count) {
            rms_norm(stream.x.view().middle_rows(first, count), gamma, shape.norm_eps, y.middle_rows(first, count));
        });
    }

    /// heads = attention(norm(x)).
    void qkv() {
        emit<hook::resid_pre>(probe, at, stream.x);
        workspace::frame frame(scratch);
        const auto n = frame.template take<float>(positions(), shape.width);
        normalise(weights.rest->attn_norm, n);
        emit<hook::attn_in>(probe, at, n);

        const auto q = frame.template take<float>(positions(), shape.heads * shape.head_dim);
        const auto k = frame.template take<float>(positions(), shape.kv_heads * shape.head_dim);
        const auto v = frame.template take<float>(positions(), shape.kv_heads * shape.head_dim);
        matmul(weights[projection::q], n, q, scratch);
        matmul(weights[projection::k], n, k, scratch);
        matmul(weights[projection::v], n, v, scratch);
        constexpr bool is_heard = listens_to_any<P, hook::attn_q, hook::attn_k, hook::attn_v>;
        const auto rotate = [&](std::size_t first, std::size_t count) {
            rope(*buffers.rope, first, q.middle_rows(first, count));
            rope(*buffers.rope, first, k.middle_rows(first, count));
        };
        over_rows(positions(), scratch, [&](std::size_t first, std::size_t count) {
            if constexpr (Architecture::qkv_bias) {
                add_bias(weights.rest->q_bias, q.middle_rows(first, count));
                add_bias(weights.rest->k_bias, k.middle_rows(first, count));
                add_bias(weights.rest->v_bias, v.middle_rows(first, count));
            }
            if constexpr (!is_heard) rotate(first, count);
        });
        if constexpr (is_heard) {
            emit<hook::attn_q>(probe, at, q);
            emit<hook::attn_k>(probe, at, k);
            emit<hook::attn_v>(probe, at, v);
            over_rows(positions(), scratch, rotate);
        }
        attention(q, k, v, shape.head_dim, {.scale = attention_scale(shape.head_dim)}, buffers.heads, scratch);
        emit<hook::attn_heads>(probe, at, buffers.heads);
    }

    /// x += W_o · heads.
    void o() {
        workspace::frame frame(scratch);
        const auto out = frame.template take<float>(positions(), shape.width);
        matmul(weights[projection::o], buffers.heads, out, scratch);
        emit<hook::attn_out>(probe, at, out);
        add(stream.x, out);
        emit<hook::resid_mid>(probe, at, stream.x);
    }

    /// act = σ(W_gate · norm(x)) ⊙ W_up · norm(x).
    void gate_up() {
        workspace::frame frame(scratch);
        const auto n = frame.template take<float>(positions(), shape.width);
        normalise(weights.rest->mlp_norm, n);
        emit<hook::mlp_in>(probe, at, n);

        const auto gate = buffers.act.view();
        if constexpr (listens<P, hook::mlp_gate_in>) { // W_gate alone reads what the probe leaves there
            const auto gate_in = frame.template take<float>(positions(), shape.width);
            std::copy(n.data, n.data + n.rows * n.cols, gate_in.data);
            emit<hook::mlp_gate_in>(probe, at, gate_in);
            matmul(weights[projection::gate], gate_in, gate, scratch);
        } else {
            matmul(weights[projection::gate], n, gate, scratch);
        }
        const auto up = frame.template take<float>(positions(), shape.ffn_width);
        matmul(weights[projection::up], n, up, scratch);
        over_rows(positions(), scratch, [&](std::size_t first, std::size_t count) {
            if constexpr (listens_to_any<P, hook::mlp_gate, hook::mlp_up>)
                activate<activation::silu>(gate.middle_rows(first, count));
            else
                activate_multiply<activation::silu>(gate.middle_rows(first, count), up.middle_rows(first, count));
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
        workspace::frame frame(scratch);
        const auto out = frame.template take<float>(positions(), shape.width);
        matmul(weights[projection::down], buffers.act, out, scratch);
        emit<hook::mlp_out>(probe, at, out);
        add(stream.x, out);
        emit<hook::resid_post>(probe, at, stream.x);
    }
};

/// Errors: shape_error where weights, stream or buffers do not fit the shape.
template <class Architecture, class W>
void check_block(block_shape const& shape, block_weights<W> const& weights, residual_stream const& stream,
                 block_buffers const& buffers) {
    constexpr const char* who = "advance";
    for (std::size_t p = 0; p < projection_count; ++p) {
        const auto which = static_cast<projection>(p);
        if (weights.linear[p] == nullptr)
            throw shape_error("advance: the block has no " + std::string(name(which)) +
                              "; all projections are expected");
        const auto [rows, cols] = shape_of(which, shape);
        check_shape(who, name(which).data(), weights.linear[p]->rows(), weights.linear[p]->cols(), rows, cols);
    }
    if (weights.rest == nullptr) throw shape_error("advance: the block has no norms; both are expected");
    const std::size_t query = shape.heads * shape.head_dim, key = shape.kv_heads * shape.head_dim;
    check_size(who, "attn_norm", weights.rest->attn_norm.size(), shape.width);
    check_size(who, "mlp_norm", weights.rest->mlp_norm.size(), shape.width);
    check_size(who, "q_bias", weights.rest->q_bias.size(), Architecture::qkv_bias ? query : 0);
    check_size(who, "k_bias", weights.rest->k_bias.size(), Architecture::qkv_bias ? key : 0);
    check_size(who, "v_bias", weights.rest->v_bias.size(), Architecture::qkv_bias ? key : 0);
    const std::size_t positions = stream.x.rows();
    check_shape(who, "the stream's x", stream.x.view(), positions, shape.width);
    check_shape(who, "the buffers' heads", buffers.heads.view(), positions, query);
    check_shape(who, "the buffers' act", buffers.act.view(), positions, shape.ffn_width);
}

} // namespace detail

/// Runs the stages stream.next … until − 1 of one block on one example and speaks to the probe on the way; after the
/// last stage the stream is ready for the next block. Weights may change between two calls: a stage that left x alone
/// (qkv, gate_up) can be run again.   Scratch: advance_bytes.   Errors: shape_error where weights, stream or buffers do
/// not fit the shape, or the workspace is too small.
template <class Architecture, product_weights W, detail::meant_as_probe P>
void advance(block_shape const& shape, block_weights<W> const& weights, site at, residual_stream& stream,
             block_buffers& buffers, stage until, workspace& scratch, P& p) {
    detail::check_block<Architecture>(shape, weights, stream, buffers);
    scratch.require("advance", advance_bytes(shape, stream.x.rows(), scratch.tasks()));
    detail::block_run<Architecture, W, P> run{shape, weights, at, stream, buffers, scratch, p};
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

} // namespace bitlens
