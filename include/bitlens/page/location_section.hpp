#pragma once
/// location_content: the part of a report on where errors arise, where variants of a study's methods were run.

#include "bitlens/page/location_claims.hpp"
#include "bitlens/page/location_figures.hpp"
#include "bitlens/page/location_tables.hpp"
#include "bitlens/page/method_choice.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// What page and summary.json show of it. A table without rows and a figure without charts are left out.
struct location_content {
    location found;
    std::vector<claim> claims;
    std::string line;               // for the summary; empty: nothing to say
    std::vector<std::string> about; // sentences above the tables
    table patching, late, gates, restored_projections, only_projections, restored_layers, only_layers, from_layer,
        exits, all_documents;
    std::vector<located_documents> worst; // of each method of `found`
    std::vector<figure> exit_figures;
    figure from_layer_curves, one_layer_curves;
};

namespace detail {

/// What a method gets most of its damage back from, and whether the next is told apart from it.
inline std::string most_given_back_words(finished_study const& s, location const& l, located_method const& m,
                                         located_set set) {
    std::vector<located_variant const*> ranked;
    for (located_variant const& v : m.variants) {
        const auto kind = v.change.kind;
        const bool is_curve = kind == change_kind::restore_from || kind == change_kind::patch_from;
        if (!v.change.is_only() && !is_curve) ranked.push_back(&v);
    }
    if (ranked.empty()) return {};
    const std::string name = s.methods[m.method].name;
    const auto share = [set](located_variant const* v) -> estimate const& { return v->on(set).share_back; };
    const auto without = std::ranges::find_if(ranked, [&](auto const* v) { return !share(v).value; });
    if (without != ranked.end()) return name + ": not defined, " + share(*without).value.reason();
    std::ranges::stable_sort(ranked, [&](auto const* a, auto const* b) { return *share(a).value > *share(b).value; });
    const auto words = [&](located_variant const* v) {
        return change_words(v->change, s.layers()) + " " + share_text(share(v));
    };
    std::string text = name + " most with " + words(ranked[0]);
    if (ranked.size() > 1) {
        const bool told_apart =
            judge_means(s, l.rows(set), {ranked[0]->nll, ranked[1]->nll},
                        [](std::span<const double> means) { return means[0] < means[1]; }) == outcome::agrees;
        text += (told_apart ? ", then with " : ", not told apart from ") + words(ranked[1]);
    }
    if (ranked.size() > 2) text += ", least with " + words(ranked.back());
    return text;
}

inline std::string location_words(finished_study const& s, location const& l, std::vector<claim> const& claims) {
    const auto set = l.rows(located_set::large).empty() ? located_set::all : located_set::large;
    std::string text;
    for (located_method const& m : l.methods)
        if (const auto words = most_given_back_words(s, l, m, set); !words.empty())
            text += (text.empty() ? "" : "; ") + words;
    const std::size_t documents = l.rows(set).size();
    if (!text.empty())
        return "Where errors arise, on " +
               (set == located_set::large ? "D_large of " + s.methods[l.sets_of].name
                                          : std::string("all that was run")) +
               " (" + counted(documents, "document") + "), as shares of the damage given back" +
               (documents < fewest_documents ? ", of too few documents for intervals: "
                                             : ", with their 95 % intervals: ") +
               text + ".";
    for (claim const& c : claims) text += (text.empty() ? "" : "; ") + c.answer.text;
    return text.empty() ? text : "Where errors arise, early exits of the full model: " + text + ".";
}

} // namespace detail

inline location_content make_location_content(finished_study const& s, located_run const& run) {
    location l = make_location(s, run.table, run.sets_of);
    location_content c{{},
                       location_claims_of(s, l),
                       {},
                       {located_sets_words(s, l)},
                       location_patching_table(s, l),
                       location_late_table(s, l),
                       location_gates_table(s, l),
                       restored_projections_table(s, l),
                       only_projections_table(s, l),
                       restored_layers_table(s, l),
                       only_layers_table(s, l),
                       from_layer_table(s, l),
                       early_exit_table(s, l),
                       all_documents_table(s, l),
                       {},
                       early_exit_figures(s, l),
                       from_layer_figure(s, l),
                       one_layer_figure(s, l)};
    if (!l.methods.empty()) c.about.emplace_back(detail::share_words);
    c.line = detail::location_words(s, l, c.claims);
    for (located_method const& m : l.methods)
        if (auto worst = worst_located(s, l, m); !worst.rows.empty()) c.worst.push_back(std::move(worst));
    c.found = std::move(l);
    return c;
}

inline std::vector<table const*> tables_of(location_content const& c) {
    std::vector<table const*> all;
    for (table const* t : {&c.patching, &c.late, &c.gates, &c.restored_projections, &c.only_projections,
                           &c.restored_layers, &c.only_layers, &c.from_layer, &c.exits, &c.all_documents})
        if (!t->rows.empty()) all.push_back(t);
    for (auto const& w : c.worst) all.push_back(&w.errors);
    return all;
}

inline std::vector<figure const*> figures_of(location_content const& c) {
    std::vector<figure const*> all;
    for (figure const& f : c.exit_figures) all.push_back(&f);
    for (figure const* f : {&c.from_layer_curves, &c.one_layer_curves})
        if (!f->charts.empty()) all.push_back(f);
    return all;
}

namespace detail {

/// Of each method, what is left of its worst documents' errors; `target(row)`: where the page has the document.
template <class Target>
std::string worst_located_html(finished_study const& s, location_content const& c, Target const& target) {
    if (c.worst.empty()) return {};
    std::vector<std::string> names, tables;
    for (located_documents const& worst : c.worst) {
        names.push_back(s.methods[worst.method].name);
        html_use use{.titled = false};
        for (const std::size_t row : worst.rows) use.targets.push_back(target(row));
        tables.push_back(to_html(worst.errors, use));
    }
    return "<h3>The worst documents: what is left of the error</h3>\n" + method_choice("arise-worst", names, tables);
}

} // namespace detail

} // namespace bitlens
