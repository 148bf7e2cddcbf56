#pragma once
/// patch: a probe that overwrites points of one run with what a record holds of another.

#include "bitlens/hooks/record.hpp"

#include <limits>
#include <string>

namespace bitlens {

/// Overwrites the points, at all positions, in layers first … end − 1, with the recorded ones. Points of the whole run
/// are overwritten whatever the layers. The record must outlive the patch.
/// Errors: shape_error when the record lacks the layer or has another shape.
template <hook::point... Points>
class patch {
public:
    using points = hook::set<Points...>;

    template <class Record>
    explicit patch(Record const& source, std::size_t first = 0,
                   std::size_t end = std::numeric_limits<std::size_t>::max())
        : sources_(&static_cast<recorded<Points> const&>(source)...), first_(first), end_(end) {
        static_assert((std::derived_from<Record, recorded<Points>> && ...),
                      "bitlens: the record must listen to every point of the patch");
    }

    template <hook::point Point>
    void on(Point, site at, matrix_view<float> a) const {
        if (hook::per_layer<Point> && (at.layer < first_ || at.layer >= end_)) return;
        const auto source = std::get<recorded<Point> const*>(sources_)->layer(hook::per_layer<Point> ? at.layer : 0);
        if (source.rows != a.rows || source.cols != a.cols)
            throw shape_error("patch of " + std::string(hook::name<Point>) + " at layer " + std::to_string(at.layer) +
                              ": the record has shape " + shape(source) + ", the run " + shape(a));
        for (std::size_t t = 0; t < a.rows; ++t) std::ranges::copy(source.row(t), a.row(t).begin());
    }

private:
    static std::string shape(matrix_view<const float> a) {
        return std::to_string(a.rows) + " × " + std::to_string(a.cols);
    }
    std::tuple<recorded<Points> const*...> sources_;
    std::size_t first_, end_;
};

} // namespace bitlens
