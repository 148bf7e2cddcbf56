#pragma once
/// What a quantizer is: one matrix in, one packed matrix out.

#include "bitlens/formats/packed_matrix.hpp"

#include <concepts>

namespace bitlens {

/// A method that needs nothing but the weights: an aggregate of its paper's knobs, called with w (out, in).
template <class Q>
concept quantizer = quant_format<typename Q::format> && requires(Q const& q, matrix_view<const float> w) {
    { q(w) } -> std::same_as<packed_matrix<typename Q::format>>;
};

/// A method that looks at activations too: called with w and what it asks to know of the layer's inputs. A walk over a
/// model must know which of the two it has, because only this one needs documents.
template <class Q>
concept calibrated_quantizer = quant_format<typename Q::format> &&
    requires(Q const& q, matrix_view<const float> w, typename Q::statistics const& inputs) {
    { q(w, inputs) } -> std::same_as<packed_matrix<typename Q::format>>;
};

} // namespace bitlens
