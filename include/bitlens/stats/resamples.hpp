#pragma once
/// Bootstrap intervals of many correlations at once, over the same resamples of the same documents.

#include "bitlens/core/parallel.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/stats/correlation.hpp"
#include "bitlens/stats/ranks.hpp"
#include "bitlens/stats/sums.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace bitlens {

/// f(times) once for each resample: times[i] says how often document i is among the n that were drawn with replacement.
/// Same seed, same resamples: those of bootstrap_interval, where it draws none again.
template <class F>
void for_each_resample(std::size_t documents, std::size_t resamples, std::uint64_t seed, F const& f) {
    random_generator random(seed);
    std::vector<std::uint32_t> times(documents);
    for (std::size_t r = 0; r < resamples; ++r) {
        std::ranges::fill(times, 0u);
        for (std::size_t i = 0; i < documents; ++i) ++times[static_cast<std::size_t>(random.below(documents))];
        f(std::span<const std::uint32_t>(times));
    }
}

/// Two columns of n documents, prepared so that a correlation of a resample takes one pass and no sort. A document with
/// a NaN in either is drawn as others are, and then left out.
class resampled_pair {
public:
    /// Errors: shape_error when x and y differ in length.
    resampled_pair(std::span<const double> x, std::span<const double> y) : documents_(x.size()) {
        detail::check_pairs("resampled_pair", x, y);
        for (std::size_t i = 0; i < x.size(); ++i)
            if (!std::isnan(x[i]) && !std::isnan(y[i])) rows_.push_back(static_cast<std::uint32_t>(i));
        if (rows_.empty()) return;
        std::ranges::sort(rows_, {}, [x](std::uint32_t i) { return std::pair(x[i], i); });
        std::vector<double> kept_x, kept_y;
        for (const std::uint32_t i : rows_) {
            kept_x.push_back(x[i]);
            kept_y.push_back(y[i]);
        }
        x_ = detail::centred(kept_x);
        y_ = detail::centred(kept_y);
        by_x_ = sorted(kept_x); // as they are
        by_y_ = sorted(kept_y);
    }

    std::size_t documents() const noexcept { return documents_; }
    /// Those that have both numbers.
    std::size_t defined() const noexcept { return rows_.size(); }

    struct correlations {
        std::optional<double> pearson, spearman;
    };
    /// nullopt: where no two different numbers of a column were drawn.
    /// Errors: shape_error unless there is a number of times for each document.
    correlations operator()(std::span<const std::uint32_t> times) const {
        detail::check_size("resampled_pair", "times", times.size(), documents_);
        std::vector<double> weight(rows_.size());
        for (std::size_t i = 0; i < rows_.size(); ++i) weight[i] = times[rows_[i]];
        return {pearson(weight), spearman(weight)};
    }

private:
    struct order {
        std::vector<std::uint32_t> members; // by rising number
        std::vector<std::uint8_t> ends;     // whether the next one is larger
    };
    static order sorted(std::span<const double> x) {
        order o{std::vector<std::uint32_t>(x.size()), std::vector<std::uint8_t>(x.size())};
        std::iota(o.members.begin(), o.members.end(), 0u);
        std::ranges::sort(o.members, {}, [x](std::uint32_t i) { return std::pair(x[i], i); });
        for (std::size_t k = 0; k < x.size(); ++k)
            o.ends[k] = k + 1 == x.size() || x[o.members[k]] != x[o.members[k + 1]] ? 1 : 0;
        return o;
    }
    static std::optional<double> quotient(double xx, double xy, double yy) noexcept {
        if (!(xx > 0 && yy > 0)) return std::nullopt;
        return std::clamp(xy / std::sqrt(xx * yy), -1.0, 1.0);
    }

    /// Around the mean of what was drawn, by way of a number that was drawn, so that equal numbers give exact zeros.
    std::optional<double> pearson(std::span<const double> weight) const {
        const auto drawn = std::ranges::find_if(weight, [](double w) { return w > 0; });
        if (drawn == weight.end() || x_.empty() || y_.empty()) return std::nullopt;
        const auto origin = static_cast<std::size_t>(drawn - weight.begin());
        const double x0 = x_[origin], y0 = y_[origin];
        const std::size_t n = weight.size();
        const double count = detail::sum_of(n, [&](std::size_t i) { return weight[i]; });
        const double x1 = detail::sum_of(n, [&](std::size_t i) { return weight[i] * (x_[i] - x0); }) / count;
        const double y1 = detail::sum_of(n, [&](std::size_t i) { return weight[i] * (y_[i] - y0); }) / count;
        const auto sum = [&](auto const& a, double a0, double a1, auto const& b, double b0, double b1) {
            return detail::sum_of(n,
                                  [&](std::size_t i) { return weight[i] * ((a[i] - a0) - a1) * ((b[i] - b0) - b1); });
        };
        return quotient(sum(x_, x0, x1, x_, x0, x1), sum(x_, x0, x1, y_, y0, y1), sum(y_, y0, y1, y_, y0, y1));
    }

    /// The mid-ranks of a resample follow from how often each number of the sorted column was drawn: f(member, rank
    /// minus the mean rank).
    template <class F>
    static void for_each_rank(order const& o, std::span<const double> weight, double count, F const& f) {
        double below = 0;
        for (std::size_t first = 0, last = 0; first < o.members.size(); first = last) {
            double here = 0;
            do here += weight[o.members[last]];
            while (!o.ends[last++]);
            const double rank = below + 0.5 * (here - count);
            for (std::size_t k = first; k < last; ++k) f(o.members[k], rank);
            below += here;
        }
    }
    std::optional<double> spearman(std::span<const double> weight) const {
        const double count = detail::sum_of(weight.size(), [&](std::size_t i) { return weight[i]; });
        std::vector<double> rank_x(weight.size());
        double xx = 0, xy = 0, yy = 0;
        for_each_rank(by_x_, weight, count, [&](std::size_t i, double rank) {
            rank_x[i] = rank;
            xx += weight[i] * rank * rank;
        });
        for_each_rank(by_y_, weight, count, [&](std::size_t i, double rank) {
            xy += weight[i] * rank_x[i] * rank;
            yy += weight[i] * rank * rank;
        });
        return quotient(xx, xy, yy);
    }

    std::size_t documents_;
    std::vector<std::uint32_t> rows_; // the documents that have both numbers, by rising x: in memory as they are read
    std::vector<double> x_, y_;       // centred
    order by_x_, by_y_;
};

struct correlation_intervals {
    std::optional<interval> pearson, spearman;
};

/// Percentile intervals of Pearson's and Spearman's correlation of each pair: the quantiles (1 ∓ level)/2 over the
/// resamples, which are the same for all pairs. A resample without an answer is left out; nullopt where more than half
/// have none. The number of threads changes nothing.
/// Errors: shape_error for pairs of other than `documents`.
inline std::vector<correlation_intervals> bootstrap_intervals(std::span<const resampled_pair> pairs,
                                                              std::size_t documents, std::size_t resamples,
                                                              double level, std::uint64_t seed) {
    struct answers {
        std::vector<double> pearson, spearman;
    };
    for (auto const& p : pairs) detail::check_size("bootstrap_intervals", "a pair", p.documents(), documents);
    std::vector<answers> found(pairs.size());
    for_each_resample(documents, resamples, seed, [&](std::span<const std::uint32_t> times) {
        parallel_for(pairs.size(), [&](std::size_t p) {
            const auto [pearson, spearman] = pairs[p](times);
            if (pearson) found[p].pearson.push_back(*pearson);
            if (spearman) found[p].spearman.push_back(*spearman);
        });
    });
    const auto within = [&](std::vector<double>& values) -> std::optional<interval> {
        if (values.empty() || 2 * values.size() < resamples) return std::nullopt;
        std::ranges::sort(values);
        return interval{quantile(values, (1 - level) / 2), quantile(values, (1 + level) / 2)};
    };
    std::vector<correlation_intervals> out;
    for (auto& a : found) out.push_back({within(a.pearson), within(a.spearman)});
    return out;
}

} // namespace bitlens
