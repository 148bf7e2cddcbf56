#pragma once
/// Tables of where errors arise: what each change of a quantized model gives back of its damage.

#include "bitlens/analysis/location.hpp"
#include "bitlens/page/documents.hpp"
#include "bitlens/page/published_methods.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// What a change is, in few words.
inline std::string change_words(model_change const& c, std::size_t layers) {
    const std::string layer = "layer " + std::to_string(c.layer);
    const std::string matrix = "W_" + location_names::detail::short_name(c.part);
    switch (c.kind) {
    case change_kind::patch:
        return std::string(c.point) + " patched";
    case change_kind::patch_in:
        return std::string(c.point) + " patched in " +
               (c.layer == c.last ? layer : "layers " + std::to_string(c.layer) + " to " + std::to_string(c.last));
    case change_kind::patch_from:
        return std::string(c.point) + " patched from " + layer + " on";
    case change_kind::restore_late:
        return layers - first_late_layer(layers) == 1
                   ? "last layer restored"
                   : "last " + std::to_string(layers - first_late_layer(layers)) + " layers restored";
    case change_kind::restore_from:
        return "restored from " + layer + " on";
    case change_kind::restore_layer:
        return layer + " restored";
    case change_kind::only_layer:
        return "only " + layer + " quantized";
    case change_kind::restore_projection:
        return matrix + " restored";
    case change_kind::only_projection:
        break;
    }
    return "only " + matrix + " quantized";
}

inline constexpr std::string_view set_title(located_set set) noexcept {
    constexpr std::array<std::string_view, located_sets> titles{"D_large", "D_ctrl", "all documents"};
    return titles[static_cast<std::size_t>(set)];
}

/// Those that tables and figures compare: the two sets where they were run, else all documents.
inline std::vector<located_set> shown_sets(location const& l) {
    std::vector<located_set> shown;
    for (const auto set : {located_set::large, located_set::ctrl})
        if (!l.rows(set).empty()) shown.push_back(set);
    if (shown.empty()) shown.push_back(located_set::all);
    return shown;
}

/// Of how many documents, and whose sets.
inline std::string located_sets_words(finished_study const& s, location const& l) {
    std::string text;
    for (const auto set : {located_set::large, located_set::ctrl})
        if (!l.rows(set).empty())
            text += (text.empty() ? "" : ", ") + std::string(set_title(set)) + " of " + s.methods[l.sets_of].name +
                    ": " + counted(l.rows(set).size(), "document");
    const std::size_t all = l.rows(located_set::all).size();
    return text.empty() ? counted(all, "document") + (all == 1 ? " was run." : " were run.")
                        : text + (l.has_others() ? "; " + counted(all, "document") + " were run." : ".");
}

namespace detail {

inline std::string_view set_key(located_set set) noexcept {
    constexpr std::array<std::string_view, located_sets> keys{"large", "ctrl", "all"};
    return keys[static_cast<std::size_t>(set)];
}

inline table empty_location_table(std::string name, std::string title) {
    return {std::move(name), std::move(title), {{"method", "method"}, {"change", "what is run"}}, {}, {}};
}

inline void add_columns(table& t, located_set set, std::initializer_list<table::column> columns) {
    bool is_first = true;
    for (table::column c : columns) {
        c.key += "_" + std::string(set_key(set));
        if (std::exchange(is_first, false)) c.title = std::string(set_title(set)) + ": " + c.title;
        t.columns.push_back(std::move(c));
    }
}

inline void add_estimate(std::vector<cell>& row, estimate const& e) {
    row.insert(row.end(), {e.value, e.within.lo, e.within.hi});
}

inline measured difference(measured const& a, measured const& b) { return !a ? a : !b ? b : measured(*a - *b); }

inline constexpr std::string_view share_words =
    "Given back: the share of the damage in nats, (loss of the method − loss with the change) / (loss of the method − "
    "loss of the full model), of means over the documents; below 0 the change makes it worse. Intervals: 95 % of 1000 "
    "bootstrap resamples of the documents, the same documents under all models.";

/// Perplexities as the paper has them. Rows of a method only where one of `changes` was run.
inline table perplexity_changes_table(std::string name, std::string title, finished_study const& s, location const& l,
                                      std::span<const model_change> changes) {
    table t = empty_location_table(std::move(name), std::move(title));
    const auto sets = shown_sets(l);
    std::vector<std::string> in_paper;
    for (const auto set : sets)
        add_columns(t, set,
                    {{"perplexity", "perplexity", 2},
                     {"gap", "gap to full", 2},
                     {"share_back", "given back", 2},
                     {"share_back_low", "95 % from", 2},
                     {"share_back_high", "to", 2}});
    for (located_method const& m : l.methods) {
        std::vector<located_variant const*> there;
        for (auto const& change : changes)
            if (auto const* v = m.find(change)) there.push_back(v);
        if (there.empty()) continue;
        const auto add = [&](std::string const& what, of_sets<variant_numbers> const& numbers) {
            std::vector<cell> row{s.methods[m.method].name, what};
            for (const auto set : sets) {
                auto const& n = numbers[static_cast<std::size_t>(set)];
                row.insert(row.end(),
                           {n.perplexity.value, difference(n.perplexity.value, m.full_on(set).perplexity.value)});
                add_estimate(row, n.share_back);
            }
            t.add(std::move(row));
        };
        add("full model", m.full);
        add("quantized", m.itself);
        in_paper.resize(t.rows.size());
        for (auto const* v : there) {
            add(change_words(v->change, s.layers()), v->sets);
            in_paper.push_back(published::share_back_of(s.methods[m.method], v->change));
        }
    }
    published::add_beside(t, in_paper, "the paper, D_large: given back");
    return t;
}

/// Nats per token and the share of the damage.
inline table nats_table(std::string name, std::string title, finished_study const& s, location const& l,
                        std::span<const change_kind> kinds, std::string const& nats, estimate variant_numbers::*in_nats,
                        std::string const& share, estimate variant_numbers::*as_share) {
    table t = empty_location_table(std::move(name), std::move(title));
    const auto sets = shown_sets(l);
    for (const auto set : sets)
        add_columns(t, set,
                    {{"nats", nats, 3},
                     {"nats_low", "95 % from", 3},
                     {"nats_high", "to", 3},
                     {"share", share, 2},
                     {"share_low", "95 % from", 2},
                     {"share_high", "to", 2}});
    for (located_method const& m : l.methods)
        for (located_variant const& v : m.variants) {
            if (std::ranges::find(kinds, v.change.kind) == kinds.end()) continue;
            std::vector<cell> row{s.methods[m.method].name, change_words(v.change, s.layers())};
            for (const auto set : sets) {
                add_estimate(row, v.on(set).*in_nats);
                add_estimate(row, v.on(set).*as_share);
            }
            t.add(std::move(row));
        }
    return t;
}

} // namespace detail

/// The paper's table 4, also over D_ctrl.
inline table location_patching_table(finished_study const& s, location const& l) {
    std::vector<model_change> changes{{change_kind::patch, hook::name<hook::mlp_out>},
                                      {change_kind::patch, hook::name<hook::mlp_gate>},
                                      {change_kind::patch, hook::name<hook::mlp_up>},
                                      {change_kind::patch, hook::name<hook::attn_out>}};
    for (located_method const& m : l.methods)
        for (located_variant const& v : m.variants)
            if (v.change.kind == change_kind::patch_in && std::ranges::find(changes, v.change) == changes.end())
                changes.push_back(v.change);
    table t = detail::perplexity_changes_table("location_patching", "Clean activations in the upper half of the layers",
                                               s, l, changes);
    t.notes.emplace_back("Patched: overwritten with the full model's for the same document, at all positions, of the "
                         "upper half of the layers where no others are named. mlp_out is the paper's h_down, mlp_gate "
                         "its h_gate, mlp_up its "
                         "h_up, attn_out its h_attn.");
    return t;
}

/// §6.2: is it the gates' weights or what they read?
inline table location_gates_table(finished_study const& s, location const& l) {
    const std::array<model_change, 3> changes{{{change_kind::patch, hook::name<hook::mlp_gate>},
                                               {change_kind::patch, hook::name<hook::mlp_gate_in>},
                                               {change_kind::restore_projection, {}, 0, projection::gate}}};
    table t =
        detail::perplexity_changes_table("location_gates", "Gates: their weights, or what they read?", s, l, changes);
    t.notes.emplace_back("mlp_gate_in: what W_gate alone reads, in the upper half; W_up reads the quantized model's. "
                         "W_gate restored: in full precision in all layers.");
    return t;
}

/// §6.1.
inline table location_late_table(finished_study const& s, location const& l) {
    const std::array<model_change, 1> changes{{{change_kind::restore_late}}};
    return detail::perplexity_changes_table("location_late", "The last layers in full precision", s, l, changes);
}

/// Whole matrices, layers, or layers from one on, in full precision; and clean activations from one layer on.
inline table restored_projections_table(finished_study const& s, location const& l) {
    return detail::nats_table("location_restored_projections", "One projection in full precision, in all layers", s, l,
                              std::array{change_kind::restore_projection}, "nats given back",
                              &variant_numbers::given_back, "share", &variant_numbers::share_back);
}
inline table restored_layers_table(finished_study const& s, location const& l) {
    return detail::nats_table("location_restored_layers", "One layer in full precision", s, l,
                              std::array{change_kind::restore_layer}, "nats given back", &variant_numbers::given_back,
                              "share", &variant_numbers::share_back);
}
inline table from_layer_table(finished_study const& s, location const& l) {
    return detail::nats_table("location_from_layer", "Restored or patched from a layer on", s, l,
                              std::array{change_kind::restore_from, change_kind::patch_from}, "nats given back",
                              &variant_numbers::given_back, "share", &variant_numbers::share_back);
}
/// The opposite: what one part does alone.
inline table only_projections_table(finished_study const& s, location const& l) {
    return detail::nats_table("location_only_projections", "One projection alone quantized, in all layers", s, l,
                              std::array{change_kind::only_projection}, "nats lost", &variant_numbers::error, "share",
                              &variant_numbers::share_made);
}
inline table only_layers_table(finished_study const& s, location const& l) {
    return detail::nats_table("location_only_layers", "One layer alone quantized", s, l,
                              std::array{change_kind::only_layer}, "nats lost", &variant_numbers::error, "share",
                              &variant_numbers::share_made);
}

/// Every change over all documents that were run, where these are more than both sets.
inline table all_documents_table(finished_study const& s, location const& l) {
    table t = detail::empty_location_table("location_all_documents", "All changes, over all documents that were run");
    t.columns.insert(t.columns.end(), {{"documents", "documents"},
                                       {"perplexity", "perplexity", 3},
                                       {"given_back", "nats given back", 4},
                                       {"given_back_low", "95 % from", 4},
                                       {"given_back_high", "to", 4},
                                       {"share_back", "share", 3},
                                       {"share_back_low", "95 % from", 3},
                                       {"share_back_high", "to", 3}});
    if (!l.has_others()) return t;
    for (located_method const& m : l.methods)
        for (located_variant const& v : m.variants) {
            auto const& n = v.on(located_set::all);
            std::vector<cell> row{s.methods[m.method].name, change_words(v.change, s.layers()), n.documents,
                                  n.perplexity.value};
            detail::add_estimate(row, n.given_back);
            detail::add_estimate(row, n.share_back);
            t.add(std::move(row));
        }
    return t;
}

/// Early exits by layer.
inline table early_exit_table(finished_study const& s, location const& l) {
    table t{"early_exit",
            "Early exits, layer by layer",
            {{"model", "model"}, {"state", "state"}, {"scale", "scale"}, {"layer", "layer"}},
            {},
            {"Loss in nats per token. r: after the attention of the layer, z: after its "
             "MLP. Scale: the last norm's, of the state itself (fresh) or of the model's "
             "end (frozen)."}};
    const auto sets = shown_sets(l);
    for (const auto set : sets)
        detail::add_columns(t, set, {{"nll", "loss", 3}, {"nll_low", "95 % from", 3}, {"nll_high", "to", 3}});
    for (exit_curve const& c : l.exits)
        for (std::size_t i = 0; i < c.layers.size(); ++i) {
            std::vector<cell> row{c.method ? s.methods[*c.method].name : std::string(full_model_name),
                                  std::string(name(c.state)), c.scale == exit_scale::fresh ? "fresh" : "frozen",
                                  c.layers[i]};
            for (const auto set : sets) detail::add_estimate(row, c.on(set)[i]);
            t.add(std::move(row));
        }
    return t;
}

/// The documents that a method breaks most among those that were run, without near-duplicates; what is left of the
/// error of each under the changes that are one variant. Rows of the study.
struct located_documents {
    std::size_t method = 0; // of the study
    std::vector<std::size_t> rows;
    table errors;
};

inline located_documents worst_located(finished_study const& s, location const& l, located_method const& m) {
    constexpr std::size_t most = 10;
    constexpr double bold = 0.5; // of the damage
    auto const& study = s.methods[m.method];
    std::vector<located_variant const*> shown;
    for (located_variant const& v : m.variants)
        if (v.change.kind == change_kind::patch || v.change.kind == change_kind::restore_late ||
            (v.change.kind == change_kind::restore_projection && v.change.part == projection::gate))
            shown.push_back(&v);
    auto const& run = l.rows(located_set::all); // rising
    std::vector<std::size_t> ranked;
    std::ranges::copy_if(rank_by_error(study.error), std::back_inserter(ranked),
                         [&](std::size_t i) { return std::ranges::binary_search(run, i); });
    located_documents worst{m.method,
                            first_distinct(s.run, ranked, most),
                            {"location_worst_" + study.name,
                             "What is left of the errors of " + study.name,
                             {{"example", "document"}, {"words", "first words"}, {"error", "error"}},
                             {},
                             {"Errors in nats per token, above the full model's loss; bold where a change gives back "
                              "more than half."}}};
    if (shown.empty()) worst.rows.clear();
    for (auto const* v : shown) worst.errors.columns.push_back({v->name, change_words(v->change, s.layers())});
    const std::size_t first = have_common_start(s.run.documents) ? 1 : 0;
    for (const std::size_t i : worst.rows) {
        const double damage = m.nll[i] - m.nll_full[i];
        std::vector<cell> row{s.run.documents.rows[i], first_words(s.run, i, first, 48), number_or_gap(damage)};
        for (auto const* v : shown) {
            row.emplace_back(number_or_gap(v->nll[i] - m.nll_full[i]));
            row.back().strong = damage > 0 && m.nll[i] - v->nll[i] > bold * damage;
        }
        worst.errors.add(std::move(row));
    }
    return worst;
}

} // namespace bitlens
