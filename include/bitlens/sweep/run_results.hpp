#pragma once
/// run_results: all of a run but its model: what it is, its documents, its table. In memory, and in the run's folder.

#include "bitlens/core/error.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/io/npz.hpp"
#include "bitlens/report/csv.hpp"
#include "bitlens/sweep/document_rows.hpp"
#include "bitlens/sweep/manifest.hpp"
#include "bitlens/sweep/results_table.hpp"
#include "bitlens/sweep/token_texts.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iterator>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// Row i of the table, of the documents and of all files is the same document.
struct run_results {
    run_manifest manifest;
    document_rows documents;
    results_table table;
    token_texts texts;
    std::vector<std::string> unfinished; // methods of the manifest for which the files have nothing yet

    std::size_t size() const noexcept { return documents.size(); }
    std::size_t layers() const noexcept { return table.layers(); }
    /// Of the table, in its order; variant v of the table is methods()[v − 1].
    std::vector<run_method> methods() const {
        std::vector<run_method> found;
        for (run_method const& m : manifest.methods)
            if (std::ranges::find(unfinished, m.name) == unfinished.end()) found.push_back(m);
        return found;
    }
};

/// The names of a run's variants: the full model's, then those of the methods.
inline std::vector<std::string> variant_names(std::span<const run_method> methods) {
    std::vector<std::string> names{std::string(full_model_name)};
    for (run_method const& m : methods) names.push_back(m.name);
    return names;
}

/// And their kinds.
inline std::vector<variant_kind> variant_kinds(std::span<const run_method> methods) {
    std::vector<variant_kind> kinds{variant_kind::full_model};
    for (run_method const& m : methods) kinds.push_back(m.ends_early ? variant_kind::early_exit : variant_kind::method);
    return kinds;
}

/// Every id of the documents and of the table's columns of ids.
inline std::vector<std::int32_t> ids_of(document_rows const& documents, results_table const& table) {
    std::vector<std::int32_t> all(documents.ids.all().begin(), documents.ids.all().end());
    for (stored_column const& s : table.columns()) all.insert(all.end(), s.ids.begin(), s.ids.end());
    std::erase(all, token_rows::no_token);
    return all;
}

/// Of the table of a run.
inline results_size size_of_run(run_manifest const& manifest, document_rows const& documents, std::size_t layers) {
    return manifest.positions ? results_size{documents.size(), layers, *manifest.positions, {}}
                              : results_size::of(documents.ids, layers);
}

/// Errors: io_error; format_error as csv_table.
inline csv_table read_csv(std::filesystem::path const& path) {
    const mapped_file file(path);
    return {as_text(file.bytes()), path.string()};
}

/// The names of the keys that documents keep.
inline std::vector<std::string> names_of(std::span<const kept_values> kept) {
    std::vector<std::string> names;
    for (kept_values const& k : kept) names.push_back(k.name);
    return names;
}

namespace detail {

/// What examples.csv says of each document before anything is measured; kept keys stand after the first three. The last
/// is there where documents have prompts: how many of a row's tokens, its last ones, are scored.
inline constexpr std::string_view scored_column = "scored_tokens";
inline constexpr std::array<std::string_view, 6> document_columns{"example", "id",    "topic",
                                                                  "tokens",  "bytes", scored_column};

} // namespace detail

/// Whether keys of the data can be columns of examples.csv beside those of the table.   Errors: option_error naming a
/// key that has no name, occurs twice, or is called like another column.
inline void check_kept(std::span<const std::string> kept, results_table const& table) {
    std::set<std::string, std::less<>> taken(detail::document_columns.begin(), detail::document_columns.end());
    for (stored_column const& s : table.columns())
        if (s.declared.shape != column_shape::position)
            for (std::size_t k = 0; k < table.layers_of(s); ++k) taken.insert(results_table::csv_name(s, k));
    std::set<std::string, std::less<>> names;
    for (auto const& key : kept) {
        if (key.empty()) throw option_error("keys to keep: a key without a name cannot name a column");
        if (taken.contains(key))
            throw option_error("keys to keep: " + in_quotes(key) + " is a column of examples.csv already");
        if (!names.insert(key).second) throw option_error("keys to keep: " + in_quotes(key) + " is named twice");
    }
}

namespace detail {

inline constexpr const char *examples_name = "examples.csv", *tokens_name = "tokens.npz";

/// Numbers of documents, then those of layers: all variants of a column side by side.
inline std::vector<stored_column const*> csv_order(results_table const& table) {
    std::vector<stored_column const*> order;
    for (const column_shape shape : {column_shape::document, column_shape::layer})
        for (column const& c : table.declared())
            for (auto const& variant : table.variants())
                if (c.shape == shape)
                    if (auto const* const s = table.find(c.stored_name(variant), shape);
                        s && table.variants()[s->variant] == variant)
                        order.push_back(s);
    return order;
}

inline std::string examples_csv(document_rows const& documents, results_table const& table) {
    const auto order = csv_order(table);
    const bool has_prompts = documents.ids.has_prompts();
    std::vector<std::string> names(document_columns.begin(), document_columns.end() - (has_prompts ? 0 : 1));
    const auto kept = names_of(documents.kept);
    names.insert(names.begin() + 3, kept.begin(), kept.end());
    for (stored_column const* s : order)
        for (std::size_t k = 0; k < table.layers_of(*s); ++k) names.push_back(results_table::csv_name(*s, k));
    csv_writer csv(names);
    for (std::size_t n = 0; n < documents.size(); ++n) {
        csv.count(documents.rows[n]).text(documents.names[n]).text(documents.topics[n]);
        for (kept_values const& k : documents.kept) csv.text(k.values[n]);
        csv.count(documents.ids.tokens(n));
        documents.bytes[n] ? csv.count(*documents.bytes[n]) : csv.empty();
        if (has_prompts) csv.count(documents.ids.scored(n).count());
        for (stored_column const* s : order)
            for (std::size_t k = 0; k < table.layers_of(*s); ++k) {
                const double x = s->numbers[k * documents.size() + n];
                std::isfinite(x) ? csv.number(x) : csv.empty();
            }
        csv.end_row();
    }
    return csv.bytes();
}

inline void expect_shape(npy_array const& array, std::size_t rows, std::size_t cols) {
    if (array.shape != std::vector{rows, cols})
        throw format_error(array.who + ": shape " + shape_text(array.shape) + ", expected " +
                           shape_text(std::vector{rows, cols}));
}

/// Errors: format_error naming file and array for another shape or type.
template <class T>
std::vector<T> read_rows(npy_array const& array, std::size_t rows, std::size_t cols) {
    expect_shape(array, rows, cols);
    return array.template values<T>();
}

/// No run holds more than the square of any float; and sums and squares of such numbers are finite.
inline constexpr double largest_number = 1e80;

/// Fills the columns of `table` that are of `variant` from the files of a complete run.
/// Errors: format_error naming the file, and the column, line or array that is missing or wrong.
inline void read_variant(csv_table const& examples, npz_reader const& tokens, results_table& table,
                         std::size_t variant) {
    for (stored_column& s : table.columns()) {
        if (s.variant != variant) continue;
        if (s.declared.shape == column_shape::position) {
            const npy_array array = tokens.array(s.name);
            if (s.declared.holds_ids)
                s.ids = read_rows<std::int32_t>(array, table.documents(), table.positions());
            else
                s.scores = read_rows<float>(array, table.documents(), table.positions());
            continue;
        }
        for (std::size_t k = 0; k < table.layers_of(s); ++k) {
            const std::string name = results_table::csv_name(s, k);
            const auto numbers = examples.optional_numbers(name);
            for (std::size_t n = 0; n < numbers.size(); ++n) {
                if (numbers[n] && std::abs(*numbers[n]) > largest_number)
                    examples.refuse(n, examples.column(name), "a number of at most 1e80");
                s.numbers[k * table.documents() + n] = numbers[n].value_or(undefined_number);
            }
        }
    }
    for (std::size_t n = 0; n < table.documents(); ++n) table.set_finished(variant, n);
}

/// Whether the files of a run hold the results of a method: always, where nothing is measured of methods.
inline bool holds_method(csv_table const& examples, npz_reader const& tokens, std::span<const column> columns,
                         std::string const& method, variant_kind kind) {
    if (std::ranges::count(columns, column_owner::full_model, &column::owner) == std::ssize(columns)) return true;
    return std::ranges::any_of(columns, [&](column const& c) {
        if (c.owner == column_owner::full_model || !c.is_of(kind)) return false;
        const std::string name = c.stored_name(method);
        if (c.shape == column_shape::position) return tokens.contains(name);
        return examples.has(c.shape == column_shape::layer ? layer_column(name, 0) : name);
    });
}

/// Whether a column of examples.csv is a key of the data.
inline bool is_kept(run_manifest const& manifest, std::string_view column) {
    return std::ranges::find(manifest.kept, column) != manifest.kept.end();
}

/// As many layers as the first column of layers has.
inline std::size_t layers_of(csv_table const& examples, run_manifest const& manifest,
                             std::span<const std::string> variants, std::span<const variant_kind> kinds) {
    for (column const& c : manifest.columns)
        for (std::size_t v = 0; v < variants.size(); ++v) {
            if (c.shape != column_shape::layer || !c.is_of(kinds[v])) continue;
            const std::string name = c.stored_name(variants[v]);
            examples.column(layer_column(name, 0)); // a model has a layer
            std::size_t layers = 1;
            for (std::string next = layer_column(name, layers); examples.has(next) && !is_kept(manifest, next);
                 next = layer_column(name, layers))
                ++layers;
            return layers;
        }
    return 0;
}

/// Refuses what results_table would make room for and the files do not hold.
inline void check_columns(csv_table const& examples, npz_reader const& tokens, std::span<const column> columns,
                          std::span<const std::string> variants, std::span<const variant_kind> kinds,
                          results_size const& size) {
    for (column const& c : columns)
        for (std::size_t v = 0; v < variants.size(); ++v) {
            if (!c.is_of(kinds[v])) continue;
            const std::string name = c.stored_name(variants[v]);
            if (c.shape == column_shape::position)
                expect_shape(tokens.array(name), size.documents, size.positions);
            else
                examples.column(c.shape == column_shape::layer ? layer_column(name, 0) : name);
        }
}

/// Refuses numbers of a method that the manifest does not know.
inline void check_methods(csv_table const& examples, run_manifest const& manifest) {
    for (column const& c : manifest.columns) {
        if (c.shape != column_shape::document || c.owner != column_owner::each_variant) continue;
        for (auto const& name : examples.columns()) {
            if (!name.starts_with(c.name + "_") || is_kept(manifest, name)) continue;
            const auto variant = name.substr(c.name.size() + 1);
            if (variant != full_model_name &&
                std::ranges::find(manifest.methods, variant, &run_method::name) == manifest.methods.end())
                throw format_error(examples.who() + ": column '" + visible_text(name) +
                                   "' belongs to no method of manifest.json");
        }
    }
}

/// ids (N, longest), padded.   Errors: format_error where lengths are not those of the ids.
inline token_rows read_token_rows(csv_table const& examples, npy_array const& ids) {
    const std::size_t longest = ids.shape[1];
    const auto values = ids.values<std::int32_t>();
    const auto lengths = examples.counts("tokens");
    token_rows all;
    for (std::size_t n = 0; n < lengths.size(); ++n) {
        const auto padded = std::span(values).subspan(n * longest, longest);
        const auto end = std::ranges::find(padded, token_rows::no_token);
        if (static_cast<std::size_t>(end - padded.begin()) != lengths[n])
            examples.refuse(n, examples.column("tokens"), std::to_string(end - padded.begin()) + " as in " + ids.who);
        if (std::any_of(end, padded.end(), [](std::int32_t id) { return id != token_rows::no_token; }))
            throw format_error(ids.who + ": row " + std::to_string(n) + ": ids after the -1 that ends it");
        if (lengths[n] < 2) throw format_error(ids.who + ": row " + std::to_string(n) + " without a scored token");
        std::size_t prompt = 1;
        if (examples.has(scored_column)) {
            const std::size_t place = examples.column(scored_column);
            const std::uint64_t scored = examples.count(n, place);
            if (scored == 0 || scored >= lengths[n])
                examples.refuse(n, place, "from 1 to " + std::to_string(lengths[n] - 1) + " of its tokens");
            prompt = lengths[n] - scored;
        }
        all.add(padded.first(lengths[n]), prompt);
    }
    if (all.longest() != longest && all.size() > 0)
        throw format_error(ids.who + ": rows of " + std::to_string(longest) + " ids, of which the longest uses " +
                           std::to_string(all.longest()));
    return all;
}

inline document_rows read_documents(csv_table const& examples, npz_reader const& tokens,
                                    std::span<const std::string> kept) {
    document_rows d;
    const npy_array ids = tokens.array("ids");
    if (ids.shape.size() != 2 || ids.shape[0] != examples.rows())
        throw format_error(ids.who + ": shape " + shape_text(ids.shape) + ", expected one row for each of the " +
                           std::to_string(examples.rows()) + " rows of " + examples.who());
    d.ids = read_token_rows(examples, ids);
    for (const std::uint64_t row : examples.counts("example")) d.rows.push_back(row);
    d.names = examples.texts("id");
    d.topics = examples.texts("topic");
    for (auto const& key : kept) d.kept.push_back({key, examples.texts(key)});
    const std::size_t bytes = examples.column("bytes");
    for (std::size_t n = 0; n < examples.rows(); ++n)
        d.bytes.push_back(examples.text(n, bytes).empty() ? std::nullopt : std::optional(examples.count(n, bytes)));
    return d;
}

} // namespace detail

/// Writes RUN/tokens.npz, then RUN/examples.csv; a run whose examples.csv names a method has all of that method.
/// A number that is not finite is an empty cell.   Errors: io_error; as check_kept; shape_error for another number of
/// kept values than of documents.
inline void write_run_tables(std::filesystem::path const& folder, document_rows const& documents,
                             results_table const& table, token_texts const& texts) {
    check_kept(names_of(documents.kept), table);
    for (kept_values const& k : documents.kept)
        if (k.values.size() != documents.size())
            throw shape_error("write_run_tables: " + std::to_string(k.values.size()) + " values of the key " +
                              in_quotes(k.name) + ", expected " + std::to_string(documents.size()));
    npz_writer file(folder / detail::tokens_name);
    const auto shape = [&](std::size_t cols) { return std::array{documents.size(), cols}; };
    const auto ids = documents.ids.padded();
    file.add<std::int32_t>("ids", shape(ids.cols()), ids.span());
    for (stored_column const& s : table.columns()) {
        if (s.declared.shape != column_shape::position) continue;
        if (s.declared.holds_ids)
            file.add<std::int32_t>(s.name, shape(table.positions()), s.ids);
        else
            file.add<float>(s.name, shape(table.positions()), s.scores);
    }
    texts.write(file);
    file.finish();
    write_file_atomically(folder / detail::examples_name, detail::examples_csv(documents, table));
}

/// Says before a run that its tables could not be written.   Errors: io_error.
inline void expect_tables_writable(std::filesystem::path const& folder) {
    for (const char* name : {detail::tokens_name, detail::examples_name}) expect_writable(folder / name);
}

/// Whether a run of the folder has come to its end.
inline bool has_run_tables(std::filesystem::path const& folder) { return is_there(folder / detail::examples_name); }

/// What the tables of the folder hold of the table's variants; the others stay as they are.
/// Errors: io_error; format_error naming file and column for tables that are not of this run.
inline void read_run_tables(std::filesystem::path const& folder, results_table& table) {
    const csv_table examples = read_csv(folder / detail::examples_name);
    const npz_reader tokens(folder / detail::tokens_name);
    if (examples.rows() != table.documents())
        throw format_error(examples.who() + ": " + std::to_string(examples.rows()) + " rows, expected " +
                           std::to_string(table.documents()));
    for (std::size_t v = 0; v < table.variants().size(); ++v)
        if (v == 0 || detail::holds_method(examples, tokens, table.declared(), table.variants()[v], table.kinds()[v]))
            detail::read_variant(examples, tokens, table, v);
}

/// A finished run from its folder alone.   Errors: io_error; format_error naming the file and the column, line, key or
/// array that is missing or wrong, or a folder where no run has come to its end.
inline run_results read_run(std::filesystem::path const& folder) {
    run_results run;
    const auto manifest_path = folder / "manifest.json";
    run.manifest = manifest_from(read_json_file(manifest_path), manifest_path.string());
    if (!has_run_tables(folder))
        throw format_error(folder.string() + ": the tables of a finished run are expected, examples.csv is missing; "
                                             "the command that began it goes on when it is called again");
    const csv_table examples = read_csv(folder / detail::examples_name);
    const npz_reader tokens(folder / detail::tokens_name);
    detail::check_methods(examples, run.manifest);
    run.documents = detail::read_documents(examples, tokens, run.manifest.kept);
    run.texts = token_texts::read(tokens, (folder / detail::tokens_name).string());
    for (run_method const& m : run.manifest.methods)
        if (!detail::holds_method(examples, tokens, run.manifest.columns, m.name,
                                  m.ends_early ? variant_kind::early_exit : variant_kind::method))
            run.unfinished.push_back(m.name);
    const auto variants = variant_names(run.methods());
    const auto kinds = variant_kinds(run.methods());
    const results_size size =
        size_of_run(run.manifest, run.documents, detail::layers_of(examples, run.manifest, variants, kinds));
    detail::check_columns(examples, tokens, run.manifest.columns, variants, kinds, size);
    try {
        run.table = results_table(run.manifest.columns, variants, size, kinds);
        check_kept(run.manifest.kept, run.table);
    } catch (option_error const& e) {
        throw format_error(manifest_path.string() + ": " + e.what());
    }
    for (std::size_t v = 0; v < variants.size(); ++v) detail::read_variant(examples, tokens, run.table, v);
    return run;
}

} // namespace bitlens
