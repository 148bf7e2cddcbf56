#pragma once
/// walk_target: where the layers go that a walk over a model has quantized: into memory, or a folder.

#include "bitlens/core/error.hpp"
#include "bitlens/models/model_config.hpp"
#include "bitlens/models/weights.hpp"
#include "bitlens/recipes/awq_fold.hpp"
#include "bitlens/recipes/module_log.hpp"
#include "bitlens/recipes/quantized_block.hpp"
#include "bitlens/recipes/quantized_folder.hpp"
#include "bitlens/recipes/stored_layers.hpp"

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// A walk goes on after what is there.
template <class W>
struct walk_target {
    virtual ~walk_target() = default;
    virtual bool has_layer(std::size_t k) const = 0;
    /// One that is there.
    virtual quantized_block<W> finished(std::size_t k) const = 0;
    virtual void finish_layer(std::size_t k, quantized_block<W> block, std::vector<module_record> records) = 0;
};

/// Files: see quantized_folder, and modules.csv beside them.   Errors of its functions: those of the folder and the
/// log.
template <class W>
class folder_target final : public walk_target<W> {
public:
    /// `out` must outlive it.
    folder_target(quantized_folder_writer const& out, block_shape const& shape)
        : out_(out), shape_(shape), log_(out.path(), out.manifest().method) {}

    bool has_layer(std::size_t k) const override { return out_.has_layer(k); }
    quantized_block<W> finished(std::size_t k) const override { return read_quantized_layer<W>(out_, k, shape_); }
    void finish_layer(std::size_t k, quantized_block<W> block, std::vector<module_record> records) override {
        log_.set(k, std::move(records));
        write_quantized_layer(out_, k, block);
    }

private:
    quantized_folder_writer const& out_;
    block_shape shape_;
    module_log log_;
};

/// Memory: what has been quantized is a layer_source at once, with norms, biases and matrices that stay full from the
/// full model.
template <class W>
class walked_layers final : public walk_target<W>, public layer_source<W> {
public:
    walked_layers(std::shared_ptr<layer_source<W>> full, block_shape const& shape, block_form form)
        : full_(std::move(full)), shape_(shape), form_(form) {}

    bool has_layer(std::size_t k) const override { return layers_.contains(k); }
    quantized_block<W> finished(std::size_t k) const override { return layers_.at(k); }
    void finish_layer(std::size_t k, quantized_block<W> block, std::vector<module_record> records) override {
        layers_[k] = std::move(block);
        for (auto& record : records) records_.push_back(std::move(record));
    }
    std::vector<module_record> const& records() const noexcept { return records_; }

    /// The scales that channels have in these blocks; nothing where they are the full model's.
    std::optional<awq_fold> fold() const {
        return fold_of(layers_.size(), [&](std::size_t k) { return layers_.at(k).fold; });
    }

    /// Errors: shape_error for a layer that no walk has come to; those of the source.
    block_weights<W> layer(std::size_t k) override {
        if (!has_layer(k)) throw shape_error("layer " + std::to_string(k) + " is not quantized yet");
        return detail::completed(over_full(layers_.at(k), full_->layer(k), form_, shape_), *full_, k);
    }

private:
    std::shared_ptr<layer_source<W>> full_;
    block_shape shape_;
    block_form form_;
    std::map<std::size_t, quantized_block<W>> layers_;
    std::vector<module_record> records_;
};

} // namespace bitlens
