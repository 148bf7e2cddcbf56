#pragma once
/// measure_documents: the sweep of every study, whatever becomes of what it measures.

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/models/transformer.hpp"
#include "bitlens/sweep/sweep.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace bitlens {

/// What `done(first, measurements)` is called with: those of rows first, first + 1, …, of every variant.
using measured_block = std::function<void(std::size_t, std::span<document_measurement>)>;

/// Runs every variant on every row of ids (N, tokens). variants[0] is the full model.
/// first_position: whether norms, kurtosis and MSE include position 0.   Errors: those of sweep.
template <class Architecture, class W, class Variants>
void measure_documents(transformer<Architecture, W> const& model, Variants const& variants,
                       matrix_view<const std::int32_t> ids, bool first_position, sweep_cut cut,
                       measured_block const& done) {
    model_config const& config = model.config();
    const auto list = variants_of<W>(variants);
    const auto make = [&](std::size_t) {
        return document_measurement(list.size(), config.layers, ids.cols, config.block.width, first_position);
    };
    sweep(model, list, ids, cut, make, done);
}

} // namespace bitlens
