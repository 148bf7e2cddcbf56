#pragma once
/// variant: one model among those that a sweep runs side by side on the same examples.

#include "bitlens/core/error.hpp"
#include "bitlens/models/weights.hpp"

#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace bitlens {

/// Variants form a tree. Variant 0 is the root, the full-precision model; another one shares every block before
/// `fork_layer` with its parent, whose states it copies there, and goes on with weights of its own.
template <class W>
struct variant {
    std::string name;
    std::shared_ptr<layer_source<W>> weights;
    std::size_t parent = 0;     // index of an earlier variant
    std::size_t fork_layer = 0; // 0: on its own from the embedding on

    variant() = default;
    /// Does not compile for a source of another type of weight.
    template <class Source>
    variant(std::string its_name, Source source, std::size_t its_parent = 0, std::size_t its_fork_layer = 0)
        : name(std::move(its_name)), parent(its_parent), fork_layer(its_fork_layer) {
        static_assert(source_of<Source, W>, "bitlens: variant<W>{name, source}: the source is a std::shared_ptr to a "
                                            "layer_source<W>, of the same type of weight as the model");
        if constexpr (source_of<Source, W>) weights = std::move(source);
    }
};

/// Any list of variants of a model whose weights are W. Does not compile for variants of another type of weight.
template <class W, class Variants>
std::span<const variant<W>> variants_of(Variants const& variants) {
    constexpr bool fits = std::convertible_to<Variants const&, std::span<const variant<W>>>;
    static_assert(fits,
                  "bitlens: the variants are a list of variant<W>, such as a std::vector, where W is the model's type "
                  "of weight");
    if constexpr (fits)
        return variants;
    else
        return {};
}

/// Errors: option_error when there is no root, a variant has no weights, or its parent does not come before it or
/// starts after the fork.
template <class W>
void check_variants(std::span<const variant<W>> variants, std::size_t layers) {
    if (variants.empty()) throw option_error("sweep: at least one variant is expected, the full-precision model");
    if (variants[0].fork_layer != 0) throw option_error("sweep: variant 0 has no parent to fork from");
    for (auto const& v : variants)
        if (v.weights == nullptr)
            throw option_error("sweep: variant '" + v.name + "' has no weights; a layer_source is expected");
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
