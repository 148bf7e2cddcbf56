#pragma once
/// Tables of comma-separated values (RFC 4180), read by column name and written so that every double reads back
/// exactly.

#include "bitlens/core/error.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/visible_text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// A spreadsheet takes a cell that begins with = + - @ (or a tab or carriage return) for a formula. Such text is
/// written behind an apostrophe, and so is text that already looks like the result, which makes the way back unique.
inline bool looks_like_formula(std::string_view text) noexcept {
    const auto first = text.find_first_not_of('\'');
    return first != std::string_view::npos && std::string_view("=+-@\t\r").find(text[first]) != std::string_view::npos;
}

} // namespace detail

/// Writes a table row by row: one call per cell in the order of the columns, then end_row().
class csv_writer {
public:
    /// Errors: shape_error for no columns; option_error for one named twice.
    explicit csv_writer(std::span<const std::string> columns) : columns_(columns.size()) {
        if (columns.empty()) throw shape_error("csv: at least one column is expected");
        std::vector<std::string> sorted(columns.begin(), columns.end());
        std::ranges::sort(sorted);
        if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
            throw option_error("csv: two columns are named '" + visible_text(*twice) + "'");
        for (auto const& name : columns) text(name);
        end_row();
    }

    csv_writer& text(std::string_view value) {
        if (!detail::looks_like_formula(value)) return quoted_cell(value);
        std::string guarded(1, '\'');
        guarded += value;
        return quoted_cell(guarded);
    }
    /// Finite (asserted). A number that is not defined is an empty cell: see empty().
    csv_writer& number(double value) { return plain_cell(exact_text(value)); }
    csv_writer& count(std::uint64_t value) { return plain_cell(std::to_string(value)); }
    csv_writer& empty() { return plain_cell({}); }

    /// Errors: shape_error unless there was one cell for each column.
    void end_row() {
        if (cells_ != columns_) refuse_row(cells_);
        bytes_ += '\n';
        cells_ = 0;
    }
    /// Everything so far, the header first.
    std::string const& bytes() const noexcept { return bytes_; }

private:
    [[noreturn]] void refuse_row(std::size_t cells) const {
        throw shape_error("csv: a row of " + std::to_string(cells) + " cells, expected " + std::to_string(columns_));
    }
    csv_writer& plain_cell(std::string_view value) {
        if (cells_ == columns_) refuse_row(cells_ + 1);
        if (cells_++ != 0) bytes_ += ',';
        bytes_ += value;
        return *this;
    }
    csv_writer& quoted_cell(std::string_view value) {
        if (value.find_first_of(",\"\r\n") == std::string_view::npos) return plain_cell(value);
        std::string quoted = "\"";
        for (const char c : value) {
            if (c == '"') quoted += '"';
            quoted += c;
        }
        return plain_cell(quoted += '"');
    }

    std::size_t columns_;
    std::size_t cells_ = 0; // of the row at hand
    std::string bytes_;
};

/// A table in memory: its cells are one text and the place where each ends, so that it takes a small multiple of the
/// file.
class csv_table {
public:
    /// `who` names the file in errors. Lines end in LF or CRLF; a UTF-8 byte order mark is skipped.
    /// Errors: format_error with file, line and column for a missing header, a column without a name or named twice, a
    /// row of another length, a quote out of place or never closed.
    csv_table(std::string_view bytes, std::string who) : who_(std::move(who)) {
        if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
        if (bytes.empty()) throw format_error(who_ + ": empty; a header with the names of the columns is expected");
        if (bytes.size() > text_.max_size() / 2) throw format_error(who_ + ": too large");
        text_.reserve(bytes.size());
        std::size_t at = 0;
        std::size_t line = 1;
        while (at < bytes.size()) read_row(bytes, at, line);
        for (std::size_t c = 0; c < names_.size(); ++c) {
            if (names_[c].empty()) throw format_error(who_ + ":1: column " + std::to_string(c + 1) + " has no name");
            if (!index_.emplace(names_[c], c).second)
                throw format_error(who_ + ":1: two columns are named '" + visible_text(names_[c]) + "'");
        }
    }

    std::size_t rows() const noexcept { return lines_.size(); }
    std::vector<std::string> const& columns() const noexcept { return names_; }
    std::string const& who() const noexcept { return who_; }
    bool has(std::string_view name) const { return index_.contains(std::string(name)); }

    /// Errors: format_error naming the file and the column that is missing.
    std::size_t column(std::string_view name) const {
        const auto found = index_.find(std::string(name));
        if (found == index_.end())
            throw format_error(who_ + ": no column '" + visible_text(name) + "' among its " +
                               std::to_string(names_.size()) + " columns");
        return found->second;
    }
    /// A cell as text, without the apostrophe that keeps a spreadsheet from running it.
    std::string text(std::size_t row, std::size_t col) const { return unguarded(cell(row, col)); }
    /// Errors: format_error naming file, line and column unless the cell is one finite number and nothing else.
    double number(std::size_t row, std::size_t col) const {
        double value = 0;
        if (!parse(cell(row, col), value) || !std::isfinite(value)) refuse(row, col, "a finite number");
        return value;
    }
    /// Errors: as number(), for a whole number of 0 or more.
    std::uint64_t count(std::size_t row, std::size_t col) const {
        std::uint64_t value = 0;
        if (!parse(cell(row, col), value)) refuse(row, col, "a whole number");
        return value;
    }
    /// A whole column by name. Errors: those of column() and of each cell.
    std::vector<double> numbers(std::string_view name) const {
        return whole_column<double>(name, [this](std::size_t r, std::size_t c) { return number(r, c); });
    }
    /// The same where an empty cell means: not defined.
    std::vector<std::optional<double>> optional_numbers(std::string_view name) const {
        return whole_column<std::optional<double>>(name, [this](std::size_t r, std::size_t c) {
            return cell(r, c).empty() ? std::nullopt : std::optional(number(r, c));
        });
    }
    std::vector<std::uint64_t> counts(std::string_view name) const {
        return whole_column<std::uint64_t>(name, [this](std::size_t r, std::size_t c) { return count(r, c); });
    }
    std::vector<std::string> texts(std::string_view name) const {
        return whole_column<std::string>(name, [this](std::size_t r, std::size_t c) { return text(r, c); });
    }
    /// Errors of the caller's own checks read like ours.
    [[noreturn]] void refuse(std::size_t row, std::size_t col, std::string_view expected) const {
        constexpr std::size_t shown = 40;
        const std::string found = visible_text(cell(row, col).substr(0, shown));
        throw format_error(who_ + ":" + std::to_string(lines_[row]) + ": column '" + visible_text(names_[col]) +
                           "' holds '" + found + (cell(row, col).size() > shown ? "…" : "") + "', expected " +
                           std::string(expected));
    }

private:
    static std::string unguarded(std::string_view bytes) {
        return std::string(bytes.starts_with('\'') && detail::looks_like_formula(bytes) ? bytes.substr(1) : bytes);
    }
    std::string_view cell(std::size_t row, std::size_t col) const {
        BITLENS_ASSERT(row < rows() && col < names_.size());
        const std::size_t i = row * names_.size() + col;
        const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
        return std::string_view(text_).substr(begin, ends_[i] - begin);
    }
    template <class T>
    static bool parse(std::string_view text, T& value) {
        const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
        return result.ec == std::errc{} && result.ptr == text.data() + text.size();
    }
    template <class T, class F>
    std::vector<T> whole_column(std::string_view name, F const& at) const {
        const std::size_t c = column(name);
        std::vector<T> values;
        values.reserve(rows());
        for (std::size_t r = 0; r < rows(); ++r) values.push_back(at(r, c));
        return values;
    }

    /// Reads one row from bytes[at] on: the header, if there is none yet. `line` counts line ends, quoted ones too.
    void read_row(std::string_view bytes, std::size_t& at, std::size_t& line) {
        const std::size_t first_line = line;
        const bool is_header = names_.empty();
        std::size_t cells = 0;
        bool more = true;
        while (more) {
            const std::size_t begin = text_.size();
            more = read_cell(bytes, at, line, cells);
            ++cells;
            if (is_header) {
                names_.push_back(unguarded(std::string_view(text_).substr(begin)));
                text_.resize(begin);
            } else if (cells <= names_.size()) {
                ends_.push_back(text_.size());
            }
        }
        if (is_header) return;
        if (cells != names_.size())
            throw format_error(who_ + ":" + std::to_string(first_line) + ": " + std::to_string(cells) +
                               " cells, expected " + std::to_string(names_.size()) + " as in the header");
        lines_.push_back(first_line);
    }
    /// Appends one cell to text_ and steps over what ends it. True if a comma did, so that another cell follows.
    bool read_cell(std::string_view bytes, std::size_t& at, std::size_t& line, std::size_t cell) {
        if (at < bytes.size() && bytes[at] == '"') {
            read_quoted(bytes, at, line, cell);
        } else {
            const std::size_t end = std::min(bytes.find_first_of(",\"\n", at), bytes.size());
            if (end < bytes.size() && bytes[end] == '"') misplaced_quote(line, cell);
            const bool has_carriage_return =
                end > at && bytes[end - 1] == '\r' && (end == bytes.size() || bytes[end] == '\n');
            text_ += bytes.substr(at, end - at - (has_carriage_return ? 1 : 0));
            at = end;
        }
        if (at == bytes.size()) return false;
        if (bytes[at] == ',') {
            ++at;
            return true;
        }
        at += bytes[at] == '\r' ? 2u : 1u;
        ++line;
        return false;
    }
    /// From an opening quote to the comma, line end or end of file behind the closing one.
    void read_quoted(std::string_view bytes, std::size_t& at, std::size_t& line, std::size_t cell) {
        const std::size_t first_line = line;
        for (++at;; at += 2) { // each turn ends at a doubled quote, which stands for one
            const std::size_t quote = bytes.find('"', at);
            if (quote == std::string_view::npos)
                throw format_error(place(first_line, cell) + "a quote is opened and never closed");
            const auto piece = bytes.substr(at, quote - at);
            line += static_cast<std::size_t>(std::ranges::count(piece, '\n'));
            text_ += piece;
            at = quote;
            if (!bytes.substr(at).starts_with("\"\"")) break;
            text_ += '"';
        }
        ++at;
        const auto rest = bytes.substr(at);
        if (!rest.empty() && rest[0] != ',' && rest[0] != '\n' && !rest.starts_with("\r\n"))
            misplaced_quote(line, cell);
    }
    [[noreturn]] void misplaced_quote(std::size_t line, std::size_t cell) const {
        throw format_error(place(line, cell) + "a quote inside a cell that is not quoted as a whole");
    }
    std::string place(std::size_t line, std::size_t cell) const {
        const std::string name = cell < names_.size() ? " '" + visible_text(names_[cell]) + "'" : "";
        return who_ + ":" + std::to_string(line) + ": column " + std::to_string(cell + 1) + name + ": ";
    }

    std::string who_;
    std::vector<std::string> names_;
    std::unordered_map<std::string, std::size_t> index_;
    std::string text_;               // all cells, unquoted, row after row
    std::vector<std::size_t> ends_;  // where each cell ends in text_
    std::vector<std::size_t> lines_; // where each row begins in the file, from 1
};

} // namespace bitlens
