#pragma once
/// awq_fold: AWQ's scales as a value, and a model into which they are folded: the same function of its tokens, with
/// larger and smaller channels between its parts.
///
/// s multiplies the columns of the linear layers that read an input; what gives the input takes 1/s: γ of a norm, or
/// the rows and the bias of a linear layer. Of all activations the scaled inputs and what that linear layer gives alone
/// differ from the model's own.

#include "bitlens/core/error.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/layers/block_form.hpp"
#include "bitlens/models/weights.hpp"
#include "bitlens/recipes/quantize_layers.hpp"

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

/// s of each input of one block, in the order of input_groups(form); empty where it is not scaled.
using block_scales = std::array<std::vector<float>, 4>;

/// Per layer.
struct awq_fold {
    std::vector<block_scales> scales;
};

/// The scales of so many blocks, of(k) each; nothing where no channel of any has one.
template <class Of>
std::optional<awq_fold> fold_of(std::size_t layers, Of const& of) {
    awq_fold fold;
    bool has_scales = false;
    for (std::size_t k = 0; k < layers; ++k) {
        fold.scales.push_back(of(k));
        for (auto const& s : fold.scales.back()) has_scales |= !s.empty();
    }
    return has_scales ? std::optional(std::move(fold)) : std::nullopt;
}

namespace detail {

inline std::vector<projection> listed(projection_set const& set) {
    std::vector<projection> list;
    for (std::size_t p = 0; p < projection_count; ++p)
        if (set[p]) list.push_back(static_cast<projection>(p));
    return list;
}

} // namespace detail

/// "q_proj, k_proj, v_proj".
inline std::string names_of(projection_set const& set, const char* between = ", ") {
    std::string text;
    for (const projection p : detail::listed(set)) text += (text.empty() ? "" : between) + std::string(name(p));
    return text;
}

/// Why an input of such blocks is not scaled, or nothing: it is.
inline std::optional<std::string> why_not_scaled(block_form form, block_shape const& shape, std::size_t group) {
    const input_group input = input_groups(form)[group];
    if (input.norm) return std::nullopt;
    if (!input.linear) return names_of(input.readers) + ": they read the residual stream, with no norm that takes 1/s";
    if (*input.linear != projection::v || shape_of(projection::v, shape) == shape_of(projection::o, shape))
        return std::nullopt;
    const auto text = [&](projection p) {
        const auto [rows, cols] = shape_of(p, shape);
        return std::string(name(p)) + " is " + detail::rows_by_cols(rows, cols);
    };
    return text(projection::o) + ", " + text(projection::v) + ": v_proj takes 1/s only where both are alike";
}

/// The reasons for all inputs that are not scaled.
inline std::vector<std::string> inputs_not_scaled(block_form form, block_shape const& shape) {
    std::vector<std::string> reasons;
    for (std::size_t g = 0; g < input_groups(form).size(); ++g)
        if (auto reason = why_not_scaled(form, shape, g)) reasons.push_back(std::move(*reason));
    return reasons;
}

/// Errors: shape_error for scales that do not fit the input, or an input that takes none; format_error for one that is
/// not a number above 0.
inline void check_scales(block_scales const& scales, block_form form, block_shape const& shape) {
    for (std::size_t g = 0; g < scales.size(); ++g) {
        if (scales[g].empty()) continue;
        const input_group input = input_groups(form)[g];
        const auto who = [&] { return "the scales of the input of " + names_of(input.readers); };
        if (const auto reason = why_not_scaled(form, shape, g))
            throw shape_error("awq_fold: " + who() + ", expected none: " + *reason);
        for (const projection p : detail::listed(input.readers))
            detail::check_size("awq_fold", who().c_str(), scales[g].size(), shape_of(p, shape).cols);
        for (std::size_t c = 0; c < scales[g].size(); ++c)
            if (const float s = scales[g][c]; !std::isfinite(s) || s <= 0)
                throw format_error("awq_fold: " + who() + ": channel " + std::to_string(c) + " has " +
                                   std::to_string(s) + ", a number above 0 is expected");
    }
}

namespace detail {

/// What a weight is multiplied with by column and divided by by row; empty: nothing.
struct weight_fold {
    std::span<const float> columns, rows;

    bool is_empty() const noexcept { return columns.empty() && rows.empty(); }
};
inline weight_fold fold_of(projection p, block_form form, block_scales const& scales) {
    weight_fold fold;
    for (std::size_t g = 0; g < scales.size(); ++g) {
        const input_group input = input_groups(form)[g];
        if (has(input.readers, p)) fold.columns = scales[g];
        if (input.linear == p) fold.rows = scales[g];
    }
    return fold;
}

/// w ← w · columns / rows, in float32.
inline void fold_weight(matrix_view<float> w, weight_fold const& fold) {
    for_each_row(w, [&](std::size_t r) {
        float* const row = w.row(r).data();
        for (std::size_t c = 0; c < fold.columns.size(); ++c) row[c] *= fold.columns[c];
        if (fold.rows.empty()) return;
        for (std::size_t c = 0; c < w.cols; ++c) row[c] /= fold.rows[r];
    });
}

inline void divide(std::vector<float>& numbers, std::span<const float> by) noexcept {
    for (std::size_t c = 0; c < numbers.size(); ++c) numbers[c] /= by[c];
}

} // namespace detail

/// The scales of one block, checked once, and the parts of the block, folded. Borrows the scales.
class block_folder {
public:
    /// Errors: as check_scales.
    block_folder(block_form form, block_shape const& shape, block_scales const& scales) : form_(form), scales_(scales) {
        check_scales(scales, form, shape);
    }

    norms_and_biases operator()(norms_and_biases const& rest) const {
        norms_and_biases result = rest;
        for (std::size_t g = 0; g < scales_.size(); ++g) {
            if (scales_[g].empty()) continue;
            const input_group input = input_groups(form_)[g];
            detail::divide(input.norm ? result.gamma(*input.norm) : result.bias(*input.linear), scales_[g]);
        }
        return result;
    }

    /// A weight: the same one where no scale meets it.
    template <weight_matrix W>
    std::shared_ptr<const W> operator()(std::shared_ptr<const W> const& w, projection p) const {
        static_assert(std::constructible_from<W, packed_matrix<dense<float>>>,
                      "bitlens: folded weights are dense<float>, which the type of weight must list");
        const detail::weight_fold fold = detail::fold_of(p, form_, scales_);
        if (fold.is_empty()) return w;
        auto numbers = std::make_shared<matrix<float>>(w->rows(), w->cols());
        detail::with_floats(*w, [&](matrix_view<const float> floats) { copy_rows(floats, numbers->view()); });
        detail::fold_weight(*numbers, fold);
        const matrix_view<const float> view = *numbers;
        return std::make_shared<const W>(packed_matrix<dense<float>>(std::move(numbers), view));
    }

private:
    block_form form_;
    block_scales const& scales_;
};

/// Bytes of the weights of a block that are folded: each is float32 then, and no longer the full model's.
inline std::uint64_t folded_bytes(block_form form, block_shape const& shape, block_scales const& scales) {
    std::uint64_t bytes = 0;
    for (std::size_t p = 0; p < projection_count; ++p) {
        const auto [rows, cols] = shape_of(static_cast<projection>(p), shape);
        if (!detail::fold_of(static_cast<projection>(p), form, scales).is_empty()) bytes += rows * cols * sizeof(float);
    }
    return bytes;
}

/// Whether scales of some input of such blocks meet this weight.
inline bool can_be_folded(projection p, block_form form, block_shape const& shape) {
    for (std::size_t g = 0; g < input_groups(form).size(); ++g) {
        const input_group input = input_groups(form)[g];
        if ((has(input.readers, p) || input.linear == p) && !why_not_scaled(form, shape, g)) return true;
    }
    return false;
}

/// A block, folded.   Errors: as check_scales.
template <weight_matrix W>
block_weights<W> folded(block_weights<W> const& block, block_form form, block_shape const& shape,
                        block_scales const& scales) {
    const block_folder fold(form, shape, scales);
    block_weights<W> result;
    result.rest = std::make_shared<const norms_and_biases>(fold(*block.rest));
    for (std::size_t p = 0; p < projection_count; ++p)
        result.linear[p] = fold(block.linear[p], static_cast<projection>(p));
    return result;
}

/// The blocks of another source, folded when they are asked for. Weights that no scale meets are shared with it.
template <weight_matrix W>
class folded_layers final : public layer_source<W> {
public:
    /// Errors: as check_scales.
    folded_layers(std::shared_ptr<layer_source<W>> full, block_form form, block_shape const& shape, awq_fold fold)
        : full_(std::move(full)), form_(form), shape_(shape), fold_(std::move(fold)) {
        for (auto const& scales : fold_.scales) check_scales(scales, form_, shape_);
    }

    /// Errors: shape_error for a layer that the fold does not have; those of the source.
    block_weights<W> layer(std::size_t k) override {
        if (k >= fold_.scales.size())
            throw shape_error("awq_fold: layer " + std::to_string(k) + " is asked of " +
                              std::to_string(fold_.scales.size()) + " layers; as many as the model has are expected");
        return folded(full_->layer(k), form_, shape_, fold_.scales[k]);
    }

private:
    std::shared_ptr<layer_source<W>> full_;
    block_form form_;
    block_shape shape_;
    awq_fold fold_;
};

} // namespace bitlens
