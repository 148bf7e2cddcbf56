#pragma once
/// What `bitlens locate` leaves in the folder of a study: locate.csv, and until it is complete RUN/locate/parts.

#include "bitlens/analysis/finished_study.hpp"
#include "bitlens/analysis/location.hpp"
#include "bitlens/core/error.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/report/csv.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/sweep/run_parts.hpp"
#include "bitlens/sweep/run_study.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// Losses of one document under many variants, and nothing else.
class location_measurement {
public:
    location_measurement(std::size_t variants, std::size_t positions) : nll_(variants, std::vector<double>(positions)) {
        for (auto& nll : nll_) views_.push_back({nll, {}, {}, {}});
    }
    template <class F>
    void with_probe(std::size_t, F const& f) {
        no_probe nobody;
        f(nobody);
    }
    std::span<const token_scores> scores() noexcept { return views_; }
    void write(std::size_t v, results_row& row) const {
        row.number(row.kind() == variant_kind::early_exit ? "exit" : "nll", mean<double>(nll_[v]));
    }

private:
    std::vector<std::vector<double>> nll_;
    std::vector<token_scores> views_;
};

/// What `bitlens locate` measures of every document.
struct location_losses {
    std::vector<column> columns() const {
        const std::string nats = "nats per token";
        return {{"nll", column_shape::document, column_owner::each_variant, nats,
                 "mean over the scored positions of -log p(next token)"},
                {"exit", column_shape::document, column_owner::each_exit, nats,
                 "the same of a state on its way up, through the last norm and the head"}};
    }
    location_measurement make(measured_size size, std::size_t /*document*/) const {
        return {size.variants, size.scored()};
    }
    std::size_t bytes_of_one(measured_size size) const noexcept {
        return size.variants * ((size.tokens - 1) * sizeof(double) + sizeof(token_scores));
    }
};
static_assert(measurement_kind<location_losses>);

/// The folder within a study's that `bitlens locate` keeps its manifest and parts in, and its table beside it.
inline constexpr const char *location_folder = "locate", *location_table = "locate.csv";

namespace detail {

inline constexpr const char *example_column = "example", *set_column = "set", *large_word = "large",
                            *ctrl_word = "ctrl";

/// The row of the study that each line of the file is about.   Errors: format_error naming file and line for a document
/// that the study does not have, or that has a line already.
inline std::vector<std::size_t> rows_of_lines(csv_table const& file, document_rows const& documents) {
    std::map<std::uint64_t, std::size_t> left;
    for (std::size_t n = 0; n < documents.size(); ++n) left.emplace(documents.rows[n], n);
    std::vector<std::size_t> rows;
    for (const std::uint64_t example : file.counts(example_column)) {
        const auto found = left.find(example);
        if (found == left.end())
            file.refuse(rows.size(), file.column(example_column), "a document of examples.csv that has no other line");
        rows.push_back(found->second);
        left.erase(found);
    }
    return rows;
}

/// Fills the rows of the table that the file has numbers of. An empty cell is a row that was not run, or a loss that is
/// not finite.   Errors: format_error naming file, line and column; for a column that the table does not have.
inline void read_location_table(csv_table const& file, document_rows const& documents, results_table& table) {
    for (auto const& name : file.columns())
        if (name != example_column && name != set_column && table.find(name, column_shape::document) == nullptr)
            throw format_error(file.who() + ": column '" + visible_text(name) + "' belongs to no variant of " +
                               location_folder + "/manifest.json");
    const auto rows = rows_of_lines(file, documents);
    for (stored_column& s : table.columns()) {
        if (!file.has(s.name)) continue;
        const auto numbers = file.optional_numbers(s.name);
        for (std::size_t line = 0; line < rows.size(); ++line) {
            if (!numbers[line]) continue;
            if (std::abs(*numbers[line]) > largest_number)
                file.refuse(line, file.column(s.name), "a number of at most 1e80");
            s.numbers[rows[line]] = *numbers[line];
            table.set_finished(s.variant, rows[line]);
        }
    }
}

/// A table of those variants whose columns the file has: the manifest may name others, of a call that has not come to
/// its end.   Errors: format_error where the file has none of the full model; option_error for a manifest whose columns
/// are not of documents, or as results_table.
inline results_table table_of_columns(csv_table const& file, run_manifest const& manifest, results_size size) {
    for (column const& c : manifest.columns) {
        if (c.shape != column_shape::document)
            throw option_error("column " + in_quotes(c.name) + " is per " + std::string(name(c.shape)) +
                               ", expected per document");
        if (c.is_of(variant_kind::full_model)) file.column(c.stored_name(full_model_name));
    }
    std::vector<run_method> there;
    for (run_method const& m : manifest.methods) {
        const auto kind = m.ends_early ? variant_kind::early_exit : variant_kind::method;
        std::size_t expected = 0, found = 0;
        for (column const& c : manifest.columns) {
            if (!c.is_of(kind)) continue;
            ++expected;
            if (file.has(c.stored_name(m.name))) ++found;
        }
        if (expected > 0 && found == expected) there.push_back(m);
    }
    return results_table(manifest.columns, variant_names(there), size, variant_kinds(there));
}

inline std::vector<std::string> set_words(error_sets const& sets, std::size_t documents) {
    std::vector<std::string> words(documents);
    for (const std::size_t i : sets.large) words[i] = large_word;
    for (const std::size_t i : sets.ctrl) words[i] = ctrl_word;
    return words;
}

/// Whether any variant has run on the document, and whether the variant has on any.
inline bool is_located(results_table const& table, std::size_t row) {
    for (std::size_t v = 0; v < table.variants().size(); ++v)
        if (table.is_finished(v, row)) return true;
    return false;
}
inline bool has_run(results_table const& table, std::size_t variant) {
    for (std::size_t n = 0; n < table.documents(); ++n)
        if (table.is_finished(variant, n)) return true;
    return false;
}

/// The first method of the study whose sets the file tells.   Errors: format_error where there is none.
inline std::size_t method_of_sets(csv_table const& file, finished_study const& s) {
    const auto rows = rows_of_lines(file, s.run.documents);
    const auto told = file.texts(set_column);
    for (std::size_t v = 0; v < s.sets.size(); ++v) {
        const auto words = set_words(s.sets[v], s.size());
        bool fits = true;
        for (std::size_t line = 0; line < told.size() && fits; ++line) fits = words[rows[line]] == told[line];
        if (fits) return v;
    }
    throw format_error(file.who() + ": column 'set' is expected to hold D_large and D_ctrl of a method of the study");
}

} // namespace detail

/// The variants of a study's folder, with all that earlier calls finished of them. Nothing is written: see
/// run_folder::write_manifest.
/// Errors: as run_folder::agree, results_table and read_part; format_error for a locate.csv of other documents or
/// variants, or one without its manifest.
inline run_results begin_location(run_folder const& folder, run_manifest const& asked, finished_study const& s) {
    run_results run;
    run.manifest = folder.agree(asked);
    run.documents = s.run.documents.first(s.size());
    run.table = results_table(run.manifest.columns, variant_names(run.manifest.methods), s.run.table.size(),
                              variant_kinds(run.manifest.methods));
    const auto path = folder.path() / location_table;
    if (is_there(path)) {
        if (!folder.manifest())
            throw format_error(path.string() + ": there is no " + location_folder +
                               "/manifest.json, which says what its columns are; both are expected, or neither");
        detail::read_location_table(read_csv(path), run.documents, run.table);
    }
    if (folder.has_parts()) read_parts(folder, run.table);
    return run;
}

/// Writes RUN/locate.csv, a row for each document on which anything has run and a column for each variant that has, in
/// place of the parts. Columns that it had stay.   sets: of the study's documents.   Errors: io_error; as read_csv.
inline void finish_location(run_folder const& folder, run_results const& run, error_sets const& sets) {
    const auto path = folder.path() / location_table;
    std::optional<csv_table> before;
    if (is_there(path)) before = read_csv(path);
    const auto words = detail::set_words(sets, run.size());
    std::vector<std::string> names{detail::example_column, detail::set_column};
    auto order = detail::csv_order(run.table);
    std::erase_if(order, [&](stored_column const* s) {
        return !detail::has_run(run.table, s->variant) && !(before && before->has(s->name));
    });
    for (stored_column const* s : order) names.push_back(s->name);
    csv_writer csv(names);
    for (std::size_t n = 0; n < run.size(); ++n) {
        if (!detail::is_located(run.table, n)) continue;
        csv.count(run.documents.rows[n]).text(words[n]);
        for (stored_column const* s : order) std::isfinite(s->numbers[n]) ? csv.number(s->numbers[n]) : csv.empty();
        csv.end_row();
    }
    write_file_atomically(path, csv.bytes());
    folder.remove_parts();
}

/// What is known of where a study's errors arise; nothing where `bitlens locate` has not come to an end.
/// Errors: io_error; format_error naming the file and what is missing or wrong.
inline std::optional<located_run> read_location(std::filesystem::path const& folder, finished_study const& s) {
    const auto path = folder / location_table;
    if (!is_there(path)) return std::nullopt;
    const auto manifest_path = folder / location_folder / "manifest.json";
    const run_manifest manifest = manifest_from(read_json_file(manifest_path), manifest_path.string());
    const csv_table file = read_csv(path);
    located_run run;
    try {
        run.table = detail::table_of_columns(file, manifest, s.run.table.size());
    } catch (option_error const& e) {
        throw format_error(manifest_path.string() + ": " + e.what());
    }
    detail::read_location_table(file, s.run.documents, run.table);
    run.sets_of = detail::method_of_sets(file, s);
    return run;
}

} // namespace bitlens
