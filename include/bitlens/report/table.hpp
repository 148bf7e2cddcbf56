#pragma once
/// table: a result that people and programs read alike, as text for the terminal, as HTML and as CSV.

#include "bitlens/core/error.hpp"
#include "bitlens/report/csv.hpp"
#include "bitlens/report/html.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/page_data.hpp"
#include "bitlens/report/visible_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

/// Why there is no number where one would stand ("fewer than three examples"). It takes the place of NaN.
struct undefined {
    std::string reason;
};

/// A number, or the reason why it is not defined.
class measured {
public:
    measured(double value) : value_(value) {}
    measured(undefined why) : value_(std::move(why)) {}
    /// A statistic that says by nullopt that it is not defined, and why that can be.
    measured(std::optional<double> value, std::string_view reason) : value_(undefined{std::string(reason)}) {
        if (value) value_ = *value;
    }
    explicit operator bool() const noexcept { return value_.index() == 0; }
    double operator*() const { return std::get<0>(value_); }
    std::string const& reason() const { return std::get<1>(value_).reason; }
    std::optional<double> optional() const { return *this ? std::optional(**this) : std::nullopt; }

private:
    std::variant<double, undefined> value_;
};

/// Text, a finite number, a count, or the reason why there is none.
struct cell {
    std::variant<std::string, double, std::uint64_t, undefined> value;
    bool strong = false; // pages show it bold

    cell(std::string text) : value(std::move(text)) {}
    cell(char const* text) : value(std::string(text)) {}
    cell(double number) : value(number) {}
    cell(std::size_t count) : value(std::uint64_t{count}) {}
    cell(undefined why) : value(std::move(why)) {}
    cell(measured const& m) : value(undefined{}) {
        if (m)
            value = *m;
        else
            value = undefined{m.reason()};
    }
};

struct table {
    struct column {
        std::string key;   // for programs: the name in CSV and JSON
        std::string title; // for people
        int digits = 3;    // shown after the point; files always hold the exact number
    };
    std::string name; // stem of its file
    std::string title;
    std::vector<column> columns;
    std::vector<std::vector<cell>> rows;
    std::vector<std::string> notes; // whole sentences below it

    /// Errors: shape_error unless there is one cell for each column.
    void add(std::vector<cell> row) {
        if (row.size() != columns.size())
            throw shape_error("table '" + name + "': a row of " + std::to_string(row.size()) + " cells, expected " +
                              std::to_string(columns.size()));
        rows.push_back(std::move(row));
    }
};

/// A cell for people: rounded, "not defined" where it is not.
inline std::string shown(cell const& c, int digits) {
    struct visitor {
        int digits;
        std::string operator()(std::string const& text) const { return text; }
        std::string operator()(double number) const { return rounded_text(number, digits); }
        std::string operator()(std::uint64_t count) const { return std::to_string(count); }
        std::string operator()(undefined const&) const { return "not defined"; }
    };
    return std::visit(visitor{digits}, c.value);
}

namespace detail {

inline bool is_text(cell const& c) noexcept { return std::holds_alternative<std::string>(c.value); }

/// Characters on a terminal, as far as that is one per code point.
inline std::size_t shown_width(std::string_view text) noexcept {
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; }));
}

/// A column of numbers is aligned at the right; one text in it makes it a column of texts.
inline bool has_text(table const& t, std::size_t col) {
    return std::ranges::any_of(t.rows, [col](auto const& row) { return is_text(row[col]); });
}

/// Why numbers of the table are not defined, each reason once.
inline std::vector<std::string> reasons_of(table const& t) {
    std::vector<std::string> reasons;
    for (auto const& row : t.rows)
        for (auto const& c : row)
            if (auto const* why = std::get_if<undefined>(&c.value))
                if (std::ranges::find(reasons, why->reason) == reasons.end()) reasons.push_back(why->reason);
    return reasons;
}

} // namespace detail

/// For the terminal: title, columns aligned by spaces, notes, why numbers are not defined. Control characters show as
/// their symbols.
inline std::string to_text(table const& t) {
    std::vector<std::vector<std::string>> lines(1);
    for (auto const& c : t.columns) lines[0].push_back(c.title);
    for (auto const& row : t.rows) {
        auto& line = lines.emplace_back();
        for (std::size_t c = 0; c < row.size(); ++c) line.push_back(visible_text(shown(row[c], t.columns[c].digits)));
    }
    std::string out = t.title + "\n";
    std::vector<std::size_t> width(t.columns.size());
    for (auto const& line : lines)
        for (std::size_t c = 0; c < line.size(); ++c) width[c] = std::max(width[c], detail::shown_width(line[c]));
    for (auto const& line : lines) {
        std::string text;
        for (std::size_t c = 0; c < line.size(); ++c) {
            const std::string padding(width[c] - detail::shown_width(line[c]), ' ');
            text += (c == 0 ? "" : "  ") + (detail::has_text(t, c) ? line[c] + padding : padding + line[c]);
        }
        out += text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
    }
    for (auto const& note : t.notes) out += note + "\n";
    for (auto const& reason : detail::reasons_of(t)) out += "Not defined: " + reason + ".\n";
    return out;
}

/// Keys as the header, exact numbers, an empty cell where a number is not defined.
inline std::string to_csv(table const& t) {
    std::vector<std::string> keys;
    for (auto const& c : t.columns) keys.push_back(c.key);
    csv_writer csv(keys);
    struct visitor {
        csv_writer& csv;
        void operator()(std::string const& text) const { csv.text(text); }
        void operator()(double number) const { csv.number(number); }
        void operator()(std::uint64_t count) const { csv.count(count); }
        void operator()(undefined const&) const { csv.empty(); }
    };
    for (auto const& row : t.rows) {
        for (auto const& c : row) std::visit(visitor{csv}, c.value);
        csv.end_row();
    }
    return csv.bytes();
}

/// How a page shows a table.
struct html_use {
    bool titled = true;
    std::vector<std::string> targets =
        {};                       // of each row, if any: the id on the page that its first cell leads to, or ""
    std::string_view listed = {}; // what a row is ("document"): table_script sorts, searches and continues it
};

/// Rows of a long list that the page itself holds; its script shows as many more at a time.
inline constexpr std::size_t listed_rows = 100;

namespace detail {

/// Longer texts may break.
inline constexpr std::size_t longest_name = 24;

inline std::string html_cell(cell const& c, int digits, std::string_view target) {
    std::string text = shown(c, digits), tag;
    if (auto const* why = std::get_if<undefined>(&c.value)) {
        tag = "<td class=\"n undefined\" title=\"" + html_escape(why->reason) + "\">";
    } else if (is_text(c)) {
        tag = shown_width(text) <= longest_name ? "<td class=\"name\">" : "<td>";
        text = "<bdi>" + html_escape(text) + "</bdi>";
    } else {
        tag = "<td class=\"n\">";
        text = with_minus_sign(text);
    }
    if (c.strong) text = "<b>" + text + "</b>";
    if (!target.empty()) text = "<a href=\"#" + html_escape(target) + "\">" + text + "</a>";
    return tag + text + "</td>";
}

/// Seven figures of a number: more than a list shows, and enough to sort it by.
inline std::string short_text(double value) {
    std::array<char, 32> buffer;
    const auto end =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::general, 7).ptr;
    return {buffer.data(), end};
}

/// All rows for table_script: {"digits": [3, null for texts], "rows": [[0.5, "text", null where not defined], …],
/// "targets": {"row": "id"}}.
inline std::string list_data(table const& t, html_use const& use) {
    struct visitor {
        std::string operator()(std::string const& text) const { return json_string(text); }
        std::string operator()(double number) const { return short_text(number); }
        std::string operator()(std::uint64_t count) const { return std::to_string(count); }
        std::string operator()(undefined const&) const { return "null"; }
    };
    std::string out = "{\"digits\":[", separator;
    for (std::size_t c = 0; c < t.columns.size(); ++c) {
        const bool counts = std::ranges::all_of(
            t.rows, [c](auto const& row) { return std::holds_alternative<std::uint64_t>(row[c].value); });
        out += separator + (has_text(t, c) ? "null" : std::to_string(counts ? 0 : t.columns[c].digits));
        separator = ",";
    }
    out += "],\n\"rows\":[";
    separator.clear();
    for (auto const& row : t.rows) {
        out += std::exchange(separator, ",") + "\n[";
        for (std::size_t c = 0; c < row.size(); ++c) out += (c == 0 ? "" : ",") + std::visit(visitor{}, row[c].value);
        out += "]";
    }
    out += "],\n\"targets\":{";
    separator.clear();
    for (std::size_t r = 0; r < use.targets.size(); ++r)
        if (!use.targets[r].empty())
            out += std::exchange(separator, ",") + "\"" + std::to_string(r) + "\":" + json_string(use.targets[r]);
    return out + "}}";
}

/// "24 documents", "The first 100 of 10000 documents".
inline std::string listed_text(std::size_t rows, std::string_view what) {
    return rows <= listed_rows ? counted(rows, what)
                               : "The first " + std::to_string(listed_rows) + " of " + counted(rows, what);
}

} // namespace detail

/// Title, the table in a box that scrolls, and its notes. Where a number is not defined, the reason shows on hover;
/// reasons also follow as a note, for paper. A table that is `listed` shows its first rows, and has all of them in
/// page_data beside it.   Errors: shape_error unless there are no targets, or one for each row.
inline std::string to_html(table const& t, html_use const& use = {}) {
    if (!use.targets.empty() && use.targets.size() != t.rows.size())
        throw shape_error("table '" + t.name + "': " + std::to_string(use.targets.size()) + " targets, expected " +
                          std::to_string(t.rows.size()) + ", one for each row");
    const bool is_listed = !use.listed.empty();
    const std::size_t rows = is_listed ? std::min(listed_rows, t.rows.size()) : t.rows.size();
    std::string out;
    if (use.titled) out += "<h3>" + html_escape(t.title) + "</h3>\n";
    if (is_listed) {
        out += "<p class=\"note\">" + html_escape(detail::listed_text(t.rows.size(), use.listed)) + "</p>\n";
        out += "<div class=\"scroll listed\"><table data-rows=\"" + html_escape(t.name) + "-rows\" data-what=\"" +
               html_escape(use.listed) + "\">";
    } else {
        out += "<div class=\"scroll\"><table>";
    }
    out += "\n<thead><tr>";
    for (std::size_t c = 0; c < t.columns.size(); ++c)
        out += (detail::has_text(t, c) ? "<th>" : "<th class=\"n\">") + html_escape(t.columns[c].title) + "</th>";
    out += "</tr></thead>\n<tbody>\n";
    for (std::size_t r = 0; r < rows; ++r) {
        out += "<tr>";
        for (std::size_t c = 0; c < t.columns.size(); ++c)
            out += detail::html_cell(t.rows[r][c], t.columns[c].digits,
                                     c == 0 && !use.targets.empty() ? std::string_view(use.targets[r]) : "");
        out += "</tr>\n";
    }
    out += "</tbody>\n</table></div>\n";
    if (is_listed) out += page_data(t.name + "-rows", detail::list_data(t, use));
    for (auto const& note : t.notes) out += "<p class=\"note\">" + html_escape(note) + "</p>\n";
    for (auto const& reason : detail::reasons_of(t))
        out += "<p class=\"note\">Not defined: " + html_escape(reason) + ".</p>\n";
    return out;
}

} // namespace bitlens
