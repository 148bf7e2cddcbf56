#pragma once
/// patch: a probe that overwrites points of one run with what a record holds of another.

#include "bitlens/hooks/record.hpp"

#include <limits>
#include <string>

namespace bitlens {

/// Overwrites the points, at all positions, in layers first … end − 1, with the recorded ones. Points of the whole run
/// are overwritten whatever the layers. The record must outlive the patch.
/// Errors: shape_error when the record lacks the layer or has another shape; at construction when end < first.
template <class... Points>
class patch {
public:
    using points = hook::set<Points...>;

    template <class Record>
    explicit patch(Record const& source, std::size_t first = 0,
                   std::size_t end = std::numeric_limits<std::size_t>::max())
        : sources_(heard_by<Points>(source)...), first_(first), end_(end) {
        if (end < first)
            throw shape_error("patch: layers " + std::to_string(first) + " to below " + std::to_string(end) +
                              ", expected an end that is not before the first");
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
    template <class Point, class Record>
    static recorded<Point> const* heard_by(Record const& source) {
        static_assert(std::derived_from<Record, recorded<Point>>,
                      "bitlens: the record must listen to every point of the patch");
        if constexpr (std::derived_from<Record, recorded<Point>>)
            return &source;
        else
            return nullptr;
    }
    static std::string shape(matrix_view<const float> a) {
        return std::to_string(a.rows) + " × " + std::to_string(a.cols);
    }
    std::tuple<recorded<Points> const*...> sources_;
    std::size_t first_, end_;
};

} // namespace bitlens
