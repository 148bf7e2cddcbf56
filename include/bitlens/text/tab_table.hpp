#pragma once
/// Tables of tab-separated values with a header line, of which some columns are read.

#include "bitlens/core/error.hpp"
#include "bitlens/core/name_index.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/gzip.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

namespace detail {

/// The cells of a line as they stand there. Where cells may be quoted, one that begins with `"` ends with the next `"`
/// that is not doubled, and may hold tabs; if it does not end so before a tab or the end of the line, it is the last of
/// the cells, and is_whole is false.
struct cells_of_line {
    std::vector<std::string_view> cells;
    bool is_whole = true;

    void split(std::string_view line, bool may_be_quoted) {
        cells.clear();
        is_whole = true;
        for (std::size_t at = 0; at <= line.size();) {
            std::size_t end = at;
            if (may_be_quoted && line.substr(at).starts_with('"')) {
                end = end_of_quotes(line, at);
                is_whole = end <= line.size() && (end == line.size() || line[end] == '\t');
            } else {
                end = std::min(line.find('\t', at), line.size());
            }
            cells.push_back(line.substr(at, end - at));
            if (!is_whole) return;
            at = end + 1;
        }
    }

private:
    /// Behind the quote that ends the cell; beyond the line where none does.
    static std::size_t end_of_quotes(std::string_view line, std::size_t at) noexcept {
        for (++at; at < line.size(); ++at)
            if (line[at] == '"') {
                ++at;
                if (at == line.size() || line[at] != '"') return at;
            }
        return line.size() + 1;
    }
};

/// The text of a cell that begins and ends with `"`.
inline std::string without_quotes(std::string_view cell) {
    std::string text;
    cell = cell.substr(1, cell.size() - 2);
    text.reserve(cell.size());
    for (std::size_t at = 0; at < cell.size(); ++at) {
        text += cell[at];
        if (cell[at] == '"') ++at; // the other of two
    }
    return text;
}

} // namespace detail

/// Reads a table of tab-separated values, plain or gzip, row by row. Empty lines are skipped, but counted.
/// Cells are taken as they stand, unless the table is one whose writer puts cells in quotes (as pandas does with those
/// that hold a quote or a tab): there a cell that begins with `"` ends with `"`, quotes within are doubled, and tabs
/// within are text. Which of the two it is the first row tells, by its cell of one column whose text never begins with
/// a quote. A cell ends in its line.
class tab_table_reader {
public:
    /// telling: the column that tells whether cells are quoted; every table must have it.
    /// Errors: io_error as mapped_file; format_error for two columns of one name, and where that column is missing.
    tab_table_reader(std::filesystem::path const& path, std::string telling)
        : who_(path.string()), lines_(path), telling_(std::move(telling)) {
        while (lines_.next(line_) && is_blank_line(line_)) {
        }
        header_line_ = lines_.line_number();
        cells_.split(line_, true);
        if (!cells_.is_whole) cells_.split(line_, false);
        for (const std::string_view cell : cells_.cells)
            names_.push_back(cell.starts_with('"') && cells_.is_whole && cell.size() > 1 && cell.ends_with('"')
                                 ? detail::without_quotes(cell)
                                 : std::string(cell));
        name_index index;
        for (std::size_t i = 0; i < names_.size(); ++i) index.add(names_[i], i);
        index.sort();
        if (const auto twice = index.repeated())
            throw format_error(header_place() + ": the column " + in_quotes(*twice) + " occurs twice");
        telling_column_ = required(telling_);
    }

    /// The place of a column among the cells; nothing where there is none of that name.
    std::optional<std::size_t> find(std::string_view name) const noexcept {
        const auto found = std::ranges::find(names_, name);
        if (found == names_.end()) return std::nullopt;
        return static_cast<std::size_t>(found - names_.begin());
    }
    /// The same.   Errors: format_error where there is none.
    std::size_t required(std::string_view name) const {
        const auto found = find(name);
        if (!found) throw format_error(absence_of(name));
        return *found;
    }
    /// Says that there is no such column, and which there are.
    std::string absence_of(std::string_view name) const {
        constexpr std::size_t most_shown = 20;
        std::string text = header_place() + ": the column " + in_quotes(name) + " is missing; there are ";
        for (std::size_t i = 0; i < std::min(names_.size(), most_shown); ++i)
            text += (i > 0 ? ", " : "") + in_quotes(names_[i]);
        return text + (names_.size() > most_shown ? ", …" : "");
    }

    /// Goes to the next row; false after the last.
    /// Errors: format_error as line_reader; for more or fewer cells than the header has; for quotes that do not end.
    bool next() {
        do
            if (!lines_.next(line_)) return false;
        while (line_.empty());
        if (!are_quoted_) {
            cells_.split(line_, true);
            are_quoted_ = cells_.is_whole && cells_.cells.size() == names_.size() &&
                          cells_.cells[telling_column_].starts_with('"');
        }
        cells_.split(line_, *are_quoted_);
        if (!cells_.is_whole) {
            const std::size_t last = cells_.cells.size() - 1;
            throw format_error(place() + (last < names_.size() ? ": column " + in_quotes(names_[last]) : "") +
                               ": a quote that ends the cell in this line, before a tab or its end, is expected; cells "
                               "are quoted, as the first of the column " +
                               in_quotes(telling_) + " is");
        }
        if (cells_.cells.size() != names_.size())
            throw format_error(place() + ": " + std::to_string(names_.size()) +
                               " cells, as the header has, are expected, " + std::to_string(cells_.cells.size()) +
                               " were found");
        return true;
    }

    std::size_t number() const noexcept { return lines_.line_number(); }
    /// Names file and line, as errors do.
    std::string place() const { return who_ + ": line " + std::to_string(number()); }

    /// The text of a cell of the row.   Errors: format_error where it is no UTF-8.
    std::string cell(std::size_t column) const {
        const std::string_view written = cells_.cells[column];
        if (const std::size_t valid = valid_utf8_length(written); valid != written.size())
            throw format_error(place() + ": column " + in_quotes(names_[column]) + ": byte " +
                               std::to_string(static_cast<std::size_t>(written.data() - line_.data()) + valid) +
                               " of the line is no UTF-8");
        return *are_quoted_ && written.starts_with('"') ? detail::without_quotes(written) : std::string(written);
    }

private:
    std::string header_place() const { return who_ + ": line " + std::to_string(header_line_); }

    std::string who_;
    line_reader lines_;
    std::string telling_;
    std::string_view line_;
    std::size_t header_line_ = 0, telling_column_ = 0;
    std::vector<std::string> names_;
    std::optional<bool> are_quoted_; // of the first row on
    detail::cells_of_line cells_;
};

} // namespace bitlens
