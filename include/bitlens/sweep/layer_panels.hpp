#pragma once
/// layer_panels: one layer of every variant, laid out for the products of many examples.

#include "bitlens/core/parallel.hpp"
#include "bitlens/kernels/weight_panels.hpp"
#include "bitlens/layers/block.hpp"

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace bitlens {

/// Each layer's weights are decoded once for all examples of a block, into memory that the layers take in turn.
class layer_panels {
public:
    layer_panels(block_shape const& shape, std::size_t variants, arithmetic products)
        : memory_(variants), layers_(variants) {
        for (std::size_t v = 0; v < variants; ++v)
            for (std::size_t p = 0; p < projection_count; ++p) {
                const auto [rows, cols] = shape_of(static_cast<projection>(p), shape);
                layers_[v].linear[p] = memory_[v][p] = std::make_shared<weight_panels<>>(rows, cols, products);
            }
    }

    /// Bytes that the panels of one variant take.
    static std::size_t bytes(block_shape const& shape, arithmetic products) noexcept {
        std::size_t bytes = 0;
        for (std::size_t p = 0; p < projection_count; ++p) {
            const auto [rows, cols] = shape_of(static_cast<projection>(p), shape);
            bytes += weight_panels<>::bytes(rows, cols, products);
        }
        return bytes;
    }

    /// Takes over the weights of variant v from weights[v], where there are any.
    template <class W>
    void pack(std::span<const block_weights<W>> weights) {
        for (std::size_t v = 0; v < weights.size(); ++v) layers_[v].rest = weights[v].rest;
        parallel_for(weights.size() * projection_count, [&](std::size_t i) {
            auto const& from = weights[i / projection_count].linear[i % projection_count];
            if (from) memory_[i / projection_count][i % projection_count]->pack(*from);
        });
    }

    block_weights<weight_panels<>> const& operator[](std::size_t v) const noexcept { return layers_[v]; }

private:
    std::vector<std::array<std::shared_ptr<weight_panels<>>, projection_count>> memory_;
    std::vector<block_weights<weight_panels<>>> layers_; // the same panels, as layers take them
};

} // namespace bitlens
