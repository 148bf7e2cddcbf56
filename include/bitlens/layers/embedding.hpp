#pragma once
/// embedding: token ids → rows of the embedding matrix.

#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/formats/mixed_matrix.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace bitlens {

/// x_t = scale · E[ids_t].   Shapes: ids (T), E (vocabulary, d), x (T, d).
/// Errors: shape_error where they do not fit, or for an id outside the vocabulary.
template <weight_matrix W>
void embed(W const& embedding, std::span<const std::int32_t> ids, matrix_view<float> x, float scale = 1) {
    if constexpr (is_mixed_matrix<W>) {
        embedding.visit([&](auto const& m) { embed(m, ids, x, scale); });
    } else {
        detail::check_shape("embed", "x", x, ids.size(), embedding.cols());
        check_token_ids(ids, embedding.rows());
        for (std::size_t t = 0; t < ids.size(); ++t)
            for (std::size_t i = 0; i < x.cols; ++i)
                x(t, i) = scale * embedding.value(static_cast<std::size_t>(ids[t]), i);
    }
}

} // namespace bitlens
