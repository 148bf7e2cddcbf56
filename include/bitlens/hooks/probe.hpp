#pragma once
/// Probes: what listens to the points of a run, and how a layer speaks to it.

#include "bitlens/core/view.hpp"
#include "bitlens/hooks/points.hpp"

#include <concepts>
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

namespace detail {

/// Whether P has an `on` whose first parameter is this point by name. `{Point{}}` becomes that type, or one that is
/// made from it, but no template's parameter is deduced from it: an `on(auto, …)`, or one for every hook::point, is not
/// meant, nor looked into.
template <class P, class Point>
concept names_point = requires(P& p, site at, matrix_view<float> a) {
    p.on({Point{}}, at, a);
};
struct no_point {};

/// Whether P names a point that its set lacks. What takes anything, a std::any say, names none.
template <class P, class Point>
inline constexpr bool forgets = names_point<P, Point> && !names_point<P, no_point> && !P::points::template has<Point>;

/// Anything: what is no probe is told so in a sentence (points_of), not by a constraint. That this one looks for
/// `points` where a call stands keeps g++ from warning that a local type's are not used.
template <class P>
concept meant_as_probe = probe<P> || !probe<P>;

/// The one door to the set of a probe, which tells its mistakes.
template <class P>
struct points_of {
    static_assert(probe<P>,
                  "bitlens: a probe has `using points = bitlens::hook::set<...>` and an on() for each of them");
    static constexpr bool is_sound = false;
    template <class Point>
    static constexpr bool has = false;
};
template <probe P>
struct points_of<P> {
    static constexpr bool is_set = requires {
        { P::points::template has<hook::resid_pre> } -> std::convertible_to<bool>;
    };
    static_assert(is_set, "bitlens: `points` of a probe is a bitlens::hook::set<...>");

    template <class Point>
    static constexpr bool is_heard() {
        static_assert(!forgets<P, Point>,
                      "bitlens: this probe has an on() for a point that is not in its `points`, and it "
                      "would never be called; add the point to its hook::set<...>");
        return true;
    }
    template <class... Points>
    static constexpr bool are_heard(std::tuple<Points...> const*) {
        if constexpr (is_set) return (is_heard<Points>() && ...);
        return false;
    }
    static constexpr bool is_sound =
        are_heard(static_cast<hook::all const*>(nullptr)) && are_heard(static_cast<hook::once const*>(nullptr));

    template <class Point>
    static constexpr bool has_point() {
        if constexpr (is_sound) return P::points::template has<Point>;
        return false;
    }
    template <class Point>
    static constexpr bool has = has_point<Point>();
};

} // namespace detail

/// Whether a probe's set has the point. A probe with a named `on` for a point that its set lacks does not compile.
template <class P, class Point>
inline constexpr bool listens = detail::points_of<std::remove_cvref_t<P>>::template has<Point>;

/// Whether P listens to any of the points.
template <class P, class... Points>
inline constexpr bool listens_to_any = (listens<P, Points> || ...);

/// Listens to nothing: a run with it is a run without hooks.
struct no_probe {
    using points = hook::set<>;
};

/// The only way a layer speaks to a probe. `tensor` is a matrix, or a view of one; it is not even looked at where the
/// probe does not listen, so that nothing is left of the call.
template <class Point, detail::meant_as_probe P, class Tensor = matrix_view<float>>
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
template <detail::meant_as_probe... Probes>
class chain {
public:
    static_assert((detail::points_of<std::remove_cvref_t<Probes>>::is_sound && ...), "bitlens: a chain is of probes");

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
