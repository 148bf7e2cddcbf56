#pragma once
/// study_results: what a study knows, one row per example, and its two places on disk: parts while it runs, tables at
/// the end.

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/analysis/run_results.hpp"
#include "bitlens/core/error.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/npz.hpp"
#include "bitlens/report/csv.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/sweep/run_folder.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens {

/// The name of variant 0 in every file of a run.
inline constexpr const char* full_model_name = "full";

/// The numbers of one variant on all examples. A number that is not defined (the kurtosis of equal numbers) is a NaN
/// here and an empty cell in examples.csv.
struct variant_results {
    std::string name;
    std::vector<std::string> columns; // of `values`, as examples.csv names them
    matrix<double> values;            // (N, columns)
    matrix<float> nll, kl, margin;    // (N, T) per scored position; kl (N, 0) for the full model
    matrix<std::int32_t> top;         // (N, T) most likely id
    std::vector<bool> finished;       // (N)

    bool is_full() const noexcept { return name == full_model_name; }
    bool complete() const noexcept { return std::ranges::all_of(finished, std::identity{}); }
};

namespace detail {

inline std::string layer_column(std::string const& name, std::size_t layer) {
    return name + "_l" + std::to_string(layer);
}

inline void add_layer_columns(std::vector<std::string>& columns, std::string const& name, std::size_t layers) {
    for (std::size_t k = 0; k < layers; ++k) columns.push_back(layer_column(name, k));
}

/// Errors: format_error naming file and array for another shape or type.
template <class T>
void copy_array(npy_array const& array, matrix_view<T> to) {
    if (array.shape != std::vector{to.rows, to.cols})
        throw format_error(array.who + ": shape " + shape_text(array.shape) + ", expected " +
                           shape_text(std::vector{to.rows, to.cols}));
    const auto values = array.template values<T>();
    for (std::size_t r = 0; r < to.rows; ++r)
        std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(r * to.cols), to.cols, to.row(r).begin());
}

} // namespace detail

/// An empty table for `examples` examples of `positions` scored positions each.
inline variant_results make_variant_results(std::string name, std::size_t examples, std::size_t positions,
                                            std::size_t layers) {
    variant_results v;
    v.name = std::move(name);
    v.columns = {"nll_" + v.name};
    if (v.is_full()) {
        for (const char* column : {"norm_r", "norm_z", "norm_h", "kurtosis_r", "kurtosis_h"})
            detail::add_layer_columns(v.columns, column, layers);
    } else {
        v.columns.push_back("kl_" + v.name);
        v.columns.push_back("same_top_" + v.name);
        detail::add_layer_columns(v.columns, "mse_" + v.name, layers);
    }
    v.values = matrix<double>(examples, v.columns.size());
    v.nll = matrix<float>(examples, positions);
    v.margin = matrix<float>(examples, positions);
    v.kl = matrix<float>(examples, v.is_full() ? 0 : positions);
    v.top = matrix<std::int32_t>(examples, positions);
    v.finished.assign(examples, false);
    return v;
}

/// Writes what was measured of variant `index` of a sweep into row `row`.
inline void take_measurement(variant_results& v, std::size_t row, document_measurement const& m, std::size_t index) {
    position_scores const& scores = m.positions(index);
    double* out = v.values.row(row).data();
    *out++ = mean<double>(scores.nll);
    if (v.is_full()) {
        layer_statistics const& layers = m.layers();
        for (auto const* norm : {&layers.norm_r, &layers.norm_z, &layers.norm_h})
            out = std::ranges::copy(*norm, out).out;
        for (auto const* kurtosis : {&layers.kurtosis_r, &layers.kurtosis_h})
            for (auto const& k : *kurtosis) *out++ = k.value_or(std::numeric_limits<double>::quiet_NaN());
    } else {
        *out++ = mean<double>(scores.kl);
        *out++ = same_top(scores, m.positions(0));
        std::ranges::copy(m.mlp_out_mse(index), out);
    }
    const auto to_float = [](double x) { return static_cast<float>(x); };
    std::ranges::transform(scores.nll, v.nll.row(row).begin(), to_float);
    std::ranges::transform(scores.kl, v.kl.row(row).begin(), to_float);
    std::ranges::copy(scores.margin, v.margin.row(row).begin());
    std::ranges::copy(scores.top, v.top.row(row).begin());
    v.finished[row] = true;
}

/// Writes rows first … first + count − 1 as a part of the run.   Errors: io_error.
inline void write_part(run_folder const& folder, variant_results const& v, std::size_t first, std::size_t count) {
    npz_writer part(folder.part_path(v.name, first, count));
    const auto add = [&]<class T>(const char* name, matrix<T> const& all) {
        const auto rows = all.view().middle_rows(first, count);
        part.add(name, std::array{rows.rows, rows.cols}, std::span<const T>(rows.data, rows.rows * rows.cols));
    };
    add("values", v.values);
    add("nll", v.nll);
    add("kl", v.kl);
    add("margin", v.margin);
    add("top", v.top);
    part.finish();
}

/// Reads a part into the rows it stands for.   Errors: format_error when it has other rows or columns than the run.
inline void read_part(run_part const& part, variant_results& v) {
    if (part.first > v.finished.size() || part.count > v.finished.size() - part.first)
        throw format_error(part.path.string() + ": rows up to " + std::to_string(part.first + part.count) +
                           ", expected at most " + std::to_string(v.finished.size()));
    const npz_reader file(part.path);
    const auto take = [&]<class T>(const char* name, matrix<T>& all) {
        auto rows = all.view().middle_rows(part.first, part.count);
        detail::copy_array(file.array(name), rows);
    };
    take("values", v.values);
    take("nll", v.nll);
    take("kl", v.kl);
    take("margin", v.margin);
    take("top", v.top);
    std::fill_n(v.finished.begin() + static_cast<std::ptrdiff_t>(part.first), part.count, true);
}

/// The documents of a study: N rows of equally many token ids, and where they came from.
struct study_documents {
    matrix<std::int32_t> ids;       // (N, tokens)
    std::vector<std::size_t> rows;  // row number in the input
    std::vector<std::string> names; // `id` of the input, empty when absent
    std::vector<std::string> topics;
};

namespace detail {

inline void write_examples_csv(std::filesystem::path const& path, study_documents const& documents,
                               std::span<const variant_results> variants) {
    const auto methods = variants.subspan(1);
    std::vector<std::string> columns{"example", "id", "topic", "tokens"};
    for (auto const& v : variants) columns.push_back(v.columns[0]);
    for (auto const& m : methods) columns.push_back("error_" + m.name);
    for (std::size_t c : {std::size_t{1}, std::size_t{2}})
        for (auto const& m : methods) columns.push_back(m.columns[c]);
    const auto append = [&](variant_results const& v, std::size_t from) {
        columns.insert(columns.end(), v.columns.begin() + static_cast<std::ptrdiff_t>(from), v.columns.end());
    };
    append(variants[0], 1);
    for (auto const& m : methods) append(m, 3);

    csv_writer csv(columns);
    const auto number = [&csv](double x) { std::isnan(x) ? csv.empty() : csv.number(x); };
    for (std::size_t n = 0; n < documents.ids.rows(); ++n) {
        csv.count(documents.rows[n]).text(documents.names[n]).text(documents.topics[n]).count(documents.ids.cols());
        for (auto const& v : variants) number(v.values(n, 0));
        for (auto const& m : methods) number(m.values(n, 0) - variants[0].values(n, 0));
        for (std::size_t c : {std::size_t{1}, std::size_t{2}})
            for (auto const& m : methods) number(m.values(n, c));
        for (double x : variants[0].values.row(n).subspan(1)) number(x);
        for (auto const& m : methods)
            for (double x : m.values.row(n).subspan(3)) number(x);
        csv.end_row();
    }
    write_file_atomically(path, csv.bytes());
}

/// `bytes_of(id)` gives the bytes that an id stands for.
template <class BytesOf>
void write_tokens_npz(std::filesystem::path const& path, study_documents const& documents,
                      std::span<const variant_results> variants, BytesOf const& bytes_of) {
    npz_writer file(path);
    const auto add = [&]<class T>(std::string const& name, matrix<T> const& m) {
        file.add(name, std::array{m.rows(), m.cols()}, m.span());
    };
    add("ids", documents.ids);
    for (auto const& v : variants) {
        add("nll_" + v.name, v.nll);
        if (!v.is_full()) add("kl_" + v.name, v.kl);
        add("top_" + v.name, v.top);
        add("margin_" + v.name, v.margin);
    }
    std::vector<std::int32_t> used(documents.ids.span().begin(), documents.ids.span().end());
    for (auto const& v : variants) used.insert(used.end(), v.top.span().begin(), v.top.span().end());
    std::ranges::sort(used);
    used.erase(std::unique(used.begin(), used.end()), used.end());
    std::vector<std::int64_t> offsets{0};
    std::vector<std::uint8_t> bytes;
    for (const std::int32_t id : used) {
        const std::string text = bytes_of(id);
        bytes.insert(bytes.end(), text.begin(), text.end());
        offsets.push_back(static_cast<std::int64_t>(bytes.size()));
    }
    const auto add_list = [&]<class T>(std::string const& name, std::vector<T> const& list) {
        file.add(name, std::array{list.size()}, std::span<const T>(list));
    };
    add_list("token_ids", used);
    add_list("token_offsets", offsets);
    add_list("token_bytes", bytes);
    file.finish();
}

} // namespace detail

/// Writes RUN/tokens.npz, then RUN/examples.csv; a run whose examples.csv names a method has all of that method.
/// variants[0] is the full model.   Errors: io_error.
template <class BytesOf>
void write_study_tables(run_folder const& folder, study_documents const& documents,
                        std::span<const variant_results> variants, BytesOf const& bytes_of) {
    detail::write_tokens_npz(folder.path() / "tokens.npz", documents, variants, bytes_of);
    detail::write_examples_csv(folder.path() / "examples.csv", documents, variants);
}

/// Says before a study that its tables could not be written.   Errors: io_error.
inline void expect_tables_writable(std::filesystem::path const& run_folder) {
    for (const char* name : {"tokens.npz", "examples.csv"}) expect_writable(run_folder / name);
}

namespace detail {

/// Takes a variant from the tables of a complete run.
inline void read_tables(csv_table const& examples, npz_reader const& tokens, variant_results& v) {
    if (examples.rows() != v.finished.size())
        throw format_error(examples.who() + ": " + std::to_string(examples.rows()) + " rows, expected " +
                           std::to_string(v.finished.size()));
    for (std::size_t c = 0; c < v.columns.size(); ++c) {
        const auto column = examples.optional_numbers(v.columns[c]);
        for (std::size_t n = 0; n < column.size(); ++n)
            v.values(n, c) = column[n].value_or(std::numeric_limits<double>::quiet_NaN());
    }
    const auto take = [&]<class T>(std::string const& name, matrix<T>& m) { copy_array(tokens.array(name), m.view()); };
    take("nll_" + v.name, v.nll);
    if (!v.is_full()) take("kl_" + v.name, v.kl);
    take("top_" + v.name, v.top);
    take("margin_" + v.name, v.margin);
    v.finished.assign(v.finished.size(), true);
}

} // namespace detail

/// What the tables of a complete run and the parts of an interrupted one hold of each variant.
/// Errors: format_error naming file and column for tables that are not of this run.
inline void read_finished(run_folder const& folder, std::span<variant_results> variants) {
    std::optional<csv_table> examples;
    std::optional<npz_reader> tokens;
    std::error_code unknown;
    if (const auto path = folder.path() / "examples.csv"; std::filesystem::exists(path, unknown)) {
        examples = read_csv(path);
        tokens.emplace(folder.path() / "tokens.npz");
    }
    for (auto& v : variants) {
        if (examples && examples->has(v.columns[0]))
            detail::read_tables(*examples, *tokens, v);
        else
            for (auto const& part : folder.parts(v.name)) read_part(part, v);
    }
}

} // namespace bitlens
