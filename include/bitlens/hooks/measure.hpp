#pragma once
/// Probes that keep one number per layer.

#include "bitlens/core/error.hpp"
#include "bitlens/hooks/probe.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/stats/norms.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace bitlens {

/// Which positions of a document a mean runs over: from `first` to the end. The paper leaves out position 0, which
/// carries the massive activation of the attention sink; `every_position` takes it in.
struct position_range {
    std::size_t first = 1;

    /// Errors: shape_error when no position is left.
    matrix_view<const float> of(matrix_view<const float> a) const {
        if (a.rows <= first)
            throw shape_error("measure: " + std::to_string(a.rows) + " positions leave none from position " +
                              std::to_string(first) + " on");
        return a.middle_rows(first, a.rows - first);
    }
};
inline constexpr position_range every_position{0};

namespace detail {

/// The number of the layer at hand.   Errors: shape_error where there is no room for it.
template <hook::point Point, class T>
T& of_layer(std::vector<T>& per_layer, site at) {
    static_assert(hook::per_layer<Point>, "bitlens: final_norm and logits fire once per run, not in every layer");
    if (at.layer >= per_layer.size())
        throw shape_error("measure: " + std::string(hook::name<Point>) + " of layer " + std::to_string(at.layer) +
                          ", room for " + std::to_string(per_layer.size()) + " layers");
    return per_layer[at.layer];
}

} // namespace detail

/// norm(x; a) of one point at every layer: the mean length of its rows (arXiv 2506.12044, eq. 7).   Errors: shape_error
/// for more layers than there is room for.
template <class Point>
class residual_norms {
    static_assert(hook::detail::check_point<Point>());

public:
    using points = hook::set<Point>;

    explicit residual_norms(std::size_t layers, position_range positions = {})
        : per_layer(layers), positions_(positions) {}
    void on(Point, site at, matrix_view<const float> a) {
        detail::of_layer<Point>(per_layer, at) = mean_row_norm(positions_.of(a));
    }

    std::vector<double> per_layer;

private:
    position_range positions_;
};

/// Kurtosis of one point at every layer, per token (not excess); nullopt as in kurtosis_per_token.
/// Errors: as residual_norms.
template <class Point>
class token_kurtosis {
    static_assert(hook::detail::check_point<Point>());

public:
    using points = hook::set<Point>;

    explicit token_kurtosis(std::size_t layers, position_range positions = {})
        : per_layer(layers), positions_(positions) {}
    void on(Point, site at, matrix_view<const float> a) {
        detail::of_layer<Point>(per_layer, at) = kurtosis_per_token(positions_.of(a));
    }

    std::vector<std::optional<double>> per_layer;

private:
    position_range positions_;
};

} // namespace bitlens
