#pragma once
/// quantize_layers: the blocks of a model by one quantizer, whose format the model's type names.

#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/models/weights.hpp"
#include "bitlens/quantizers/quantizer.hpp"
#include "bitlens/quantizers/rows.hpp"

#include <concepts>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// f(view of w as floats): the numbers themselves where they are float, else a copy that lives as long as the call.
template <weight_format F, class Function>
decltype(auto) with_floats(packed_matrix<F> const& w, Function const& f) {
    if constexpr (std::same_as<F, dense<float>>) {
        return f(w.view());
    } else {
        matrix<float> copy(w.rows(), w.cols());
        for_each_row(copy.view(), [&](std::size_t r) {
            for (std::size_t c = 0; c < w.cols(); ++c) copy(r, c) = w.value(r, c);
        });
        return f(matrix_view<const float>(copy.view()));
    }
}

} // namespace detail

/// Layers 0 … layers − 1 of `full` with every linear layer quantized by `q`, in memory. Norms and biases are shared.
/// W is a mixed_matrix that lists the quantizer's format.   Errors: those of the source and the quantizer.
template <quantizer Q, class W>
std::shared_ptr<layer_source<W>>
quantize_layers(layer_source<W>& full, std::size_t layers,
                Q const& q) requires std::constructible_from<W, packed_matrix<typename Q::format>> {
    std::vector<block_weights<W>> blocks;
    for (std::size_t k = 0; k < layers; ++k) {
        blocks.push_back(full.layer(k));
        for (auto& linear : blocks.back().linear)
            linear = linear->visit([&](auto const& w) {
                return detail::with_floats(
                    w, [&](matrix_view<const float> floats) { return std::make_shared<const W>(q(floats)); });
            });
    }
    return std::make_shared<resident_layers<W>>(std::move(blocks));
}

} // namespace bitlens
