#pragma once
/// What `bitlens locate` leaves in the folder of a study: locate.csv, and until it is complete RUN/locate/parts.

#include "bitlens/analysis/finished_study.hpp"
#include "bitlens/analysis/location.hpp"
#include "bitlens/core/error.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/report/csv.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/sweep/run_parts.hpp"
#include "bitlens/sweep/run_study.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
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
        return {size.variants, size.tokens - 1};
    }
    std::size_t bytes_of_one(measured_size size) const noexcept {
        return size.variants * ((size.tokens - 1) * sizeof(double) + sizeof(token_scores));
    }
};
static_assert(measurement_kind<location_losses>);

/// The folder within a study's that `bitlens locate` keeps its manifest and parts in, and its table beside it.
inline constexpr const char *location_folder = "locate", *location_table = "locate.csv";

namespace detail {

inline constexpr const char *set_column = "set", *large_word = "large", *ctrl_word = "ctrl";

/// Fills the rows of the table that the file has numbers of. An empty cell is a row that was not run, or a loss that is
/// not finite.   Errors: format_error naming file, line and column.
inline void read_location_table(csv_table const& file, document_rows const& documents, results_table& table) {
    std::vector<std::size_t> rows;
    const auto examples = file.counts("example");
    for (std::size_t line = 0; line < examples.size(); ++line) {
        const auto found = std::ranges::find(documents.rows, examples[line]);
        if (found == documents.rows.end()) file.refuse(line, file.column("example"), "a document of examples.csv");
        rows.push_back(static_cast<std::size_t>(found - documents.rows.begin()));
    }
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

inline std::vector<std::string> set_words(error_sets const& sets, std::size_t documents) {
    std::vector<std::string> words(documents);
    for (const std::size_t i : sets.large) words[i] = large_word;
    for (const std::size_t i : sets.ctrl) words[i] = ctrl_word;
    return words;
}

/// Whether any variant has run on the document.
inline bool is_located(results_table const& table, std::size_t row) {
    for (std::size_t v = 0; v < table.variants().size(); ++v)
        if (table.is_finished(v, row)) return true;
    return false;
}

/// The method of the study whose sets the file tells.   Errors: format_error where there is none.
inline std::size_t method_of_sets(csv_table const& file, finished_study const& s) {
    const auto examples = file.counts("example");
    const auto told = file.texts(set_column);
    for (std::size_t v = 0; v < s.sets.size(); ++v) {
        const auto words = set_words(s.sets[v], s.size());
        bool fits = true;
        for (std::size_t line = 0; line < told.size() && fits; ++line) {
            const auto row = std::ranges::find(s.run.documents.rows, examples[line]) - s.run.documents.rows.begin();
            fits = static_cast<std::size_t>(row) < s.size() && words[static_cast<std::size_t>(row)] == told[line];
        }
        if (fits) return v;
    }
    throw format_error(file.who() + ": column 'set' is expected to hold D_large and D_ctrl of a method of the study");
}

} // namespace detail

/// The variants of a study's folder, with all that earlier calls finished of them. The manifest is written.
/// Errors: as run_folder::agree, results_table and read_part; format_error for a locate.csv of other documents.
inline run_results begin_location(run_folder const& folder, run_manifest const& asked, finished_study const& s) {
    run_results run;
    run.manifest = folder.agree(asked);
    run.documents = s.run.documents.first(s.size());
    run.table = results_table(run.manifest.columns, variant_names(run.manifest.methods), s.run.table.size(),
                              variant_kinds(run.manifest.methods));
    folder.write_manifest(run.manifest);
    if (const auto path = folder.path() / location_table; std::filesystem::exists(path))
        detail::read_location_table(read_csv(path), run.documents, run.table);
    read_parts(folder, run.table);
    return run;
}

/// Writes RUN/locate.csv, a row for each document on which anything has run, in place of the parts.
/// sets: of the study's documents.   Errors: io_error.
inline void finish_location(run_folder const& folder, run_results const& run, error_sets const& sets) {
    const auto words = detail::set_words(sets, run.size());
    std::vector<std::string> names{"example", detail::set_column};
    const auto order = detail::csv_order(run.table);
    for (stored_column const* s : order) names.push_back(s->name);
    csv_writer csv(names);
    for (std::size_t n = 0; n < run.size(); ++n) {
        if (!detail::is_located(run.table, n)) continue;
        csv.count(run.documents.rows[n]).text(words[n]);
        for (stored_column const* s : order) std::isfinite(s->numbers[n]) ? csv.number(s->numbers[n]) : csv.empty();
        csv.end_row();
    }
    write_file_atomically(folder.path() / location_table, csv.bytes());
    folder.remove_parts();
}

/// What is known of where a study's errors arise; nothing where `bitlens locate` has not come to an end.
/// Errors: io_error; format_error naming the file and what is missing or wrong.
inline std::optional<located_run> read_location(std::filesystem::path const& folder, finished_study const& s) {
    const auto path = folder / location_table;
    std::error_code unknown;
    if (!std::filesystem::exists(path, unknown)) return std::nullopt;
    const auto manifest_path = folder / location_folder / "manifest.json";
    const run_manifest manifest = manifest_from(read_json_file(manifest_path), manifest_path.string());
    const csv_table file = read_csv(path);
    located_run run;
    try {
        run.table = results_table(manifest.columns, variant_names(manifest.methods), s.run.table.size(),
                                  variant_kinds(manifest.methods));
    } catch (option_error const& e) {
        throw format_error(manifest_path.string() + ": " + e.what());
    }
    detail::read_location_table(file, s.run.documents, run.table);
    run.sets_of = detail::method_of_sets(file, s);
    return run;
}

} // namespace bitlens
