#pragma once
/// Where the blocks of a model come from, one layer at a time.

#include "bitlens/core/error.hpp"
#include "bitlens/layers/block.hpp"

#include <concepts>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// What a model has beside its blocks.
template <class W>
struct model_ends {
    std::shared_ptr<const W> embedding;
    std::shared_ptr<const std::vector<float>> final_norm;
    std::shared_ptr<const W> head; // may be the embedding
};

/// Gives the weights of layer k; may keep them or load them anew. It can be asked for the same layer again, by one
/// thread at a time.
template <class W>
struct layer_source {
    virtual ~layer_source() = default;
    virtual block_weights<W> layer(std::size_t k) = 0;
};

/// A std::shared_ptr to a layer_source<W>, or to what derives from one.
template <class Source, class W>
concept source_of = std::convertible_to<Source, std::shared_ptr<layer_source<W>>>;

/// Layers that lie in memory.
template <class W>
class resident_layers final : public layer_source<W> {
public:
    explicit resident_layers(std::vector<block_weights<W>> layers) : layers_(std::move(layers)) {}
    /// Errors: shape_error for a layer that is not there.
    block_weights<W> layer(std::size_t k) override {
        if (k >= layers_.size())
            throw shape_error("layer " + std::to_string(k) + " is asked of " + std::to_string(layers_.size()) +
                              " layers; a model needs as many as it has blocks");
        return layers_[k];
    }

private:
    std::vector<block_weights<W>> layers_;
};

} // namespace bitlens
