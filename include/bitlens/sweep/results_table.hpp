#pragma once
/// results_table: the one table of a run. Measurements fill it row by row, files hold it, statistics read it.

#include "bitlens/core/error.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/sweep/column.hpp"
#include "bitlens/sweep/token_rows.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// N documents, L layers, T positions of the document that has most.
struct results_size {
    std::size_t documents = 0, layers = 0, positions = 0;
    std::vector<scored_positions> scored{}; // of each document, those that it has numbers of; none: all T of each

    /// What is measured at the scored positions of the rows.
    static results_size of(token_rows const& rows, std::size_t layers) {
        results_size size{rows.size(), layers, rows.positions(), {}};
        for (std::size_t n = 0; n < rows.size(); ++n) size.scored.push_back(rows.scored(n));
        return size;
    }
};

/// Stands for a number that is not defined (the kurtosis of equal numbers), and for one that nobody has measured yet.
inline constexpr double undefined_number = std::numeric_limits<double>::quiet_NaN();

/// A column of one variant. One of the three lists holds the numbers.
struct stored_column {
    column declared;
    std::size_t variant;
    std::string name;              // stored_name of the variant
    std::vector<double> numbers;   // (N) of documents, (L, N) of layers
    std::vector<float> scores;     // (N, T) of positions
    std::vector<std::int32_t> ids; // (N, T) of positions, where they are token ids
};

class results_table {
public:
    results_table() = default;

    /// No row is finished; every number is undefined, and every id token_rows::no_token: so they stay at positions that
    /// a document has no numbers of. variants[0] is the full model, the others are methods unless
    /// `kinds` says otherwise. Errors: option_error for a column as check_column, and for two columns of one file with
    /// the same name.
    results_table(std::vector<column> columns, std::vector<std::string> variants, results_size size,
                  std::vector<variant_kind> kinds = {})
        : declared_(std::move(columns)), variants_(std::move(variants)),
          kinds_(kinds.empty() ? kinds_of_methods(variants_.size()) : std::move(kinds)), size_(std::move(size)),
          finished_(variants_.size(), std::vector<bool>(size_.documents, false)) {
        if (size_.scored.empty()) size_.scored.assign(size_.documents, {0, size_.positions});
        BITLENS_ASSERT(size_.scored.size() == size_.documents);
        BITLENS_ASSERT(kinds_.size() == variants_.size());
        for (std::size_t v = 0; v < variants_.size(); ++v)
            for (column const& c : declared_)
                if (c.is_of(kinds_[v])) stored_.push_back({c, v, c.stored_name(variants_[v]), {}, {}, {}});
        check_names();
        for (stored_column& s : stored_)
            if (s.declared.shape != column_shape::position)
                s.numbers.assign(layers_of(s) * size_.documents, undefined_number);
            else if (s.declared.holds_ids)
                s.ids.assign(size_.documents * size_.positions, token_rows::no_token);
            else
                s.scores.assign(size_.documents * size_.positions, static_cast<float>(undefined_number));
    }

    /// Bytes that one document takes.
    static std::size_t bytes_per_document(std::span<const column> columns, std::span<const variant_kind> variants,
                                          results_size const& size) noexcept {
        std::size_t bytes = 0;
        for (column const& c : columns)
            for (const variant_kind v : variants) {
                if (!c.is_of(v)) continue;
                if (c.shape == column_shape::position)
                    bytes += size.positions * (c.holds_ids ? sizeof(std::int32_t) : sizeof(float));
                else
                    bytes += (c.shape == column_shape::layer ? size.layers : 1) * sizeof(double);
            }
        return bytes;
    }

    /// The full model and methods.
    static std::vector<variant_kind> kinds_of_methods(std::size_t variants) {
        std::vector<variant_kind> kinds(variants, variant_kind::method);
        if (variants > 0) kinds[0] = variant_kind::full_model;
        return kinds;
    }

    std::size_t documents() const noexcept { return size_.documents; }
    std::size_t layers() const noexcept { return size_.layers; }
    std::size_t positions() const noexcept { return size_.positions; }
    results_size const& size() const noexcept { return size_; }
    /// The positions at which a document has numbers.
    scored_positions scored(std::size_t row) const noexcept { return size_.scored[row]; }
    std::vector<std::string> const& variants() const noexcept { return variants_; }
    std::span<const variant_kind> kinds() const noexcept { return kinds_; }
    std::vector<column> const& declared() const noexcept { return declared_; }

    /// Every column of every variant, variant by variant, in the order of their declaration.
    std::span<const stored_column> columns() const noexcept { return stored_; }
    std::span<stored_column> columns() noexcept { return stored_; }

    /// The column of that name in examples.csv (of documents or of layers) or in tokens.npz (of positions).
    stored_column const* find(std::string_view name, column_shape shape) const noexcept {
        const auto found = std::ranges::find_if(
            stored_, [&](stored_column const& s) { return s.declared.shape == shape && s.name == name; });
        return found == stored_.end() ? nullptr : &*found;
    }

    /// One number of each document.   Shapes: (N).   Errors: option_error where there is no such column.
    std::span<const double> of_documents(std::string_view name) const {
        return expect(name, column_shape::document).numbers;
    }
    /// One number of each document at each layer: row k is layer k.   Shapes: (L, N).   Errors: as of_documents.
    matrix_view<const double> of_layers(std::string_view name) const {
        return {expect(name, column_shape::layer).numbers.data(), size_.layers, size_.documents};
    }
    /// Shapes: (N, T).   Errors: as of_documents.
    matrix_view<const float> of_positions(std::string_view name) const {
        stored_column const& s = expect(name, column_shape::position);
        if (s.declared.holds_ids) throw option_error("the results: column '" + s.name + "' holds token ids");
        return {s.scores.data(), size_.documents, size_.positions};
    }
    /// Shapes: (N, T).   Errors: as of_documents.
    matrix_view<const std::int32_t> ids_of_positions(std::string_view name) const {
        stored_column const& s = expect(name, column_shape::position);
        if (!s.declared.holds_ids) throw option_error("the results: column '" + s.name + "' holds no token ids");
        return {s.ids.data(), size_.documents, size_.positions};
    }

    bool is_finished(std::size_t variant, std::size_t row) const noexcept { return finished_[variant][row]; }
    void set_finished(std::size_t variant, std::size_t row) { finished_[variant][row] = true; }
    bool is_complete() const noexcept {
        return std::ranges::all_of(finished_,
                                   [](auto const& rows) { return std::ranges::all_of(rows, std::identity{}); });
    }

    /// How many columns of examples.csv a column of documents or of layers is.
    std::size_t layers_of(stored_column const& s) const noexcept {
        return s.declared.shape == column_shape::layer ? size_.layers : 1;
    }
    /// The name of one of them.
    static std::string csv_name(stored_column const& s, std::size_t layer) {
        return s.declared.shape == column_shape::layer ? layer_column(s.name, layer) : s.name;
    }

private:
    void check_names() const {
        std::set<std::string> in_csv, in_npz;
        const auto add = [](std::set<std::string>& names, std::string name) {
            if (!names.insert(name).second)
                throw option_error("two columns of the results are called " + visible_text(name) +
                                   "; a method of another name keeps both");
        };
        for (stored_column const& s : stored_) {
            check_column(s.declared);
            if (s.declared.shape == column_shape::position)
                add(in_npz, s.name);
            else
                for (std::size_t k = 0; k < layers_of(s); ++k) add(in_csv, csv_name(s, k));
        }
    }
    stored_column const& expect(std::string_view name, column_shape shape) const {
        if (auto const* const found = find(name, shape)) return *found;
        std::string there;
        for (stored_column const& s : stored_)
            if (s.declared.shape == shape) there += (there.empty() ? "" : ", ") + s.name;
        throw option_error("the results: there is no column '" + visible_text(name) + "' of each " +
                           std::string(bitlens::name(shape)) + "; there are " + visible_text(there));
    }

    std::vector<column> declared_;
    std::vector<std::string> variants_;
    std::vector<variant_kind> kinds_;
    results_size size_;
    std::vector<stored_column> stored_;
    std::vector<std::vector<bool>> finished_; // [variant][document]
};

/// Where a measurement writes what it found of one document under one variant, column by column. Of a document or a
/// layer, what is not finite is undefined; of a position it stays what it is.
/// Errors of all: option_error naming the column that the variant does not have, that was written twice or not at all;
/// shape_error for another number of values than the table has layers or positions.
class results_row {
public:
    results_row(results_table& table, std::size_t variant, std::size_t row)
        : table_(table), variant_(variant), row_(row), written_(table.columns().size(), false) {}

    /// What the variant is.
    variant_kind kind() const noexcept { return table_.kinds()[variant_]; }

    void number(std::string_view name, double value) {
        place(name, column_shape::document).numbers[row_] = defined(value);
    }
    void number(std::string_view name, std::optional<double> value) { number(name, value.value_or(undefined_number)); }

    /// One number per layer.   values: double or std::optional<double>, of which nullopt is undefined.
    template <class Number>
    void layers(std::string_view name, std::vector<Number> const& values) {
        stored_column& s = place(name, column_shape::layer);
        check_count(name, values.size(), table_.layers());
        for (std::size_t k = 0; k < values.size(); ++k) {
            double& to = s.numbers[k * table_.documents() + row_];
            if constexpr (requires { values[k].has_value(); })
                to = defined(values[k].value_or(undefined_number));
            else
                to = defined(values[k]);
        }
    }

    /// One number, or token id, per scored position of the document.
    template <class Number>
    void positions(std::string_view name, std::span<const Number> values) {
        stored_column& s = place(name, column_shape::position);
        const scored_positions scored = table_.scored(row_);
        check_count(name, values.size(), scored.count());
        const auto write = [&](auto& all) {
            using to = typename std::remove_cvref_t<decltype(all)>::value_type;
            const std::size_t place = row_ * table_.positions() + scored.first;
            std::ranges::transform(values, all.begin() + static_cast<std::ptrdiff_t>(place),
                                   [](Number x) { return static_cast<to>(x); });
        };
        s.declared.holds_ids ? write(s.ids) : write(s.scores);
    }

    /// Marks the row as finished.
    void finish() {
        for (std::size_t i = 0; i < written_.size(); ++i)
            if (stored_column const& s = table_.columns()[i]; s.variant == variant_ && !written_[i])
                refuse(s.declared.name, "was not written");
        table_.set_finished(variant_, row_);
    }

private:
    static double defined(double value) noexcept { return std::isfinite(value) ? value : undefined_number; }
    stored_column& place(std::string_view name, column_shape shape) {
        const auto columns = table_.columns();
        for (std::size_t i = 0; i < columns.size(); ++i) {
            stored_column& s = columns[i];
            if (s.variant != variant_ || s.declared.name != name || s.declared.shape != shape) continue;
            if (written_[i]) refuse(name, "is written a second time");
            written_[i] = true;
            return s;
        }
        refuse(name, "is declared by no column of each " + std::string(bitlens::name(shape)));
    }
    void check_count(std::string_view name, std::size_t found, std::size_t expected) const {
        if (found != expected)
            throw shape_error("measurement: " + std::string(name) + " of variant " + table_.variants()[variant_] +
                              ": " + std::to_string(found) + " values, expected " + std::to_string(expected));
    }
    [[noreturn]] void refuse(std::string_view name, std::string const& what) const {
        throw option_error("measurement: '" + std::string(name) + "' of variant " + table_.variants()[variant_] + " " +
                           what);
    }

    results_table& table_;
    std::size_t variant_, row_;
    std::vector<bool> written_; // of the table's columns
};

} // namespace bitlens
