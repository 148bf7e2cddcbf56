#pragma once
/// variant: one model among those that a sweep runs side by side on the same examples, told by what it changes.

#include "bitlens/hooks/points.hpp"
#include "bitlens/hooks/positions.hpp"
#include "bitlens/layers/linear.hpp"
#include "bitlens/models/weights.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// Layers first … end − 1, or to the last where the model has fewer.
struct layer_range {
    std::size_t first = 0, end = std::numeric_limits<std::size_t>::max();

    bool operator==(layer_range const&) const = default;
    constexpr bool has(std::size_t layer) const noexcept { return first <= layer && layer < end; }
};

/// Other weights in some layers; norms and biases are taken over with the whole block.
template <class W>
struct weights_change {
    std::shared_ptr<layer_source<W>> source;
    layer_range layers{};
    projection_set projections = every_projection;
};

/// A point overwritten with what another variant has just computed there, at the same layer of the same example.
struct point_patch {
    point_id point;
    std::string source; // the other variant's name
    layer_range layers{};
    position_range positions = every_position;
};

/// Where a model ends early: after the attention of a layer (r), or after its block (z).
enum class exit_state : std::uint8_t { r, z };
/// Whose root mean square the last norm divides by there: the state's own, or that of the parent's last state.
enum class exit_scale : std::uint8_t { fresh, frozen };

inline constexpr std::array exit_states{exit_state::r, exit_state::z};
inline constexpr std::array exit_scales{exit_scale::fresh, exit_scale::frozen};

constexpr std::string_view name(exit_state state) noexcept { return state == exit_state::r ? "r" : "z"; }

struct early_exit {
    std::size_t layer = 0; // the last that runs
    exit_state state = exit_state::z;
    exit_scale scale = exit_scale::fresh;
};

/// Variants form a tree. The first is the root, the full model. Another one is what its parent is but for its changes,
/// whose layers are taken from its parent where they are not its own: everything before the first of them is shared.
///
///     {"full", full}, {"rtn3", quantized}                                       two models
///     variant<W>::fork("late", "rtn3").with_weights(full, {25, 30})             the last five layers restored
///     variant<W>::fork("gate", "rtn3").with_weights(full, {}, only(projection::gate))
///     variant<W>::fork("patch", "rtn3").patched(hook::id_of<hook::mlp_out>, "full", {15, 30})
///     variant<W>::fork("exit", "rtn3").ending({20, exit_state::r})
template <class W>
struct variant {
    std::string name;
    std::string parent{};                     // the name of an earlier variant; empty: the root
    std::vector<weights_change<W>> weights{}; // of those that overlap, the last holds
    std::vector<point_patch> patches{};       // beside the parent's; of those that overlap, the last holds
    std::optional<early_exit> exit{};
    std::shared_ptr<const model_ends<W>> ends{}; // its own embedding, final norm and head; none: its parent's

    variant() = default;
    /// With weights of its own in every layer. Does not compile for a source of another type of weight.
    template <class Source>
    variant(std::string its_name, Source source) : name(std::move(its_name)) {
        static_assert(source_of<Source, W>, "bitlens: variant<W>{name, source}: the source is a std::shared_ptr to a "
                                            "layer_source<W>, of the same type of weight as the model");
        if constexpr (source_of<Source, W>) weights.push_back({std::move(source)});
    }

    /// What its parent is, to begin with.
    static variant fork(std::string its_name, std::string its_parent = {}) {
        variant v;
        v.name = std::move(its_name);
        v.parent = std::move(its_parent);
        return v;
    }
    template <class Source>
    variant with_weights(Source source, layer_range layers = {}, projection_set projections = every_projection) && {
        static_assert(source_of<Source, W>,
                      "bitlens: with_weights takes a std::shared_ptr to a layer_source<W>, of the "
                      "same type of weight as the model");
        if constexpr (source_of<Source, W>) weights.push_back({std::move(source), layers, projections});
        return std::move(*this);
    }
    variant patched(point_id point, std::string source, layer_range layers = {},
                    position_range positions = every_position) && {
        patches.push_back({point, std::move(source), layers, positions});
        return std::move(*this);
    }
    /// With ends of its own, which have the shapes of the model's.
    variant with_ends(model_ends<W> own) && {
        ends = std::make_shared<const model_ends<W>>(std::move(own));
        return std::move(*this);
    }
    variant ending(early_exit where) && {
        exit = where;
        return std::move(*this);
    }
};

/// Any list of variants of a model whose weights are W. Does not compile for variants of another type of weight.
template <class W, class Variants>
std::span<const variant<W>> variants_of(Variants const& variants) {
    constexpr bool fits = std::convertible_to<Variants const&, std::span<const variant<W>>>;
    static_assert(fits,
                  "bitlens: the variants are a list of variant<W>, such as a std::vector, where W is the model's type "
                  "of weight");
    if constexpr (fits)
        return variants;
    else
        return {};
}

} // namespace bitlens
