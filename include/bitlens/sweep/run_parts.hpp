#pragma once
/// The finished blocks of a run on disk: rows of one variant's columns, until the run is complete.

#include "bitlens/core/error.hpp"
#include "bitlens/io/npz.hpp"
#include "bitlens/sweep/results_table.hpp"
#include "bitlens/sweep/run_folder.hpp"
#include "bitlens/sweep/run_results.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// The arrays of a part are named by shape and column: "layer.norm_r" (L, count), "position.nll" (count, T).
inline std::string part_array(column const& c) { return std::string(name(c.shape)) + "." + c.name; }

/// f(the list that holds the numbers of a column).
template <class Column, class F>
void with_list(Column& s, F const& f) {
    if (s.declared.shape != column_shape::position)
        f(s.numbers);
    else if (s.declared.holds_ids)
        f(s.ids);
    else
        f(s.scores);
}

/// How a part holds rows of a column: its array's shape, and where its stretches of neighbouring numbers begin in the
/// list of all.
struct part_layout {
    std::array<std::size_t, 2> shape;
    std::vector<std::size_t> stretches;
    std::size_t stretch; // numbers of each

    part_layout(stored_column const& s, results_table const& table, std::span<const std::size_t> rows) {
        if (s.declared.shape == column_shape::position) {
            shape = {rows.size(), table.positions()};
            stretch = table.positions();
            for (const std::size_t row : rows) stretches.push_back(row * stretch);
        } else {
            shape = {table.layers_of(s), rows.size()};
            stretch = 1;
            for (std::size_t k = 0; k < shape[0]; ++k)
                for (const std::size_t row : rows) stretches.push_back(k * table.documents() + row);
        }
    }
};

inline constexpr const char* part_rows = "rows"; // of a part whose rows are no neighbours

inline std::vector<std::size_t> neighbours(std::size_t first, std::size_t count) {
    std::vector<std::size_t> rows(count);
    std::iota(rows.begin(), rows.end(), first);
    return rows;
}

/// The rows of a part.   Errors: format_error for rows that the run does not have, or do not rise from the first.
inline std::vector<std::size_t> rows_of(run_part const& part, npz_reader const& file, std::size_t documents) {
    if (part.first > documents || part.count > documents - part.first)
        throw format_error(part.path.string() + ": rows up to " + std::to_string(part.first + part.count) +
                           ", expected at most " + std::to_string(documents));
    if (!file.contains(part_rows)) return neighbours(part.first, part.count);
    std::vector<std::size_t> rows;
    const npy_array array = file.array(part_rows);
    for (const std::int32_t row : read_rows<std::int32_t>(array, 1, part.count)) {
        const bool fits =
            row >= 0 && static_cast<std::size_t>(row) < documents &&
            (rows.empty() ? static_cast<std::size_t>(row) == part.first : static_cast<std::size_t>(row) > rows.back());
        if (!fits)
            throw format_error(array.who + ": row " + std::to_string(row) + ", expected rows that rise from " +
                               std::to_string(part.first) + " and are below " + std::to_string(documents));
        rows.push_back(static_cast<std::size_t>(row));
    }
    return rows;
}

} // namespace detail

/// Writes some rows of a variant, rising, as a part of the run.   Errors: io_error.
inline void write_part(run_folder const& folder, results_table const& table, std::size_t variant,
                       std::span<const std::size_t> rows) {
    BITLENS_ASSERT(!rows.empty());
    npz_writer part(folder.part_path(table.variants()[variant], rows[0], rows.size()));
    if (rows.back() - rows[0] + 1 != rows.size()) {
        const std::vector<std::int32_t> numbers(rows.begin(), rows.end());
        part.add<std::int32_t>(detail::part_rows, std::array{std::size_t{1}, rows.size()}, numbers);
    }
    for (stored_column const& s : table.columns()) {
        if (s.variant != variant) continue;
        const detail::part_layout layout(s, table, rows);
        detail::with_list(s, [&]<class T>(std::vector<T> const& all) {
            std::vector<T> numbers;
            for (const std::size_t from : layout.stretches)
                numbers.insert(numbers.end(), all.begin() + static_cast<std::ptrdiff_t>(from),
                               all.begin() + static_cast<std::ptrdiff_t>(from + layout.stretch));
            part.add<T>(detail::part_array(s.declared), layout.shape, numbers);
        });
    }
    part.finish();
}

/// Reads a part into the rows it stands for.   Errors: format_error when it has other rows or columns than the run.
inline void read_part(run_part const& part, results_table& table, std::size_t variant) {
    const npz_reader file(part.path);
    const auto rows = detail::rows_of(part, file, table.documents());
    for (stored_column& s : table.columns()) {
        if (s.variant != variant) continue;
        const npy_array array = file.array(detail::part_array(s.declared));
        const detail::part_layout layout(s, table, rows);
        detail::with_list(s, [&]<class T>(std::vector<T>& all) {
            const auto values = detail::read_rows<T>(array, layout.shape[0], layout.shape[1]);
            auto next = values.begin();
            for (const std::size_t from : layout.stretches) {
                const auto end = next + static_cast<std::ptrdiff_t>(layout.stretch);
                std::copy(next, end, all.begin() + static_cast<std::ptrdiff_t>(from));
                next = end;
            }
        });
    }
    for (const std::size_t row : rows) table.set_finished(variant, row);
}

/// What the parts of an interrupted run hold of each variant.   Errors: as read_part.
inline void read_parts(run_folder const& folder, results_table& table) {
    for (std::size_t v = 0; v < table.variants().size(); ++v) {
        bool complete = true;
        for (std::size_t n = 0; n < table.documents(); ++n) complete = complete && table.is_finished(v, n);
        if (complete) continue;
        for (auto const& part : folder.parts(table.variants()[v])) read_part(part, table, v);
    }
}

/// What the tables of a complete run and the parts of an interrupted one hold of each variant.
/// Errors: format_error naming file and column for tables that are not of this run.
inline void read_finished(run_folder const& folder, results_table& table) {
    if (has_run_tables(folder.path())) read_run_tables(folder.path(), table);
    read_parts(folder, table);
}

/// A run of these documents in its folder, with all that earlier calls finished of it. The manifest is written, with
/// what the folder agrees to and the keys that the documents keep. Where it says how many positions there are, each
/// document has numbers of so many, else of its scored ones.
/// Errors: as run_folder::agree, check_kept, results_table and read_finished; io_error.
inline run_results begin_run(run_folder const& folder, run_manifest asked, document_rows documents,
                             std::size_t layers) {
    asked.kept = names_of(documents.kept);
    run_results run;
    run.manifest = folder.agree(std::move(asked));
    run.table = results_table(run.manifest.columns, variant_names(run.manifest.methods),
                              size_of_run(run.manifest, documents, layers), variant_kinds(run.manifest.methods));
    check_kept(run.manifest.kept, run.table);
    run.documents = std::move(documents);
    folder.write_manifest(run.manifest);
    read_finished(folder, run.table);
    return run;
}

/// Writes the tables of a complete run, where an earlier call has not, in place of its parts.
/// text_of(id): the bytes that an id stands for.   Errors: io_error.
template <class TextOf>
void finish_run(run_folder const& folder, run_results& run, TextOf const& text_of) {
    BITLENS_ASSERT(run.table.is_complete());
    run.texts = token_texts(ids_of(run.documents, run.table), text_of);
    // Parts that are still there belong to tables that a kill kept from being written.
    if (folder.has_parts()) write_run_tables(folder.path(), run.documents, run.table, run.texts);
    folder.remove_parts();
}

} // namespace bitlens
