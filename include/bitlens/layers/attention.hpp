#pragma once
/// Causal attention with grouped heads, for a whole document at once.

#include "bitlens/core/parallel.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/formats/quant_format.hpp"
#include "bitlens/kernels/micro_kernels.hpp"
#include "bitlens/kernels/soft_cap.hpp"
#include "bitlens/simd/rows.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>

namespace bitlens {

/// Which keys a query sees, and how much of its products counts.
struct attention_rule {
    static constexpr std::size_t everything = std::numeric_limits<std::size_t>::max();

    float scale;                     ///< of q · k: 1/√head_dim in most models
    std::size_t window = everything; ///< keys that a query sees at most: itself, and those before it
    float soft_cap = no_soft_cap;    ///< c of s ← c · tanh(s/c), the scores after their scale and before the softmax
    std::size_t first = 0;           ///< position of the first query among the keys

    /// The first key that the query at a position sees.
    constexpr std::size_t seen_from(std::size_t position) const noexcept {
        return position < window ? 0 : position - window + 1;
    }
    bool operator==(attention_rule const&) const = default;
};

/// 1/√dims.
inline float attention_scale(std::size_t dims) noexcept { return 1.0f / std::sqrt(static_cast<float>(dims)); }

namespace detail {

/// s_i ← e^(scale · (s_i − max s)) for begin ≤ i < end, else 0; returns their sum.   s.size() is a multiple of the
/// lanes.
template <class Arch>
float exponentials(std::span<float> s, std::size_t begin, std::size_t end, float scale) noexcept {
    using vec = simd::batch<float, Arch>;
    constexpr float lowest = -std::numeric_limits<float>::infinity(); // e^lowest is 0
    std::ranges::fill(s.first(begin), lowest);
    std::ranges::fill(s.subspan(end), lowest);
    vec largest(lowest);
    for (std::size_t i = 0; i < s.size(); i += vec::size) largest = simd::max(largest, vec::load_unaligned(&s[i]));
    const vec maximum(simd::fold(largest, [](float a, float b) { return std::max(a, b); }));
    vec sum(0.0f);
    for (std::size_t i = 0; i < s.size(); i += vec::size) {
        const auto e = simd::exp((vec::load_unaligned(&s[i]) - maximum) * vec(scale));
        e.store_unaligned(&s[i]);
        sum = sum + e;
    }
    return simd::fold(sum, [](float a, float b) { return a + b; });
}

/// How attention lies in memory: keys are what the panels of a micro-kernel hold as rows of "weights", and values are
/// the same with rows and columns exchanged. All panels of a kind take the same room.
struct attention_layout {
    micro_kernel const& kernel;
    std::size_t positions, head_dim; // of the keys

    /// Queries that read a panel while it is in the nearest cache.
    std::size_t block_rows = std::max<std::size_t>(1, 32 / kernel.tile_positions) * kernel.tile_positions;
    std::size_t key_depth = std::min(kernel.max_depth, head_dim);
    std::size_t value_depth = std::clamp<std::size_t>(positions, 1, kernel.max_depth);
    std::size_t key_panels = pieces(positions, kernel.panel_rows), key_blocks = pieces(head_dim, key_depth);
    std::size_t value_blocks = pieces(positions, value_depth), value_panels = pieces(head_dim, kernel.panel_rows);
    std::size_t key_panel_elements = panel_elements(key_depth), value_panel_elements = panel_elements(value_depth);
    std::size_t strip_cols = pieces(head_dim, chunk_codes) * chunk_codes;

    /// Keys from which the sum over values may begin: whole registers of any instruction set, and whole pieces of any
    /// micro-kernel, so that a key's place among the lanes does not depend on where the sum begins.
    static constexpr std::size_t key_unit = chunk_codes;

    static constexpr std::size_t pieces(std::size_t n, std::size_t size) noexcept { return (n + size - 1) / size; }

    /// Elements of the keys or values of one head.
    std::size_t keys() const noexcept { return key_panels * key_blocks * key_panel_elements; }
    std::size_t values() const noexcept { return value_blocks * value_panels * value_panel_elements; }
    /// Where a panel begins, of some keys and a block of dimensions; of a block of positions and some dimensions.
    std::size_t key_panel(std::size_t panel, std::size_t block) const noexcept {
        return (panel * key_blocks + block) * key_panel_elements;
    }
    std::size_t value_panel(std::size_t block, std::size_t panel) const noexcept {
        return (block * value_panels + panel) * value_panel_elements;
    }
    /// Where the position `at` of a panel of `dims` dimensions begins, at a multiple of key_unit.
    std::size_t in_value_panel(std::size_t at, std::size_t dims) const noexcept {
        return kernel.row_elements(at) * kernel.padded_rows(dims);
    }

    std::size_t padded_keys() const noexcept { return key_panels * kernel.panel_rows; }
    std::size_t padded_dims() const noexcept { return value_panels * kernel.panel_rows; }
    /// What a task works in: keys of a panel as floats; packed queries or probabilities; scores; sums of values.
    std::size_t strip() const noexcept { return kernel.panel_rows * strip_cols; }
    std::size_t packed() const noexcept {
        return std::max(block_rows * kernel.row_elements(key_depth),
                        kernel.tile_positions * kernel.row_elements(value_depth));
    }
    std::size_t scores() const noexcept { return block_rows * padded_keys(); }
    std::size_t result() const noexcept { return kernel.tile_positions * padded_dims(); }

    std::size_t bytes(std::size_t kv_heads, std::size_t tasks) const noexcept {
        return workspace::bytes_for<packed_element>(kv_heads * keys()) +
               workspace::bytes_for<packed_element>(kv_heads * values()) +
               workspace::bytes_for<packed_element>(tasks * packed()) + workspace::bytes_for<float>(tasks * strip()) +
               workspace::bytes_for<float>(tasks * scores()) + workspace::bytes_for<float>(tasks * result());
    }

private:
    /// Weights are packed by whole registers, which may be more columns than a panel needs.
    std::size_t panel_elements(std::size_t depth) const noexcept {
        return kernel.panel_rows * kernel.row_elements(pieces(depth, chunk_codes) * chunk_codes);
    }
};

/// Keys and values of one head, (T, head_dim) each, into panels, those that hold none from `first` on left out.
/// strip: layout.strip() floats to work in.
inline void pack_head(attention_layout const& layout, std::size_t first, matrix_view<const float> k,
                      matrix_view<const float> v, packed_element* keys, packed_element* values, float* strip) noexcept {
    micro_kernel const& kernel = layout.kernel;
    const std::size_t panel_rows = kernel.panel_rows, stride = layout.strip_cols;
    for (std::size_t panel = first / panel_rows; panel < layout.key_panels; ++panel) {
        const auto rows = k.middle_rows(panel * panel_rows, std::min(panel_rows, k.rows - panel * panel_rows));
        std::fill_n(strip, layout.strip(), 0.0f);
        for (std::size_t r = 0; r < rows.rows; ++r) std::ranges::copy(rows.row(r), strip + r * stride);
        for (std::size_t i = 0, block = 0; i < k.cols; i += layout.key_depth, ++block)
            kernel.pack_weights(strip + i, stride, panel_rows, 0, std::min(layout.key_depth, k.cols - i),
                                keys + layout.key_panel(panel, block));
    }
    std::size_t block = first / layout.value_depth;
    for (std::size_t s = block * layout.value_depth; s < v.rows; s += layout.value_depth, ++block)
        for (std::size_t i = 0, panel = 0; i < v.cols; i += panel_rows, ++panel)
            kernel.pack_transposed(&v(s, i), v.stride, std::min(panel_rows, v.cols - i),
                                   std::min(layout.value_depth, v.rows - s), values + layout.value_panel(block, panel));
}

/// What a task of attention works in.
struct attention_scratch {
    packed_element* packed;
    float *scores, *result;
};

/// out = attention of queries from row `first` on of one head, at most a block of them, q and out (T, head_dim).
template <class Arch>
void attend(attention_layout const& layout, attention_rule const& rule, matrix_view<const float> q, std::size_t first,
            const packed_element* keys, const packed_element* values, matrix_view<float> out,
            attention_scratch scratch) noexcept {
    micro_kernel const& kernel = layout.kernel;
    const std::size_t tile_rows = kernel.tile_positions, panel_rows = kernel.panel_rows;
    const std::size_t end = std::min(q.rows, first + layout.block_rows), dims = q.cols;
    const matrix_view<float> scores(scratch.scores, layout.block_rows, layout.padded_keys());
    const matrix_view<float> result(scratch.result, tile_rows, layout.padded_dims());
    const auto rows_of = [&](std::size_t t) { return std::min(tile_rows, end - t); };
    // Keys of the tile from t on: those that its first query sees and the others see too, or no longer.
    const auto seen_from = [&](std::size_t t) { return rule.seen_from(rule.first + t); };
    const auto seen_by = [&](std::size_t t) { return rule.first + std::min(t + tile_rows, end); };
    const auto padded_rows_of = [&](std::size_t t) { return kernel.padded_positions(rows_of(t)); };

    for (std::size_t i = 0, block = 0; i < dims; i += layout.key_depth, ++block) {
        const std::size_t depth = std::min(layout.key_depth, dims - i), row_elements = kernel.row_elements(depth);
        const auto packed = [&](std::size_t t) { return scratch.packed + (t - first) * row_elements; };
        for (std::size_t t = first; t < end; t += tile_rows)
            kernel.pack_positions(q.middle_rows(t, rows_of(t)).middle_cols(i, depth), packed(t));
        std::size_t panel = seen_from(first) / panel_rows;
        for (std::size_t s = panel * panel_rows; s < rule.first + end; s += panel_rows, ++panel)
            for (std::size_t t = first; t < end; t += tile_rows) {
                if (s >= seen_by(t) || s + panel_rows <= seen_from(t)) continue;
                const auto tile = scores.middle_rows(t - first, padded_rows_of(t)).middle_cols(s, panel_rows);
                kernel.multiply(kernel.packed_operand(packed(t), rows_of(t)), depth,
                                keys + layout.key_panel(panel, block), tile, i == 0 ? matrix_view<float>{} : tile, {});
            }
    }
    for (std::size_t t = first; t < end; t += tile_rows) {
        const std::size_t begin = seen_from(t) / layout.key_unit * layout.key_unit;
        const auto tile = scores.middle_rows(t - first, rows_of(t));
        std::array<float, micro_kernel::most_tile_positions> sums{};
        const std::size_t padded = layout.pieces(seen_by(t), simd::lanes<Arch>) * simd::lanes<Arch>;
        for (std::size_t r = 0; r < tile.rows; ++r) {
            const auto row = tile.row(r).subspan(begin, padded - begin);
            const std::size_t from = seen_from(t + r) - begin, count = rule.first + t + r + 1 - begin;
            const bool has_cap = rule.soft_cap != no_soft_cap;
            if (has_cap) cap_row<Arch>(row.first(count).subspan(from), rule.scale, rule.soft_cap);
            sums[r] = exponentials<Arch>(row, from, count, has_cap ? 1.0f : rule.scale);
        }
        std::size_t block = begin / layout.value_depth;
        for (std::size_t s = begin, next; s < seen_by(t); s = next, ++block) {
            next = (block + 1) * layout.value_depth;
            const auto weights = tile.middle_cols(s, std::min(next, seen_by(t)) - s);
            const std::size_t at = s - block * layout.value_depth;
            kernel.pack_positions(weights, scratch.packed);
            for (std::size_t i = 0, panel = 0; i < dims; i += panel_rows, ++panel) {
                const std::size_t panel_dims = std::min(panel_rows, dims - i);
                const auto part =
                    result.middle_rows(0, padded_rows_of(t)).middle_cols(i, kernel.padded_rows(panel_dims));
                kernel.multiply(kernel.packed_operand(scratch.packed, weights.rows), weights.cols,
                                values + layout.value_panel(block, panel) + layout.in_value_panel(at, panel_dims), part,
                                s == begin ? matrix_view<float>{} : part, {});
            }
        }
        for (std::size_t r = 0; r < tile.rows; ++r)
            simd::map<Arch>(
                dims, [sum = simd::batch<float, Arch>(sums[r])](auto const& x) { return x / sum; },
                out.row(t + r).data(), result.row(r).data());
    }
}

/// Errors: those of attention, but for the workspace.
inline void check_attention_operands(matrix_view<const float> q, matrix_view<const float> k, matrix_view<const float> v,
                                     std::size_t head_dim, attention_rule const& rule, matrix_view<float> out) {
    if (head_dim == 0 || k.cols == 0 || k.cols % head_dim != 0 || q.cols % k.cols != 0)
        throw shape_error("attention: q has " + std::to_string(q.cols) + " columns and k " + std::to_string(k.cols) +
                          ", expected whole heads of " + std::to_string(head_dim) + ", and as many of q for each of k");
    check_range("attention", "queries", rule.first, q.rows, k.rows);
    check_shape("attention", "v", v, k.rows, k.cols);
    check_shape("attention", "out", out, q.rows, q.cols);
    if (!(rule.scale > 0) || !std::isfinite(rule.scale))
        throw option_error("attention: scale " + std::to_string(rule.scale) + ", expected a positive number");
    if (rule.window == 0) throw option_error("attention: a window of 0 keys, expected at least 1, the query's own");
    check_soft_cap("attention", rule.soft_cap);
}

} // namespace detail

/// Bytes of workspace that attention needs for so many keys, in any arithmetic and by any rule.
template <class Arch = simd::default_arch>
std::size_t attention_bytes(std::size_t keys, std::size_t kv_heads, std::size_t head_dim, unsigned tasks) {
    std::size_t bytes = 0;
    for (const arithmetic a : all_arithmetics)
        bytes =
            std::max(bytes, detail::attention_layout{micro_kernel_of<Arch>(a), keys, head_dim}.bytes(kv_heads, tasks));
    return bytes;
}

/// out_t = Σ_s softmax_s(scale · q_t · k_s) · v_s over the keys s that position first + t sees, for each head: itself
/// and those before it, no more than the window. With a soft cap c, scores are c · tanh(scale · q_t · k_s / c).
/// Query head h reads key head h / (heads / kv_heads). Both products are computed in the arithmetic of the workspace,
/// the softmax in float32. Time is that of the keys in the windows. Shapes: q, out (T, heads · head_dim), k, v (S,
/// kv_heads · head_dim), S ≥ first + T; later keys are not read. The same bits for any number of tasks, for any T and
/// `first` that hold the position, and for any window that holds its keys, as long as all numbers are finite.   Agrees
/// with reference::attention. Errors: shape_error where the shapes do not fit, or the workspace is too small;
/// option_error for a scale that is not positive, a window of 0 and a negative cap.
template <class Arch = simd::default_arch>
void attention(matrix_view<const float> q, matrix_view<const float> k, matrix_view<const float> v, std::size_t head_dim,
               attention_rule const& rule, matrix_view<float> out, workspace& scratch) {
    detail::check_attention_operands(q, k, v, head_dim, rule, out);
    if (q.rows == 0) return;

    const std::size_t heads = q.cols / head_dim, kv_heads = k.cols / head_dim, tasks = scratch.tasks();
    k = k.middle_rows(0, rule.first + q.rows);
    v = v.middle_rows(0, rule.first + q.rows);
    const detail::attention_layout layout{micro_kernel_of<Arch>(scratch.products()), k.rows, head_dim};
    scratch.require("attention", layout.bytes(kv_heads, tasks));
    workspace::frame frame(scratch);
    const auto keys = frame.take<packed_element>(kv_heads * layout.keys());
    const auto values = frame.take<packed_element>(kv_heads * layout.values());
    const auto packed = frame.take<packed_element>(tasks * layout.packed());
    const auto strips = frame.take<float>(tasks * layout.strip());
    const auto scores = frame.take<float>(tasks * layout.scores());
    const auto results = frame.take<float>(tasks * layout.result());

    parallel_pieces(kv_heads, tasks, 1, [&](std::size_t task, std::size_t begin, std::size_t end) {
        for (std::size_t h = begin; h < end; ++h)
            detail::pack_head(layout, rule.seen_from(rule.first), k.middle_cols(h * head_dim, head_dim),
                              v.middle_cols(h * head_dim, head_dim), &keys[h * layout.keys()],
                              &values[h * layout.values()], &strips[task * layout.strip()]);
    });
    const std::size_t blocks = layout.pieces(q.rows, layout.block_rows);
    parallel_pieces(heads * blocks, tasks, 1, [&](std::size_t task, std::size_t begin, std::size_t end) {
        const micro_kernel_session session(layout.kernel);
        for (std::size_t i = begin; i < end; ++i) {
            const std::size_t head = i / blocks, kv_head = head / (heads / kv_heads);
            detail::attend<Arch>(
                layout, rule, q.middle_cols(head * head_dim, head_dim), i % blocks * layout.block_rows,
                &keys[kv_head * layout.keys()], &values[kv_head * layout.values()],
                out.middle_cols(head * head_dim, head_dim),
                {&packed[task * layout.packed()], &scores[task * layout.scores()], &results[task * layout.result()]});
        }
    });
}

} // namespace bitlens
