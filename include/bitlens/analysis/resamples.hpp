#pragma once
/// Bootstrap intervals of many columns at once: the resamples of the documents are drawn once, and figures share them.

#include "bitlens/analysis/numbers.hpp"
#include "bitlens/core/parallel.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/stats/ranks.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace bitlens {

/// How often each of n documents is in each of bootstrap_resamples draws of n. With the same seed the draws are those
/// of bootstrap_interval.
class resample_counts {
public:
    static constexpr std::size_t lanes = 8; // resamples whose counts stand side by side
    static_assert(bootstrap_resamples % lanes == 0);
    using lane_counts = std::array<std::uint16_t, lanes>;

    resample_counts(std::size_t documents, std::uint64_t seed)
        : documents_(documents), counts_(documents * (bootstrap_resamples / lanes)) {
        random_generator random(seed);
        for (std::size_t draw = 0; draw < bootstrap_resamples; ++draw)
            for (std::size_t i = 0; i < documents; ++i)
                ++counts_[draw / lanes * documents + static_cast<std::size_t>(random.below(documents))][draw % lanes];
    }
    std::size_t documents() const noexcept { return documents_; }
    std::size_t groups() const noexcept { return bootstrap_resamples / lanes; }
    /// Of each document, in the draws group · lanes and following.
    std::span<const lane_counts> group(std::size_t g) const noexcept {
        return std::span(counts_).subspan(g * documents_, documents_);
    }

private:
    std::size_t documents_;
    std::vector<lane_counts> counts_;
};

/// The mean of the values in each draw.   Errors: shape_error unless there is a value for each document.
inline std::vector<double> resampled_means(resample_counts const& draws, std::span<const double> values) {
    detail::check_size("resampled_means", "values", values.size(), draws.documents());
    constexpr std::size_t lanes = resample_counts::lanes;
    std::vector<double> means;
    means.reserve(bootstrap_resamples);
    for (std::size_t g = 0; g < draws.groups(); ++g) {
        const auto counts = draws.group(g);
        std::array<double, lanes> sum{};
        for (std::size_t i = 0; i < values.size(); ++i)
            for (std::size_t l = 0; l < lanes; ++l) sum[l] += counts[i][l] * values[i];
        for (const double s : sum) means.push_back(s / static_cast<double>(values.size()));
    }
    return means;
}

/// Pearson's correlation in each draw that has one.   Errors: shape_error unless there is a pair for each document.
inline std::vector<double> resampled_correlations(resample_counts const& draws, std::span<const double> x,
                                                  std::span<const double> y) {
    detail::check_size("resampled_correlations", "x", x.size(), draws.documents());
    detail::check_size("resampled_correlations", "y", y.size(), draws.documents());
    constexpr std::size_t lanes = resample_counts::lanes;
    constexpr double rounding = 1e-12; // of a sum of squares: what is left of equal numbers
    // Without their median, sums of squares keep the digits of the spread, and equal numbers are zeros.
    const auto centred = [](std::span<const double> values) {
        std::vector<double> sorted(values.begin(), values.end());
        std::ranges::sort(sorted);
        const double middle = quantile(sorted, 0.5);
        std::vector<double> out;
        out.reserve(values.size());
        for (const double v : values) out.push_back(v - middle);
        return out;
    };
    const auto a = centred(x), b = centred(y);
    const double n = static_cast<double>(x.size());
    std::vector<double> answers;
    for (std::size_t g = 0; g < draws.groups(); ++g) {
        const auto counts = draws.group(g);
        std::array<double, lanes> sa{}, sb{}, saa{}, sbb{}, sab{};
        for (std::size_t i = 0; i < a.size(); ++i)
            for (std::size_t l = 0; l < lanes; ++l) {
                const double ca = counts[i][l] * a[i], cb = counts[i][l] * b[i];
                sa[l] += ca;
                sb[l] += cb;
                saa[l] += ca * a[i];
                sbb[l] += cb * b[i];
                sab[l] += ca * b[i];
            }
        for (std::size_t l = 0; l < lanes; ++l) {
            const double aa = saa[l] - sa[l] * sa[l] / n, bb = sbb[l] - sb[l] * sb[l] / n;
            if (aa > rounding * saa[l] && bb > rounding * sbb[l])
                answers.push_back(std::clamp((sab[l] - sa[l] * sb[l] / n) / std::sqrt(aa * bb), -1.0, 1.0));
        }
    }
    return answers;
}

/// 95 % of what resamples say of a statistic; undefined where most say nothing.
inline measured_interval interval_of(std::vector<double> answers) {
    if (2 * answers.size() < bootstrap_resamples)
        return {undefined{"most resamples are constant"}, undefined{"most resamples are constant"}};
    std::ranges::sort(answers);
    return {quantile(answers, 0.025), quantile(answers, 0.975)};
}

/// A curve over layers and the 95 % interval of each of its points.
struct banded_curve {
    std::vector<measured> values;
    std::vector<measured_interval> within;
};

/// Of two sets of documents, and of their difference relative to the second: (large − ctrl) / ctrl.
struct banded_sets {
    banded_curve large, ctrl, difference;
};

/// The draws of one run by their number of documents, kept for the next figure.
class resampler {
public:
    explicit resampler(std::uint64_t seed) : seed_(seed) {}

    /// Pearson of x(l) with y(l) for every layer l, over the documents that have both. `y` has as many rows as `x`.
    banded_curve correlations(per_layer x, per_layer y) {
        detail::check_size("resampler", "layers of y", y.rows, x.rows);
        std::vector<paired_numbers> pairs;
        std::vector<resample_counts const*> draws;
        banded_curve curve{{}, std::vector<measured_interval>(x.rows, too_few())};
        for (std::size_t k = 0; k < x.rows; ++k) {
            pairs.push_back(defined_pairs(x.row(k), y.row(k)));
            draws.push_back(draws_of(pairs[k].x.size(), seed_));
            curve.values.push_back(correlation(x.row(k), y.row(k)));
        }
        parallel_for(x.rows, [&](std::size_t k) {
            if (!curve.values[k])
                curve.within[k] = {undefined{curve.values[k].reason()}, undefined{curve.values[k].reason()}};
            else if (draws[k])
                curve.within[k] = interval_of(resampled_correlations(*draws[k], pairs[k].x, pairs[k].y));
        });
        return curve;
    }
    /// The same with one number per document for all layers.
    banded_curve correlations(per_layer x, std::span<const double> y) {
        std::vector<double> rows;
        for (std::size_t k = 0; k < x.rows; ++k) rows.insert(rows.end(), y.begin(), y.end());
        return correlations(x, per_layer{rows.data(), x.rows, y.size()});
    }

    /// Of the mean of numbers that are all defined. Columns of equally many documents share their draws.
    measured_interval mean_interval(std::span<const double> values) {
        auto const* const draws = draws_of(values.size(), seed_);
        return draws ? interval_of(resampled_means(*draws, values)) : too_few();
    }

    /// The means of both sets at every layer, over their documents that have a number there. The sets are drawn
    /// independently of each other.
    banded_sets means(per_layer values, error_sets const& sets) {
        const auto [large, ctrl] = curves_over(values, sets);
        const std::size_t layers = values.rows;
        const std::vector<measured_interval> none(layers, too_few());
        banded_sets curves{{large, none}, {ctrl, none}, {{}, none}};
        std::vector<sample> of_large, of_ctrl;
        for (std::size_t k = 0; k < layers; ++k) {
            of_large.push_back(sample_of(values.row(k), sets.large, seed_));
            of_ctrl.push_back(sample_of(values.row(k), sets.ctrl, seed_ + 1));
            curves.difference.values.push_back(relative_difference(large[k], ctrl[k]));
        }
        parallel_for(layers, [&](std::size_t k) {
            const auto a = means_of(of_large[k]), b = means_of(of_ctrl[k]);
            if (!a.empty()) curves.large.within[k] = interval_of(a);
            if (!b.empty()) curves.ctrl.within[k] = interval_of(b);
            if (a.empty() || b.empty()) return;
            std::vector<double> difference;
            for (std::size_t i = 0; i < a.size(); ++i)
                if (b[i] != 0) difference.push_back((a[i] - b[i]) / b[i]);
            curves.difference.within[k] = interval_of(std::move(difference));
        });
        return curves;
    }

    /// nullptr for fewer than fewest_documents. They stay where they are as long as this does.
    resample_counts const* draws_of(std::size_t documents, std::uint64_t seed) {
        if (documents < fewest_documents) return nullptr;
        return &draws_.try_emplace({documents, seed}, documents, seed).first->second;
    }

private:
    struct sample {
        std::vector<double> numbers;
        resample_counts const* draws; // none of too few documents
    };
    static measured_interval too_few() { return {too_few_documents(), too_few_documents()}; }
    static measured relative_difference(measured const& large, measured const& ctrl) {
        if (!large) return large;
        if (!ctrl) return ctrl;
        if (*ctrl == 0) return undefined{"the mean of D_ctrl is zero"};
        return (*large - *ctrl) / *ctrl;
    }
    static std::vector<double> means_of(sample const& s) {
        return s.draws ? resampled_means(*s.draws, s.numbers) : std::vector<double>();
    }
    sample sample_of(std::span<const double> values, std::span<const std::size_t> set, std::uint64_t seed) {
        std::vector<double> numbers;
        for (const std::size_t i : set) numbers.push_back(values[i]);
        numbers = defined_numbers(numbers);
        return {numbers, draws_of(numbers.size(), seed)};
    }
    std::uint64_t seed_;
    std::map<std::pair<std::size_t, std::uint64_t>, resample_counts> draws_; // its addresses stay
};

} // namespace bitlens
