#pragma once
/// record: a probe that copies what it hears, for reading afterwards or for patching another run.

#include "bitlens/core/error.hpp"
#include "bitlens/hooks/probe.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace bitlens {

/// The copies of one point, by layer. Points of the whole run have a single entry.
template <class Point>
class recorded {
    static_assert(hook::detail::check_point<Point>());

public:
    /// The tensor as it was at that layer.   Errors: shape_error when nothing was recorded there.
    matrix_view<const float> layer(std::size_t k) const {
        if (k >= layers_.size() || !layers_[k])
            throw shape_error("record of " + std::string(hook::name<Point>) + ": nothing was recorded at layer " +
                              std::to_string(k));
        return layers_[k]->view();
    }

protected:
    void keep(std::size_t k, matrix_view<const float> a) {
        if (k >= layers_.size()) layers_.resize(k + 1);
        copy_rows(a, layers_[k].emplace(a.rows, a.cols).view());
    }

private:
    std::vector<std::optional<matrix<float>>> layers_;
};

/// Copies the given points at every layer; a second run replaces what the first one left.
template <class... Points>
class record : public recorded<Points>... {
public:
    using points = hook::set<Points...>;

    template <hook::point Point>
    void on(Point, site at, matrix_view<float> a) {
        static_assert(points::template has<Point>, "bitlens: this record does not listen to that point");
        recorded<Point>::keep(slot<Point>(at.layer), a);
    }
    /// The copy of a per-layer point.   Errors: shape_error when nothing was recorded there.
    template <hook::point Point>
    matrix_view<const float> get(std::size_t layer) const {
        static_assert(points::template has<Point>, "bitlens: this record does not listen to that point");
        static_assert(hook::per_layer<Point>, "bitlens: final_norm and logits fire once per run and take no layer");
        return recorded<Point>::layer(layer);
    }
    /// The copy of a point that fires once per run.   Errors: shape_error when it did not.
    template <hook::point Point>
    matrix_view<const float> get() const {
        static_assert(points::template has<Point>, "bitlens: this record does not listen to that point");
        static_assert(!hook::per_layer<Point>, "bitlens: this point fires in every layer: name one");
        return recorded<Point>::layer(0);
    }

private:
    template <class Point>
    static constexpr std::size_t slot(std::size_t layer) noexcept {
        return hook::per_layer<Point> ? layer : 0;
    }
};

} // namespace bitlens
