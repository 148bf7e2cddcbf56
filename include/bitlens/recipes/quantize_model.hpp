#pragma once
/// quantized_layers: the blocks of a model, quantized one layer at a time; check_shapes before that.

#include "bitlens/models/weights.hpp"
#include "bitlens/recipes/all_formats.hpp"
#include "bitlens/recipes/method.hpp"
#include "bitlens/recipes/overrides.hpp"
#include "bitlens/recipes/quantize_layers.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// quantize, whose errors name the place.
template <class W, class Method>
W quantize_at(std::size_t layer, projection p, Method const& m, matrix_view<const float> w) {
    const auto place = [&] {
        return "layer " + std::to_string(layer) + " " + std::string(name(p)) + ", " + m.text() + ": ";
    };
    try {
        return quantize<W>(m, w);
    } catch (format_error const& e) {
        throw format_error(place() + e.what());
    } catch (shape_error const& e) {
        throw shape_error(place() + e.what());
    }
}

} // namespace detail

/// What becomes of one matrix: what a rule says, else m.
template <class Method>
std::optional<Method> treatment_of(Method const& m, basic_override_rules<Method> const& rules, std::size_t layer,
                                   projection p) {
    auto const* const rule = rules.find(layer, p);
    return rule != nullptr ? *rule : std::optional(m);
}

/// Refuses, before a model is loaded, what quantized_layers would refuse for the shapes of its matrices: one row of
/// each is quantized.   Errors: as quantized_layers::layer.
template <class W = study_matrix, class Method>
void check_shapes(block_shape const& shape, std::size_t layers, Method const& quantizer,
                  basic_override_rules<Method> const& rules) {
    if (!quantizer.folder.empty()) return; // it is quantized already
    for (std::size_t k = 0; k < layers; ++k)
        for (std::size_t p = 0; p < projection_count; ++p) {
            const auto which = static_cast<projection>(p);
            const auto use = treatment_of(quantizer, rules, k, which);
            if (!use || use->needs_documents()) continue; // those are checked by their walk
            const matrix<float> row(1, shape_of(which, shape).cols);
            detail::quantize_at<W>(k, which, *use, row);
        }
}

/// A layer_source that quantizes every linear layer of another one's blocks by `quantizer`, or as `rules` say for one.
/// A layer is quantized when it is first asked for. Norms, biases and matrices that stay full are shared with the
/// source, not copied. W lists the formats of the methods.
template <class W = study_matrix, class Method = method>
class quantized_layers final : public layer_source<W> {
    static_assert(is_mixed_matrix<W>,
                  "bitlens: quantized_layers<W>: W is a mixed_matrix that lists the formats which methods "
                  "may ask for, such as study_matrix");

public:
    /// keep_resident: packed layers stay in memory; else each request loads and quantizes again.
    quantized_layers(std::shared_ptr<layer_source<W>> full, Method quantizer, basic_override_rules<Method> rules = {},
                     bool keep_resident = true)
        : full_(std::move(full)), quantizer_(std::move(quantizer)), rules_(std::move(rules)), keeps_(keep_resident) {}

    /// Errors: those of the source; format_error of the quantizer, naming layer, projection and method.
    block_weights<W> layer(std::size_t k) override {
        if (k >= kept_.size()) kept_.resize(k + 1);
        auto block = kept_[k];
        if (std::ranges::none_of(block.linear, [](auto const& w) { return w == nullptr; })) return block;
        const auto full = full_->layer(k);
        block.rest = full.rest;
        for (std::size_t p = 0; p < projection_count; ++p) {
            if (block.linear[p] != nullptr) continue;
            const auto which = static_cast<projection>(p);
            if (const auto use = treatment_of(quantizer_, rules_, k, which))
                block.linear[p] = detail::with_floats(*full.linear[p], [&](matrix_view<const float> floats) {
                    return std::make_shared<const W>(detail::quantize_at<W>(k, which, *use, floats));
                });
        }
        if (keeps_) kept_[k] = block;
        for (std::size_t p = 0; p < projection_count; ++p)
            if (block.linear[p] == nullptr) block.linear[p] = full.linear[p];
        return block;
    }

private:
    std::shared_ptr<layer_source<W>> full_;
    Method quantizer_;
    basic_override_rules<Method> rules_;
    bool keeps_;
    std::vector<block_weights<W>> kept_; // but for matrices that stay full: the source may not keep those
};

} // namespace bitlens
