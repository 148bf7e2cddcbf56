#pragma once
/// Probes that keep one number per layer, or one per dimension of it: of a run alone, or of a run against another that
/// went before it.

#include "bitlens/core/error.hpp"
#include "bitlens/hooks/positions.hpp"
#include "bitlens/hooks/probe.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/stats/norms.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

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

/// Share of ‖a_t‖² in its `largest` largest dimensions at every layer, mean over positions; see mean_top_share.
/// Errors: as residual_norms.
template <hook::point Point>
class top_share {
public:
    using points = hook::set<Point>;

    top_share(std::size_t layers, std::size_t largest, position_range positions = {})
        : per_layer(layers), largest_(largest), positions_(positions) {}
    void on(Point, site at, matrix_view<const float> a) {
        detail::of_layer<Point>(per_layer, at) = mean_top_share(positions_.of(a), largest_);
    }

    std::vector<double> per_layer;

private:
    std::size_t largest_;
    position_range positions_;
};

/// Mean |a_ti| over positions of every dimension i of one point, at every layer; see mean_magnitudes. Of each layer
/// (d), empty before it fired.   Errors: as residual_norms.
template <hook::point Point>
class dimension_magnitudes {
public:
    using points = hook::set<Point>;

    explicit dimension_magnitudes(std::size_t layers, position_range positions = {})
        : per_layer(layers), positions_(positions) {}
    void on(Point, site at, matrix_view<const float> a) {
        detail::of_layer<Point>(per_layer, at) = mean_magnitudes(positions_.of(a));
    }

    std::vector<std::vector<double>> per_layer;

private:
    position_range positions_;
};

/// Copies one point, and keeps the copy until the next layer's comes: for runs that go side by side, layer by layer, as
/// those of a sweep do.
template <hook::point Point>
class latest {
public:
    using points = hook::set<Point>;

    explicit latest(position_range positions = {}) : positions_(positions) {}
    void on(Point, site at, matrix_view<const float> a) {
        const auto rows = positions_.of(a);
        if (copy_.rows() != rows.rows || copy_.cols() != rows.cols) copy_ = matrix<float>(rows.rows, rows.cols);
        copy_rows(rows, copy_.view());
        norms_ = row_norms(copy_.view());
        layer_ = at.layer;
    }
    /// The copy, of the positions that count.   Errors: shape_error when it is not that of the layer.
    matrix_view<const float> of_layer(std::size_t layer) const {
        if (layer_ != layer)
            throw shape_error("measure: " + std::string(hook::name<Point>) + " of layer " + std::to_string(layer) +
                              " has nothing to be compared with; the run that comes first must be there");
        return copy_.view();
    }
    /// The lengths of its rows.
    std::span<const double> norms() const noexcept { return norms_; }
    position_range positions() const noexcept { return positions_; }

    /// Bytes of a copy.
    static constexpr std::size_t bytes(std::size_t tokens, std::size_t width) noexcept {
        return tokens * (width * sizeof(float) + sizeof(double));
    }

private:
    position_range positions_;
    matrix<float> copy_;
    std::vector<double> norms_;
    std::optional<std::size_t> layer_;
};

/// How far a run is from the one before it at one point, at every layer: mean squared difference, and mean relative
/// difference (see mean_squared_difference, mean_relative_difference). `before` must outlive this probe.
/// Errors: as residual_norms, and shape_error where `before` holds nothing of that layer.
template <hook::point Point>
class difference {
public:
    using points = hook::set<Point>;

    difference(std::size_t layers, latest<Point> const& before) : squared(layers), relative(layers), before_(&before) {}
    void on(Point, site at, matrix_view<const float> a) {
        const auto rows = before_->positions().of(a), reference = before_->of_layer(at.layer);
        const auto [square, share] = mean_difference_of(rows, reference, before_->norms());
        detail::of_layer<Point>(squared, at) = square;
        detail::of_layer<Point>(relative, at) = share;
    }

    std::vector<double> squared, relative;

private:
    latest<Point> const* before_;
};

} // namespace bitlens
