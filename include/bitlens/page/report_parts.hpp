#pragma once
/// What reports are put together from: summary, facts, figures with links to their data, sections, and how their files
/// are written.

#include "bitlens/core/error.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/page/figures.hpp"
#include "bitlens/page/run_facts.hpp"
#include "bitlens/report/html.hpp"
#include "bitlens/report/svg.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace bitlens {

/// What a program says when the report is written.
struct report_summary {
    std::vector<std::string> lines;      // those that matter
    std::filesystem::path page;          // report.html
    std::vector<std::string> unfinished; // methods that the page does not know yet
};

inline std::ostream& operator<<(std::ostream& out, report_summary const& summary) {
    for (auto const& line : summary.lines) out << line << '\n';
    return out;
}

namespace detail {

/// Charts, a caption, and links to the data files of the figures that they are of.
inline std::string figure_html(std::span<const chart> charts, std::size_t per_row, std::string_view caption,
                               std::initializer_list<std::string_view> data) {
    if (charts.empty()) return {};
    std::string out = "<figure>\n<div class=\"scroll\">" + to_svg(charts, per_row, svg_use::inside_page) +
                      "</div><figcaption>" + html_escape(caption) + " Data: ";
    std::string_view separator;
    for (const auto name : data) {
        const std::string path = "figures/" + std::string(name) + ".csv";
        out += std::string(separator) + "<a href=\"" + path + "\">" + path + "</a>";
        separator = ", ";
    }
    return out + "</figcaption>\n</figure>\n";
}

inline std::string figure_html(figure const& f) { return figure_html(f.charts, f.per_row, f.caption, {f.name}); }

inline std::string folded(std::string_view title, std::string const& body) {
    return "<details><summary>" + html_escape(title) + "</summary>\n" + body + "</details>\n";
}

inline std::string section(std::string_view id, std::string_view title) {
    return "<h2 id=\"" + std::string(id) + "\">" + html_escape(title) + "</h2>\n";
}

inline std::string paragraph(std::string_view text) { return "<p>" + html_escape(text) + "</p>\n"; }

/// Any JSON as nested lists of names and values.
inline std::string json_html(json const& value) {
    if (value.is_string()) return html_escape(value.get_ref<std::string const&>());
    if (!value.is_structured()) return html_escape(value.dump());
    std::string out = "<dl>";
    std::size_t index = 0;
    for (auto const& [key, inner] : value.items())
        out += "<dt>" + (value.is_object() ? html_escape(key) : std::to_string(++index)) + "</dt><dd>" +
               json_html(inner) + "</dd>";
    return out + "</dl>\n";
}

/// Links to a figure's picture and data, in place of it.
inline std::string figure_links(std::string_view title, figure const& f) {
    if (f.charts.empty()) return {};
    std::string out = "<p class=\"soft\">" + html_escape(title) + ": ";
    for (std::string_view separator; const std::string_view kind : {".svg", ".csv"}) {
        const std::string path = "figures/" + f.name + std::string(kind);
        out += std::string(separator) + "<a href=\"" + path + "\">" + path + "</a>";
        separator = ", ";
    }
    return out + "</p>\n";
}

/// The lines of a report_summary, as a page opens with them.
inline std::string summary_html(std::span<const std::string> lines) {
    std::string out = "<div class=\"summary\"><ul>\n";
    for (auto const& line : lines) out += "<li>" + html_escape(line) + "</li>\n";
    return out + "</ul></div>\n";
}

/// `full`: in which formats the full model is stored; `rows`: what the rows of the run are.
inline std::string facts_html(run_facts const& facts, std::string const& full, std::string_view rows = "Documents") {
    std::string out = "<dl class=\"facts\">";
    const auto line = [&](std::string_view name, std::string const& text) {
        if (!text.empty()) out += "<dt>" + html_escape(name) + "</dt><dd><bdi>" + html_escape(text) + "</bdi></dd>";
    };
    const std::string stored = facts.kind + (facts.kind.empty() ? "" : ", ") + "stored as " + full;
    line("Model", facts.model.empty() ? stored : facts.model + " (" + stored + ")");
    line("Data", facts.data);
    line("Methods", facts.methods);
    for (auto const& origin : facts.origins) line("Where from", origin);
    line(rows, facts.documents);
    return out + "</dl>\n";
}

inline std::string_view facts_style() noexcept { return "dl.facts{margin:.75rem 0}\n"; }

/// A folder of a run that a report writes files of its own into.   Errors: io_error.
inline std::filesystem::path make_folder(std::filesystem::path const& folder) {
    std::error_code code;
    std::filesystem::create_directories(folder, code);
    if (code) throw io_error(folder.string() + ": cannot be created: " + code.message());
    return folder;
}

/// Into RUN/figures.   Errors: io_error.
inline void write_figures(std::filesystem::path const& run_folder, std::span<figure const* const> all) {
    const auto figures = make_folder(run_folder / "figures");
    for (figure const* f : all) write_figure(figures, *f);
}

/// Says that no file of these kinds could be written into a folder, there or not yet.   Errors: io_error.
inline void expect_folder_writable(std::filesystem::path const& folder, std::initializer_list<std::string_view> kinds) {
    std::error_code code;
    if (!is_occupied(folder)) return;
    const std::filesystem::directory_iterator entries(folder, code);
    if (code) throw io_error(folder.string() + ": a folder is expected: " + code.message());
    expect_writable(folder / ("new" + std::string(*kinds.begin())));
    for (auto const& entry : entries)
        if (std::ranges::find(kinds, entry.path().extension().string()) != kinds.end()) expect_writable(entry.path());
}

} // namespace detail

/// Says before a study that its report could not be written.   Errors: io_error.
inline void expect_report_writable(std::filesystem::path const& run_folder) {
    for (const char* name : {"summary.json", "report.html"}) expect_writable(run_folder / name);
    detail::expect_folder_writable(run_folder / "figures", {".svg", ".csv"});
}

} // namespace bitlens
