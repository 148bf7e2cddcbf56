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

template <class>
inline constexpr bool never = false;
template <class W>
W weight_in(layer_source<W>&);

} // namespace detail

/// Layers 0 … layers − 1 of `full` with every linear layer quantized by `q`, in memory. Norms and biases are shared.
/// W is a mixed_matrix that lists the quantizer's format.   Errors: those of the source and the quantizer.
template <class Q, class W>
std::shared_ptr<layer_source<W>> quantize_layers(layer_source<W>& full, std::size_t layers, Q const& q) {
    static_assert(quantizer<Q>, "bitlens: quantize_layers takes a quantizer, such as rtn<uniform<3, 64>>{}: it has a "
                                "format, and q(matrix_view<const float>) gives a packed_matrix of it");
    if constexpr (quantizer<Q>) {
        constexpr bool lists_format = std::constructible_from<W, packed_matrix<typename Q::format>>;
        static_assert(lists_format,
                      "bitlens: the quantizer's format is not among those that the model's type of weight "
                      "lists; make it a mixed_matrix<..., format>");
        if constexpr (lists_format) {
            std::vector<block_weights<W>> blocks;
            for (std::size_t k = 0; k < layers; ++k) {
                blocks.push_back(full.layer(k));
                for (auto& linear : blocks.back().linear)
                    linear = detail::with_floats(
                        *linear, [&](matrix_view<const float> floats) { return std::make_shared<const W>(q(floats)); });
            }
            return std::make_shared<resident_layers<W>>(std::move(blocks));
        }
    }
}

/// A call with anything but a layer_source by reference.
template <class Source, class Q>
    requires(!requires(Source & source) { detail::weight_in(source); })
void quantize_layers(Source&&, std::size_t, Q const&) {
    static_assert(detail::never<Source>, "bitlens: quantize_layers(source, layers, quantizer): the source is a "
                                         "layer_source, as in *model.layers(), with the *");
}

} // namespace bitlens
