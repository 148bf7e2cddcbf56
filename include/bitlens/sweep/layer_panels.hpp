#pragma once
/// layer_panels: one layer of every variant, laid out for the products of many examples.

#include "bitlens/core/parallel.hpp"
#include "bitlens/kernels/weight_panels.hpp"
#include "bitlens/layers/block.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace bitlens {

/// Each layer's weights are decoded once for all examples of a block, and once for all variants that share them, into
/// memory that the layers take in turn. Without `lays_out` there is no such memory, and each product decodes what it
/// needs; results are the same.
class layer_panels {
public:
    /// Distinct matrices of each projection, in the layer that has most.
    using matrix_counts = std::array<std::size_t, projection_count>;

    layer_panels(block_shape const& shape, matrix_counts const& matrices, arithmetic products, bool lays_out = true)
        : products_(products), lays_out_(lays_out) {
        if (!lays_out) return;
        for (std::size_t p = 0; p < projection_count; ++p) {
            const auto [rows, cols] = shape_of(static_cast<projection>(p), shape);
            for (std::size_t i = 0; i < matrices[p]; ++i)
                memory_[p].push_back(std::make_shared<weight_panels<>>(rows, cols, products));
        }
    }

    /// Bytes that the panels take.
    static std::size_t bytes(block_shape const& shape, matrix_counts const& matrices, arithmetic products) noexcept {
        std::size_t bytes = 0;
        for (std::size_t p = 0; p < projection_count; ++p) {
            const auto [rows, cols] = shape_of(static_cast<projection>(p), shape);
            bytes += matrices[p] * weight_panels<>::bytes(rows, cols, products);
        }
        return bytes;
    }

    /// Takes over the weights of block i from weights[i]. Matrices that are one object are laid out once; there are no
    /// more distinct ones than there is memory for. Those that are not laid out must be there as long as they are used.
    template <class W>
    void pack(std::span<const block_weights<W>> weights) {
        layers_.assign(weights.size(), {});
        for (std::size_t i = 0; i < weights.size(); ++i) layers_[i].rest = weights[i].rest;
        if (lays_out_)
            lay_out(weights);
        else
            for (std::size_t i = 0; i < weights.size(); ++i)
                for (std::size_t p = 0; p < projection_count; ++p)
                    layers_[i].linear[p] = std::make_shared<weight_panels<>>(
                        weight_panels<>::made_at_use(*weights[i].linear[p], products_));
    }

    block_weights<weight_panels<>> const& operator[](std::size_t i) const noexcept { return layers_[i]; }

private:
    template <class W>
    void lay_out(std::span<const block_weights<W>> weights) {
        struct layout {
            W const* from;
            weight_panels<>* to;
        };
        std::vector<layout> layouts;
        for (std::size_t p = 0; p < projection_count; ++p) {
            std::vector<W const*> distinct;
            for (std::size_t i = 0; i < weights.size(); ++i) {
                W const* const from = weights[i].linear[p].get();
                const auto place = static_cast<std::size_t>(std::ranges::find(distinct, from) - distinct.begin());
                BITLENS_ASSERT(place < memory_[p].size());
                if (place == distinct.size()) {
                    distinct.push_back(from);
                    layouts.push_back({from, memory_[p][place].get()});
                }
                layers_[i].linear[p] = memory_[p][place];
            }
        }
        parallel_for(layouts.size(), [&](std::size_t i) { layouts[i].to->pack(*layouts[i].from); });
    }

    arithmetic products_;
    bool lays_out_;
    std::array<std::vector<std::shared_ptr<weight_panels<>>>, projection_count> memory_;
    std::vector<block_weights<weight_panels<>>> layers_; // the same panels, as layers take them
};

} // namespace bitlens
