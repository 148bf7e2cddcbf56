#pragma once
/// variant: one model among those that a sweep runs side by side on the same examples.

#include "bitlens/core/error.hpp"
#include "bitlens/models/weights.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace bitlens {

/// Variants form a tree. Variant 0 is the root, the full-precision model; another one shares every block before
/// `fork_layer` with its parent, whose states it copies there, and goes on with weights of its own.
template <class W>
struct variant {
    std::string name;
    std::shared_ptr<layer_source<W>> weights;
    std::size_t parent = 0;     // index of an earlier variant
    std::size_t fork_layer = 0; // 0: on its own from the embedding on
};

/// Errors: option_error when there is no root, or a variant's parent does not come before it or starts after the fork.
template <class W>
void check_variants(std::span<const variant<W>> variants, std::size_t layers) {
    if (variants.empty()) throw option_error("sweep: at least one variant is expected, the full-precision model");
    if (variants[0].fork_layer != 0) throw option_error("sweep: variant 0 has no parent to fork from");
    for (std::size_t v = 1; v < variants.size(); ++v) {
        auto const& [name, weights, parent, fork] = variants[v];
        if (parent >= v || variants[parent].fork_layer > fork || fork >= layers)
            throw option_error("sweep: variant '" + name + "' forks from variant " + std::to_string(parent) +
                               " at layer " + std::to_string(fork) +
                               "; expected an earlier variant that runs at that layer, below " +
                               std::to_string(layers));
    }
}

} // namespace bitlens
