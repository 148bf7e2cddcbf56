#pragma once
/// finished_questions: a run of questions by the names that its statistics have for its columns.

#include "bitlens/analysis/question_buckets.hpp"
#include "bitlens/core/error.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/sweep/run_results.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens {

/// What manifest.json says of a run of questions as its `kind`.
inline constexpr const char* questions_kind = "questions";

/// A question as it was asked, under every seed of shots.
struct asked_question {
    std::size_t row; // in its file
    std::string id, relation, text;
    std::vector<std::string> answers; // those that are right; at least one
    std::optional<double> popularity; // finite and ≥ 0
};

/// The columns of one variant. Row k · Q + q is question q under seed k.
struct given_answers {
    std::string name;
    std::string spec;                        // how the command named the method; of the full model its name
    std::span<const double> contains, exact; // the two marks, 1 or 0
    std::span<const double> nll;             // mean loss of the generated tokens; NaN where there are none
    matrix_view<const std::int32_t> ids;     // generated tokens, −1 after the last
    matrix_view<const float> token_nll;      // theirs, NaN after the last
};

/// All that tables and figures are made from. The columns are those of `run`, which can move but is never copied.
struct finished_questions {
    run_results run;
    std::string full; // in which formats the full model is stored
    std::vector<std::uint64_t> seeds;
    std::size_t shots = 0;
    bucket_rule rule;
    std::vector<asked_question> questions; // in the order of their rows, which all seeds share
    std::vector<given_answers> variants;   // the full model's first

    std::size_t size() const noexcept { return questions.size(); }
    std::size_t methods() const noexcept { return variants.size() - 1; }
    std::size_t row(std::size_t seed, std::size_t question) const noexcept { return seed * size() + question; }
    /// What resamples of the questions are drawn with.
    std::uint64_t resampling_seed() const noexcept { return seeds.front(); }
};

namespace detail {

/// The places of the kept values that a run of questions has.
struct question_columns {
    std::vector<std::string> const &seed, &text, &answers, &popularity;
};

inline question_columns question_columns_of(document_rows const& documents) {
    const auto values = [&](const char* name) -> std::vector<std::string> const& {
        const auto found = std::ranges::find(documents.kept, name, &kept_values::name);
        if (found == documents.kept.end())
            throw format_error("manifest.json: a run of questions is expected, which keeps seed, question, answers and "
                               "popularity; " +
                               in_quotes(name) + " is not kept");
        if (found->values.size() != documents.size())
            throw format_error("examples.csv: " + std::to_string(found->values.size()) + " values of " +
                               in_quotes(name) + ", expected " + std::to_string(documents.size()));
        return found->values;
    };
    return {values("seed"), values("question"), values("answers"), values("popularity")};
}

/// "examples.csv: popularity of document 7 (its id)": where an error is.
inline std::string cell_of(document_rows const& documents, const char* column, std::size_t row) {
    return std::string("examples.csv: ") + column + " of " + documents.who(row);
}

/// The first bytes of a value of the file.
inline std::string found_cell(std::string const& value) {
    constexpr std::size_t shown = 40;
    return in_quotes(value.size() > shown ? value.substr(0, shown) + "…" : value) + " was found, expected ";
}

inline std::vector<std::string> answers_in(std::string const& cell, std::string const& who) {
    const json list = parse_json(cell, who);
    if (!list.is_array() || list.empty() ||
        !std::ranges::all_of(list, [](json const& answer) { return answer.is_string(); }))
        throw format_error(who + ": " + found_cell(cell) + "a JSON list of strings, at least one");
    return list.get<std::vector<std::string>>();
}

inline std::optional<double> popularity_in(std::string const& cell, std::string const& who) {
    if (cell.empty()) return std::nullopt;
    double value = 0;
    const auto [end, code] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (code != std::errc{} || end != cell.data() + cell.size() || !std::isfinite(value) || value < 0)
        throw format_error(who + ": " + found_cell(cell) + "a finite number of 0 or more, or nothing");
    return value;
}

/// The questions of the first seed; all others have the same.
inline std::vector<asked_question> questions_of(document_rows const& d, std::span<const std::uint64_t> seeds) {
    const auto columns = question_columns_of(d);
    if (d.size() % seeds.size() != 0)
        throw format_error("examples.csv: " + counted(d.size(), "row") + ", expected the same number for each of the " +
                           counted(seeds.size(), "seed") + " of manifest.json");
    const std::size_t count = d.size() / seeds.size();
    for (std::size_t n = 0; n < d.size(); ++n) {
        const std::size_t first = n % count;
        if (const auto expected = std::to_string(seeds[n / count]); columns.seed[n] != expected)
            throw format_error(cell_of(d, "seed", n) + ", row " + std::to_string(n) + ": " +
                               found_cell(columns.seed[n]) + expected + ": rows stand seed by seed");
        const auto same = [&](auto const& values) { return values[n] == values[first]; };
        if (!same(d.rows) || !same(d.names) || !same(d.topics) || !same(columns.text) || !same(columns.answers) ||
            !same(columns.popularity))
            throw format_error("examples.csv: " + d.who(n) + " under seed " + columns.seed[n] + " is expected to be " +
                               d.who(first) + ", as under seed " + columns.seed[first] +
                               ": all seeds have the same questions in the same order");
    }
    std::vector<asked_question> questions;
    for (std::size_t n = 0; n < count; ++n)
        questions.push_back({d.rows[n], d.names[n], d.topics[n], columns.text[n],
                             answers_in(columns.answers[n], cell_of(d, "answers", n)),
                             popularity_in(columns.popularity[n], cell_of(d, "popularity", n))});
    return questions;
}

inline void check_marks(document_rows const& d, std::span<const double> marks, std::string const& column) {
    for (std::size_t n = 0; n < marks.size(); ++n)
        if (marks[n] != 0 && marks[n] != 1)
            throw format_error(cell_of(d, column.c_str(), n) + ": " +
                               (std::isnan(marks[n]) ? "no number" : exact_text(marks[n])) +
                               " was found, expected 0 or 1");
}

inline void check_answer_ids(document_rows const& d, matrix_view<const std::int32_t> ids, std::string const& column) {
    for (std::size_t n = 0; n < ids.rows; ++n) {
        const auto row = ids.row(n);
        const auto end = std::ranges::find_if(row, [](std::int32_t id) { return id < 0; });
        if (std::any_of(end, row.end(), [](std::int32_t id) { return id != -1; }))
            throw format_error("tokens.npz: array '" + column + "', " + d.who(n) +
                               ": token ids and then −1 to the end are expected");
    }
}

inline bucket_rule bucket_rule_of(json const& setting, std::string const& who) {
    bucket_rule rule{if_present<std::vector<double>>(setting, "bucket_edges", who),
                     required<std::size_t>(setting, "bucket_least", who)};
    try {
        check_bucket_rule(rule, who + ": bucket_edges and bucket_least");
    } catch (option_error const& e) {
        throw format_error(std::string(e.text()));
    }
    return rule;
}

} // namespace detail

/// Whether a run is one of questions, which make_questions reads and make_study does not.
inline bool is_of_questions(run_manifest const& manifest) {
    const auto kind = manifest.setting.find("kind");
    return kind != manifest.setting.end() && *kind == questions_kind;
}

/// Errors: format_error for a setting, column or kept value that a run of questions has and this run does not: marks
/// other than 0 and 1, answers that are no JSON list of strings, popularities that are no numbers, seeds that do not
/// have the same questions.
inline finished_questions make_questions(run_results run) {
    finished_questions q;
    q.run = std::move(run);
    constexpr const char* who = "manifest.json";
    json const& setting = q.run.manifest.setting;
    if (!is_of_questions(q.run.manifest))
        throw format_error(std::string(who) + ": a run of questions is expected, whose key \"kind\" is " +
                           in_quotes(questions_kind));
    q.full = required<std::string>(setting, "full", who);
    q.seeds = required<std::vector<std::uint64_t>>(setting, "seeds", who);
    if (q.seeds.empty() || std::set(q.seeds.begin(), q.seeds.end()).size() != q.seeds.size())
        throw format_error(std::string(who) + ": key \"seeds\": at least one seed is expected, and none twice");
    q.shots = required<std::size_t>(setting, "shots", who);
    q.rule = detail::bucket_rule_of(setting, who);
    q.questions = detail::questions_of(q.run.documents, q.seeds);
    results_table const& t = q.run.table;
    const auto methods = q.run.methods();
    try {
        for (std::size_t v = 0; v < t.variants().size(); ++v) {
            std::string const& name = t.variants()[v];
            q.variants.push_back({name, v == 0 ? name : methods[v - 1].spec, t.of_documents("contains_" + name),
                                  t.of_documents("exact_" + name), t.of_documents("answer_nll_" + name),
                                  t.ids_of_positions("answer_" + name), t.of_positions("nll_" + name)});
            detail::check_marks(q.run.documents, q.variants[v].contains, "contains_" + name);
            detail::check_marks(q.run.documents, q.variants[v].exact, "exact_" + name);
            detail::check_answer_ids(q.run.documents, q.variants[v].ids, "answer_" + name);
        }
    } catch (option_error const& e) {
        throw format_error(std::string(who) + ": a run of questions is expected; " + e.what());
    }
    if (q.variants.empty()) throw format_error(std::string(who) + ": a run of questions is expected, without variants");
    return q;
}

} // namespace bitlens
