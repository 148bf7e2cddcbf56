#pragma once
/// Causal attention with grouped heads: of a whole document at once, or of more queries over the cache of their text.

#include "bitlens/core/parallel.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/kernels/micro_kernels.hpp"
#include "bitlens/kernels/soft_cap.hpp"
#include "bitlens/layers/attention_panels.hpp"
#include "bitlens/layers/key_value_cache.hpp"
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

/// What a task of attention works in.
struct attention_scratch {
    packed_element* packed; // queries or probabilities
    float *scores, *result; // result: sums of values
};

/// How much of it a task needs for so many queries at once and the keys up to the last of them.
struct attention_work {
    attention_layout const& layout;
    std::size_t queries, keys;

    std::size_t rows() const noexcept {
        const std::size_t tile = layout.kernel.tile_positions;
        return std::min(layout.block_rows, layout.pieces(queries, tile) * tile);
    }
    std::size_t padded_keys() const noexcept {
        return layout.pieces(keys, layout.kernel.panel_rows) * layout.kernel.panel_rows;
    }
    std::size_t padded_dims() const noexcept { return layout.value_panels * layout.kernel.panel_rows; }
    std::size_t packed() const noexcept {
        return std::max(rows() * layout.kernel.row_elements(layout.key_depth),
                        layout.kernel.tile_positions * layout.kernel.row_elements(std::min(layout.value_depth, keys)));
    }
    std::size_t scores() const noexcept { return rows() * padded_keys(); }
    std::size_t result() const noexcept { return layout.kernel.tile_positions * padded_dims(); }

    std::size_t bytes(std::size_t tasks) const noexcept {
        return workspace::bytes_for<packed_element>(tasks * packed()) + workspace::bytes_for<float>(tasks * scores()) +
               workspace::bytes_for<float>(tasks * result());
    }
};

/// Queries of all heads of one text, which stand from rule.first on, and the panels of its keys and values.
struct attention_job {
    attention_layout layout;
    attention_rule rule;
    matrix_view<const float> q; // (T, heads · head_dim)
    std::size_t kv_heads;
    packed_element const *keys, *values; // [kv_head]
    matrix_view<float> out;

    std::size_t heads() const noexcept { return q.cols / layout.head_dim; }
    std::size_t blocks() const noexcept { return layout.pieces(q.rows, layout.block_rows); }
    attention_work work() const noexcept { return {layout, q.rows, rule.first + q.rows}; }
};

/// out = attention of queries from row `first` on of one head, at most a block of them.
template <class Arch>
void attend(attention_job const& job, std::size_t head, std::size_t first, attention_scratch scratch) noexcept {
    attention_layout const& layout = job.layout;
    attention_rule const& rule = job.rule;
    micro_kernel const& kernel = layout.kernel;
    const std::size_t heads = job.heads(), kv_heads = job.kv_heads, kv_head = head / (heads / kv_heads);
    const auto q = job.q.middle_cols(head * layout.head_dim, layout.head_dim);
    const auto out = job.out.middle_cols(head * layout.head_dim, layout.head_dim);
    packed_element const* const keys = job.keys + kv_head * layout.keys();
    packed_element const* const values = job.values + kv_head * layout.values();
    const attention_work work = job.work();
    const std::size_t tile_rows = kernel.tile_positions, panel_rows = kernel.panel_rows;
    const std::size_t end = std::min(q.rows, first + layout.block_rows), dims = q.cols;
    const matrix_view<float> scores(scratch.scores, work.rows(), work.padded_keys());
    const matrix_view<float> result(scratch.result, tile_rows, work.padded_dims());
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
            kernel.pack_positions(weights, scratch.packed);
            for (std::size_t i = 0, panel = 0; i < dims; i += panel_rows, ++panel) {
                const std::size_t panel_dims = std::min(panel_rows, dims - i);
                const auto part =
                    result.middle_rows(0, padded_rows_of(t)).middle_cols(i, kernel.padded_rows(panel_dims));
                kernel.multiply(kernel.packed_operand(scratch.packed, weights.rows), weights.cols,
                                values + layout.value_panel(panel) + layout.in_value_panel(s, panel_dims), part,
                                s == begin ? matrix_view<float>{} : part, {});
            }
        }
        for (std::size_t r = 0; r < tile.rows; ++r)
            simd::map<Arch>(
                dims, [sum = simd::batch<float, Arch>(sums[r])](auto const& x) { return x / sum; },
                out.row(t + r).data(), result.row(r).data());
    }
}

/// Errors: those of attention, but for the workspace.   k: of the keys, whose numbers are not looked at.
inline void check_attention_operands(matrix_view<const float> q, std::size_t keys, std::size_t key_width,
                                     std::size_t head_dim, attention_rule const& rule, matrix_view<float> out) {
    if (head_dim == 0 || key_width == 0 || key_width % head_dim != 0 || q.cols % key_width != 0)
        throw shape_error("attention: q has " + std::to_string(q.cols) + " columns and k " + std::to_string(key_width) +
                          ", expected whole heads of " + std::to_string(head_dim) + ", and as many of q for each of k");
    check_range("attention", "queries", rule.first, q.rows, keys);
    check_shape("attention", "out", out, q.rows, q.cols);
    if (!(rule.scale > 0) || !std::isfinite(rule.scale))
        throw option_error("attention: scale " + std::to_string(rule.scale) + ", expected a positive number");
    if (rule.window == 0) throw option_error("attention: a window of 0 keys, expected at least 1, the query's own");
    check_soft_cap("attention", rule.soft_cap);
}
inline void check_attention_operands(matrix_view<const float> q, matrix_view<const float> k, matrix_view<const float> v,
                                     std::size_t head_dim, attention_rule const& rule, matrix_view<float> out) {
    check_attention_operands(q, k.rows, k.cols, head_dim, rule, out);
    check_shape("attention", "v", v, k.rows, k.cols);
}

/// All of some jobs, job_of(0) … job_of(count − 1), of one kernel and head_dim.   Errors: shape_error for a workspace
/// that has less than the work of the most queries and keys for each task.
template <class Arch, class JobOf>
void attend_all(std::size_t count, JobOf const& job_of, workspace& scratch) {
    std::size_t units = 0, queries = 0, keys = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const attention_job job = job_of(i);
        units += job.heads() * job.blocks();
        queries = std::max(queries, job.q.rows);
        keys = std::max(keys, job.rule.first + job.q.rows);
    }
    if (units == 0) return;
    const attention_layout layout = job_of(0).layout;
    const attention_work most{layout, queries, keys};
    const std::size_t tasks = scratch.tasks();
    scratch.require("attention", most.bytes(tasks));
    workspace::frame frame(scratch);
    const auto packed = frame.take<packed_element>(tasks * most.packed());
    const auto scores = frame.take<float>(tasks * most.scores());
    const auto results = frame.take<float>(tasks * most.result());
    parallel_pieces(units, tasks, 1, [&](std::size_t task, std::size_t begin, std::size_t end) {
        const micro_kernel_session session(layout.kernel);
        const attention_scratch own{&packed[task * most.packed()], &scores[task * most.scores()],
                                    &results[task * most.result()]};
        for (std::size_t i = 0, first = 0, next; i < count && first < end; ++i, first = next) {
            const attention_job job = job_of(i);
            const std::size_t blocks = job.blocks();
            next = first + job.heads() * blocks;
            for (std::size_t unit = std::max(begin, first); unit < std::min(end, next); ++unit)
                attend<Arch>(job, (unit - first) / blocks, (unit - first) % blocks * job.layout.block_rows, own);
        }
    });
}

/// Bytes of workspace for the panels of a document, but for what attend_all needs.
inline std::size_t panel_bytes(attention_layout const& layout, std::size_t kv_heads, std::size_t tasks) noexcept {
    return workspace::bytes_for<packed_element>(kv_heads * layout.keys()) +
           workspace::bytes_for<packed_element>(kv_heads * layout.values()) +
           workspace::bytes_for<float>(tasks * layout.strip());
}

} // namespace detail

/// Bytes of workspace that attention needs for a document of so many keys, in any arithmetic and by any rule.
template <class Arch = simd::default_arch>
std::size_t attention_bytes(std::size_t keys, std::size_t kv_heads, std::size_t head_dim, unsigned tasks) {
    std::size_t bytes = 0;
    for (const arithmetic a : all_arithmetics) {
        const detail::attention_layout layout{micro_kernel_of<Arch>(a), keys, head_dim};
        bytes = std::max(bytes, detail::panel_bytes(layout, kv_heads, tasks) +
                                    detail::attention_work{layout, keys, keys}.bytes(tasks));
    }
    return bytes;
}

/// The same for queries over caches of so many keys at most.
template <class Arch = simd::default_arch>
std::size_t cached_attention_bytes(std::size_t queries, std::size_t keys, std::size_t head_dim, unsigned tasks) {
    std::size_t bytes = 0;
    for (const arithmetic a : all_arithmetics) {
        const detail::attention_layout layout{micro_kernel_of<Arch>(a), keys, head_dim};
        bytes = std::max(bytes, detail::attention_work{layout, queries, keys}.bytes(tasks));
    }
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

    const std::size_t kv_heads = k.cols / head_dim, tasks = scratch.tasks(), keys_seen = rule.first + q.rows;
    const detail::attention_layout layout{micro_kernel_of<Arch>(scratch.products()), keys_seen, head_dim};
    scratch.require("attention", detail::panel_bytes(layout, kv_heads, tasks) +
                                     detail::attention_work{layout, q.rows, keys_seen}.bytes(tasks));
    workspace::frame frame(scratch);
    const auto keys = frame.take<packed_element>(kv_heads * layout.keys());
    const auto values = frame.take<packed_element>(kv_heads * layout.values());
    const auto strips = frame.take<float>(tasks * layout.strip());

    // Panels that hold no key which a query sees are left out.
    const std::size_t from = rule.seen_from(rule.first);
    const auto first_key = from / layout.kernel.panel_rows * layout.kernel.panel_rows;
    const auto first_value = from / layout.key_unit * layout.key_unit;
    parallel_pieces(kv_heads, tasks, 1, [&](std::size_t task, std::size_t begin, std::size_t end) {
        for (std::size_t h = begin; h < end; ++h) {
            const auto of_head = [&](matrix_view<const float> all, std::size_t first) {
                return all.middle_rows(first, keys_seen - first).middle_cols(h * head_dim, head_dim);
            };
            detail::pack_keys(layout, first_key, of_head(k, first_key), &keys[h * layout.keys()],
                              &strips[task * layout.strip()]);
            detail::pack_values(layout, first_value, of_head(v, first_value), &values[h * layout.values()]);
        }
    });
    const detail::attention_job job{layout, rule, q, kv_heads, keys.data(), values.data(), out};
    detail::attend_all<Arch>(
        1, [&](std::size_t) { return job; }, scratch);
}

/// Queries of one text over its cache: out_t as above, for positions first, first + 1 … of those that the cache has.
template <class Arch = simd::default_arch>
struct cached_queries {
    key_value_cache<Arch> const* cache;
    std::size_t first;
    matrix_view<const float> q;
    matrix_view<float> out;
};

/// Attention of queries over the caches of their texts, the same of each as attention of its whole text, bit for bit.
/// rule.first is not looked at.   Shapes: q, out (T, heads · head_dim).   Scratch: cached_attention_bytes for the most
/// queries and keys of one text.   Errors: as above; option_error for a cache of another arithmetic than the
/// workspace's.
template <class Arch = simd::default_arch>
void attention(std::span<const cached_queries<Arch>> texts, attention_rule const& rule, workspace& scratch) {
    const auto rule_of = [&](auto const& text) {
        attention_rule own = rule;
        own.first = text.first;
        return own;
    };
    for (auto const& text : texts) {
        auto const& cache = *text.cache;
        detail::check_attention_operands(text.q, cache.positions(), cache.kv_heads() * cache.head_dim(),
                                         cache.head_dim(), rule_of(text), text.out);
        detail::check_size("attention", "a head of the cache", cache.head_dim(), texts[0].cache->head_dim());
        if (cache.products() != scratch.products())
            throw option_error("attention: keys and values are packed for " + std::string(name(cache.products())) +
                               ", the workspace is for " + std::string(name(scratch.products())));
    }
    const auto job_of = [&](std::size_t i) {
        auto const& text = texts[i];
        return detail::attention_job{text.cache->layout(), rule_of(text),         text.q,  text.cache->kv_heads(),
                                     text.cache->keys(0),  text.cache->values(0), text.out};
    };
    detail::attend_all<Arch>(texts.size(), job_of, scratch);
}

} // namespace bitlens
