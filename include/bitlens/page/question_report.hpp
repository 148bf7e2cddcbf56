#pragma once
/// write_question_report: turns a finished run of questions into tables, figures, summary.json and report.html, without
/// a model.

#include "bitlens/analysis/finished_questions.hpp"
#include "bitlens/analysis/question_numbers.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/page/claim.hpp"
#include "bitlens/page/published_questions.hpp"
#include "bitlens/page/question_claims.hpp"
#include "bitlens/page/question_figures.hpp"
#include "bitlens/page/question_tables.hpp"
#include "bitlens/page/question_words.hpp"
#include "bitlens/page/report_parts.hpp"
#include "bitlens/page/run_facts.hpp"
#include "bitlens/page/table_json.hpp"
#include "bitlens/report/html.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/svg.hpp"
#include "bitlens/report/table.hpp"
#include "bitlens/report/table_script.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// Everything that the page and the files show.
struct question_content {
    std::vector<changed_question> lost, gained; // by containment
    std::vector<std::string> lines;
    table claims, accuracy, degraded, bucket_accuracy, bucket_degradation, histogram, seeds, flips, only_full,
        only_quantized;
    figure degradation, degradation_exact, accuracies, accuracies_exact, questions;
};

inline question_content make_content(finished_questions const& q) {
    const auto n = numbers_of(q);
    auto lost = only_full_answers(q, answer_mark::contains);
    auto gained = only_quantized_answer(q, answer_mark::contains);
    auto lines = summary_lines(q, n, lost, gained);
    auto only_full = changed_table(q, lost, "only_full", "Questions that only the full model answers");
    auto only_quantized = changed_table(q, gained, "only_quantized", "Questions that only quantized models answer");
    return {std::move(lost),
            std::move(gained),
            std::move(lines),
            claims_table(claims_of(question_evidence{q, n}),
                         {question_verdict_rule(), "The paper's numbers are of other models and methods: " +
                                                       std::string(published::questions_source)}),
            accuracy_table(q, n),
            degradation_table(q, n),
            bucket_accuracy_table(q, n),
            bucket_degradation_table(q, n),
            histogram_table(q, n),
            seeds_table(q, n),
            shared_flips_table(q, n),
            std::move(only_full),
            std::move(only_quantized),
            lost_accuracy_figure(q, n, answer_mark::contains),
            lost_accuracy_figure(q, n, answer_mark::exact),
            accuracy_figure(q, n, answer_mark::contains),
            accuracy_figure(q, n, answer_mark::exact),
            histogram_figure(q, n)};
}

inline std::array<table const*, 10> tables_of(question_content const& c) noexcept {
    return {&c.claims,    &c.accuracy, &c.degraded, &c.bucket_accuracy, &c.bucket_degradation,
            &c.histogram, &c.seeds,    &c.flips,    &c.only_full,       &c.only_quantized};
}
inline std::array<figure const*, 5> figures_of(question_content const& c) noexcept {
    return {&c.degradation, &c.degradation_exact, &c.accuracies, &c.accuracies_exact, &c.questions};
}

inline ordered_json summary_json(question_content const& c) {
    ordered_json tables = ordered_json::object(), reported = ordered_json::object();
    for (table const* t : tables_of(c)) tables[t->name] = to_json(*t);
    const table paper = published::questions_table();
    reported[paper.name] = to_json(paper);
    return {{"summary", c.lines}, {"tables", std::move(tables)}, {"published", std::move(reported)}};
}

/// One question with what every model answered under one seed; a right answer has a sign.
inline std::string changed_question_html(finished_questions const& q, changed_question const& c) {
    asked_question const& asked = q.questions[c.question];
    const auto text_of = [](std::string_view text) { return "<bdi>" + html_escape(text) + "</bdi>"; };
    std::string about;
    const auto add = [&](std::string const& html) { about += (about.empty() ? "" : " · ") + html; };
    if (!asked.relation.empty()) add(text_of(asked.relation));
    add(asked.popularity ? "popularity " + html_escape(exact_text(*asked.popularity)) : "no popularity");
    if (q.seeds.size() > 1)
        add("under " + std::to_string(c.seeds) + " of " + counted(q.seeds.size(), "seed") + ", shown is seed " +
            std::to_string(q.seeds[c.seed]));
    constexpr std::size_t shown = 5;
    std::string right;
    for (std::size_t i = 0; i < std::min(shown, asked.answers.size()); ++i)
        right += (i == 0 ? "" : "; ") + text_of(asked.answers[i]);
    if (asked.answers.size() > shown) right += "; and " + std::to_string(asked.answers.size() - shown) + " more";
    std::string out = "<div class=\"asked\"><p>" + text_of(asked.text) + "<small>" + about +
                      "</small></p>\n<dl><dt>right answers</dt><dd>" + right + "</dd>";
    const std::size_t row = q.row(c.seed, c.question);
    for (std::size_t v = 0; v < q.variants.size(); ++v) {
        const std::string words = answer_text(q, v, row);
        out += "<dt>" + html_escape(q.variants[v].name) + "</dt><dd>" +
               (words.empty() ? "<i>nothing</i>" : text_of(words)) +
               (q.variants[v].contains[row] != 0 ? " <b>✓</b>" : "") + "</dd>";
    }
    return out + "</dl></div>\n";
}

/// The first of a list, and where all of it is.
inline std::string changed_questions_html(finished_questions const& q, std::span<const changed_question> changed,
                                          table const& all) {
    constexpr std::size_t shown = 20;
    std::string out = "<h3>" + html_escape(all.title) + "</h3>\n";
    if (changed.empty()) return out + "<p class=\"note\">There are none.</p>\n";
    for (auto const& c : changed.first(std::min(shown, changed.size()))) out += changed_question_html(q, c);
    const std::string path = "tables/" + all.name + ".csv";
    return out + "<p class=\"note\">" +
           (changed.size() > shown ? "The first " + std::to_string(shown) + " of " : std::string()) +
           counted(changed.size(), "question") + ": <a href=\"" + path + "\">" + path + "</a></p>\n";
}

inline std::string question_style() {
    std::string all;
    for (const std::string_view style : {svg_style(), table_script_style(), facts_style()}) all += style;
    return all + ".asked{border-bottom:1px solid var(--line);padding:.4rem 0 .6rem}.asked p{font-weight:600}"
                 ".asked small{display:block;color:var(--soft);font-weight:400}\n";
}

/// The scripts of a page of questions.
inline std::array<page_script, 1> question_scripts() noexcept { return {table_script()}; }

inline std::string page_html(finished_questions const& q, question_content const& c) {
    const run_facts facts = facts_of(q);
    const auto shown = [](table const& t) { return t.rows.empty() ? std::string() : to_html(t); };
    std::string body = "<h1>What did quantization forget?</h1>\n" + facts_html(facts, q.full, "Questions");
    body += summary_html(c.lines);
    body +=
        "<nav><a href=\"#accuracy\">Accuracy</a><a href=\"#claims\">The paper's findings</a><a "
        "href=\"#popularity\">Popularity</a><a href=\"#seeds\">Examples</a><a href=\"#flips\">Changed answers</a><a "
        "href=\"#hardest\">Hardest losses</a><a href=\"#manifest\">Manifest</a></nav>\n";
    body +=
        section("accuracy", "How often is each model right?") +
        paragraph("Containment: one of the right answers, as it stands, in small letters, or with a capital and "
                  "then small letters, is somewhere in the first line of what the model says; so the paper's source "
                  "marks. Exact match: that line is a right answer, case, punctuation and articles aside.") +
        to_html(c.accuracy, {.titled = false}) + shown(c.degraded);
    body += section("claims", "Beside the paper's findings") + to_html(c.claims, {.titled = false}) +
            folded("What the paper reports", to_html(published::questions_table()));
    body += section("popularity", "Do popular questions lose more?");
    if (c.histogram.rows.empty()) body += paragraph("Too few questions, or none with a popularity, for any buckets.");
    body += figure_html(c.degradation) + figure_html(c.accuracies) + figure_html(c.questions) + shown(c.histogram) +
            (c.histogram.rows.empty()
                 ? ""
                 : folded("All buckets as tables", shown(c.bucket_degradation) + to_html(c.bucket_accuracy)));
    if (!c.degradation_exact.charts.empty() || !c.accuracies_exact.charts.empty())
        body += folded("The same by exact match", figure_html(c.degradation_exact) + figure_html(c.accuracies_exact));
    body += section("seeds", "What does the choice of examples change?");
    if (q.seeds.size() == 1)
        body += paragraph("There is one seed of examples only, which says nothing of others.");
    else
        body +=
            c.seeds.rows.empty() ? paragraph("There is no method to compare.") : to_html(c.seeds, {.titled = false});
    body += section("flips", "Do methods change the same answers?") +
            (c.flips.rows.empty() ? paragraph("There are no two methods to compare.")
                                  : to_html(c.flips, {.titled = false}));
    body +=
        section("hardest", "The hardest losses, and what was gained") +
        paragraph("By containment. Answers that every method loses, under most seeds first, then those of which the "
                  "full model was surest: the mean loss of the tokens of its answer. Answers that methods gain, "
                  "those of most methods first.") +
        changed_questions_html(q, c.lost, c.only_full) + changed_questions_html(q, c.gained, c.only_quantized);
    body += section("manifest", "How this was made") + paragraph("By bitlens, after arXiv 2506.12044.") +
            json_html(to_json(q.run.manifest)) +
            "<p class=\"note\">All tables as numbers: <a href=\"summary.json\">summary.json</a>";
    for (table const* t : tables_of(c)) {
        const std::string path = "tables/" + t->name + ".csv";
        body += ", <a href=\"" + path + "\">" + path + "</a>";
    }
    body += ". One row per question and seed: <a href=\"examples.csv\">examples.csv</a>.</p>\n";
    return html_page(facts.title() + " – bitlens", question_style(), body, question_scripts());
}

} // namespace detail

/// Says before a run of questions that its report could not be written.   Errors: io_error.
inline void expect_question_report_writable(std::filesystem::path const& run_folder) {
    expect_report_writable(run_folder);
    detail::expect_folder_writable(run_folder / "tables", {".csv"});
}

/// Writes summary.json, tables/*.csv, figures/*.svg with figures/*.csv, and report.html into `folder`. Equal runs give
/// equal bytes.   Errors: io_error; format_error for an answer's token that the run does not know.
inline report_summary write_question_report(std::filesystem::path const& folder, finished_questions const& q) {
    expect_question_report_writable(folder);
    const auto content = detail::make_content(q);
    const auto tables = detail::make_folder(folder / "tables");
    for (table const* t : detail::tables_of(content)) write_file_atomically(tables / (t->name + ".csv"), to_csv(*t));
    detail::write_figures(folder, detail::figures_of(content));
    write_file_atomically(folder / "summary.json", detail::summary_json(content).dump(2) + "\n");
    write_file_atomically(folder / "report.html", detail::page_html(q, content));
    return {content.lines, folder / "report.html", q.run.unfinished};
}

} // namespace bitlens
