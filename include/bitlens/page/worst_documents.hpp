#pragma once
/// worst_documents: what a report opens with, the documents that a method breaks and what was unusual about them.

#include "bitlens/page/claims.hpp"
#include "bitlens/page/documents.hpp"
#include "bitlens/page/method_choice.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// A quantity of the full model that the table of the worst documents shows.
struct shown_quantity {
    std::size_t number; // of document_portraits::quantities
    std::string title;
};

/// Those that some document has a number of.
inline std::vector<shown_quantity> shown_quantities(document_portraits const& portraits) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 5> wanted{
        {{"nll_full", "loss"},
         {"entropy_full", "entropy"},
         {"norm_r", "norm_r, last layer"},
         {"kurtosis_r", "kurtosis_r, last layer"},
         {"bits_per_byte_full", "bits per byte"}}};
    std::vector<shown_quantity> shown;
    auto const& all = portraits.quantities();
    for (auto const& [name, title] : wanted)
        for (std::size_t q = 0; q < all.size(); ++q) {
            const auto values = all[q].values();
            if (all[q].name == name && !defined_numbers(values.row(values.rows - 1)).empty())
                shown.push_back({q, std::string(title)});
        }
    return shown;
}

/// A cell that says on a narrow page, where there is no head, what it is.
inline std::string labelled_cell(std::string const& label, std::string const& html) {
    return "<td class=\"n\" data-label=\"" + html_escape(label) + "\">" + html + "</td>";
}

inline std::string worst_row(documents_page const& page, std::span<const shown_quantity> quantities, std::size_t v,
                             std::size_t row) {
    auto const& d = page.s.run.documents;
    const document_portrait portrait = page.portraits.of(row);
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
    for (auto const& q : quantities) {
        constexpr double unusual = 5; // per cent at either end
        std::string text = "–";
        if (const auto found = std::ranges::find(portrait.standings, q.number, &standing::quantity);
            found != portrait.standings.end()) {
            text = html_escape(percentile_text(found->percentile));
            if (found->percentile <= unusual || found->percentile >= 100 - unusual) text = "<b>" + text + "</b>";
        }
        out += labelled_cell(q.title + ", percentile", text);
    }
    auto const& parting = portrait.parts_at[v];
    return out + labelled_cell("the runs part from layer", parting ? std::to_string(*parting) : "–") + "</tr>\n";
}

inline std::string worst_table(documents_page const& page, std::span<const shown_quantity> quantities, std::size_t v) {
    std::string out = "<div class=\"scroll\"><table class=\"worst\">\n<thead><tr><th></th><th class=\"n\" colspan=\"" +
                      std::to_string(page.names.size()) + "\">error, and its rank</th><th class=\"n\" colspan=\"" +
                      std::to_string(quantities.size()) +
                      "\">percentile before quantization</th><th></th></tr>\n<tr><th>document</th>";
    for (auto const& name : page.names) out += "<th class=\"n\">" + html_escape(name) + "</th>";
    for (auto const& q : quantities) out += "<th class=\"n\">" + html_escape(q.title) + "</th>";
    out += "<th class=\"n\">runs part from layer</th></tr></thead>\n<tbody>\n";
    for (const std::size_t row : page.shown.worst[v]) out += worst_row(page, quantities, v, row);
    return out + "</tbody>\n</table></div>\n";
}

} // namespace detail

/// The ten worst documents of each method, of which the reader chooses one.
inline std::string worst_documents_html(documents_page const& page) {
    const auto quantities = detail::shown_quantities(page.portraits);
    std::vector<std::string> tables;
    for (std::size_t v = 0; v < page.names.size(); ++v) tables.push_back(detail::worst_table(page, quantities, v));
    return method_choice("worst", page.names, tables) +
           "<p class=\"note\">Errors in nats per token. Without near-duplicates (token 5-grams, Jaccard above 0.1). "
           "Percentile: the share of "
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
.worst td.n small{display:inline;margin-left:.5em}
.worst td[data-label]::before{content:attr(data-label);display:block;color:var(--soft);font-size:.8rem}}
)";
}

} // namespace bitlens
