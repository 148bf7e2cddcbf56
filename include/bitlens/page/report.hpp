#pragma once
/// write_report: turns the folder of a finished run into summary.json, figures and report.html, without a model.

#include "bitlens/analysis/choices.hpp"
#include "bitlens/analysis/location_results.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/page/choice_table.hpp"
#include "bitlens/page/claims.hpp"
#include "bitlens/page/document_part.hpp"
#include "bitlens/page/documents.hpp"
#include "bitlens/page/example_script.hpp"
#include "bitlens/page/figures.hpp"
#include "bitlens/page/float32_table.hpp"
#include "bitlens/page/foretelling_tables.hpp"
#include "bitlens/page/location_section.hpp"
#include "bitlens/page/lost_tokens.hpp"
#include "bitlens/page/method_choice.hpp"
#include "bitlens/page/published.hpp"
#include "bitlens/page/report_parts.hpp"
#include "bitlens/page/run_facts.hpp"
#include "bitlens/page/table_json.hpp"
#include "bitlens/page/tables.hpp"
#include "bitlens/page/words.hpp"
#include "bitlens/page/worst_documents.hpp"
#include "bitlens/report/html.hpp"
#include "bitlens/report/svg.hpp"
#include "bitlens/report/table.hpp"
#include "bitlens/report/table_script.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// Everything that the page and summary.json show.
struct report_content {
    std::vector<std::string> lines;
    table claims, methods, margins, foretelling, foretelling_robustness, parting, method_correlation, pair_robustness,
        kl_correlation, error_sets, overlap, last_layer, layer_correlation, set_means, mse, long_tail;
    std::optional<table> topics, topic_tests; // where the documents have topics
    std::optional<table> choices;             // where they are choices of questions
    std::vector<set_figures> sets;            // one per method
    figure correlation_r, correlation_z_h, mlp_error, errors, long_tail_dots;
    std::optional<table> float32; // of a run in another arithmetic
    std::optional<location_content> location;
};

inline report_content make_content(finished_study const& s, std::optional<table> float32,
                                   std::optional<located_run> const& located) {
    const auto pairs = method_pairs(s);
    auto about = claims_of({s, pairs});
    std::optional<location_content> location;
    if (located) location = make_location_content(s, *located);
    if (location && location->found.empty()) location.reset();
    if (location) std::ranges::copy(location->claims, std::back_inserter(about));
    const auto found = foretell(s);
    resampler draws(s.seed);
    report_content c{summary_lines(s, pairs, found),
                     claims_table(about),
                     method_table(s),
                     margins_table(s, margin_lines(s)),
                     foretelling_table(s, found),
                     foretelling_robustness_table(s, found),
                     parting_table(s, document_portraits(s)),
                     method_correlation_table(s, pairs),
                     pair_robustness_table(s, robust_pairs(s)),
                     kl_correlation_table(s),
                     error_sets_table(s),
                     overlap_table(s, pairs),
                     last_layer_table(s),
                     layer_correlation_table(s),
                     set_means_table(s),
                     mse_table(s),
                     long_tail_table(s, s.nll_full, "the full model's"),
                     {},
                     {},
                     {},
                     {},
                     correlation_r_figure(s, draws),
                     correlation_z_h_figure(s, draws),
                     mse_figure(s, draws),
                     error_figure(s),
                     long_tail_figure(s, s.nll_full, "loss of the full model"),
                     std::move(float32),
                     std::move(location)};
    if (c.location && !c.location->line.empty()) c.lines.push_back(c.location->line);
    if (const auto topics = study_topics(s)) {
        c.topics = topics_table(s, *topics);
        c.topic_tests = topic_tests_table(s, *topics);
    }
    if (const auto choices = choices_of(s)) c.choices = choices_table(s, *choices);
    for (std::size_t v = 0; v < s.methods.size(); ++v) c.sets.push_back(figures_of_sets(s, v, draws));
    return c;
}

inline std::vector<table const*> tables_of(report_content const& c) {
    std::vector<table const*> all{&c.foretelling,
                                  &c.foretelling_robustness,
                                  &c.parting,
                                  &c.claims,
                                  &c.methods,
                                  &c.margins,
                                  &c.method_correlation,
                                  &c.pair_robustness,
                                  &c.kl_correlation,
                                  &c.error_sets,
                                  &c.overlap,
                                  &c.last_layer,
                                  &c.layer_correlation,
                                  &c.set_means,
                                  &c.mse,
                                  &c.long_tail};
    for (auto const* more : {&c.topics, &c.topic_tests, &c.choices, &c.float32})
        if (*more) all.push_back(&**more);
    if (c.location) std::ranges::copy(tables_of(*c.location), std::back_inserter(all));
    return all;
}

inline std::vector<figure const*> figures_of(report_content const& c) {
    std::vector<figure const*> all{&c.correlation_r, &c.correlation_z_h, &c.mlp_error, &c.errors, &c.long_tail_dots};
    for (auto const& f : c.sets) all.insert(all.end(), {&f.curves, &f.density_r, &f.density_h, &f.kurtosis});
    if (c.location) std::ranges::copy(figures_of(*c.location), std::back_inserter(all));
    return all;
}

inline ordered_json summary_json(report_content const& c) {
    ordered_json tables = ordered_json::object(), reported = ordered_json::object();
    for (table const* t : tables_of(c)) tables[t->name] = to_json(*t);
    for (table const& t :
         {published::perplexity_table(), published::method_correlation_table(), published::variant_correlation_table(),
          published::error_sets_table(), published::last_layer_table(), published::long_tail_table()})
        reported[t.name] = to_json(t);
    if (c.location)
        for (table const& t : {published::patching_table(), published::restoring_table()})
            reported[t.name] = to_json(t);
    return {{"summary", c.lines}, {"tables", std::move(tables)}, {"published", std::move(reported)}};
}

/// The sets of one method: figure 1 with the last layer's densities, figures 6 and 7. Ten layers of densities are
/// large: the page has them of one method.
inline std::string method_figures_html(set_figures const& figures, bool with_layers) {
    std::string out = figure_html(figures.curves);
    std::vector<chart> last;
    last.push_back(figures.density_r.charts.back());
    last.push_back(figures.density_h.charts.back());
    out += figure_html(last, 2, "Magnitudes at the last layer, before the norm (left) and after it (right).",
                       {figures.density_r.name, figures.density_h.name});
    for (auto const& [title, f] : {std::pair("The last ten layers before the norm", &figures.density_r),
                                   std::pair("The last ten layers after the norm", &figures.density_h)})
        out += with_layers ? folded(title, figure_html(*f)) : figure_links(title, *f);
    return out + figure_html(figures.kurtosis);
}

/// Dots are large, about 100 bytes each: the page has those of one method, and of many documents none.
inline std::string long_tail_html(figure const& f) {
    constexpr std::size_t most_dots = 2000;
    if (f.charts.empty()) return {};
    const bool is_drawn = f.charts.front().series.back().points.size() <= most_dots;
    const auto shown = std::span(f.charts).first(is_drawn ? 1 : 0);
    return figure_html(shown, 1, f.caption, {f.name}) +
           (is_drawn && f.charts.size() == 1 ? "" : figure_links("Each document under every method", f));
}

/// All scripts that a page may run.
inline std::array<page_script, 2> page_scripts() noexcept { return {table_script(), example_script()}; }

inline std::string page_styles(std::size_t methods) {
    std::string all = method_choice_style(methods);
    for (const std::string_view style :
         {svg_style(), table_script_style(), example_style(), document_part_style(), worst_documents_style()})
        all += style;
    return all + std::string(facts_style());
}

/// The tokens that lose most in the whole run, of each method.
inline std::string lost_tokens_html(documents_page const& page) {
    constexpr std::size_t shown = 20, per_document = 2;
    std::vector<std::string> tables;
    for (std::size_t v = 1; v <= page.names.size(); ++v) {
        const auto tokens = lost_tokens_of_run(page.text.numbers, v, shown, per_document);
        html_use use{.titled = false};
        for (auto const& token : tokens) use.targets.push_back(page.target(token.row));
        tables.push_back(to_html(lost_tokens_table(page.s.run, page.text.numbers, v, tokens), use));
    }
    return "<h3>The tokens that lose most</h3>\n" + method_choice("lost", page.names, tables) +
           "<p class=\"note\">Over all documents, at most two of each. Losses in nats.</p>\n";
}

inline std::string documents_html(documents_page& page) {
    finished_study const& s = page.s;
    html_use listed{.listed = "document"};
    for (const std::size_t row : worst_first(s)) listed.targets.push_back(page.target(row));
    std::string out;
    if (!s.methods.empty()) out = lost_tokens_html(page) + document_parts_html(page);
    return out + to_html(documents_table(s), listed);
}

/// Where errors arise: only what was run.
inline std::string location_html(documents_page const& page, location_content const& c) {
    finished_study const& s = page.s;
    const auto shown = [](table const& t) { return t.rows.empty() ? std::string() : to_html(t); };
    const auto all_layers = [](table const& t) {
        return t.rows.empty() ? std::string()
                              : folded(t.title + ": all layers as a table", to_html(t, {.titled = false}));
    };
    std::string out = section("arise", "Where errors arise");
    for (auto const& sentence : c.about) out += paragraph(sentence);
    out += shown(c.patching);
    if (!c.patching.rows.empty())
        out += folded("Perplexities that the paper reports", to_html(published::patching_table()));
    out += worst_located_html(s, c, [&page](std::size_t row) { return page.target(row); });
    out += shown(c.late) + shown(c.gates);
    if (!c.late.rows.empty() || !c.gates.rows.empty())
        out += folded("Perplexities that the paper reports", to_html(published::restoring_table()));
    out += shown(c.restored_projections) + shown(c.only_projections);
    out += figure_html(c.one_layer_curves) + all_layers(c.restored_layers) + all_layers(c.only_layers);
    out += figure_html(c.from_layer_curves) + all_layers(c.from_layer);
    for (figure const& f : c.exit_figures) out += figure_html(f);
    out += all_layers(c.exits);
    return c.all_documents.rows.empty()
               ? out
               : out + folded(c.all_documents.title, to_html(c.all_documents, {.titled = false, .listed = "change"}));
}

inline std::string page_html(finished_study const& s, report_content const& c) {
    const run_facts facts = facts_of(s);
    documents_page documents(s);
    std::string body = "<h1>Which documents did quantization break?</h1>\n" + facts_html(facts, s.full);
    body += summary_html(c.lines);
    body += "<nav><a href=\"#worst\">Worst documents</a><a href=\"#foretells\">What foretells the error</a><a "
            "href=\"#claims\">The paper's findings</a><a href=\"#methods\">Methods</a><a href=\"#same\">Same "
            "documents?</a><a "
            "href=\"#sets\">Large errors</a><a href=\"#tail\">Hard and easy</a><a "
            "href=\"#magnitudes\">Magnitudes</a><a href=\"#mlp\">MLP errors</a>";
    if (c.location) body += "<a href=\"#arise\">Where errors arise</a>";
    body += "<a href=\"#examples\">Texts and all documents</a><a href=\"#manifest\">Manifest</a></nav>\n";

    body += section("worst", "The worst documents") + (s.methods.empty() ? "" : worst_documents_html(documents)) +
            folded("Where the runs part, layer by layer", to_html(c.parting));
    body +=
        section("foretells", "What foretells the error") + to_html(c.foretelling) + to_html(c.foretelling_robustness);
    if (c.topics) body += section("topics", "Do topics matter?") + to_html(*c.topic_tests) + to_html(*c.topics);

    body += section("claims", "Beside the paper's findings") + to_html(c.claims);
    body += paragraph("“Full” means the checkpoint as it is stored (" + s.full +
                      "), which may itself be quantized already, as a Q4_1 file is. Errors are measured against it.");
    body += paragraph(s.first_position
                          ? "Norms, kurtosis and MSE count the first position too, which the paper leaves out of the "
                            "norms (eq. 7)."
                          : "Norms are means over all positions but the first, as in the paper (eq. 7). So are "
                            "kurtosis and MSE, by our choice: the paper does not say.");
    body += section("methods", "How much does each method lose?") + to_html(c.methods) + to_html(c.margins) +
            to_html(c.kl_correlation) + (c.choices ? to_html(*c.choices) : "") +
            (c.float32 ? to_html(*c.float32) : "") +
            folded("Perplexities that the paper reports", to_html(published::perplexity_table()));
    body += section("same", "Do methods fail on the same documents?") + to_html(c.method_correlation) +
            to_html(c.pair_robustness) + figure_html(c.errors) + to_html(c.overlap) +
            folded("Correlations that the paper reports",
                   to_html(published::method_correlation_table()) + to_html(published::variant_correlation_table()));

    body += section("sets", "What sets documents with large errors apart?") + to_html(c.error_sets) +
            folded("What the paper reports of these sets", to_html(published::error_sets_table()));
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        const std::string figures = method_figures_html(c.sets[v], v == 0);
        body += v == 0 ? figures : folded("The same figures for the sets of " + s.methods[v].name, figures);
    }
    body += folded("All layers as a table", to_html(c.set_means));

    body += section("tail", "Were the documents with large errors hard before?") + long_tail_html(c.long_tail_dots) +
            to_html(c.long_tail) + folded("Mean errors that the paper reports", to_html(published::long_tail_table()));

    body += section("magnitudes", "Do magnitudes foretell errors?") + figure_html(c.correlation_r) +
            to_html(c.last_layer) +
            folded("Correlations that the paper reports", to_html(published::last_layer_table())) +
            figure_html(c.correlation_z_h) + folded("All layers as a table", to_html(c.layer_correlation));
    body += section("mlp", "Do larger inputs get larger errors?") + figure_html(c.mlp_error) +
            folded("All layers as a table", to_html(c.mse));

    if (c.location) body += location_html(documents, *c.location);
    body += section("examples", "Texts and all documents") + documents_html(documents);
    body += section("manifest", "How this was made") + paragraph("By bitlens, after arXiv 2506.12044.") +
            json_html(to_json(s.run.manifest)) +
            "<p class=\"note\">All tables as numbers: <a href=\"summary.json\">summary.json</a>. One row per document: "
            "<a href=\"examples.csv\">examples.csv</a>.</p>\n";
    return html_page(facts.title() + " – bitlens", page_styles(s.methods.size()), body, page_scripts());
}

} // namespace detail

/// Writes summary.json, figures/*.svg with figures/*.csv, and report.html into `folder`, where float32.csv of the run
/// may be. `located`: what variants of its methods say of where errors arise. Equal runs give equal bytes.
/// Errors: io_error; format_error for a float32.csv of another run; those of make_location.
inline report_summary write_report(std::filesystem::path const& folder, finished_study const& s,
                                   std::optional<located_run> const& located = std::nullopt) {
    expect_report_writable(folder);
    const auto content = detail::make_content(s, float32_table(folder, s), located);
    detail::write_figures(folder, detail::figures_of(content));
    write_file_atomically(folder / "summary.json", detail::summary_json(content).dump(2) + "\n");
    write_file_atomically(folder / "report.html", detail::page_html(s, content));
    return {content.lines, folder / "report.html", s.run.unfinished};
}

} // namespace bitlens
