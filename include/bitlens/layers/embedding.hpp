#pragma once
/// embedding: token ids → rows of the embedding matrix.

#include "bitlens/core/error.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/formats/mixed_matrix.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace bitlens {

/// Errors: shape_error for an id outside 0 … vocabulary − 1, with its position.
inline void check_token_ids(std::span<const std::int32_t> ids, std::size_t vocabulary) {
    for (std::size_t t = 0; t < ids.size(); ++t)
        if (ids[t] < 0 || static_cast<std::size_t>(ids[t]) >= vocabulary)
            throw shape_error("token id " + std::to_string(ids[t]) + " at position " + std::to_string(t) +
                              " is outside the vocabulary of " + std::to_string(vocabulary));
}

/// x_t = E[ids_t].   Shapes: ids (T), E (vocabulary, d), x (T, d).   Ids have been checked: see check_token_ids.
template <weight_matrix W>
void embed(W const& embedding, std::span<const std::int32_t> ids, matrix_view<float> x) noexcept {
    BITLENS_ASSERT(x.rows == ids.size() && x.cols == embedding.cols());
    if constexpr (is_mixed_matrix<W>) {
        embedding.visit([&](auto const& m) { embed(m, ids, x); });
    } else {
        for (std::size_t t = 0; t < ids.size(); ++t)
            for (std::size_t i = 0; i < x.cols; ++i) x(t, i) = embedding.value(static_cast<std::size_t>(ids[t]), i);
    }
}

} // namespace bitlens
