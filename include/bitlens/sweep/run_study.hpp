#pragma once
/// run_study and measure_run: a sweep whose measurements fill the table of a run, resumable or in memory.

#include "bitlens/core/error.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/models/transformer.hpp"
#include "bitlens/sweep/document_rows.hpp"
#include "bitlens/sweep/results_table.hpp"
#include "bitlens/sweep/run_folder.hpp"
#include "bitlens/sweep/run_parts.hpp"
#include "bitlens/sweep/run_results.hpp"
#include "bitlens/sweep/sweep.hpp"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <functional>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// A variant that runs: its name, and that of its parent; the full model has none.
struct measured_variant {
    std::string_view name, parent;
};

/// What a measurement of one document is made for. Variants are those that run, the full model first.
struct measured_size {
    std::size_t variants, layers, tokens, width;
    std::span<const measured_variant> which{}; // one for each variant; none where only sizes count
    std::size_t prompt = 1;                    // of the tokens, how many are only read

    /// Positions at which the document is scored.
    std::size_t scored() const noexcept { return tokens - prompt; }
};

/// What is measured of every document: the columns that it fills, and how a measurement of document n is made, whose
/// write(v, row) puts what it found of running variant v into every column that the variant has.
/// bytes_of_one(size): what one measurement takes, for the plan of memory.
template <class K>
concept measurement_kind = requires(K const& kind, measured_size size, std::size_t n, results_row& row) {
    { kind.columns() } -> std::same_as<std::vector<column>>;
    { kind.make(size, n) } -> measurement;
    kind.make(size, n).write(std::size_t{}, row);
    { kind.bytes_of_one(size) } -> std::convertible_to<std::size_t>;
};

/// Rows that lack the same variants, rising, and what has to run for those: they, the full model, which all are
/// compared with, and whatever they fork from or are patched with. Indices into the run's variants, rising.
struct missing_rows {
    std::vector<std::size_t> rows, variants, running;
};

/// What of a run shall be done, where that is not all: some documents, some variants. Empty: all.
struct run_choice {
    std::vector<std::size_t> rows{}, variants{};
};

namespace detail {

template <class W>
std::size_t index_of(std::span<const variant<W>> variants, std::string const& name) {
    const auto found = std::ranges::find(variants, name, &variant<W>::name);
    if (found == variants.end()) throw option_error("sweep: there is no variant '" + visible_text(name) + "'");
    return static_cast<std::size_t>(found - variants.begin());
}

/// The wanted variants, the root, and all that they refer to.
template <class W>
std::vector<std::size_t> with_what_they_need(std::span<const std::size_t> wanted,
                                             std::span<const variant<W>> variants) {
    std::vector<bool> runs(variants.size(), false);
    std::vector<std::size_t> open(wanted.begin(), wanted.end());
    open.push_back(0);
    while (!open.empty()) {
        const std::size_t v = open.back();
        open.pop_back();
        if (runs[v]) continue;
        runs[v] = true;
        if (!variants[v].parent.empty()) open.push_back(index_of(variants, variants[v].parent));
        for (auto const& patch : variants[v].patches) open.push_back(index_of(variants, patch.source));
    }
    std::vector<std::size_t> running;
    for (std::size_t v = 0; v < runs.size(); ++v)
        if (runs[v]) running.push_back(v);
    return running;
}

template <class W>
std::vector<variant<W>> chosen_variants(std::span<const variant<W>> variants, std::span<const std::size_t> chosen) {
    std::vector<variant<W>> out;
    for (const std::size_t v : chosen) out.push_back(variants[v]);
    return out;
}

/// A loss of the full model that is not finite leaves nothing to compare with.   Errors: format_error naming it.
template <class M>
void check_full_model(M& measured, document_rows const& documents, std::size_t row) {
    const auto nll = measured.scores()[0].nll;
    for (std::size_t t = 0; t < nll.size(); ++t)
        if (!std::isfinite(nll[t]))
            throw format_error("the full model's loss is not finite: " + documents.who(row) + ", position " +
                               std::to_string(documents.ids.scored(row).first + t + 1) +
                               "; its errors would mean nothing");
}

/// Runs `variants` on some of the rows and hands each finished block to done(rows of it, measurements).
template <class Architecture, class W, measurement_kind Kind, class Done>
std::vector<patch_count> sweep_rows(transformer<Architecture, W> const& model, std::span<const variant<W>> variants,
                                    document_rows const& documents, std::span<const std::size_t> rows, sweep_cut cut,
                                    Kind const& kind, Done const& done) {
    model_config const& config = model.config();
    std::vector<measured_variant> which;
    for (auto const& v : variants)
        which.push_back({v.name, v.parent.empty() && !which.empty() ? which[0].name : std::string_view(v.parent)});
    const auto make = [&](std::size_t i) {
        const std::size_t n = rows[i];
        return kind.make(measured_size{variants.size(), config.layers, documents.ids.tokens(n), config.block.width,
                                       which, documents.ids.scored(n).first + 1},
                         n);
    };
    using measured = std::invoke_result_t<decltype(make) const&, std::size_t>;
    return sweep(model, variants, documents.ids.chosen(rows), cut, make,
                 [&](std::size_t first, std::span<measured> block) {
                     const auto of_block = rows.subspan(first, block.size());
                     for (std::size_t e = 0; e < block.size(); ++e) check_full_model(block[e], documents, of_block[e]);
                     done(of_block, block);
                 });
}

inline std::vector<std::size_t> all_of(std::size_t count) {
    std::vector<std::size_t> all(count);
    std::iota(all.begin(), all.end(), std::size_t{0});
    return all;
}

/// Layers that the variants run of one document.
template <class W>
std::size_t layers_run(std::span<const variant<W>> variants, model_config const& config) {
    return variant_tree<W>(variants, config.block, config.layers).load().layers_run;
}

inline void add_counts(std::vector<patch_count>& all, std::span<const patch_count> more) {
    for (auto const& m : more) {
        const auto same = std::ranges::find_if(
            all, [&](patch_count const& c) { return c.variant == m.variant && c.point == m.point; });
        if (same == all.end())
            all.push_back(m);
        else
            same->values += m.values;
    }
}

} // namespace detail

/// What is left to do of what is chosen: rows that lack the same variants together, in the order of their first ones.
/// Errors: shape_error for a table of another number of variants; option_error for a variant that refers to none.
template <class W>
std::vector<missing_rows> rows_to_do(results_table const& table, std::span<const variant<W>> variants,
                                     run_choice const& choice = {}) {
    detail::check_size("rows_to_do", "variants", variants.size(), table.variants().size());
    const auto or_all = [](std::vector<std::size_t> const& chosen, std::size_t count) {
        return chosen.empty() ? detail::all_of(count) : chosen;
    };
    const auto wanted = or_all(choice.variants, variants.size());
    std::vector<missing_rows> pieces;
    for (const std::size_t n : or_all(choice.rows, table.documents())) {
        std::vector<std::size_t> missing;
        for (const std::size_t v : wanted)
            if (!table.is_finished(v, n)) missing.push_back(v);
        if (missing.empty()) continue;
        const auto same = std::ranges::find(pieces, missing, &missing_rows::variants);
        if (same != pieces.end())
            same->rows.push_back(n);
        else
            pieces.push_back(
                {{n}, missing, detail::with_what_they_need(std::span<const std::size_t>(missing), variants)});
    }
    return pieces;
}

/// Layers, of all variants and rows, that run_study will run: what its progress counts.   Errors: as rows_to_do and
/// variant_tree.
template <class W>
std::size_t layers_to_do(results_table const& table, std::span<const variant<W>> variants, model_config const& config,
                         run_choice const& choice = {}) {
    std::size_t layers = 0;
    for (auto const& piece : rows_to_do(table, variants, choice)) {
        const auto running = detail::chosen_variants(variants, std::span<const std::size_t>(piece.running));
        layers += piece.rows.size() * detail::layers_run(std::span<const variant<W>>(running), config);
    }
    return layers;
}

/// Fills the rows of the run's table that are missing, writing every finished block to the folder: see begin_run,
/// finish_run. variants[0] is the full model, and the table has a variant for each. Rows that were finished before stay
/// as they are. `progress(layers)` is called after each block with the number of layers that ran, of all its rows and
/// variants (see layers_to_do), and may throw. Returns how many values each patch replaced in what ran.
/// Errors: those of sweep and of the measurement; io_error when a part cannot be written; format_error where a loss of
/// the full model is not finite.
template <class Architecture, class W, class Variants, measurement_kind Kind>
std::vector<patch_count> run_study(
    transformer<Architecture, W> const& model, Variants const& variants, run_folder const& folder, run_results& run,
    sweep_cut cut, Kind const& kind, std::function<void(std::size_t)> const& progress = [](std::size_t) {},
    run_choice const& choice = {}) {
    const auto list = variants_of<W>(variants);
    results_table& table = run.table;
    std::vector<patch_count> replaced;
    for (auto const& piece : rows_to_do(table, list, choice)) {
        const auto running = detail::chosen_variants(list, std::span<const std::size_t>(piece.running));
        const std::size_t layers = detail::layers_run(std::span<const variant<W>>(running), model.config());
        const auto done = [&](std::span<const std::size_t> rows, auto block) {
            for (std::size_t i = 0; i < running.size(); ++i) {
                const std::size_t v = piece.running[i];
                if (std::ranges::find(piece.variants, v) == piece.variants.end()) continue;
                for (std::size_t e = 0; e < block.size(); ++e) {
                    results_row row(table, v, rows[e]);
                    block[e].write(i, row);
                    row.finish();
                }
                write_part(folder, table, v, rows);
            }
            progress(block.size() * layers);
        };
        detail::add_counts(replaced, detail::sweep_rows(model, std::span<const variant<W>>(running), run.documents,
                                                        std::span<const std::size_t>(piece.rows), cut, kind, done));
    }
    return replaced;
}

/// The same in memory, for programs that need no run folder: every variant on every document, or on the rows given.
/// variants[0] is the full model. on_documents(n) is called when n more documents are done, and may throw.
/// Errors: as run_study.
template <class Architecture, class W, class Variants, measurement_kind Kind>
results_table measure_run(
    transformer<Architecture, W> const& model, Variants const& variants, document_rows const& documents, sweep_cut cut,
    Kind const& kind, std::function<void(std::size_t)> const& on_documents = [](std::size_t) {},
    std::vector<std::size_t> const& only_rows = {}) {
    const auto list = variants_of<W>(variants);
    std::vector<std::string> names;
    auto kinds = results_table::kinds_of_methods(list.size());
    for (std::size_t v = 0; v < list.size(); ++v) {
        names.push_back(list[v].name);
        if (list[v].exit) kinds[v] = variant_kind::early_exit;
    }
    results_table table(kind.columns(), std::move(names), results_size::of(documents.ids, model.config().layers),
                        std::move(kinds));
    const auto done = [&](std::span<const std::size_t> rows, auto block) {
        for (std::size_t e = 0; e < block.size(); ++e)
            for (std::size_t v = 0; v < list.size(); ++v) {
                results_row row(table, v, rows[e]);
                block[e].write(v, row);
                row.finish();
            }
        on_documents(block.size());
    };
    const auto rows = only_rows.empty() ? detail::all_of(documents.size()) : only_rows;
    if (!rows.empty()) detail::sweep_rows(model, list, documents, std::span<const std::size_t>(rows), cut, kind, done);
    return table;
}

} // namespace bitlens
