#pragma once
/// document_part: one document on a page: where its runs part, its numbers among all, its text.

#include "bitlens/page/claims.hpp"
#include "bitlens/page/documents.hpp"
#include "bitlens/page/lost_tokens.hpp"
#include "bitlens/report/svg.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// diff_r of one document under one method, layer by layer, beside the middle half of all documents.
inline chart profile_chart(documents_page const& page, std::size_t v, std::size_t row) {
    auto const& method = page.s.methods[v];
    auto const& all = page.portraits.profiles()[v];
    chart c;
    c.name = "diff_r";
    c.title = "Where the runs part under " + method.name;
    c.x = {"layer", scale::linear, true};
    c.y = {"diff_r"};
    series document{"document " + std::to_string(page.s.run.documents.rows[row]), mark::line, {}};
    series middle{"median and quartiles of all", mark::band, {}};
    for (std::size_t k = 0; k < method.diff_r.rows; ++k) {
        const double layer = static_cast<double>(k);
        document.points.push_back({layer, number_or_gap(method.diff_r(k, row)).optional()});
        middle.points.push_back(
            {layer, all.median[k].optional(), {}, all.lower[k].optional(), all.upper[k].optional()});
    }
    c.series = {std::move(document), std::move(middle)};
    return c;
}

namespace detail {

/// What the full model has of a document, the most unusual first.
inline table standings_table(documents_page const& page, document_portrait const& portrait) {
    table t{
        "standings", "", {{"what", "before quantization"}, {"value", "", 3}, {"percentile", "percentile", 1}}, {}, {}};
    for (auto const& here : portrait.standings) {
        auto const& quantity = page.portraits.quantities()[here.quantity];
        t.add({quantity.name + (quantity.layered ? ", last layer" : ""), here.value, here.percentile});
    }
    return t;
}

inline table methods_of_document(documents_page const& page, document_portrait const& portrait) {
    const std::size_t row = portrait.row;
    table t{"methods",
            "",
            {{"method", "method"},
             {"error", "error", 3},
             {"rank", "rank"},
             {"kl", "KL", 3},
             {"same_top", "same most likely token", 3},
             {"parting", "runs part from layer"}},
            {},
            {}};
    for (std::size_t v = 0; v < page.names.size(); ++v) {
        auto const& m = page.s.methods[v];
        auto const& parting = portrait.parts_at[v];
        t.add({m.name, number_or_gap(m.error[row]),
               page.ranks[v][row] > 0 ? cell(page.ranks[v][row]) : cell(undefined{"no finite number was measured"}),
               number_or_gap(m.kl[row]), number_or_gap(m.same_top[row]),
               parting ? cell(*parting)
                       : cell(undefined{"at the last layer the runs are no further apart than those of "
                                        "three quarters of the documents"})});
    }
    return t;
}

} // namespace detail

/// Folded unless `open`; a link to documents_page::target unfolds it.
inline std::string document_part(documents_page& page, std::size_t row, bool open) {
    constexpr std::size_t named_tokens = 8;
    auto const& d = page.s.run.documents;
    const std::size_t v = page.worst_method(row);
    const document_portrait portrait = page.portraits.of(row);
    const html_use untitled{.titled = false};
    std::string out = std::string("<details class=\"document\"") + (open ? " open" : "") + "><summary>Document " +
                      std::to_string(d.rows[row]) + " · <bdi>" + html_escape(page.words(row)) +
                      "</bdi></summary>\n<div id=\"" + page.target(row) + "\">\n<p class=\"note\">";
    for (auto const& text : {d.topics[row], d.names[row]})
        if (!text.empty()) out += "<bdi>" + html_escape(text) + "</bdi> · ";
    out += page.ranks[v][row] == 0
               ? "no finite error"
               : "number " + std::to_string(page.ranks[v][row]) + " by the error of " + html_escape(page.names[v]) +
                     ", " + detail::signed_text(number_or_gap(page.s.methods[v].error[row]), 3) + " nats per token";
    out += "</p>\n<div class=\"numbers\"><div>" + to_html(detail::standings_table(page, portrait), untitled) +
           to_html(detail::methods_of_document(page, portrait), untitled) + "</div>\n";
    const chart profile = profile_chart(page, v, row);
    out += "<figure>" + to_svg(std::span(&profile, 1), 2, svg_use::inside_page) + "</figure></div>\n";
    out += example_html(page.text, row);
    const auto lost = lost_tokens(page.text.numbers, v + 1, row, named_tokens);
    const table tokens = lost_tokens_table(page.s.run, page.text.numbers, v + 1, lost);
    return out + "<details><summary>" + html_escape(tokens.title) + "</summary>\n" + to_html(tokens, untitled) +
           "</details>\n</div></details>\n";
}

/// The texts of the worst documents and of ordinary ones, with the choice of their colours.
inline std::string document_parts_html(documents_page& page) {
    if (page.shown.texts.empty()) return {};
    std::string out =
        "<div class=\"documents\">\n<h3 id=\"texts\">Texts</h3>\n<p>Each token by its own numbers: point at one, "
        "tap it, or walk through a text with the arrow keys. The first token is not scored.</p>\n" +
        example_switch(page.text);
    const auto show = [&](std::string_view title, std::span<const std::size_t> rows) {
        if (rows.empty()) return;
        out += "<h4>" + html_escape(title) + "</h4>\n";
        for (const std::size_t row : rows) out += document_part(page, row, row == page.shown.texts.front());
    };
    show("With the largest errors", page.shown.texts);
    show("Ordinary ones, whose errors are nearest to the median", page.shown.ordinary);
    return out + "</div>\n" + example_data(page.text);
}

inline std::string_view document_part_style() noexcept {
    return R"(.documents h4{margin:1.25rem 0 .25rem}
details.document{margin:.4rem 0}details.document>summary{overflow-wrap:anywhere}
.numbers{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:0 1.5rem;align-items:start}
.numbers figure{margin:.75rem 0}
@media(max-width:52rem){.numbers{grid-template-columns:minmax(0,1fr)}}
)";
}

} // namespace bitlens
