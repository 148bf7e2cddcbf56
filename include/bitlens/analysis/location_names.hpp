#pragma once
/// What the variants of "where errors arise" are called: who runs them and who reads their results say the same. Names
/// are made and looked up, never taken apart, so that a method may be called anything.

#include "bitlens/core/error.hpp"
#include "bitlens/hooks/points.hpp"
#include "bitlens/layers/linear.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/sweep/column.hpp"
#include "bitlens/sweep/variants.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

/// What is overwritten with the full model's, one in each variant: the paper's four, and the input of W_gate alone.
inline constexpr std::array patched_points{hook::name<hook::mlp_out>, hook::name<hook::mlp_gate>,
                                           hook::name<hook::mlp_up>, hook::name<hook::attn_out>,
                                           hook::name<hook::mlp_gate_in>};

/// The first of the late layers that are restored: the last ⌊0.18 · L⌋, the paper's 7 of 40, and at least one.
constexpr std::size_t first_late_layer(std::size_t layers) noexcept {
    const std::size_t late = layers * 18 / 100;
    return layers - (late > 0 || layers == 0 ? late : 1);
}

/// Names of variants. `model`: a method's name, or full_model_name.
namespace location_names {

namespace detail {

inline std::string from_layer(std::size_t k) { return "from_l" + std::to_string(k); }

/// "gate" of "gate_proj".
inline std::string short_name(projection p) {
    const std::string_view whole = bitlens::name(p);
    return std::string(whole.substr(0, whole.find('_')));
}

} // namespace detail

/// `point`, overwritten in the upper half of the layers: "rtn3-g64_patch_mlp_out".
inline std::string patch(std::string_view method, std::string_view point) {
    return std::string(method) + "_patch_" + std::string(point);
}
/// … in other layers than those: "rtn3-g64_patch_mlp_out_l10-14".
inline std::string patch_in(std::string_view method, std::string_view point, std::size_t first, std::size_t last) {
    return layer_column(patch(method, point), first) + "-" + std::to_string(last);
}
/// … from layer k on: "rtn3-g64_patch_mlp_out_from_l3".
inline std::string patch_from(std::string_view method, std::string_view point, std::size_t k) {
    return patch(method, point) + "_" + detail::from_layer(k);
}

/// The full model with its channels in the scales of a method's blocks.
inline std::string scaled_full(std::string_view method) { return std::string(method) + "_scaled_full"; }

/// The layers from first_late_layer on in full precision.
inline std::string restore_late(std::string_view method) { return std::string(method) + "_restore_late"; }
/// Layers k … L − 1 in full precision.
inline std::string restore_from(std::string_view method, std::size_t k) {
    return std::string(method) + "_restore_" + detail::from_layer(k);
}
/// Layer k alone in full precision.
inline std::string restore_layer(std::string_view method, std::size_t k) {
    return layer_column(std::string(method) + "_restore", k);
}
/// Layer k alone quantized.
inline std::string only_layer(std::string_view method, std::size_t k) {
    return layer_column(std::string(method) + "_only", k);
}
/// That projection in full precision, in all layers: "rtn3-g64_restore_gate".
inline std::string restore_projection(std::string_view method, projection p) {
    return std::string(method) + "_restore_" + detail::short_name(p);
}
/// That projection alone quantized, in all layers.
inline std::string only_projection(std::string_view method, projection p) {
    return std::string(method) + "_only_" + detail::short_name(p);
}

/// "r_full_l3"; "z_frozen_rtn3-g64_l3".
inline std::string early_exit(exit_state state, exit_scale scale, std::string_view model, std::size_t k) {
    return layer_column(
        std::string(bitlens::name(state)) + (scale == exit_scale::frozen ? "_frozen_" : "_") + std::string(model), k);
}

/// The column of a variant that runs to the end, and of one that ends early.
inline std::string nll_column(std::string_view variant) { return "nll_" + std::string(variant); }
inline std::string exit_column(std::string_view variant) { return "exit_" + std::string(variant); }

/// Every variant of a method that runs to the end.
inline std::vector<std::string> all_of_method(std::string_view method, std::size_t layers) {
    std::vector<std::string> names{scaled_full(method), restore_late(method)};
    for (const std::string_view point : patched_points) {
        names.push_back(patch(method, point));
        for (std::size_t k = 0; k < layers; ++k)
            for (std::size_t last = k; last < layers; ++last) names.push_back(patch_in(method, point, k, last));
        for (std::size_t k = 0; k < layers; ++k) names.push_back(patch_from(method, point, k));
    }
    for (std::size_t k = 0; k < layers; ++k) {
        names.push_back(restore_from(method, k));
        names.push_back(restore_layer(method, k));
        names.push_back(only_layer(method, k));
    }
    for (std::size_t i = 0; i < projection_count; ++i) {
        names.push_back(restore_projection(method, static_cast<projection>(i)));
        names.push_back(only_projection(method, static_cast<projection>(i)));
    }
    return names;
}
/// Every early exit of a model.
inline std::vector<std::string> all_exits(std::string_view model, std::size_t layers) {
    std::vector<std::string> names;
    for (const exit_state state : exit_states)
        for (const exit_scale scale : exit_scales)
            for (std::size_t k = 0; k < layers; ++k) names.push_back(early_exit(state, scale, model, k));
    return names;
}

} // namespace location_names

/// Errors: option_error where two variants could have one name: of methods "a" and "frozen_a", or "a" and
/// "a_patch_mlp_up". Whoever reads the results could not tell them apart.
inline void check_location_names(std::span<const std::string> methods, std::size_t layers) {
    std::set<std::string> taken;
    const auto take = [&taken](std::vector<std::string> const& names, std::string_view method) {
        for (std::string const& each : names)
            if (!taken.insert(each).second)
                throw option_error("two variants would be called " + visible_text(each) + ", one of them of method " +
                                   visible_text(method) + "; a study with a method of another name keeps both");
    };
    take({full_model_name}, full_model_name);
    take(location_names::all_exits(full_model_name, layers), full_model_name);
    for (std::string const& method : methods) {
        take({method}, method);
        take(location_names::all_of_method(method, layers), method);
        take(location_names::all_exits(method, layers), method);
    }
}

} // namespace bitlens
