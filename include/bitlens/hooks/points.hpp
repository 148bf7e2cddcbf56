#pragma once
/// The quantities of a model that a probe can read or overwrite, one empty type each.

#include <array>
#include <concepts>
#include <cstddef>
#include <optional>
#include <string_view>
#include <tuple>

namespace bitlens {

/// Where a model is while it speaks to a probe. Layers count from 0; points of the whole run carry the number of
/// layers.
struct site {
    std::size_t layer = 0;
};

namespace hook {

// The residual stream. (T, d)
struct resid_pre {};  ///< before the block
struct resid_mid {};  ///< after its attention: r of the paper (eq. 5)
struct resid_post {}; ///< after its MLP: z (eq. 6)

// Attention.
struct attn_in {};       ///< what q, k and v read: norm and γ applied (T, d)
struct attn_q {};        ///< W_q of it, bias added, before the rotary embedding (T, heads · head_dim)
struct attn_k {};        ///< W_k of it, likewise (T, kv_heads · head_dim)
struct attn_v {};        ///< W_v of it, bias added (T, kv_heads · head_dim)
struct attn_heads {};    ///< what W_o reads (T, heads · head_dim)
struct attn_proj_out {}; ///< what W_o gives (T, d)
struct attn_out {};      ///< what is added to the stream: the same, or its norm (T, d)

// The MLP. (T, d)
struct mlp_in {};       ///< h: norm and γ applied
struct mlp_gate_in {};  ///< what W_gate alone reads: overwriting it leaves W_up's input alone (paper §6.2)
struct mlp_down_out {}; ///< what W_down gives
struct mlp_out {};      ///< what is added to the stream: the same, or its norm; o of the paper

// Inside the MLP. (T, d_ff)
struct mlp_gate {}; ///< σ(W_gate h), σ the activation
struct mlp_up {};   ///< W_up h
struct mlp_act {};  ///< their product, which W_down reads

// Once per run, after the last block.
struct final_norm {}; ///< what the head reads, γ applied (T, d)
struct logits {};     ///< (T, vocabulary)

/// The points that fire once in every layer, in the order in which they fire.
using all = std::tuple<resid_pre, attn_in, attn_q, attn_k, attn_v, attn_heads, attn_proj_out, attn_out, resid_mid,
                       mlp_in, mlp_gate_in, mlp_gate, mlp_up, mlp_act, mlp_down_out, mlp_out, resid_post>;
/// The points that fire once per run.
using once = std::tuple<final_norm, logits>;

namespace detail {

template <class Point, class... Points>
constexpr std::size_t position(std::tuple<Points...> const*) {
    std::size_t found = sizeof...(Points), i = 0;
    ((found = std::same_as<Point, Points> ? i : found, ++i), ...);
    return found;
}
template <class Point, class Tuple>
inline constexpr std::size_t position_in = position<Point>(static_cast<Tuple const*>(nullptr));

inline constexpr std::array<std::string_view, 19> names{
    "resid_pre",    "attn_in",   "attn_q",     "attn_k",      "attn_v",   "attn_heads", "attn_proj_out",
    "attn_out",     "resid_mid", "mlp_in",     "mlp_gate_in", "mlp_gate", "mlp_up",     "mlp_act",
    "mlp_down_out", "mlp_out",   "resid_post", "final_norm",  "logits"};

} // namespace detail

/// One of the types above.
template <class P>
concept point =
    detail::position_in<P, all> < std::tuple_size_v<all> || detail::position_in<P, once> < std::tuple_size_v<once>;

namespace detail {

/// Does not compile for a type that is no point.
template <class P>
constexpr bool check_point() {
    static_assert(point<P>, "bitlens: only the points of bitlens::hook can be listened to; see hooks/points.hpp");
    return point<P>;
}

} // namespace detail

/// Whether the point fires in every layer, rather than once per run.
template <point P>
inline constexpr bool per_layer = detail::position_in<P, all> < std::tuple_size_v<all>;

/// The point's own name, as files and command lines write it.
template <point P>
inline constexpr std::string_view name =
    detail::names[per_layer<P> ? detail::position_in<P, all> : std::tuple_size_v<all> + detail::position_in<P, once>];

/// Which points a probe listens to.
template <class... Points>
struct set {
    static_assert((point<Points> && ...),
                  "bitlens: hook::set holds points of bitlens::hook only; see hooks/points.hpp");
    template <class P>
    static constexpr bool has = (std::same_as<P, Points> || ...);
};

} // namespace hook

/// A point that fires in every layer, as a value: what a program chooses when it runs.
class point_id {
public:
    template <hook::point P>
    constexpr explicit point_id(P) noexcept : index_(hook::detail::position_in<P, hook::all>) {
        static_assert(hook::per_layer<P>, "bitlens: final_norm and logits fire once per run, not in every layer");
    }
    /// Its place in hook::all.
    constexpr std::size_t index() const noexcept { return index_; }
    bool operator==(point_id const&) const = default;

private:
    std::size_t index_;
};
constexpr std::string_view name(point_id id) noexcept { return hook::detail::names[id.index()]; }

namespace hook {

template <point P>
inline constexpr point_id id_of{P{}};

/// The point that fires in every layer under this name.
constexpr std::optional<point_id> named(std::string_view text) noexcept {
    std::optional<point_id> found;
    const auto look_at = [&]<point P>(P p) {
        if (text == name<P>) found = point_id(p);
    };
    std::apply([&](auto... p) { (look_at(p), ...); }, all{});
    return found;
}

} // namespace hook
} // namespace bitlens
