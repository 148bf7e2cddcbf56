#pragma once
/// Causal attention with grouped heads, for a whole document at once.

#include "bitlens/core/parallel.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/kernels/matmul.hpp"
#include "bitlens/simd/rows.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace bitlens {

namespace detail {

/// s_i ← e^(scale · (s_i − max s)) for i < n, 0 from there to the end; returns their sum.   s.size() is a multiple of
/// the lanes.
template <class Arch>
float exponentials(std::span<float> s, std::size_t n, float scale) noexcept {
    using vec = simd::batch<float, Arch>;
    constexpr float lowest = -std::numeric_limits<float>::infinity(); // e^lowest is 0
    std::fill(s.begin() + static_cast<std::ptrdiff_t>(n), s.end(), lowest);
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

/// How attention lies in memory for one micro-kernel: keys are what its panels hold as rows of "weights", and values
/// are the same with rows and columns exchanged. All panels of a kind take the same room.
template <class MicroKernel>
struct attention_layout {
    using element = typename MicroKernel::element;
    static constexpr std::size_t tile_rows = MicroKernel::tile_positions, panel_rows = MicroKernel::panel_rows;
    static constexpr std::size_t max_depth = MicroKernel::max_depth;
    static constexpr std::size_t block_rows = // queries that read a panel while it is in the nearest cache
        std::max<std::size_t>(1, 32 / tile_rows) * tile_rows;

    std::size_t positions, head_dim;

    static constexpr std::size_t pieces(std::size_t n, std::size_t size) noexcept { return (n + size - 1) / size; }
    /// Weights are packed by whole registers, which may be more columns than a panel needs.
    static constexpr std::size_t panel_elements(std::size_t depth) noexcept {
        return panel_rows * MicroKernel::row_elements(pieces(depth, chunk_codes) * chunk_codes);
    }
    std::size_t key_depth() const noexcept { return std::min(max_depth, head_dim); }
    std::size_t value_depth() const noexcept { return std::clamp<std::size_t>(positions, 1, max_depth); }
    /// Elements of the keys or values of one head.
    std::size_t keys() const noexcept {
        return pieces(positions, panel_rows) * pieces(head_dim, key_depth()) * panel_elements(key_depth());
    }
    std::size_t values() const noexcept {
        return pieces(positions, value_depth()) * pieces(head_dim, panel_rows) * panel_elements(value_depth());
    }
    /// Where a panel begins: of keys `s` …, dimensions `i` ….
    std::size_t key_panel(std::size_t s, std::size_t i) const noexcept {
        return (s / panel_rows * pieces(head_dim, key_depth()) + i / key_depth()) * panel_elements(key_depth());
    }
    std::size_t value_panel(std::size_t s, std::size_t i) const noexcept {
        return (s / value_depth() * pieces(head_dim, panel_rows) + i / panel_rows) * panel_elements(value_depth());
    }

    std::size_t padded_keys() const noexcept { return pieces(positions, panel_rows) * panel_rows; }
    std::size_t padded_dims() const noexcept { return pieces(head_dim, panel_rows) * panel_rows; }
    std::size_t strip_cols() const noexcept { return pieces(head_dim, chunk_codes) * chunk_codes; }
    /// What a task works in: keys of a panel as floats; packed queries or probabilities; scores; sums of values.
    std::size_t strip() const noexcept { return panel_rows * strip_cols(); }
    std::size_t packed() const noexcept {
        return std::max(block_rows * MicroKernel::row_elements(key_depth()),
                        tile_rows * MicroKernel::row_elements(value_depth()));
    }
    std::size_t scores() const noexcept { return block_rows * padded_keys(); }
    std::size_t result() const noexcept { return tile_rows * padded_dims(); }

    std::size_t bytes(std::size_t kv_heads, std::size_t tasks) const noexcept {
        return workspace::bytes_for<element>(kv_heads * keys()) + workspace::bytes_for<element>(kv_heads * values()) +
               workspace::bytes_for<element>(tasks * packed()) + workspace::bytes_for<float>(tasks * strip()) +
               workspace::bytes_for<float>(tasks * scores()) + workspace::bytes_for<float>(tasks * result());
    }
};

/// Keys and values of one head, (T, head_dim) each, into panels.   strip: layout.strip() floats to work in.
template <class MicroKernel>
void pack_head(attention_layout<MicroKernel> const& layout, matrix_view<const float> k, matrix_view<const float> v,
               typename MicroKernel::element* keys, typename MicroKernel::element* values, float* strip) noexcept {
    constexpr std::size_t panel_rows = MicroKernel::panel_rows;
    const std::size_t stride = layout.strip_cols();
    for (std::size_t s = 0; s < k.rows; s += panel_rows) {
        std::fill_n(strip, layout.strip(), 0.0f);
        for (std::size_t r = s; r < std::min(s + panel_rows, k.rows); ++r)
            std::copy_n(k.row(r).begin(), k.cols, strip + (r - s) * stride);
        for (std::size_t i = 0; i < k.cols; i += layout.key_depth())
            MicroKernel::pack_weights(strip + i, stride, panel_rows, 0, std::min(layout.key_depth(), k.cols - i),
                                      keys + layout.key_panel(s, i));
    }
    for (std::size_t s = 0; s < v.rows; s += layout.value_depth())
        for (std::size_t i = 0; i < v.cols; i += panel_rows)
            MicroKernel::pack_transposed(&v(s, i), v.stride, std::min(panel_rows, v.cols - i),
                                         std::min(layout.value_depth(), v.rows - s), values + layout.value_panel(s, i));
}

/// What a task of attention works in.
template <class MicroKernel>
struct attention_scratch {
    typename MicroKernel::element* packed;
    float *scores, *result;
};

/// out = attention of queries `first` … of one head, at most a block of them, all (T, head_dim).
template <class Arch, class MicroKernel>
void attend(attention_layout<MicroKernel> const& layout, matrix_view<const float> q, std::size_t first,
            const typename MicroKernel::element* keys, const typename MicroKernel::element* values,
            matrix_view<float> out, attention_scratch<MicroKernel> scratch) noexcept {
    constexpr std::size_t tile_rows = MicroKernel::tile_positions, panel_rows = MicroKernel::panel_rows;
    const std::size_t end = std::min(q.rows, first + layout.block_rows), dims = q.cols;
    const matrix_view<float> scores(scratch.scores, layout.block_rows, layout.padded_keys());
    const matrix_view<float> result(scratch.result, tile_rows, layout.padded_dims());
    const auto rows_of = [&](std::size_t t) { return std::min(tile_rows, end - t); };
    const auto seen_by = [&](std::size_t t) { return std::min(t + tile_rows, end); }; // keys of the tile from t on
    const auto padded_rows_of = [&](std::size_t t) { return MicroKernel::padded_positions(rows_of(t)); };

    for (std::size_t i = 0; i < dims; i += layout.key_depth()) {
        const std::size_t depth = std::min(layout.key_depth(), dims - i);
        const auto packed = [&](std::size_t t) {
            return scratch.packed + (t - first) * MicroKernel::row_elements(depth);
        };
        for (std::size_t t = first; t < end; t += tile_rows)
            MicroKernel::pack_positions(q.middle_rows(t, rows_of(t)).middle_cols(i, depth), packed(t));
        for (std::size_t s = 0; s < end; s += panel_rows)
            for (std::size_t t = first; t < end; t += tile_rows) {
                if (s >= seen_by(t)) continue;
                const auto tile = scores.middle_rows(t - first, padded_rows_of(t)).middle_cols(s, panel_rows);
                MicroKernel::multiply(MicroKernel::packed_operand(packed(t), rows_of(t)), depth,
                                      keys + layout.key_panel(s, i), tile, i == 0 ? matrix_view<float>{} : tile);
            }
    }
    const float scale = 1.0f / std::sqrt(static_cast<float>(dims));
    for (std::size_t t = first; t < end; t += tile_rows) {
        const auto tile = scores.middle_rows(t - first, rows_of(t));
        std::array<float, tile_rows> sums{};
        const std::size_t padded = layout.pieces(seen_by(t), simd::lanes<Arch>) * simd::lanes<Arch>;
        for (std::size_t r = 0; r < tile.rows; ++r)
            sums[r] = exponentials<Arch>(tile.row(r).first(padded), t + r + 1, scale);
        for (std::size_t s = 0; s < seen_by(t); s += layout.value_depth()) {
            const auto block = tile.middle_cols(s, std::min(layout.value_depth(), seen_by(t) - s));
            MicroKernel::pack_positions(block, scratch.packed);
            for (std::size_t i = 0; i < dims; i += panel_rows) {
                const auto part = result.middle_rows(0, padded_rows_of(t))
                                      .middle_cols(i, MicroKernel::padded_rows(std::min(panel_rows, dims - i)));
                MicroKernel::multiply(MicroKernel::packed_operand(scratch.packed, block.rows), block.cols,
                                      values + layout.value_panel(s, i), part, s == 0 ? matrix_view<float>{} : part);
            }
        }
        for (std::size_t r = 0; r < tile.rows; ++r)
            for (std::size_t i = 0; i < dims; ++i) out(t + r, i) = result(r, i) / sums[r];
    }
}

template <class Arch, class MicroKernel>
void attention_by(matrix_view<const float> q, matrix_view<const float> k, matrix_view<const float> v,
                  std::size_t head_dim, matrix_view<float> out, workspace& scratch) {
    using element = typename MicroKernel::element;
    const attention_layout<MicroKernel> layout{q.rows, head_dim};
    const std::size_t heads = q.cols / head_dim, kv_heads = k.cols / head_dim, tasks = scratch.tasks();
    workspace::frame frame(scratch);
    const auto keys = frame.take<element>(kv_heads * layout.keys());
    const auto values = frame.take<element>(kv_heads * layout.values());
    const auto packed = frame.take<element>(tasks * layout.packed());
    const auto strips = frame.take<float>(tasks * layout.strip());
    const auto scores = frame.take<float>(tasks * layout.scores());
    const auto results = frame.take<float>(tasks * layout.result());

    parallel_pieces(kv_heads, tasks, 1, [&](std::size_t task, std::size_t begin, std::size_t end) {
        for (std::size_t h = begin; h < end; ++h)
            pack_head(layout, k.middle_cols(h * head_dim, head_dim), v.middle_cols(h * head_dim, head_dim),
                      &keys[h * layout.keys()], &values[h * layout.values()], &strips[task * layout.strip()]);
    });
    const std::size_t blocks = layout.pieces(q.rows, layout.block_rows);
    parallel_pieces(heads * blocks, tasks, 1, [&](std::size_t task, std::size_t begin, std::size_t end) {
        [[maybe_unused]] const typename MicroKernel::session session;
        for (std::size_t i = begin; i < end; ++i) {
            const std::size_t head = i / blocks, kv_head = head / (heads / kv_heads);
            attend<Arch>(layout, q.middle_cols(head * head_dim, head_dim), i % blocks * layout.block_rows,
                         &keys[kv_head * layout.keys()], &values[kv_head * layout.values()],
                         out.middle_cols(head * head_dim, head_dim),
                         attention_scratch<MicroKernel>{&packed[task * layout.packed()],
                                                        &scores[task * layout.scores()],
                                                        &results[task * layout.result()]});
        }
    });
}

} // namespace detail

/// Bytes of workspace that attention needs, in any arithmetic.
template <class Arch = simd::default_arch>
std::size_t attention_bytes(std::size_t positions, std::size_t kv_heads, std::size_t head_dim, unsigned tasks) {
    std::size_t bytes = 0;
    detail::for_each_micro_kernel<Arch>([&]<class MicroKernel>() {
        bytes = std::max(bytes, detail::attention_layout<MicroKernel>{positions, head_dim}.bytes(kv_heads, tasks));
    });
    return bytes;
}

/// out_t = Σ_{s ≤ t} softmax_s(q_t · k_s / √head_dim) · v_s, for each head; query head h reads key head
/// h / (heads / kv_heads). Both products are computed in the arithmetic of the workspace, the softmax in float32.
/// Shapes: q, out (T, heads · head_dim), k, v (T, kv_heads · head_dim).   The same bits for any number of tasks, and
/// for any T that holds the position, as long as all numbers are finite.   Agrees with reference::attention.
template <class Arch = simd::default_arch>
void attention(matrix_view<const float> q, matrix_view<const float> k, matrix_view<const float> v, std::size_t head_dim,
               matrix_view<float> out, workspace& scratch) {
    [[maybe_unused]] const std::size_t heads = q.cols / head_dim, kv_heads = k.cols / head_dim;
    BITLENS_ASSERT(kv_heads > 0 && heads % kv_heads == 0 && k.rows == q.rows && v.rows == q.rows);
    BITLENS_ASSERT(v.cols == k.cols && out.rows == q.rows && out.cols == q.cols);
    if (q.rows == 0) return;
    detail::with_micro_kernel<Arch>(scratch.products(), [&]<class MicroKernel>() {
        detail::attention_by<Arch, MicroKernel>(q, k, v, head_dim, out, scratch);
    });
}

} // namespace bitlens
