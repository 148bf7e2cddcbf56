#pragma once
/// quantize_layers: the blocks of a model by one quantizer, whose format the model's type names.

#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/kernels/decode.hpp"
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

/// The numbers of w where they are stored as floats, else an empty view.
template <weight_matrix W>
matrix_view<const float> stored_floats(W const& w) noexcept {
    if constexpr (is_mixed_matrix<W>)
        return w.visit([](auto const& m) { return stored_floats(m); });
    else if constexpr (std::same_as<W, packed_matrix<dense<float>>>)
        return w.view();
    else
        return {};
}

/// f(view of w as floats): the numbers themselves where they are float, else a copy that lives as long as the call.
template <weight_matrix W, class Function>
decltype(auto) with_floats(W const& w, Function const& f) {
    if (const auto stored = stored_floats(w); stored.data != nullptr) return f(stored);
    const std::size_t stride = (w.cols() + chunk_codes - 1) / chunk_codes * chunk_codes; // whole chunks are decoded
    matrix<float> copy(w.rows(), stride);
    const auto floats = copy.view().middle_cols(0, w.cols());
    const row_decoder decode = decoder_of(w);
    for_each_row(floats, [&](std::size_t r) { decode(r, 0, floats.middle_rows(r, 1)); });
    return f(matrix_view<const float>(floats));
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
            linear = detail::with_floats(
                *linear, [&](matrix_view<const float> floats) { return std::make_shared<const W>(q(floats)); });
    }
    return std::make_shared<resident_layers<W>>(std::move(blocks));
}

} // namespace bitlens
