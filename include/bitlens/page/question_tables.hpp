#pragma once
/// The tables of a run of questions.

#include "bitlens/analysis/question_numbers.hpp"
#include "bitlens/page/document_words.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/table.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/text/answer_marks.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

/// What tables and figures call a mark.
inline std::string mark_words(answer_mark mark) {
    return mark == answer_mark::contains ? "containment" : "exact match";
}

/// What a variant answered in a row, to be shown: the first line of its tokens, as the marks take it, without white
/// space around it. Errors: format_error for a token that the run does not know.
inline std::string answer_text(finished_questions const& q, std::size_t variant, std::size_t row) {
    std::string bytes;
    for (const std::int32_t id : q.variants[variant].ids.row(row)) {
        if (id < 0) break;
        bytes += q.run.texts[id];
    }
    return visible_text(detail::with_single_spaces(first_line(bytes)));
}

namespace detail {

inline std::string lost_note() {
    return "Lost: the full model's accuracy minus the method's. Its interval: " + std::to_string(bootstrap_resamples) +
           " bootstrap resamples of the questions, each with both models' answers under all seeds.";
}
inline constexpr std::string_view accuracy_note =
    "Accuracies are shares, means over seeds; their 95 % intervals are Wilson's, of as many items as there are "
    "questions, whatever the seeds.";
inline constexpr std::string_view spread_note = "Spread: standard deviation over seeds of examples.";
inline constexpr std::string_view mcnemar_note =
    "McNemar: how often chance alone would part the answers that only one of the two models has right as far as this, "
    "to either side (exact); seeds share their questions, so each has a test of its own.";

inline std::string seed_words(finished_questions const& q) { return "seed " + std::to_string(q.seeds.front()); }

inline std::string flips_note(finished_questions const& q) {
    return "Right to wrong, wrong to right and McNemar: under " + seed_words(q) + ". " + std::string(mcnemar_note);
}

/// Accuracy and its interval.
inline void add_accuracy(std::vector<cell>& row, accuracy const& a) {
    row.insert(row.end(), {a.share.mean, a.within.lo, a.within.hi});
}

/// What is lost, and its interval.
inline void add_lost(std::vector<cell>& row, degradation const& d) {
    row.insert(row.end(), {d.lost.mean, d.within.lo, d.within.hi});
}

inline void add_flips(std::vector<cell>& row, answer_flips const& f) {
    row.insert(row.end(), {f.lost, f.gained, f.chance});
}

} // namespace detail

/// Every model over all questions, by both marks.
inline table accuracy_table(finished_questions const& q, question_numbers const& n) {
    table t{"accuracy",
            "How often is each model right?",
            {{"mark", "mark"},
             {"model", "model"},
             {"questions", "questions"},
             {"accuracy", "accuracy", 4},
             {"low", "95 % from", 4},
             {"high", "to", 4},
             {"spread", "spread over seeds", 4}},
            {},
            {std::string(detail::accuracy_note), std::string(detail::spread_note)}};
    for (auto const& mark : n.marks)
        for (std::size_t v = 0; v < q.variants.size(); ++v) {
            std::vector<cell> row{mark_words(mark.mark), q.variants[v].name, q.size()};
            detail::add_accuracy(row, mark.all.variants[v]);
            row.emplace_back(mark.all.variants[v].share.spread);
            t.add(std::move(row));
        }
    return t;
}

/// What every method loses of it.
inline table degradation_table(finished_questions const& q, question_numbers const& n) {
    table t{"degradation",
            "What does each method lose?",
            {{"mark", "mark"},
             {"method", "method"},
             {"lost", "lost", 4},
             {"lost_low", "95 % from", 4},
             {"lost_high", "to", 4},
             {"lost_spread", "spread over seeds", 4},
             {"right_to_wrong", "right to wrong"},
             {"wrong_to_right", "wrong to right"},
             {"mcnemar", "McNemar", 4}},
            {},
            {detail::lost_note(), detail::flips_note(q)}};
    for (auto const& mark : n.marks)
        for (std::size_t m = 0; m < q.methods(); ++m) {
            degradation const& d = mark.all.methods[m];
            std::vector<cell> row{mark_words(mark.mark), q.variants[m + 1].name};
            detail::add_lost(row, d);
            row.emplace_back(d.lost.spread);
            detail::add_flips(row, d.flips.front());
            t.add(std::move(row));
        }
    return t;
}

/// Figure 18 as numbers.
inline table bucket_accuracy_table(finished_questions const& q, question_numbers const& n) {
    table t{"bucket_accuracy",
            "Accuracy by popularity",
            {{"mark", "mark"},
             {"bucket", "log10 of popularity"},
             {"questions", "questions"},
             {"model", "model"},
             {"accuracy", "accuracy", 4},
             {"low", "95 % from", 4},
             {"high", "to", 4}},
            {},
            {std::string(detail::accuracy_note)}};
    for (auto const& mark : n.marks)
        for (std::size_t b = 0; b < mark.buckets.size(); ++b)
            for (std::size_t v = 0; v < q.variants.size(); ++v) {
                std::vector<cell> row{mark_words(mark.mark), n.buckets.buckets[b].text(),
                                      mark.buckets[b].questions.size(), q.variants[v].name};
                detail::add_accuracy(row, mark.buckets[b].variants[v]);
                t.add(std::move(row));
            }
    return t;
}

/// Figures 5 and 17 as numbers.
inline table bucket_degradation_table(finished_questions const& q, question_numbers const& n) {
    table t{"bucket_degradation",
            "What methods lose, by popularity",
            {{"mark", "mark"},
             {"bucket", "log10 of popularity"},
             {"questions", "questions"},
             {"method", "method"},
             {"lost", "lost", 4},
             {"lost_low", "95 % from", 4},
             {"lost_high", "to", 4},
             {"right_to_wrong", "right to wrong"},
             {"wrong_to_right", "wrong to right"},
             {"mcnemar", "McNemar", 4}},
            {},
            {detail::lost_note(), detail::flips_note(q)}};
    for (auto const& mark : n.marks)
        for (std::size_t b = 0; b < mark.buckets.size(); ++b)
            for (std::size_t m = 0; m < q.methods(); ++m) {
                degradation const& d = mark.buckets[b].methods[m];
                std::vector<cell> row{mark_words(mark.mark), n.buckets.buckets[b].text(),
                                      mark.buckets[b].questions.size(), q.variants[m + 1].name};
                detail::add_lost(row, d);
                detail::add_flips(row, d.flips.front());
                t.add(std::move(row));
            }
    return t;
}

/// How many questions each bucket holds: figure 19 as numbers.
inline table histogram_table(finished_questions const& q, question_numbers const& n) {
    auto const& buckets = n.buckets;
    const std::string cut =
        q.rule.edges ? "The edges are the run's own." : "Edges: every 0.5 of the logarithm to base 10.";
    table t{"histogram",
            "Questions by popularity",
            {{"low", "log10 of popularity from", 1},
             {"high", "to below", 1},
             {"questions", "questions"},
             {"share", "share", 3}},
            {},
            {cut + " Neighbours are joined until each bucket holds " + counted(q.rule.least, "question") +
             ", if there are as many. A popularity of 0 is in the lowest. Without popularity, and in no bucket: " +
             counted(buckets.without, "question") + "."}};
    const double known = static_cast<double>(q.size() - buckets.without);
    for (auto const& b : buckets.buckets)
        t.add({b.low, b.high, b.questions.size(), static_cast<double>(b.questions.size()) / known});
    return t;
}

/// Each seed of shots by itself.
inline table seeds_table(finished_questions const& q, question_numbers const& n) {
    table t{"seeds",
            "What does the choice of examples change?",
            {{"mark", "mark"},
             {"seed", "seed"},
             {"method", "method"},
             {"full", "full model's accuracy", 4},
             {"accuracy", "accuracy", 4},
             {"lost", "lost", 4},
             {"right_to_wrong", "right to wrong"},
             {"wrong_to_right", "wrong to right"},
             {"mcnemar", "McNemar", 4}},
            {},
            {std::string(detail::mcnemar_note)}};
    for (auto const& mark : n.marks)
        for (std::size_t k = 0; k < q.seeds.size(); ++k)
            for (std::size_t m = 0; m < q.methods(); ++m) {
                degradation const& d = mark.all.methods[m];
                std::vector<cell> row{mark_words(mark.mark),
                                      std::to_string(q.seeds[k]),
                                      q.variants[m + 1].name,
                                      mark.all.variants[0].share.of_seed[k],
                                      mark.all.variants[m + 1].share.of_seed[k],
                                      d.lost.of_seed[k]};
                detail::add_flips(row, d.flips[k]);
                t.add(std::move(row));
            }
    return t;
}

/// Do methods change the same answers?
inline table shared_flips_table(finished_questions const& q, question_numbers const& n) {
    table t{"shared_flips",
            "Do methods change the same answers?",
            {{"mark", "mark"},
             {"first", "method"},
             {"second", "and"},
             {"lost_first", "right to wrong: first"},
             {"lost_second", "second"},
             {"lost_both", "both"},
             {"lost_jaccard", "Jaccard", 3},
             {"lost_chance", "by chance about", 3},
             {"gained_first", "wrong to right: first"},
             {"gained_second", "second"},
             {"gained_both", "both"},
             {"gained_jaccard", "Jaccard", 3},
             {"gained_chance", "by chance about", 3}},
            {},
            {"Over all seeds, each question under each seed being one. By chance: of random sets of as many of the "
             "answers that the full model has right, or wrong."}};
    for (auto const& mark : n.marks)
        for (auto const& p : mark.pairs)
            t.add({mark_words(mark.mark), q.variants[p.first + 1].name, q.variants[p.second + 1].name, p.lost_first,
                   p.lost_second, p.lost_by_both, p.lost_overlap, p.lost_chance, p.gained_first, p.gained_second,
                   p.gained_by_both, p.gained_overlap, p.gained_chance});
    return t;
}

/// Questions that changed, each with what every model answered under the first seed at which it did.
inline table changed_table(finished_questions const& q, std::span<const changed_question> changed, std::string name,
                           std::string title) {
    table t{std::move(name),
            std::move(title),
            {{"question", "question"},
             {"id", "id"},
             {"relation", "template"},
             {"popularity", "popularity", 0},
             {"answers", "right answers"},
             {"seeds", "seeds"},
             {"seed", "shown is seed"},
             {"nll", "loss of the right answer", 3}},
            {},
            {}};
    for (auto const& v : q.variants) t.columns.push_back({"answer_" + v.name, v.name});
    for (auto const& c : changed) {
        asked_question const& asked = q.questions[c.question];
        std::string answers;
        for (auto const& one : asked.answers) answers += (answers.empty() ? "" : "; ") + visible_text(one);
        const measured popularity(asked.popularity, "the question has no popularity");
        std::vector<cell> row{visible_text(asked.text),
                              visible_text(asked.id),
                              visible_text(asked.relation),
                              popularity,
                              answers,
                              c.seeds,
                              std::to_string(q.seeds[c.seed]),
                              std::isfinite(c.nll) ? cell(c.nll) : cell(undefined{"the answer has no tokens"})};
        for (std::size_t v = 0; v < q.variants.size(); ++v)
            row.emplace_back(answer_text(q, v, q.row(c.seed, c.question)));
        t.add(std::move(row));
    }
    return t;
}

} // namespace bitlens
