#pragma once
/// The figures of a run of questions: the paper's figures 5 and 17, 18, and 19.

#include "bitlens/analysis/question_numbers.hpp"
#include "bitlens/page/figures.hpp"
#include "bitlens/page/published_questions.hpp"
#include "bitlens/page/question_tables.hpp"

#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// Where a bucket's point stands: at the mean log10 popularity of its questions.
inline double bucket_place(finished_questions const& q, question_bucket const& b) {
    double sum = 0;
    std::size_t count = 0;
    for (const std::size_t i : b.questions)
        if (*q.questions[i].popularity > 0) {
            sum += std::log10(*q.questions[i].popularity);
            ++count;
        }
    return count == 0 ? (b.low + b.high) / 2 : sum / static_cast<double>(count);
}

inline axis popularity_axis() { return {"log10 of popularity"}; }

inline chart popularity_chart(finished_questions const& q, question_numbers const& n, std::string name,
                              std::string title, std::string y) {
    chart c = empty_chart(std::move(name), std::move(title), popularity_axis(), {std::move(y)});
    c.splits = {published::middle_low, published::middle_high};
    c.note = "n = " + counted(q.size() - n.buckets.without, "question") + " in " +
             counted(n.buckets.buckets.size(), "bucket");
    return c;
}

/// A curve over buckets: number(bucket) → a measured value and its interval.
template <class Number>
series bucket_series(finished_questions const& q, question_numbers const& n, std::string name, Number const& number) {
    series s{std::move(name), mark::band, {}};
    for (std::size_t b = 0; b < n.buckets.buckets.size(); ++b) {
        question_bucket const& bucket = n.buckets.buckets[b];
        const auto [value, within] = number(b);
        s.points.push_back({bucket_place(q, bucket), value.optional(),
                            bucket.text() + ", n = " + std::to_string(bucket.questions.size()), within.lo.optional(),
                            within.hi.optional()});
    }
    return s;
}

inline std::string buckets_caption(finished_questions const& q) {
    return std::string(" Each point is a bucket of questions, at the mean log10 of its popularities") +
           (q.seeds.size() > 1 ? ", over all seeds" : "") +
           "; between the dotted lines (2.8 and 4.8) the paper's models lose most.";
}

inline std::string mark_suffix(answer_mark mark) { return mark == answer_mark::contains ? "" : "_exact"; }

} // namespace detail

/// Figures 5 and 17: what each method loses of the accuracy, by popularity. No charts where nothing has a popularity
/// or there is no method.
inline figure lost_accuracy_figure(finished_questions const& q, question_numbers const& n, answer_mark mark) {
    figure f{"figure_05_17_degradation" + detail::mark_suffix(mark),
             "Accuracy that each method loses against the full model, by " + mark_words(mark) + "." +
                 detail::buckets_caption(q) +
                 " Bands: 95 % of 1000 bootstrap resamples of the bucket's questions; none of fewer than 20.",
             {},
             1};
    if (n.buckets.buckets.empty() || q.methods() == 0) return f;
    chart c = detail::popularity_chart(q, n, "degradation", "Accuracy lost, by popularity (" + mark_words(mark) + ")",
                                       "accuracy(full) − accuracy(method)");
    c.zero_line = true;
    for (std::size_t m = 0; m < q.methods(); ++m)
        c.series.push_back(detail::bucket_series(q, n, q.variants[m + 1].name, [&](std::size_t b) {
            degradation const& d = n.of(mark).buckets[b].methods[m];
            return std::pair(d.lost.mean, d.within);
        }));
    f.charts.push_back(std::move(c));
    return f;
}

/// Figure 18: how often each model is right, by popularity.
inline figure accuracy_figure(finished_questions const& q, question_numbers const& n, answer_mark mark) {
    figure f{"figure_18_accuracy" + detail::mark_suffix(mark),
             "Accuracy of each model, by " + mark_words(mark) + "." + detail::buckets_caption(q) +
                 " Bands: Wilson's 95 % intervals.",
             {},
             1};
    if (n.buckets.buckets.empty()) return f;
    chart c =
        detail::popularity_chart(q, n, "accuracy", "Accuracy, by popularity (" + mark_words(mark) + ")", "accuracy");
    c.zero_line = true;
    const auto add = [&](std::size_t v) {
        c.series.push_back(detail::bucket_series(q, n, q.variants[v].name, [&](std::size_t b) {
            accuracy const& a = n.of(mark).buckets[b].variants[v];
            return std::pair(a.share.mean, a.within);
        }));
    };
    for (std::size_t v = 1; v < q.variants.size(); ++v) add(v); // in the colours of figure 5
    add(0);
    f.charts.push_back(std::move(c));
    return f;
}

/// Figure 19: how many questions each bucket holds.
inline figure histogram_figure(finished_questions const& q, question_numbers const& n) {
    figure f{"figure_19_histogram",
             "Questions in each bucket of popularity, as wide as the bucket. The paper has 8 of at least 100 each, and "
             "between the dotted lines (2.8 and 4.8) its models lose most.",
             {},
             1};
    if (n.buckets.buckets.empty()) return f;
    chart c = detail::popularity_chart(q, n, "histogram", "Questions by popularity", "questions");
    c.y.whole_numbers = true;
    series& bars = c.series.emplace_back(series{"Questions", mark::bars, {}});
    for (auto const& b : n.buckets.buckets)
        bars.points.push_back({(b.low + b.high) / 2, static_cast<double>(b.questions.size()), b.text(), b.low, b.high});
    f.charts.push_back(std::move(c));
    return f;
}

} // namespace bitlens
