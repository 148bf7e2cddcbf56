#pragma once
/// The numbers behind the tables and figures of a run of questions: accuracies, what methods lose of them, and which
/// answers change.

#include "bitlens/analysis/finished_questions.hpp"
#include "bitlens/analysis/numbers.hpp"
#include "bitlens/analysis/question_buckets.hpp"
#include "bitlens/analysis/resamples.hpp"
#include "bitlens/report/table.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/stats/overlap.hpp"
#include "bitlens/stats/proportions.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace bitlens {

/// Which answers count as right: those that contain one of the answers, as in the paper's source, or those that are one
/// after normalization.
enum class answer_mark : std::uint8_t { contains, exact };

inline constexpr std::array answer_marks{answer_mark::contains, answer_mark::exact};

inline std::string_view name(answer_mark mark) noexcept { return mark == answer_mark::contains ? "contains" : "exact"; }

inline std::span<const double> marks_of(given_answers const& variant, answer_mark mark) noexcept {
    return mark == answer_mark::contains ? variant.contains : variant.exact;
}

/// A number of every seed of shots: their mean, and how far seeds are apart.
struct over_seeds {
    std::vector<measured> of_seed;
    measured mean;
    measured spread; // the sample's standard deviation over seeds
};

/// The share of right answers of one variant to some questions. Its interval is Wilson's, of the mean share among as
/// many items as there are questions: answers to one question under several seeds are no independent items.
struct accuracy {
    over_seeds share;
    measured_interval within;
};

/// Answers to the same questions by the full model and by a method, under one seed.
struct answer_flips {
    std::size_t both = 0, lost = 0, gained = 0,
                neither = 0; // lost: only the full model's is right; gained: only the method's
    double chance = 1;       // McNemar's exact test of lost against gained
};

/// accuracy(full) − accuracy(method). Its interval is of 1000 bootstrap resamples of the questions, each with its
/// answers under all seeds.
struct degradation {
    over_seeds lost;
    measured_interval within;
    std::vector<answer_flips> flips; // of each seed: a test of its own, because seeds share their questions
};

/// What variants make of some questions.
struct group_numbers {
    std::vector<std::size_t> questions;
    std::vector<accuracy> variants;   // as those of finished_questions
    std::vector<degradation> methods; // method m is variant m + 1
};

/// Two methods, and whether they change the same answers, a question under a seed being one. Chance: the overlap of
/// random sets of as many of the answers that can change so, roughly.
struct shared_flips {
    std::size_t first, second; // methods
    std::size_t lost_first, lost_second, lost_by_both;
    measured lost_overlap, lost_chance; // Jaccard
    std::size_t gained_first, gained_second, gained_by_both;
    measured gained_overlap, gained_chance;
};

/// One mark over all questions and bucket by bucket.
struct mark_numbers {
    answer_mark mark;
    group_numbers all;
    std::vector<group_numbers> buckets; // as those of question_numbers
    std::vector<shared_flips> pairs;    // of methods
};

struct question_numbers {
    question_buckets buckets;
    std::array<mark_numbers, answer_marks.size()> marks;

    mark_numbers const& of(answer_mark mark) const noexcept { return marks[static_cast<std::size_t>(mark)]; }
};

/// Why a run has no buckets.
inline undefined no_buckets() { return {"no question has a popularity"}; }

namespace detail {

inline undefined no_questions() { return {"there are no questions"}; }

inline over_seeds over_seeds_of(std::vector<double> const& values, bool any) {
    over_seeds found{{}, no_questions(), undefined{"one seed of shots has no spread"}};
    for (const double x : values) found.of_seed.push_back(any ? measured(x) : measured(no_questions()));
    if (!any) {
        found.spread = no_questions();
        return found;
    }
    found.mean = bitlens::mean(values);
    const double n = static_cast<double>(values.size());
    if (values.size() > 1) found.spread = std::sqrt(variance(values) * n / (n - 1));
    return found;
}

/// number(seed, question) of some questions: the mean of each seed.
template <class Number>
over_seeds seed_means(finished_questions const& q, std::span<const std::size_t> questions, Number const& number) {
    std::vector<double> means;
    for (std::size_t k = 0; k < q.seeds.size(); ++k) {
        double sum = 0;
        for (const std::size_t i : questions) sum += number(k, i);
        means.push_back(questions.empty() ? 0 : sum / static_cast<double>(questions.size()));
    }
    return over_seeds_of(means, !questions.empty());
}

inline accuracy accuracy_of(finished_questions const& q, answer_mark mark, std::size_t variant,
                            std::span<const std::size_t> questions) {
    const auto marks = marks_of(q.variants[variant], mark);
    accuracy a{seed_means(q, questions, [&](std::size_t k, std::size_t i) { return marks[q.row(k, i)]; }),
               {no_questions(), no_questions()}};
    if (!questions.empty())
        if (const auto within = wilson_interval(std::min(1.0, *a.share.mean), questions.size()))
            a.within = {within->lo, within->hi};
    return a;
}

inline answer_flips flips_of(finished_questions const& q, answer_mark mark, std::size_t variant, std::size_t seed,
                             std::span<const std::size_t> questions) {
    const auto full = marks_of(q.variants[0], mark), method = marks_of(q.variants[variant], mark);
    answer_flips f;
    for (const std::size_t i : questions) {
        const std::size_t row = q.row(seed, i);
        ++(full[row] != 0 ? (method[row] != 0 ? f.both : f.lost) : (method[row] != 0 ? f.gained : f.neither));
    }
    f.chance = mcnemar_chance(f.lost, f.gained);
    return f;
}

} // namespace detail

/// Of each of some questions: how much more often the full model is right than a method, over all seeds.
inline std::vector<double> lost_marks(finished_questions const& q, answer_mark mark, std::size_t variant,
                                      std::span<const std::size_t> questions) {
    const auto full = marks_of(q.variants[0], mark), method = marks_of(q.variants[variant], mark);
    std::vector<double> lost;
    for (const std::size_t i : questions) {
        double sum = 0;
        for (std::size_t k = 0; k < q.seeds.size(); ++k) sum += full[q.row(k, i)] - method[q.row(k, i)];
        lost.push_back(sum / static_cast<double>(q.seeds.size()));
    }
    return lost;
}

/// Of some questions.
inline group_numbers numbers_of(finished_questions const& q, answer_mark mark, std::vector<std::size_t> questions,
                                resampler& draws) {
    group_numbers g{std::move(questions), {}, {}};
    for (std::size_t v = 0; v < q.variants.size(); ++v) {
        g.variants.push_back(detail::accuracy_of(q, mark, v, g.questions));
        if (v == 0) continue;
        const auto full = marks_of(q.variants[0], mark), method = marks_of(q.variants[v], mark);
        degradation d{
            detail::seed_means(q, g.questions,
                               [&](std::size_t k, std::size_t i) { return full[q.row(k, i)] - method[q.row(k, i)]; }),
            draws.mean_interval(lost_marks(q, mark, v, g.questions)),
            {}};
        for (std::size_t k = 0; k < q.seeds.size(); ++k)
            d.flips.push_back(detail::flips_of(q, mark, v, k, g.questions));
        g.methods.push_back(std::move(d));
    }
    return g;
}

namespace detail {

inline measured jaccard_of_flips(std::span<const std::size_t> a, std::span<const std::size_t> b) {
    return {jaccard(a, b), "neither method changes an answer so"};
}
inline measured flips_by_chance(std::size_t a, std::size_t b, std::size_t of) {
    if (a == 0 || b == 0) return undefined{"one of the methods changes no answer so"};
    return jaccard_by_chance(a, b, of);
}

/// Rows at which the full model is right or not, and those of them at which each method differs.
struct flipped_rows {
    std::size_t of = 0;
    std::vector<std::vector<std::size_t>> methods;
};

inline flipped_rows flipped_rows_of(finished_questions const& q, answer_mark mark, bool full_is_right) {
    const auto full = marks_of(q.variants[0], mark);
    flipped_rows found{0, std::vector<std::vector<std::size_t>>(q.methods())};
    for (std::size_t row = 0; row < full.size(); ++row) {
        if ((full[row] != 0) != full_is_right) continue;
        ++found.of;
        for (std::size_t m = 0; m < q.methods(); ++m)
            if (marks_of(q.variants[m + 1], mark)[row] != full[row]) found.methods[m].push_back(row);
    }
    return found;
}

} // namespace detail

inline std::vector<shared_flips> shared_flips_of(finished_questions const& q, answer_mark mark) {
    const auto lost = detail::flipped_rows_of(q, mark, true), gained = detail::flipped_rows_of(q, mark, false);
    std::vector<shared_flips> pairs;
    for (std::size_t a = 0; a < q.methods(); ++a)
        for (std::size_t b = a + 1; b < q.methods(); ++b) {
            auto const &la = lost.methods[a], &lb = lost.methods[b], &ga = gained.methods[a], &gb = gained.methods[b];
            pairs.push_back({a, b, la.size(), lb.size(), common_members(la, lb), detail::jaccard_of_flips(la, lb),
                             detail::flips_by_chance(la.size(), lb.size(), lost.of), ga.size(), gb.size(),
                             common_members(ga, gb), detail::jaccard_of_flips(ga, gb),
                             detail::flips_by_chance(ga.size(), gb.size(), gained.of)});
        }
    return pairs;
}

/// All of it.
inline question_numbers numbers_of(finished_questions const& q) {
    std::vector<std::optional<double>> popularity;
    for (auto const& asked : q.questions) popularity.push_back(asked.popularity);
    std::vector<std::size_t> all(q.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    resampler draws(q.resampling_seed());
    const auto buckets = make_buckets(popularity, q.rule);
    const auto of = [&](answer_mark mark) {
        mark_numbers m{mark, numbers_of(q, mark, all, draws), {}, shared_flips_of(q, mark)};
        for (auto const& bucket : buckets.buckets) m.buckets.push_back(numbers_of(q, mark, bucket.questions, draws));
        return m;
    };
    return {buckets, {of(answer_mark::contains), of(answer_mark::exact)}};
}

/// A question whose answer is right with the full model alone, or with methods alone.
struct changed_question {
    std::size_t question;
    std::size_t seed;    // the first under which it is so: its place among the run's seeds
    std::size_t seeds;   // under how many it is so
    std::size_t methods; // that are right under that seed
    double nll; // mean loss of the right answer's tokens under those seeds: the surer, the smaller; infinite if unknown
};

namespace detail {

/// right: whether the full model is; the methods are all the other way, or at least one is.
inline std::vector<changed_question> changed_questions(finished_questions const& q, answer_mark mark, bool full) {
    std::vector<changed_question> found;
    if (q.methods() == 0) return found;
    for (std::size_t i = 0; i < q.size(); ++i) {
        changed_question here{i, 0, 0, 0, 0};
        double nll = 0;
        std::size_t answers = 0;
        for (std::size_t k = 0; k < q.seeds.size(); ++k) {
            const std::size_t row = q.row(k, i);
            const auto is_right = [&](given_answers const& v) { return marks_of(v, mark)[row] != 0; };
            const auto methods = std::span(q.variants).subspan(1);
            const auto right = static_cast<std::size_t>(std::ranges::count_if(methods, is_right));
            if (is_right(q.variants[0]) != full || (right == 0) != full) continue;
            if (here.seeds++ == 0) {
                here.seed = k;
                here.methods = right;
            }
            for (given_answers const& v : q.variants)
                if (is_right(v)) {
                    nll += v.nll[row];
                    ++answers;
                }
        }
        if (here.seeds == 0) continue;
        here.nll = std::isfinite(nll) ? nll / static_cast<double>(answers) : std::numeric_limits<double>::infinity();
        found.push_back(here);
    }
    std::ranges::stable_sort(found, [](changed_question const& a, changed_question const& b) {
        return std::tuple(b.seeds, b.methods, a.nll) < std::tuple(a.seeds, a.methods, b.nll);
    });
    return found;
}

} // namespace detail

/// Questions that only the full model answers while every method fails, the hardest losses first: those under most
/// seeds, then those where the full model was surest of its answer (the loss of its tokens; popularity says less of how
/// well this model knew it).
inline std::vector<changed_question> only_full_answers(finished_questions const& q, answer_mark mark) {
    return detail::changed_questions(q, mark, true);
}

/// Questions that the full model fails and a method answers: those under most seeds first, then those of most methods,
/// then those of which the methods were surest.
inline std::vector<changed_question> only_quantized_answer(finished_questions const& q, answer_mark mark) {
    return detail::changed_questions(q, mark, false);
}

} // namespace bitlens
