#pragma once
/// Probes: what listens to the points of a run, and how a layer speaks to it.

#include "bitlens/core/view.hpp"
#include "bitlens/hooks/points.hpp"

#include <tuple>
#include <type_traits>
#include <utility>

namespace bitlens {

/// A probe declares the points it listens to, `using points = hook::set<…>`, and has one `on` for each:
/// `void on(Point, site, matrix_view<float>)`, which may read or overwrite the tensor. A probe belongs to one run.
template <class P>
concept probe = requires {
    typename std::remove_cvref_t<P>::points;
};

template <class P, class Point>
inline constexpr bool listens = std::remove_cvref_t<P>::points::template has<Point>;

/// Whether P listens to any of the points.
template <class P, class... Points>
inline constexpr bool listens_to_any = (listens<P, Points> || ...);

/// Listens to nothing: a run with it is a run without hooks.
struct no_probe {
    using points = hook::set<>;
};

/// The only way a layer speaks to a probe. `tensor` is a matrix, or a view of one; it is not even looked at where the
/// probe does not listen, so that nothing is left of the call.
template <class Point, probe P, class Tensor = matrix_view<float>>
constexpr void emit([[maybe_unused]] P& p, [[maybe_unused]] site at, [[maybe_unused]] Tensor&& tensor) {
    static_assert(hook::point<Point>, "bitlens: only points of bitlens::hook can be emitted; see hooks/points.hpp");
    if constexpr (listens<P, Point>) {
        const matrix_view<float> a = tensor;
        constexpr bool has_on = requires { p.on(Point{}, at, a); };
        static_assert(has_on, "bitlens: a probe needs a public on(Point, bitlens::site, bitlens::matrix_view<float>) "
                              "for every point in its set, a const one where the probe is const");
        if constexpr (has_on) p.on(Point{}, at, a);
    }
}

/// Several probes as one: at each point they speak in the order given, so that a later one sees what an earlier one
/// wrote. Named probes are referred to and must outlive the chain, temporaries are kept.
template <probe... Probes>
class chain {
public:
    struct points {
        template <class Point>
        static constexpr bool has = (listens<Probes, Point> || ...);
    };

    /// The types come from the guide below alone, so that a named probe is never copied.
    explicit chain(std::type_identity_t<Probes>... probes) : probes_(std::forward<Probes>(probes)...) {}

    template <hook::point Point>
    void on(Point, site at, matrix_view<float> a) {
        std::apply([&](auto&... each) { (emit<Point>(each, at, a), ...); }, probes_);
    }

private:
    std::tuple<Probes...> probes_;
};
template <class... Probes>
chain(Probes&&...) -> chain<Probes...>;

} // namespace bitlens
