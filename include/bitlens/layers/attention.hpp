#pragma once
/// Causal attention with grouped heads, for a whole document at once.

#include "bitlens/core/parallel.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/simd/rows.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>

namespace bitlens {

namespace detail {

/// Both products of attention (queries with keys, probabilities with values) run on tiles of `tile_rows` queries by
/// `panel` columns, whose sums stay in registers. Keys and values are first copied into panels padded with zeros, so
/// that no loop has a short end.
template <class Arch>
struct attention_tile {
    using vec = simd::batch<float, Arch>;
    static constexpr std::size_t rows = 6, panel = 2 * vec::size;
    static constexpr std::size_t block_rows = 4 * rows; // queries that read a panel while it is in the nearest cache

    static constexpr std::size_t padded(std::size_t n) noexcept { return (n + panel - 1) / panel * panel; }

    /// c_ij = Σ_k a_i[k] · b[k · panel + j], k < n in order.
    static void product(std::array<float const*, rows> const& a, float const* b, std::size_t n,
                        std::array<float*, rows> const& c) noexcept {
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            std::array<vec, rows> left{((void)I, vec(0.0f))...};
            std::array<vec, rows> right = left;
            for (std::size_t k = 0; k < n; ++k) {
                const auto b_left = vec::load_unaligned(b + k * panel),
                           b_right = vec::load_unaligned(b + k * panel + vec::size);
                ((left[I] = simd::fma(vec(a[I][k]), b_left, left[I]),
                  right[I] = simd::fma(vec(a[I][k]), b_right, right[I])),
                 ...);
            }
            ((left[I].store_unaligned(c[I]), right[I].store_unaligned(c[I] + vec::size)), ...);
        }
        (std::make_index_sequence<rows>{});
    }
};

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

} // namespace detail

/// Bytes of workspace that attention needs.
template <class Arch = simd::default_arch>
std::size_t attention_bytes(std::size_t positions, std::size_t kv_heads, std::size_t head_dim, unsigned tasks) {
    using tile = detail::attention_tile<Arch>;
    return workspace::bytes_for<float>(kv_heads * tile::padded(positions) * head_dim) +
           workspace::bytes_for<float>(kv_heads * positions * tile::padded(head_dim)) +
           workspace::bytes_for<float>(tasks * tile::block_rows * tile::padded(positions));
}

/// out_t = Σ_{s ≤ t} softmax_s(q_t · k_s / √head_dim) · v_s, for each head; query head h reads key head
/// h / (heads / kv_heads).
/// Shapes: q, out (T, heads · head_dim), k, v (T, kv_heads · head_dim).   The same bits for any number of tasks, and
/// for any T that holds the position, as long as all numbers are finite.   Agrees with reference::attention.
template <class Arch = simd::default_arch>
void attention(matrix_view<const float> q, matrix_view<const float> k, matrix_view<const float> v, std::size_t head_dim,
               matrix_view<float> out, workspace& scratch) {
    using tile = detail::attention_tile<Arch>;
    const std::size_t positions = q.rows, heads = q.cols / head_dim, kv_heads = k.cols / head_dim;
    BITLENS_ASSERT(kv_heads > 0 && heads % kv_heads == 0 && k.rows == positions && v.rows == positions);
    BITLENS_ASSERT(v.cols == k.cols && out.rows == positions && out.cols == q.cols);
    const std::size_t padded_keys = tile::padded(positions), padded_dims = tile::padded(head_dim);
    const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));

    workspace::frame frame(scratch);
    const auto key_panels = frame.take<float>(kv_heads * padded_keys * head_dim);    // head, panel, dim, key of panel
    const auto value_panels = frame.take<float>(kv_heads * positions * padded_dims); // head, panel, key, dim of panel
    const auto scores = frame.take<float>(scratch.tasks() * tile::block_rows * padded_keys);

    parallel_pieces(kv_heads, scratch.tasks(), 1, [&](std::size_t, std::size_t first, std::size_t end) {
        for (std::size_t h = first; h < end; ++h) {
            float* keys = &key_panels[h * padded_keys * head_dim];
            for (std::size_t panel = 0; panel < padded_keys; panel += tile::panel)
                for (std::size_t i = 0; i < head_dim; ++i)
                    for (std::size_t s = panel; s < panel + tile::panel; ++s)
                        *keys++ = s < positions ? k(s, h * head_dim + i) : 0.0f;
            float* values = &value_panels[h * positions * padded_dims];
            for (std::size_t panel = 0; panel < padded_dims; panel += tile::panel)
                for (std::size_t s = 0; s < positions; ++s)
                    for (std::size_t i = panel; i < panel + tile::panel; ++i)
                        *values++ = i < head_dim ? v(s, h * head_dim + i) : 0.0f;
        }
    });

    const auto attend = [&](std::size_t task, std::size_t head, std::size_t first) {
        const std::size_t end = std::min(positions, first + tile::block_rows);
        const std::size_t kv_head = head / (heads / kv_heads);
        float const* const keys = &key_panels[kv_head * padded_keys * head_dim];
        float const* const values = &value_panels[kv_head * positions * padded_dims];
        const auto score_row = [&](std::size_t t) {
            return &scores[(task * tile::block_rows + t - first) * padded_keys];
        };
        // Rows of a tile; past the end of the document the last one again, which repeats its own result.
        const auto tile_rows = [&]<class Row>(std::size_t t, Row const& row) {
            std::array<decltype(row(t)), tile::rows> all;
            for (std::size_t i = 0; i < tile::rows; ++i) all[i] = row(std::min(t + i, end - 1));
            return all;
        };
        const auto keys_of = [&](std::size_t t) { return std::min(t + tile::rows, end); }; // seen by the tile from t on

        for (std::size_t panel = 0; panel < end; panel += tile::panel)
            for (std::size_t t = first; t < end; t += tile::rows) {
                if (panel >= keys_of(t)) continue;
                tile::product(tile_rows(t, [&](std::size_t r) -> float const* { return &q(r, head * head_dim); }),
                              keys + panel * head_dim, head_dim,
                              tile_rows(t, [&](std::size_t r) { return score_row(r) + panel; }));
            }
        for (std::size_t t = first; t < end; t += tile::rows) {
            std::array<float, tile::rows> sums{};
            for (std::size_t r = t; r < keys_of(t); ++r)
                sums[r - t] = detail::exponentials<Arch>({score_row(r), tile::padded(keys_of(t))}, r + 1, scale);
            for (std::size_t panel = 0; panel < padded_dims; panel += tile::panel) {
                std::array<float, tile::rows * tile::panel> result;
                std::array<float*, tile::rows> result_rows;
                for (std::size_t i = 0; i < tile::rows; ++i) result_rows[i] = &result[i * tile::panel];
                tile::product(tile_rows(t, [&](std::size_t r) -> float const* { return score_row(r); }),
                              values + panel * positions, keys_of(t), result_rows);
                const std::size_t dims = std::min(tile::panel, head_dim - panel);
                for (std::size_t r = t; r < keys_of(t); ++r)
                    for (std::size_t i = 0; i < dims; ++i)
                        out(r, head * head_dim + panel + i) = result[(r - t) * tile::panel + i] / sums[r - t];
            }
        }
    };
    const std::size_t blocks = (positions + tile::block_rows - 1) / tile::block_rows;
    parallel_pieces(heads * blocks, scratch.tasks(), 1, [&](std::size_t task, std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) attend(task, i / blocks, i % blocks * tile::block_rows);
    });
}

} // namespace bitlens
