#pragma once
/// stored_layers: the blocks of a quantized model, from the folder that keeps it and the full model beside it.

#include "bitlens/core/error.hpp"
#include "bitlens/layers/block_form.hpp"
#include "bitlens/models/model_config.hpp"
#include "bitlens/models/weights.hpp"
#include "bitlens/recipes/awq_fold.hpp"
#include "bitlens/recipes/quantized_folder.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// A quantized block beside the full one: norms and biases are the full model's, and so are matrices that stay full,
/// all of them in the scales of the quantized ones. A matrix that is the full model's as it is is left out. Errors:
/// shape_error for scales that this form of block does not take.
template <class W>
block_weights<W> over_full(quantized_block<W> quantized, block_weights<W> const& full, block_form form,
                           block_shape const& shape) {
    block_weights<W> block{std::move(quantized.linear), full.rest};
    if (std::ranges::all_of(quantized.fold, [](auto const& s) { return s.empty(); })) return block;
    const block_folder fold(form, shape, quantized.fold);
    block.rest = std::make_shared<const norms_and_biases>(fold(*full.rest));
    for (std::size_t p = 0; p < projection_count; ++p) {
        if (block.linear[p] != nullptr) continue;
        auto w = fold(full.linear[p], static_cast<projection>(p));
        if (w != full.linear[p]) block.linear[p] = std::move(w);
    }
    return block;
}

namespace detail {

/// The full model's matrices where a block has none.
template <class W>
block_weights<W> completed(block_weights<W> block, layer_source<W>& full, std::size_t k) {
    if (std::ranges::none_of(block.linear, [](auto const& w) { return w == nullptr; })) return block;
    const auto others = full.layer(k);
    for (std::size_t p = 0; p < projection_count; ++p)
        if (block.linear[p] == nullptr) block.linear[p] = others.linear[p];
    return block;
}

} // namespace detail

/// A layer_source over a finished folder. Norms, biases and matrices that stay full are those of the full model, folded
/// where the folder's are. A layer is read when it is first asked for. W lists the formats, and
/// dense<float> for what is folded and stays full.
template <class W>
class stored_layers final : public layer_source<W> {
    static_assert(is_mixed_matrix<W>, "bitlens: stored_layers<W>: W is a mixed_matrix that lists the folder's formats, "
                                      "such as study_matrix");

public:
    /// form: of the model's blocks. keep_resident: what is read stays in memory; else each request reads again.
    /// Errors: shape_error for a model of another number of layers; format_error for a folder that is not finished.
    stored_layers(quantized_folder folder, std::shared_ptr<layer_source<W>> full, model_config const& config,
                  block_form form, bool keep_resident = true)
        : folder_(std::move(folder)), full_(std::move(full)), shape_(config.block), form_(form), keeps_(keep_resident),
          kept_(folder_.manifest().layers) {
        if (folder_.manifest().layers != config.layers)
            throw shape_error(folder_.path().string() + ": holds " + std::to_string(folder_.manifest().layers) +
                              " layers, the model has " + std::to_string(config.layers));
        if (const auto missing = folder_.first_missing_layer())
            throw format_error(folder_.path().string() + ": layer " + std::to_string(*missing) + " of " +
                               std::to_string(config.layers) +
                               " is missing; the folder is not finished, quantizing into it goes on there");
    }

    /// Errors: those of the source and of read_quantized_layer; of folded, naming the file.
    block_weights<W> layer(std::size_t k) override {
        const bool is_kept = k < kept_.size() && kept_[k];
        auto block = is_kept ? *kept_[k] : read(k);
        if (keeps_ && !is_kept) kept_[k] = block;
        return detail::completed(std::move(block), *full_, k);
    }

private:
    /// Without matrices that are the full model's as they are: its source may not keep those.
    block_weights<W> read(std::size_t k) {
        auto quantized = read_quantized_layer<W>(folder_, k, shape_);
        try {
            return over_full(std::move(quantized), full_->layer(k), form_, shape_);
        } catch (shape_error const& e) { // scales that this form of block does not take
            throw format_error(folder_.layer_path(k).string() + ": " + e.what());
        }
    }

    quantized_folder folder_;
    std::shared_ptr<layer_source<W>> full_;
    block_shape shape_;
    block_form form_;
    bool keeps_;
    std::vector<std::optional<block_weights<W>>> kept_;
};

/// The scales that channels have in a folder's blocks; nothing where they are the full model's.
/// Errors: those of read_quantized_layer.
template <class W>
std::optional<awq_fold> fold_of(quantized_folder const& folder, block_shape const& shape) {
    return fold_of(folder.manifest().layers,
                   [&](std::size_t k) { return read_quantized_layer<W>(folder, k, shape).fold; });
}

} // namespace bitlens
