#pragma once
/// worst_documents: what a report opens with, the documents that a method breaks and what was unusual about them.

#include "bitlens/page/claims.hpp"
#include "bitlens/page/documents.hpp"
#include "bitlens/page/method_choice.hpp"

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// A cell that says on a narrow page, where there is no head, what it is.
inline std::string labelled_cell(std::string const& label, std::string const& html) {
    return "<td class=\"n\" data-label=\"" + html_escape(label) + "\">" + html + "</td>";
}

inline std::string worst_row(documents_page const& page, std::size_t v, std::size_t row) {
    auto const& d = page.s.run.documents;
    const std::string words = "<bdi>" + html_escape(page.words(row)) + "</bdi>", target = page.target(row);
    std::string out = "<tr><td class=\"document\">" +
                      (target.empty() ? words : "<a href=\"#" + target + "\">" + words + "</a>") + "<small>document " +
                      std::to_string(d.rows[row]);
    for (auto const& text : {d.topics[row], d.names[row]})
        if (!text.empty()) out += " · <bdi>" + html_escape(text) + "</bdi>";
    out += "</small></td>";
    for (std::size_t m = 0; m < page.names.size(); ++m) {
        std::string error = signed_text(number_or_gap(page.s.methods[m].error[row]), 3);
        if (m == v) error = "<b>" + error + "</b>";
        if (page.ranks[m][row] > 0) error += "<small>no. " + std::to_string(page.ranks[m][row]) + "</small>";
        out += labelled_cell(page.names[m], error);
    }
    for (auto const& p : page.properties) {
        constexpr double unusual = 5; // per cent at either end
        const double x = p.percentile[row];
        std::string text = std::isnan(x) ? "–" : html_escape(percentile_text(x));
        if (x <= unusual || x >= 100 - unusual) text = "<b>" + text + "</b>";
        out += labelled_cell(p.name + ", percentile", text);
    }
    const auto parting = parting_layer(page.s.methods[v].diff_r, page.diff_r[v], row);
    return out + labelled_cell("the runs part from layer", parting ? std::to_string(*parting) : "–") + "</tr>\n";
}

inline std::string worst_table(documents_page const& page, std::size_t v) {
    const std::size_t methods = page.names.size(), properties = page.properties.size();
    std::string out =
        "<div class=\"scroll\"><table class=\"worst\">\n<thead><tr><th></th><th class=\"n\" colspan=\"" +
        std::to_string(methods) + "\">error in nats per token, and its rank</th><th class=\"n\" colspan=\"" +
        std::to_string(properties) + "\">percentile before quantization</th><th></th></tr>\n<tr><th>document</th>";
    for (auto const& name : page.names) out += "<th class=\"n\">" + html_escape(name) + "</th>";
    for (auto const& p : page.properties) out += "<th class=\"n\">" + html_escape(p.name) + "</th>";
    out += "<th class=\"n\">runs part from layer</th></tr></thead>\n<tbody>\n";
    for (const std::size_t row : page.shown.worst[v]) out += worst_row(page, v, row);
    return out + "</tbody>\n</table></div>\n";
}

} // namespace detail

/// The ten worst documents of each method, of which the reader chooses one.
inline std::string worst_documents_html(documents_page const& page) {
    std::vector<std::string> tables;
    for (std::size_t v = 0; v < page.names.size(); ++v) tables.push_back(detail::worst_table(page, v));
    return method_choice("worst", page.names, tables) +
           "<p class=\"note\">Without near-duplicates (token 5-grams, Jaccard above 0.1). Percentile: the share of "
           "all " +
           counted(page.s.size(), "document") +
           " that have less; the outer twentieths are bold. The runs part: the layer from which on, to the last, "
           "diff_r "
           "of the document under the chosen method is above the upper quartile of all.</p>\n";
}

inline std::string_view worst_documents_style() noexcept {
    return R"(.worst small{display:block;color:var(--soft);font-size:.8rem;font-weight:400}
.worst td.document{min-width:15rem;overflow-wrap:anywhere}.worst td{vertical-align:top}
.worst thead tr:first-child th{border-bottom:0;padding-bottom:0;font-weight:400}
@media screen and (max-width:40rem){.worst,.worst tbody{display:block}.worst thead{display:none}
.worst tr{display:grid;grid-template-columns:1fr 1fr;border-bottom:1px solid var(--line);padding:.6rem 0}
.worst td,.worst td.n{border:0;padding:.15rem .75rem .15rem 0;text-align:left;white-space:normal}
.worst td.document{grid-column:1/-1;min-width:0}
.worst td[data-label]::before{content:attr(data-label);display:block;color:var(--soft);font-size:.8rem}}
)";
}

} // namespace bitlens
