#pragma once
/// awq: weights of channels with large inputs are made larger before rounding, and ranges are cut where that helps.
///
/// Source: Lin et al. 2023, "AWQ"; llm-awq:awq/quantize/{auto_scale,auto_clip,quantizer}.py, in float32.

#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/workspace.hpp"
#include "bitlens/kernels/weight_panels.hpp"
#include "bitlens/quantizers/affine_grid.hpp"
#include "bitlens/quantizers/rows.hpp"
#include "bitlens/quantizers/rtn.hpp"
#include "bitlens/quantizers/uniform_rule.hpp"
#include "bitlens/simd/batch.hpp"
#include "bitlens/simd/rows.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <vector>

namespace bitlens {

/// Ratios that are tried: i/20.
inline constexpr std::size_t awq_ratio_count = 20;
inline float awq_ratio(std::size_t i) noexcept {
    return static_cast<float>(static_cast<double>(i) / static_cast<double>(awq_ratio_count));
}

/// s_c = a_c / √(max a · min a), a_c = max(x_c^ratio, 1e-4).   Shapes: x (in), the mean of |input| of every channel.
inline std::vector<float> awq_scales(std::span<const float> magnitudes, float ratio) {
    std::vector<float> s(magnitudes.size());
    float least = std::numeric_limits<float>::infinity(), largest = 0;
    for (std::size_t c = 0; c < s.size(); ++c) {
        s[c] = std::max(std::pow(magnitudes[c], ratio), 1e-4f);
        least = std::min(least, s[c]);
        largest = std::max(largest, s[c]);
    }
    const float middle = std::sqrt(largest * least);
    for (float& each : s) each /= middle;
    return s;
}

/// ŵ = Q(w · s) / s, Q rounding on the spanning grids (affine_grid.hpp) of the rule's groups.
/// Shapes: w, rounded (out, in), s (in).   Errors: shape_error; where a product or a range leaves float32, what comes
/// of it is not finite.
inline void round_scaled(matrix_view<const float> w, std::span<const float> s, uniform_rule const& rule,
                         matrix_view<float> rounded) {
    detail::check_size("round_scaled", "s", s.size(), w.cols);
    detail::check_shape("round_scaled", "rounded", rounded, w.rows, w.cols);
    const std::size_t width = rule.group_columns(w.cols);
    const float largest = rule.codes().largest;
    detail::for_each_row(w, [&](std::size_t r) {
        for (std::size_t first = 0; first < w.cols; first += width) {
            const std::size_t count = std::min(width, w.cols - first);
            const auto out = rounded.row(r).subspan(first, count);
            float const *const from = w.row(r).data() + first, *const scale = s.data() + first;
            for (std::size_t c = 0; c < count; ++c) out[c] = from[c] * scale[c];
            const auto [lo, hi] = detail::range_of(out);
            const affine_grid grid = spanning_grid(lo, hi, rule.codes());
            for (std::size_t c = 0; c < count; ++c) out[c] = grid.nearest(out[c], largest) / scale[c];
        }
    });
}

/// What is kept of a linear layer's inputs for the search of its clips: tokens 0, n, 2n … of all, n = ⌊tokens/512⌋ or
/// 1, so 512 to 1023 of them, or all where there are fewer.
class input_sample {
public:
    input_sample(std::size_t width, std::size_t tokens)
        : stride_(std::max<std::size_t>(1, tokens / 512)), inputs_((tokens + stride_ - 1) / stride_, width) {}

    /// x (T, in): the inputs of tokens first … first + T − 1 of all documents, one after the other. Documents may come
    /// in any order, and in parallel.
    void keep(std::size_t first, matrix_view<const float> x) {
        const std::size_t after = (first + x.rows + stride_ - 1) / stride_;
        detail::check_shape("input_sample", "x", x, x.rows, inputs_.cols());
        detail::check_range("input_sample", "tokens", first, x.rows, inputs_.rows() * stride_);
        for (std::size_t i = (first + stride_ - 1) / stride_; i < after; ++i)
            std::ranges::copy(x.row(i * stride_ - first), inputs_.row(i).data());
    }
    /// (tokens, in).
    matrix_view<const float> inputs() const noexcept { return inputs_; }
    /// The inputs of a layer whose columns were multiplied with s, or the same where s is empty.
    input_sample divided_by(std::span<const float> s) const {
        input_sample divided(stride_, inputs_.rows(), inputs_.cols());
        copy_rows(inputs_.view(), divided.inputs_.view());
        if (s.empty()) return divided;
        detail::check_size("input_sample", "s", s.size(), inputs_.cols());
        for (std::size_t i = 0; i < inputs_.rows(); ++i)
            for (std::size_t c = 0; c < s.size(); ++c) divided.inputs_(i, c) /= s[c];
        return divided;
    }

private:
    input_sample(std::size_t stride, std::size_t tokens, std::size_t width) : stride_(stride), inputs_(tokens, width) {}

    std::size_t stride_;
    matrix<float> inputs_;
};

namespace detail {

/// By how much outputs change with a group's weights: with δ the change of the weights, Σ_t (x_t · δ)² = δᵀ·G·δ, G =
/// Σ_t x_tᵀ·x_t, which takes as many products as the group has columns; or from the outputs themselves where there are
/// fewer tokens than columns.
class change_of_outputs {
public:
    /// inputs (tokens, columns of the group).
    explicit change_of_outputs(matrix_view<const float> inputs)
        : change_of_outputs(std::min(inputs.rows, inputs.cols), inputs.cols, inputs.cols <= inputs.rows) {
        if (!by_products_) {
            pack(inputs);
            return;
        }
        matrix<float> columns(inputs.cols, inputs.rows), products(inputs.cols, inputs.cols);
        for (std::size_t t = 0; t < inputs.rows; ++t)
            for (std::size_t c = 0; c < inputs.cols; ++c) columns(c, t) = inputs(t, c);
        workspace scratch(matmul_bytes(inputs.cols, inputs.rows, inputs.cols, 1));
        matmul(columns.view(), columns.view(), products.view(), scratch);
        pack(products.view());
    }

    /// By G itself.   Shapes: products (columns, columns).
    static change_of_outputs of_products(matrix_view<const float> products) {
        change_of_outputs change(products.cols, products.cols, true);
        change.pack(products);
        return change;
    }

    /// Of each row of `changes` (changes, columns).
    void squares(matrix_view<const float> changes, std::span<float> sums) const {
        matrix<float> y(changes.rows, width_);
        workspace scratch(matmul_bytes(width_, changes.cols, changes.rows, 1));
        matmul(panels_, changes, y.view(), scratch);
        for (std::size_t i = 0; i < changes.rows; ++i)
            sums[i] = dot(y.row(i), by_products_ ? changes.row(i) : y.row(i));
    }

private:
    change_of_outputs(std::size_t width, std::size_t cols, bool by_products)
        : by_products_(by_products), width_(width), panels_(width, cols, arithmetic::f32) {}

    void pack(matrix_view<const float> weights) { panels_.pack(packed_matrix<dense<float>>(nullptr, weights)); }
    static float dot(std::span<const float> a, std::span<const float> b) noexcept {
        using vec = simd::batch<float, simd::default_arch>;
        vec sums(0.0f);
        std::size_t i = 0;
        for (; i + vec::size <= a.size(); i += vec::size)
            sums = simd::fma(vec::load_unaligned(&a[i]), vec::load_unaligned(&b[i]), sums);
        float sum = simd::fold(sums, [](float x, float y) { return x + y; });
        for (; i < a.size(); ++i) sum += a[i] * b[i];
        return sum;
    }

    bool by_products_;
    std::size_t width_;
    weight_panels<> panels_;
};

/// Shrinks 0 … 9 of 20 of a group's range, and what rounding then changes of its weights, one row each.
/// Shapes: changes (10, columns).
inline constexpr std::size_t clip_count = 10;
inline float clip_at(float magnitude, std::size_t i) noexcept {
    return magnitude * static_cast<float>(1 - static_cast<double>(i) / 20);
}
inline void change_by_clips(std::span<const float> group, uniform_rule const& rule, matrix_view<float> changes) {
    const auto [lo, hi] = range_of(group);
    const float magnitude = largest_magnitude(group), largest = rule.codes().largest;
    for (std::size_t i = 0; i < clip_count; ++i) {
        const float m = clip_at(magnitude, i);
        const affine_grid grid = spanning_grid(std::clamp(lo, -m, m), std::clamp(hi, -m, m), rule.codes());
        float* const change = changes.row(i).data();
        for (std::size_t c = 0; c < group.size(); ++c)
            change[c] = grid.nearest(std::clamp(group[c], -m, m), largest) - group[c];
    }
}

} // namespace detail

/// Up to which magnitude the weights of each group are used: m = max|w| · (1 − i/20), i = 0 … 9, where
/// Σ_t (Σ_c x_tc · (Q(clip(w, −m, m)) − w)_c)² is least, the first of equals. AWQ as published has grids with a zero
/// only; on symmetric ones the same is done.
/// Shapes: w (out, in), inputs (tokens, in), at least one token; the result is (out, groups).   Errors: shape_error;
/// format_error for a weight that is not finite.
inline matrix<float> awq_clips(matrix_view<const float> w, uniform_rule const& rule, matrix_view<const float> inputs) {
    constexpr std::size_t rows_of_a_piece = 32;
    detail::check_shape("awq_clips", "inputs", inputs, inputs.rows, w.cols);
    if (inputs.rows == 0) throw shape_error("awq_clips: no inputs, at least one token is expected");
    for (std::size_t r = 0; r < w.rows; ++r) detail::check_finite("awq_clips", w.row(r), r, 0);
    const std::size_t width = rule.group_columns(w.cols), groups = rule.groups(w.cols);
    matrix<float> clips(w.rows, groups);
    std::vector<std::unique_ptr<const detail::change_of_outputs>> of_group(groups);
    const auto columns = [&](matrix_view<const float> m, std::size_t g) {
        return m.middle_cols(g * width, std::min(width, m.cols - g * width));
    };
    parallel_for(groups, [&](std::size_t g) {
        of_group[g] = std::make_unique<const detail::change_of_outputs>(columns(inputs, g));
    });
    parallel_for((w.rows + rows_of_a_piece - 1) / rows_of_a_piece, [&](std::size_t piece) {
        const std::size_t begin = piece * rows_of_a_piece, count = std::min(rows_of_a_piece, w.rows - begin);
        for (std::size_t g = 0; g < groups; ++g) {
            const auto weights = columns(w, g);
            matrix<float> changes(count * detail::clip_count, weights.cols);
            for (std::size_t r = 0; r < count; ++r)
                detail::change_by_clips(weights.row(begin + r), rule,
                                        changes.view().middle_rows(r * detail::clip_count, detail::clip_count));
            std::vector<float> errors(changes.rows());
            of_group[g]->squares(changes, errors);
            for (std::size_t r = 0; r < count; ++r) {
                float least = std::numeric_limits<float>::infinity();
                std::size_t best = 0;
                for (std::size_t i = 0; i < detail::clip_count; ++i)
                    if (const float error = errors[r * detail::clip_count + i]; error < least) {
                        least = error;
                        best = i;
                    }
                clips(begin + r, g) = detail::clip_at(detail::largest_magnitude(weights.row(begin + r)), best);
            }
        }
    });
    return clips;
}

/// w ← clip(w, −m, m) of each group.   Shapes: w (out, in), clips (out, groups).   Errors: shape_error.
inline void clip_groups(matrix_view<float> w, uniform_rule const& rule, matrix_view<const float> clips) {
    detail::check_shape("clip_groups", "clips", clips, w.rows, rule.groups(w.cols));
    detail::for_each_row(w, [&](std::size_t r) {
        for (std::size_t g = 0; g < clips.cols; ++g)
            for (float& x : rule.group_of(w.row(r), g)) x = std::clamp(x, -clips(r, g), clips(r, g));
    });
}

/// code = clip(rne(w/scale) + zero, 0, 2^b − 1) on the spanning grid of every group: AWQ's last step.
/// Errors: format_error for a weight that is not finite, or a group whose range leaves float32.
template <class F>
packed_matrix<F> round_spanning(matrix_view<const float> w) {
    using row_format = detail::row_format<F>;
    packed_matrix<F> packed(w.rows, w.cols);
    detail::round_to_grids<row_format>("awq", w, packed.arrays(),
                                       [](std::span<const float> group) { return spanning_grid<row_format>(group); });
    return packed;
}

/// Clips as the search finds them, then codes on the spanning grids. Scales of channels are found over a model
/// (recipes/awq_walk.hpp): what is quantized here is a scaled matrix and its inputs, divided by the scales.
template <class F>
struct awq {
    static_assert(is_uniform<F>, "bitlens: awq<F> rounds to a uniform<bits, group_size> format");
    using format = F;
    using statistics = input_sample;

    bool clip = true;

    /// Shapes: w (out, in), inputs of as many columns.
    /// Errors: as awq_clips; format_error for a weight that is not finite, or a group whose range leaves float32.
    packed_matrix<F> operator()(matrix_view<const float> w, input_sample const& inputs) const {
        if (!clip) return round_spanning<F>(w);
        matrix<float> clipped(w.rows, w.cols);
        copy_rows(w, clipped.view());
        clip_groups(clipped.view(), rule_of<F>, awq_clips(w, rule_of<F>, inputs.inputs()));
        return round_spanning<F>(clipped.view());
    }
};

} // namespace bitlens
