#pragma once
/// location: where a method's errors arise, as variants of the method and of the full model tell it. Which part gives
/// how much of the damage back, and which alone makes it.

#include "bitlens/analysis/location_names.hpp"
#include "bitlens/analysis/numbers.hpp"
#include "bitlens/analysis/resamples.hpp"
#include "bitlens/core/parallel.hpp"
#include "bitlens/core/shape_check.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// What the variants of a finished study left. The rows are those of the study; NaN where a document was not run.
struct located_run {
    results_table table;
    std::size_t sets_of = 0; // the method of the study whose D_large and D_ctrl count
};

/// In what a variant differs from its method; of `only_…`, what it shares with it.
enum class change_kind : std::uint8_t {
    patch,
    patch_in,
    patch_from,
    restore_late,
    restore_from,
    restore_layer,
    only_layer,
    restore_projection,
    only_projection
};

struct model_change {
    change_kind kind = change_kind::patch;
    std::string_view point = {}; // of a patch
    std::size_t layer = 0;       // of patch_from, restore_from, restore_layer, only_layer; the first of patch_in
    projection part = projection::q;
    std::size_t last = 0; // layer of patch_in

    bool operator==(model_change const&) const = default;

    /// Whether all but one part is the full model's: then it makes damage, and gives none back.
    bool is_only() const noexcept { return kind == change_kind::only_layer || kind == change_kind::only_projection; }
};

inline std::string variant_name(std::string_view method, model_change const& c) {
    switch (c.kind) {
    case change_kind::patch:
        return location_names::patch(method, c.point);
    case change_kind::patch_in:
        return location_names::patch_in(method, c.point, c.layer, c.last);
    case change_kind::patch_from:
        return location_names::patch_from(method, c.point, c.layer);
    case change_kind::restore_late:
        return location_names::restore_late(method);
    case change_kind::restore_from:
        return location_names::restore_from(method, c.layer);
    case change_kind::restore_layer:
        return location_names::restore_layer(method, c.layer);
    case change_kind::only_layer:
        return location_names::only_layer(method, c.layer);
    case change_kind::restore_projection:
        return location_names::restore_projection(method, c.part);
    case change_kind::only_projection:
        break;
    }
    return location_names::only_projection(method, c.part);
}

/// All that can be asked of a model of so many layers, in the order in which tables show them.
inline std::vector<model_change> all_changes(std::size_t layers) {
    std::vector<model_change> all;
    for (const auto point : patched_points) {
        all.push_back({change_kind::patch, point});
        for (std::size_t k = 0; k < layers; ++k)
            for (std::size_t last = k; last < layers; ++last)
                all.push_back({change_kind::patch_in, point, k, projection::q, last});
    }
    all.push_back({change_kind::restore_late});
    for (const auto kind : {change_kind::restore_projection, change_kind::only_projection})
        for (std::size_t p = 0; p < projection_count; ++p) all.push_back({kind, {}, 0, static_cast<projection>(p)});
    for (const auto kind : {change_kind::restore_from, change_kind::restore_layer, change_kind::only_layer})
        for (std::size_t k = 0; k < layers; ++k) all.push_back({kind, {}, k});
    for (const auto point : patched_points)
        for (std::size_t k = 0; k < layers; ++k) all.push_back({change_kind::patch_from, point, k});
    return all;
}

/// A number and its 95 % bootstrap interval over documents.
struct estimate {
    measured value = undefined{};
    measured_interval within{undefined{}, undefined{}};
};

/// Of which documents: the sets of located_run::sets_of, or all that were run.
enum class located_set : std::uint8_t { large, ctrl, all };
inline constexpr std::size_t located_sets = 3;

template <class T>
using of_sets = std::array<T, located_sets>;

/// A variant over one set: over those documents that have a loss under it, under its method and under the full model.
struct variant_numbers {
    std::size_t documents = 0;
    estimate nll, perplexity;
    estimate error;      // nll − nll_full: what is left of the damage, or what this part alone makes
    estimate given_back; // nll_m − nll
    /// (nll_m − nll) / (nll_m − nll_full), of means: below 0 where the variant is worse than its method, above 1 where
    /// it is better than the full model. Not defined where the damage is less than two standard errors from none.
    estimate share_back;
    estimate share_made; // (nll − nll_full) / (nll_m − nll_full)
};

struct located_variant {
    model_change change;
    std::string name;
    std::span<const double> nll; // of each document of the study
    of_sets<variant_numbers> sets;

    variant_numbers const& on(located_set set) const noexcept { return sets[static_cast<std::size_t>(set)]; }
};

struct located_method {
    std::size_t method = 0; // of the study
    std::span<const double> nll_full, nll;
    of_sets<variant_numbers> full, itself;
    std::vector<located_variant> variants; // those that were run, in the order of all_changes

    variant_numbers const& full_on(located_set set) const noexcept { return full[static_cast<std::size_t>(set)]; }
    variant_numbers const& itself_on(located_set set) const noexcept { return itself[static_cast<std::size_t>(set)]; }
    /// nullptr where it was not run.
    located_variant const* find(model_change const& wanted) const noexcept {
        const auto found = std::ranges::find(variants, wanted, &located_variant::change);
        return found == variants.end() ? nullptr : &*found;
    }
    /// All of one kind, and of one point where it is a patch.
    std::vector<located_variant const*> all_of(change_kind kind, std::string_view point = {}) const {
        std::vector<located_variant const*> found;
        for (auto const& v : variants)
            if (v.change.kind == kind && v.change.point == point) found.push_back(&v);
        return found;
    }
};

/// Loss of a model that ends early, by layer.
struct exit_curve {
    exit_state state = exit_state::r;
    exit_scale scale = exit_scale::fresh;
    std::optional<std::size_t> method;        // of the study; none: the full model
    std::vector<std::size_t> layers;          // those that were run
    std::vector<std::span<const double>> nll; // [place in layers][document]
    of_sets<std::vector<estimate>> means;     // [set][place in layers]

    std::vector<estimate> const& on(located_set set) const noexcept { return means[static_cast<std::size_t>(set)]; }
};

/// Its spans are into the study and into the table that it was made from.
struct location {
    std::size_t sets_of = 0;                // method of the study
    of_sets<std::vector<std::size_t>> sets; // rows of the study that were run
    std::vector<located_method> methods;    // those with variants
    std::vector<exit_curve> exits;          // those that were run

    std::vector<std::size_t> const& rows(located_set set) const noexcept { return sets[static_cast<std::size_t>(set)]; }
    /// Whether more was run than both sets.
    bool has_others() const noexcept {
        return rows(located_set::all).size() > rows(located_set::large).size() + rows(located_set::ctrl).size();
    }
    bool empty() const noexcept { return methods.empty() && exits.empty(); }
    exit_curve const* find_exit(exit_state state, exit_scale scale, std::optional<std::size_t> method) const noexcept {
        const auto found = std::ranges::find_if(
            exits, [&](exit_curve const& c) { return c.state == state && c.scale == scale && c.method == method; });
        return found == exits.end() ? nullptr : &*found;
    }
};

namespace detail {

/// Seed of a set's resamples: sets are drawn independently of each other.
inline std::uint64_t seed_of(located_set set, std::uint64_t seed) noexcept {
    return set == located_set::ctrl ? seed + 1 : seed;
}

/// Losses of the documents that have all three.
struct paired_losses {
    std::vector<double> full, method, variant;

    paired_losses(std::span<const std::size_t> rows, std::span<const double> f, std::span<const double> m,
                  std::span<const double> v) {
        for (const std::size_t i : rows)
            if (!std::isnan(f[i]) && !std::isnan(m[i]) && !std::isnan(v[i])) {
                full.push_back(f[i]);
                method.push_back(m[i]);
                variant.push_back(v[i]);
            }
    }
    std::size_t size() const noexcept { return full.size(); }
    /// Why there is no share of the damage, if there is none.
    std::optional<undefined> no_share() const {
        constexpr double clear = 2; // standard errors
        std::vector<double> damage;
        for (std::size_t i = 0; i < size(); ++i) damage.push_back(method[i] - full[i]);
        const auto spread = standard_error(damage);
        if (!spread) return undefined{"the damage of fewer than two documents has no spread"};
        if (std::abs(mean(damage)) > clear * *spread) return std::nullopt;
        return undefined{"the damage is less than two standard errors from none: it has no shares"};
    }
};

inline undefined not_located() { return {"no document of the set was run"}; }

/// f(nll_full, nll_m, nll) → std::optional<double> of the means, and of those of each resample.
struct loss_means {
    std::array<double, 3> found{};
    std::array<std::vector<double>, 3> drawn; // empty: too few documents

    loss_means(paired_losses const& p, resample_counts const* draws)
        : found{mean(p.full), mean(p.method), mean(p.variant)} {
        if (draws)
            drawn = {resampled_means(*draws, p.full), resampled_means(*draws, p.method),
                     resampled_means(*draws, p.variant)};
    }
    template <class F>
    estimate operator()(F const& f) const {
        estimate e;
        e.value = {f(found[0], found[1], found[2]), "the damage is zero"};
        e.within = {too_few_documents(), too_few_documents()};
        if (drawn[0].empty()) return e;
        std::vector<double> answers;
        for (std::size_t i = 0; i < drawn[0].size(); ++i)
            if (const std::optional<double> answer = f(drawn[0][i], drawn[1][i], drawn[2][i]))
                answers.push_back(*answer);
        e.within = interval_of(std::move(answers));
        return e;
    }
};

inline estimate perplexity(estimate const& nll) {
    return {bitlens::perplexity(nll.value), {bitlens::perplexity(nll.within.lo), bitlens::perplexity(nll.within.hi)}};
}

inline variant_numbers numbers_of_variant(paired_losses const& p, resample_counts const* draws) {
    variant_numbers n;
    n.documents = p.size();
    const auto set_all = [](std::initializer_list<estimate*> all, undefined const& why) {
        for (estimate* e : all) *e = {why, {why, why}};
    };
    if (p.size() == 0) {
        set_all({&n.nll, &n.perplexity, &n.error, &n.given_back, &n.share_back, &n.share_made}, not_located());
        return n;
    }
    using answer = std::optional<double>;
    const loss_means means(p, draws);
    n.nll = means([](double, double, double v) -> answer { return v; });
    n.perplexity = perplexity(n.nll);
    n.error = means([](double f, double, double v) -> answer { return v - f; });
    n.given_back = means([](double, double m, double v) -> answer { return m - v; });
    if (const auto why = p.no_share()) {
        set_all({&n.share_back, &n.share_made}, *why);
        return n;
    }
    n.share_back =
        means([](double f, double m, double v) -> answer { return m == f ? std::nullopt : answer((m - v) / (m - f)); });
    n.share_made =
        means([](double f, double m, double v) -> answer { return m == f ? std::nullopt : answer((v - f) / (m - f)); });
    return n;
}

inline bool is_method(finished_study const& s, std::string_view name) noexcept {
    return name == full_model_name || std::ranges::find(s.methods, name, &method_columns::name) != s.methods.end();
}

/// A column with numbers; empty where it was not run.
inline std::span<const double> losses_run(results_table const& table, std::string const& column) {
    auto const* const found = table.find(column, column_shape::document);
    if (!found || defined_numbers(found->numbers).empty()) return {};
    return found->numbers;
}

/// The column of a model itself: of the study where the variants' table has it not.
inline std::span<const double> own_losses(results_table const& table, std::string_view model,
                                          std::span<const double> of_study) {
    const auto found = losses_run(table, location_names::nll_column(model));
    return found.empty() ? of_study : found;
}

inline located_method find_variants(finished_study const& s, results_table const& table, std::size_t v) {
    located_method m;
    m.method = v;
    m.nll_full = own_losses(table, full_model_name, s.nll_full);
    m.nll = own_losses(table, s.methods[v].name, s.methods[v].nll);
    for (model_change const& change : all_changes(s.layers())) {
        const std::string name = variant_name(s.methods[v].name, change);
        if (is_method(s, name)) continue; // that is what its column is of
        if (const auto nll = losses_run(table, location_names::nll_column(name)); !nll.empty())
            m.variants.push_back({change, name, nll, {}});
    }
    return m;
}

inline std::vector<exit_curve> find_exits(finished_study const& s, results_table const& table) {
    std::vector<exit_curve> curves;
    for (std::size_t model = 0; model <= s.methods.size(); ++model)
        for (const exit_scale scale : exit_scales)
            for (const exit_state state : exit_states) {
                exit_curve c;
                c.state = state;
                c.scale = scale;
                if (model > 0) c.method = model - 1;
                const std::string name = model == 0 ? full_model_name : s.methods[model - 1].name;
                for (std::size_t k = 0; k < s.layers(); ++k)
                    if (const auto nll = losses_run(
                            table, location_names::exit_column(location_names::early_exit(state, scale, name, k)));
                        !nll.empty()) {
                        c.layers.push_back(k);
                        c.nll.push_back(nll);
                    }
                if (!c.layers.empty()) curves.push_back(std::move(c));
            }
    return curves;
}

/// Those of the rows of which the variants have any number.
inline std::vector<std::size_t> rows_run(results_table const& table, std::span<const std::size_t> rows) {
    std::vector<std::size_t> run;
    std::ranges::copy_if(rows, std::back_inserter(run), [&](std::size_t i) {
        return std::ranges::any_of(table.columns(), [i](stored_column const& c) {
            return c.declared.shape == column_shape::document && !std::isnan(c.numbers[i]);
        });
    });
    return run;
}

inline estimate mean_of_set(std::span<const double> values, std::span<const std::size_t> rows,
                            resample_counts const* draws) {
    std::vector<double> numbers;
    for (const std::size_t i : rows)
        if (!std::isnan(values[i])) numbers.push_back(values[i]);
    if (numbers.empty()) return {not_located(), {not_located(), not_located()}};
    if (!draws) return {mean(numbers), {too_few_documents(), too_few_documents()}};
    return {mean(numbers), interval_of(resampled_means(*draws, numbers))};
}

} // namespace detail

/// All numbers of a run of variants; `table` has the rows of the study, and columns as location_names says.
/// Errors: shape_error for a table of other rows, or sets of a method that the study has not.
inline location make_location(finished_study const& s, results_table const& table, std::size_t sets_of) {
    detail::check_size("make_location", "documents", table.documents(), s.size());
    detail::check_range("make_location", "methods", sets_of, 1, s.methods.size());
    location found;
    found.sets_of = sets_of;
    std::vector<std::size_t> everything(s.size());
    std::iota(everything.begin(), everything.end(), std::size_t{0});
    found.sets = {detail::rows_run(table, s.sets[sets_of].large), detail::rows_run(table, s.sets[sets_of].ctrl),
                  detail::rows_run(table, everything)};
    for (std::size_t v = 0; v < s.methods.size(); ++v)
        if (auto m = detail::find_variants(s, table, v); !m.variants.empty()) found.methods.push_back(std::move(m));
    found.exits = detail::find_exits(s, table);

    std::vector<std::function<void()>> tasks; // draws are made here, and shared by what runs side by side
    resampler draws(s.seed);
    for (std::size_t k = 0; k < located_sets; ++k) {
        const std::uint64_t seed = detail::seed_of(static_cast<located_set>(k), s.seed);
        std::span<const std::size_t> rows = found.sets[k];
        const auto add = [&](located_method const& m, std::span<const double> nll, variant_numbers& to) {
            auto const* const drawn = draws.draws_of(detail::paired_losses(rows, m.nll_full, m.nll, nll).size(), seed);
            tasks.push_back([rows, &m, nll, &to, drawn] {
                to = detail::numbers_of_variant({rows, m.nll_full, m.nll, nll}, drawn);
            });
        };
        for (located_method& m : found.methods) {
            add(m, m.nll_full, m.full[k]);
            add(m, m.nll, m.itself[k]);
            for (located_variant& v : m.variants) add(m, v.nll, v.sets[k]);
        }
        for (exit_curve& c : found.exits) {
            c.means[k].resize(c.layers.size());
            for (std::size_t i = 0; i < c.layers.size(); ++i) {
                const auto nll = c.nll[i];
                const auto numbers = std::ranges::count_if(rows, [nll](std::size_t r) { return !std::isnan(nll[r]); });
                auto const* const drawn = draws.draws_of(static_cast<std::size_t>(numbers), seed);
                tasks.push_back(
                    [rows, nll, &to = c.means[k][i], drawn] { to = detail::mean_of_set(nll, rows, drawn); });
            }
        }
    }
    parallel_for(tasks.size(), [&](std::size_t i) { tasks[i](); });
    return found;
}

} // namespace bitlens
