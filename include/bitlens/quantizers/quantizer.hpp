#pragma once
/// What a quantizer is: one matrix in, one packed matrix out.

#include "bitlens/formats/packed_matrix.hpp"

#include <concepts>

namespace bitlens {

/// A method that needs nothing but the weights: an aggregate of its paper's knobs, called with w (out, in).
/// A method that looks at activations too gets a concept of its own beside this one, called with (w, statistics):
/// a walk over a model must know which of the two it has, because only the second one needs documents.
template <class Q>
concept quantizer = quant_format<typename Q::format> && requires(Q const& q, matrix_view<const float> w) {
    { q(w) } -> std::same_as<packed_matrix<typename Q::format>>;
};

} // namespace bitlens
