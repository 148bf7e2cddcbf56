#pragma once
/// point_exchange: what variants hand to each other in one layer of one example.

#include "bitlens/core/view.hpp"
#include "bitlens/hooks/probe.hpp"
#include "bitlens/sweep/variant_tree.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>

namespace bitlens::detail {

/// A probe in front of a measurement's: it patches what one run computes, and keeps what others will be patched with.
/// `kept` lies in the task, a matrix for each of layer_step::kept.
template <class Points>
struct point_exchange;
template <class... Points>
struct point_exchange<std::tuple<Points...>> {
    using points = hook::set<Points...>;
    layer_step const& step;
    layer_step::run const& run;
    std::span<const matrix_view<float>> kept;
    std::span<std::uint64_t> replaced; // by each patch of the tree

    template <hook::point Point>
    void on(Point, site, matrix_view<float> a) {
        for (auto const& p : run.patches) {
            if (p.point != hook::id_of<Point>) continue;
            const auto to = p.positions.of(a);
            copy_rows(p.positions.of(kept[p.kept]), to);
            replaced[p.number] += to.rows * to.cols;
        }
        for (const std::size_t i : run.keeps)
            if (step.kept[i].point == hook::id_of<Point>) copy_rows(a, kept[i]);
    }
};

} // namespace bitlens::detail
