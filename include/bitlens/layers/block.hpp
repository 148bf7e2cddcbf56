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

/// What one example is between two stages.
struct block_state {
    matrix<float> x;     // the residual stream (T, d)
    matrix<float> heads; // input of W_o (T, heads · head_dim), after stage qkv
    matrix<float> act;   // input of W_down (T, d_ff), after stage gate_up
    std::shared_ptr<const rope_table> rope;
    stage next = stage::qkv;

    block_state(std::size_t positions, block_shape const& s)
        : x(positions, s.width), heads(positions, s.heads * s.head_dim), act(positions, s.ffn_width),
          rope(std::make_shared<const rope_table>(positions, s.head_dim, s.rope_theta)) {}
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
    block_state& state;
    workspace& scratch;
    P& probe;

    std::size_t positions() const noexcept { return state.x.rows(); }
    void normalise(std::vector<float> const& gamma, matrix_view<float> y) {
        over_rows(positions(), scratch, [&](std::size_t first, std::size_t count) {
            rms_norm(state.x.view().middle_rows(first, count), gamma, shape.norm_eps, y.middle_rows(first, count));
        });
    }

    /// heads = attention(norm(x)).
    void qkv() {
        emit<hook::resid_pre>(probe, at, state.x);
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
            rope(*state.rope, first, q.middle_rows(first, count));
            rope(*state.rope, first, k.middle_rows(first, count));
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
        attention(q, k, v, shape.head_dim, state.heads, scratch);
        emit<hook::attn_heads>(probe, at, state.heads);
    }

    /// x += W_o · heads.
    void o() {
        workspace::frame frame(scratch);
        const auto out = frame.template take<float>(positions(), shape.width);
        matmul(weights[projection::o], state.heads, out, scratch);
        emit<hook::attn_out>(probe, at, out);
        add(state.x, out);
        emit<hook::resid_mid>(probe, at, state.x);
    }

    /// act = σ(W_gate · norm(x)) ⊙ W_up · norm(x).
    void gate_up() {
        workspace::frame frame(scratch);
        const auto n = frame.template take<float>(positions(), shape.width);
        normalise(weights.rest->mlp_norm, n);
        emit<hook::mlp_in>(probe, at, n);

        const auto gate = state.act.view();
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
                silu(gate.middle_rows(first, count));
            else
                silu_multiply(gate.middle_rows(first, count), up.middle_rows(first, count));
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
        matmul(weights[projection::down], state.act, out, scratch);
        emit<hook::mlp_out>(probe, at, out);
        add(state.x, out);
        emit<hook::resid_post>(probe, at, state.x);
    }
};

/// Errors: shape_error where weights or state do not fit the shape.
template <class Architecture, class W>
void check_block(block_shape const& shape, block_weights<W> const& weights, block_state const& state) {
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
    const std::size_t positions = state.x.rows();
    check_shape(who, "the state's x", state.x.view(), positions, shape.width);
    check_shape(who, "the state's heads", state.heads.view(), positions, query);
    check_shape(who, "the state's act", state.act.view(), positions, shape.ffn_width);
}

} // namespace detail

/// Runs the stages state.next … until − 1 of one block on one example and speaks to the probe on the way; after the
/// last stage the state is ready for the next block. Each stage's inputs lie in the state or follow from it (norm of x,
/// heads, act), so that weights may change between two calls: a stage that left x alone (qkv, gate_up) can be run
/// again.   Scratch: advance_bytes.   Errors: shape_error where weights or state do not fit the shape, or the workspace
/// is too small.
template <class Architecture, product_weights W, detail::meant_as_probe P>
void advance(block_shape const& shape, block_weights<W> const& weights, site at, block_state& state, stage until,
             workspace& scratch, P& p) {
    detail::check_block<Architecture>(shape, weights, state);
    scratch.require("advance", advance_bytes(shape, state.x.rows(), scratch.tasks()));
    detail::block_run<Architecture, W, P> run{shape, weights, at, state, scratch, p};
    for (; state.next < until; state.next = static_cast<stage>(static_cast<int>(state.next) + 1)) switch (state.next) {
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
    if (state.next == stage::end) state.next = stage::qkv;
}

} // namespace bitlens
