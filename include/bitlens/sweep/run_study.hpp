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
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// What a measurement of one document is made for. Variants are those that run, the full model first.
struct measured_size {
    std::size_t variants, layers, tokens, width;
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

/// Rows first … first + count − 1, all of which lack the same variants, and what has to run for those: they, the full
/// model, which all are compared with, and whatever they fork from. Indices into the run's variants, rising.
struct missing_rows {
    std::size_t first = 0, count = 0;
    std::vector<std::size_t> variants, running;
};

namespace detail {

template <class W>
std::vector<std::size_t> with_ancestors(std::vector<std::size_t> const& wanted, std::span<const variant<W>> variants) {
    std::vector<bool> runs(variants.size(), false);
    runs[0] = true;
    for (std::size_t v : wanted)
        for (; !runs[v]; v = variants[v].parent) runs[v] = true;
    std::vector<std::size_t> running;
    for (std::size_t v = 0; v < runs.size(); ++v)
        if (runs[v]) running.push_back(v);
    return running;
}

/// Some variants of a tree that hold their parents, as a tree of its own.
template <class W>
std::vector<variant<W>> chosen_variants(std::span<const variant<W>> variants, std::span<const std::size_t> chosen) {
    std::vector<variant<W>> out;
    for (const std::size_t v : chosen) {
        out.push_back(variants[v]);
        out.back().parent =
            static_cast<std::size_t>(std::ranges::lower_bound(chosen, variants[v].parent) - chosen.begin());
    }
    return out;
}

/// A loss of the full model that is not finite leaves nothing to compare with.   Errors: format_error naming it.
template <class M>
void check_full_model(M& measured, document_rows const& documents, std::size_t row) {
    const auto nll = measured.scores()[0].nll;
    for (std::size_t t = 0; t < nll.size(); ++t)
        if (!std::isfinite(nll[t]))
            throw format_error("the full model's loss is not finite: " + documents.who(row) + ", position " +
                               std::to_string(t + 1) + "; its errors would mean nothing");
}

/// Runs `variants` on some of the rows and hands each finished block to done(first row, measurements).
template <class Architecture, class W, measurement_kind Kind, class Done>
void sweep_rows(transformer<Architecture, W> const& model, std::span<const variant<W>> variants,
                document_rows const& documents, missing_rows const& rows, sweep_cut cut, Kind const& kind,
                Done const& done) {
    model_config const& config = model.config();
    const measured_size size{variants.size(), config.layers, documents.ids.cols(), config.block.width};
    const auto make = [&](std::size_t n) { return kind.make(size, rows.first + n); };
    using measured = std::invoke_result_t<decltype(make) const&, std::size_t>;
    sweep(model, variants, documents.ids.view().middle_rows(rows.first, rows.count), cut, make,
          [&](std::size_t first, std::span<measured> block) {
              for (std::size_t e = 0; e < block.size(); ++e)
                  check_full_model(block[e], documents, rows.first + first + e);
              done(rows.first + first, block);
          });
}

} // namespace detail

/// What is left to do, in order of the rows. Rows that lack nothing are in no piece.
/// Errors: shape_error for a table of another number of variants.
template <class W>
std::vector<missing_rows> rows_to_do(results_table const& table, std::span<const variant<W>> variants) {
    detail::check_size("rows_to_do", "variants", variants.size(), table.variants().size());
    std::vector<missing_rows> pieces;
    for (std::size_t n = 0; n < table.documents(); ++n) {
        std::vector<std::size_t> missing;
        for (std::size_t v = 0; v < variants.size(); ++v)
            if (!table.is_finished(v, n)) missing.push_back(v);
        if (missing.empty()) continue;
        if (!pieces.empty() && pieces.back().first + pieces.back().count == n && pieces.back().variants == missing)
            ++pieces.back().count;
        else
            pieces.push_back({n, 1, missing, detail::with_ancestors(missing, variants)});
    }
    return pieces;
}

/// Fills the rows of the run's table that are missing, writing every finished block to the folder: see begin_run,
/// finish_run. variants[0] is the full model, and the table has a variant for each. Rows that were finished before stay
/// as they are. `progress(runs)` is called after each block with the number of rows × variants that ran, and may throw.
/// Errors: those of sweep and of the measurement; io_error when a part cannot be written; format_error where a loss of
/// the full model is not finite.
template <class Architecture, class W, class Variants, measurement_kind Kind>
void run_study(
    transformer<Architecture, W> const& model, Variants const& variants, run_folder const& folder, run_results& run,
    sweep_cut cut, Kind const& kind, std::function<void(std::size_t)> const& progress = [](std::size_t) {}) {
    const auto list = variants_of<W>(variants);
    results_table& table = run.table;
    for (auto const& piece : rows_to_do(table, list)) {
        const auto running = detail::chosen_variants(list, std::span<const std::size_t>(piece.running));
        const auto done = [&](std::size_t first, auto block) {
            for (std::size_t i = 0; i < running.size(); ++i) {
                const std::size_t v = piece.running[i];
                if (table.is_finished(v, first)) continue;
                for (std::size_t e = 0; e < block.size(); ++e) {
                    results_row row(table, v, first + e);
                    block[e].write(i, row);
                    row.finish();
                }
                write_part(folder, table, v, first, block.size());
            }
            progress(block.size() * running.size());
        };
        detail::sweep_rows(model, std::span<const variant<W>>(running), run.documents, piece, cut, kind, done);
    }
}

/// The same in memory, for programs that need no run folder: every variant on every document. variants[0] is the full
/// model. on_documents(n) is called when n more documents are done, and may throw.   Errors: as run_study.
template <class Architecture, class W, class Variants, measurement_kind Kind>
results_table measure_run(
    transformer<Architecture, W> const& model, Variants const& variants, document_rows const& documents, sweep_cut cut,
    Kind const& kind, std::function<void(std::size_t)> const& on_documents = [](std::size_t) {}) {
    const auto list = variants_of<W>(variants);
    std::vector<std::string> names;
    for (auto const& v : list) names.push_back(v.name);
    results_table table(kind.columns(), std::move(names),
                        {documents.size(), model.config().layers, documents.positions()});
    const auto done = [&](std::size_t first, auto block) {
        for (std::size_t e = 0; e < block.size(); ++e)
            for (std::size_t v = 0; v < list.size(); ++v) {
                results_row row(table, v, first + e);
                block[e].write(v, row);
                row.finish();
            }
        on_documents(block.size());
    };
    if (documents.size() > 0)
        detail::sweep_rows(model, list, documents, {0, documents.size(), {}, {}}, cut, kind, done);
    return table;
}

} // namespace bitlens
