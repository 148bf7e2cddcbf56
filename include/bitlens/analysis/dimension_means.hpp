#pragma once
/// dimension_means: how much each dimension of a model's states is activated over many documents.

#include "bitlens/core/error.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/hooks/measure.hpp"
#include "bitlens/sweep/position_scores.hpp"
#include "bitlens/sweep/sweep.hpp"
#include "bitlens/sweep/variants.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

namespace detail {

/// A sweep's measurement of one document under the full model alone.
template <hook::point Point>
struct dimension_measurement {
    dimension_magnitudes<Point> magnitudes;
    score_measurement losses;

    template <class F>
    void with_probe(std::size_t, F const& f) {
        f(magnitudes);
    }
    std::span<const token_scores> scores() noexcept { return losses.scores(); }
};

} // namespace detail

/// Mean |a_i| of every dimension i of one point at every layer, over all documents and the positions that count. Every
/// document counts alike.   Shapes: ids of N ≥ 1 documents → (L, d).   Errors: those of sweep; shape_error for no
/// document.
template <hook::point Point, class Architecture, class W>
matrix<double> dimension_means(transformer<Architecture, W> const& model, token_rows const& ids, sweep_cut cut,
                               position_range positions = {}) {
    using measured_document = detail::dimension_measurement<Point>;
    if (ids.size() == 0) throw shape_error("dimension_means: at least one document is expected");
    const std::size_t layers = model.config().layers;
    matrix<double> means(layers, model.config().block.width);
    const std::vector<variant<W>> full{{"full", model.layers()}};
    sweep(
        model, full, ids, cut,
        [&](std::size_t n) {
            return measured_document{dimension_magnitudes<Point>(layers, positions),
                                     score_measurement(ids.scored(n).count())};
        },
        [&](std::size_t, std::span<measured_document> block) {
            for (auto const& document : block)
                for (std::size_t k = 0; k < layers; ++k)
                    for (std::size_t i = 0; i < means.cols(); ++i)
                        means(k, i) += document.magnitudes.per_layer[k][i] / static_cast<double>(ids.size());
        });
    return means;
}

} // namespace bitlens
