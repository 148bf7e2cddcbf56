#pragma once
/// patch: a probe that overwrites points of one run with what a record holds of another.

#include "bitlens/hooks/positions.hpp"
#include "bitlens/hooks/record.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <limits>
#include <string>
#include <tuple>

namespace bitlens {

/// Overwrites the points, in layers first … end − 1 and at the positions given, with the recorded ones. Points of the
/// whole run are overwritten whatever the layers. The record must outlive the patch, and is of the whole document
/// whatever the positions.   Errors: shape_error when the record lacks the layer or has another shape, and when the
/// document has none of the positions; at construction when end < first.
template <class... Points>
class patch {
public:
    using points = hook::set<Points...>;

    template <class Record>
    explicit patch(Record const& source, std::size_t first = 0,
                   std::size_t end = std::numeric_limits<std::size_t>::max(), position_range positions = every_position)
        : sources_(heard_by<Points>(source)...), first_(first), end_(end), positions_(positions) {
        if (end < first)
            throw shape_error("patch: layers " + std::to_string(first) + " to below " + std::to_string(end) +
                              ", expected an end that is not before the first");
    }

    template <hook::point Point>
    void on(Point, site at, matrix_view<float> a) {
        if (hook::per_layer<Point> && (at.layer < first_ || at.layer >= end_)) return;
        const auto source = std::get<recorded<Point> const*>(sources_)->layer(hook::per_layer<Point> ? at.layer : 0);
        const std::string who = "patch of " + std::string(hook::name<Point>) + " at layer " + std::to_string(at.layer);
        if (source.rows != a.rows || source.cols != a.cols)
            throw shape_error(who + ": the record has shape " + shape(source) + ", the run " + shape(a));
        const auto from = positions_.of(source, who);
        const auto to = positions_.of(a, who);
        copy_rows(from, to);
        replaced_ += to.rows * to.cols;
    }
    /// How many values it has overwritten so far, of all its points and in every run.
    std::size_t replaced() const noexcept { return replaced_; }

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
    position_range positions_;
    std::size_t replaced_ = 0;
};

} // namespace bitlens
