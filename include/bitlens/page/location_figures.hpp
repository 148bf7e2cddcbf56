#pragma once
/// Figures of where errors arise: early exits, and curves over the layer from which on, or in which alone, a model is
/// changed.

#include "bitlens/page/figures.hpp"
#include "bitlens/page/location_tables.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

inline void add_point(series& to, std::size_t layer, estimate const& e) {
    to.points.push_back(
        {static_cast<double>(layer), e.value.optional(), {}, e.within.lo.optional(), e.within.hi.optional()});
}

inline std::string located_note(location const& l) {
    std::string text;
    for (const auto set : shown_sets(l))
        text +=
            (text.empty() ? "n = " : ", ") + std::to_string(l.rows(set).size()) + " in " + std::string(set_title(set));
    return text;
}

/// The full model and a method, over each set.
inline chart exit_chart(finished_study const& s, location const& l, exit_state state, exit_scale scale,
                        std::size_t method) {
    const std::string letter(name(state));
    auto const& method_name = s.methods[method].name;
    chart c = empty_chart("exit_" + letter, "Loss of early exits from " + letter + ", " + method_name, layer_axis(),
                          {"nats per token"});
    for (const auto set : shown_sets(l))
        for (const auto model : {std::optional<std::size_t>(), std::optional(method)}) {
            auto const* const curve = l.find_exit(state, scale, model);
            if (!curve) continue;
            series one{(model ? method_name : std::string(full_model_name)) + ", " + std::string(set_title(set)),
                       mark::band,
                       {}};
            for (std::size_t i = 0; i < curve->layers.size(); ++i) add_point(one, curve->layers[i], curve->on(set)[i]);
            c.series.push_back(std::move(one));
        }
    c.note = located_note(l);
    return c;
}

/// One estimate of variants that differ in their layer, over each set.
inline std::optional<chart> layer_chart(location const& l, std::vector<located_variant const*> const& variants,
                                        std::string name, std::string title, std::string y,
                                        estimate variant_numbers::*number) {
    if (variants.empty()) return std::nullopt;
    chart c = empty_chart(std::move(name), std::move(title), layer_axis(), {std::move(y)});
    for (const auto set : shown_sets(l)) {
        series one{std::string(set_title(set)), mark::band, {}};
        for (auto const* v : variants) add_point(one, v->change.layer, v->on(set).*number);
        c.series.push_back(std::move(one));
    }
    c.zero_line = true;
    c.note = located_note(l);
    return c;
}

inline void add_if_any(figure& f, std::optional<chart> c) {
    if (c) f.charts.push_back(std::move(*c));
}

/// How much is lost where nothing is changed.
inline std::string damage_note(located_method const& m, location const& l) {
    std::string text;
    for (const auto set : shown_sets(l))
        if (auto const& e = m.itself_on(set).error.value)
            text += (text.empty() ? "unchanged: " : ", ") + with_minus_sign(rounded_text(*e, 3)) + " in " +
                    std::string(set_title(set));
    return text;
}

} // namespace detail

/// Figures 2 and 12 to 15: one per method that has early exits.
inline std::vector<figure> early_exit_figures(finished_study const& s, location const& l) {
    std::vector<figure> all;
    for (const exit_scale scale : exit_scales)
        for (std::size_t v = 0; v < s.methods.size(); ++v) {
            const bool fresh = scale == exit_scale::fresh;
            figure f{(fresh ? "figure_02_early_exit_" : "figure_02_frozen_exit_") +
                         detail::file_stem(s.methods[v].name),
                     "Loss where the model ends after the attention (r) or the MLP (z) of a layer and goes straight "
                     "to the last norm and the head" +
                         std::string(fresh ? "." : ", whose scale is that of the model's end.") +
                         std::string(detail::bands_caption),
                     {},
                     2};
            for (const exit_state state : exit_states)
                if (l.find_exit(state, scale, v)) f.charts.push_back(detail::exit_chart(s, l, state, scale, v));
            if (!f.charts.empty()) all.push_back(std::move(f));
        }
    return all;
}

/// Restored from layer k on, and patched from layer k on.
inline figure from_layer_figure(finished_study const& s, location const& l) {
    figure f{"location_from_layer",
             "What is left of the error, by the layer from which on weights are restored or activations patched with "
             "the full model's." +
                 std::string(detail::bands_caption),
             {},
             2};
    const std::string left = "error left, nats per token";
    for (located_method const& m : l.methods) {
        const auto add = [&](change_kind kind, std::string_view point, std::string const& title) {
            auto c = detail::layer_chart(l, m.all_of(kind, point), "", title + ", " + s.methods[m.method].name, left,
                                         &variant_numbers::error);
            if (!c) return;
            c->name = s.methods[m.method].name + (point.empty() ? " restored" : " " + std::string(point));
            c->x.title = "from layer";
            c->note = detail::damage_note(m, l);
            f.charts.push_back(std::move(*c));
        };
        add(change_kind::restore_from, {}, "Layers restored");
        for (const auto point : patched_points) add(change_kind::patch_from, point, std::string(point) + " patched");
    }
    return f;
}

/// One layer restored, and one layer alone quantized.
inline figure one_layer_figure(finished_study const& s, location const& l) {
    figure f{"location_one_layer",
             "What one layer gives back when it alone is restored, and what it loses when it alone is quantized." +
                 std::string(detail::bands_caption),
             {},
             2};
    for (located_method const& m : l.methods) {
        auto const& name = s.methods[m.method].name;
        detail::add_if_any(f, detail::layer_chart(l, m.all_of(change_kind::restore_layer), name + " restored",
                                                  "One layer restored, " + name, "nats per token given back",
                                                  &variant_numbers::given_back));
        detail::add_if_any(f, detail::layer_chart(l, m.all_of(change_kind::only_layer), name + " only",
                                                  "One layer alone quantized, " + name, "nats per token lost",
                                                  &variant_numbers::error));
    }
    return f;
}

} // namespace bitlens
