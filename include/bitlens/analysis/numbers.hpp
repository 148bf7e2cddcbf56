#pragma once
/// The numbers behind the tables and figures of a study: each is a measurement or the reason why there is none.

#include "bitlens/analysis/finished_study.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/report/table.hpp"
#include "bitlens/stats/correlation.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/stats/overlap.hpp"
#include "bitlens/stats/ranks.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens {

/// The documents that have a number in both of two columns, or in one; what statistics are taken over.
/// Errors: shape_error for columns of different lengths.
struct paired_numbers {
    std::vector<double> x, y;
};
inline paired_numbers defined_pairs(std::span<const double> x, std::span<const double> y) {
    detail::check_size("defined_pairs", "y", y.size(), x.size());
    paired_numbers p;
    for (std::size_t i = 0; i < x.size(); ++i)
        if (!std::isnan(x[i]) && !std::isnan(y[i])) {
            p.x.push_back(x[i]);
            p.y.push_back(y[i]);
        }
    return p;
}
inline std::vector<double> defined_numbers(std::span<const double> x) {
    std::vector<double> numbers;
    std::ranges::copy_if(x, std::back_inserter(numbers), [](double v) { return !std::isnan(v); });
    return numbers;
}

/// A number of a column as tables show it.
inline measured number_or_gap(double value) {
    if (std::isnan(value)) return undefined{"no finite number was measured"};
    return value;
}

namespace detail {

template <class Statistic>
measured of_pairs(std::span<const double> x, std::span<const double> y, Statistic const& statistic) {
    const auto p = defined_pairs(x, y);
    if (p.x.size() < 3) return undefined{"a correlation of fewer than three examples says nothing"};
    return {statistic(p.x, p.y), "the same value in all examples has no correlation"};
}

} // namespace detail

/// Pearson's correlation of two columns of examples, over those that have both numbers. So are the others below.
inline measured correlation(std::span<const double> x, std::span<const double> y) {
    return detail::of_pairs(x, y, pearson);
}
inline measured rank_correlation(std::span<const double> x, std::span<const double> y) {
    return detail::of_pairs(x, y, spearman);
}

struct measured_interval {
    measured lo, hi;
};

/// Of fewer documents, resamples are too much alike: an interval of a correlation of three says ±1 with certainty.
inline constexpr std::size_t fewest_documents = 20;
inline constexpr std::size_t bootstrap_resamples = 1000;

inline undefined too_few_documents() {
    return {"fewer than " + std::to_string(fewest_documents) + " examples say nothing of their uncertainty"};
}

/// 95 % bootstrap interval of Pearson's correlation; undefined for fewer than fewest_documents.
inline measured_interval correlation_interval(std::span<const double> x, std::span<const double> y,
                                              std::uint64_t seed) {
    constexpr double level = 0.95;
    const auto none = [](undefined const& why) { return measured_interval{why, why}; };
    if (const auto rho = correlation(x, y); !rho) return none({rho.reason()});
    const auto pairs = defined_pairs(x, y);
    if (pairs.x.size() < fewest_documents) return none(too_few_documents());
    const auto found = bootstrap_interval(
        pairs.x, pairs.y, [](std::span<const double> a, std::span<const double> b) { return pearson(a, b); },
        bootstrap_resamples, level, seed);
    if (!found) return none({"most resamples are constant"});
    return {found->lo, found->hi};
}

inline undefined no_tenth() { return {"there is no worst tenth: fewer than ten examples, or equal errors"}; }

/// Mean of a column over those of a set of examples that have a number there.
inline measured mean_over(std::span<const double> values, std::span<const std::size_t> set) {
    if (set.empty()) return no_tenth();
    double sum = 0;
    std::size_t count = 0;
    for (const std::size_t i : set)
        if (!std::isnan(values[i])) {
            sum += values[i];
            ++count;
        }
    if (count == 0) return undefined{"no example of the set has a number here"};
    return sum / static_cast<double>(count);
}

/// exp of a mean NLL.
inline measured perplexity(measured const& mean_nll) {
    if (!mean_nll) return mean_nll;
    const double value = std::exp(*mean_nll);
    if (!std::isfinite(value)) return undefined{"the perplexity is beyond all numbers"};
    return value;
}

/// Mean over all examples.
inline measured overall_mean(std::span<const double> values) {
    const auto numbers = defined_numbers(values);
    if (numbers.empty()) return undefined{"no examples"};
    return mean(numbers);
}

/// Standard error of the mean: s / √N with the sample's s.
inline measured standard_error(std::span<const double> values) {
    const auto numbers = defined_numbers(values);
    if (numbers.size() < 2) return undefined{"fewer than two examples have no spread"};
    const double n = static_cast<double>(numbers.size());
    return std::sqrt(variance(numbers) / (n - 1));
}

/// Which share two random sets of these sizes out of n would have in common, roughly: the expected intersection over
/// the union that goes with it.
inline measured jaccard_by_chance(std::size_t a, std::size_t b, std::size_t n) {
    if (a == 0 || b == 0) return no_tenth();
    const double common = static_cast<double>(a) * static_cast<double>(b) / static_cast<double>(n);
    return common / (static_cast<double>(a + b) - common);
}

inline measured set_overlap(std::span<const std::size_t> a, std::span<const std::size_t> b) {
    if (a.empty() || b.empty()) return no_tenth();
    return {jaccard(a, b), "both sets are empty"};
}

/// The letters a method's spec begins with: "rtn3-g64" → "rtn". Methods of one family differ in bits and groups only.
inline std::string_view family(std::string_view spec) { return spec.substr(0, spec.find_first_of("0123456789-:/")); }
inline std::string_view family(method_columns const& m) { return family(std::string_view(m.spec)); }

/// The bits that a method's spec names behind those letters: "rtn3-g64" → 3; none where it names none.
inline std::optional<unsigned> bits_of(std::string_view spec) {
    const std::string_view digits = spec.substr(family(spec).size());
    unsigned bits = 0;
    if (std::from_chars(digits.data(), digits.data() + digits.size(), bits).ec != std::errc{}) return std::nullopt;
    return bits;
}
inline std::optional<unsigned> bits_of(method_columns const& m) { return bits_of(std::string_view(m.spec)); }

/// Two methods and how their errors go together over all examples.
struct method_pair {
    std::size_t first, second;
    bool same_family;
    measured pearson, spearman;
    measured_interval interval;
    measured overlap, chance; // Jaccard of the worst tenths
    measured overlap_large;   // of the D_large
};

inline std::vector<method_pair> method_pairs(finished_study const& s) {
    std::vector<method_pair> pairs;
    auto const& methods = s.methods;
    for (std::size_t a = 0; a < methods.size(); ++a)
        for (std::size_t b = a + 1; b < methods.size(); ++b)
            pairs.push_back({a, b, family(methods[a]) == family(methods[b]),
                             correlation(methods[a].error, methods[b].error),
                             rank_correlation(methods[a].error, methods[b].error),
                             correlation_interval(methods[a].error, methods[b].error, s.seed),
                             set_overlap(s.sets[a].worst, s.sets[b].worst),
                             jaccard_by_chance(s.sets[a].worst.size(), s.sets[b].worst.size(), s.run.size()),
                             set_overlap(s.sets[a].large, s.sets[b].large)});
    return pairs;
}

/// Mean of those that are defined.
inline measured mean_defined(std::span<const measured> values) {
    std::vector<double> defined;
    for (auto const& v : values)
        if (v) defined.push_back(*v);
    if (defined.empty()) return undefined{values.empty() ? "nothing to take the mean of" : values.front().reason()};
    return mean(defined);
}

/// ρ(S(l), E) for every layer l: a column of norms against a method's final errors.
inline std::vector<measured> layer_correlations(per_layer norms, std::span<const double> error) {
    std::vector<measured> rho;
    for (std::size_t k = 0; k < norms.rows; ++k) rho.push_back(correlation(norms.row(k), error));
    return rho;
}

/// Pearson of norm(x; h) at layer l with MSE(l) of a method.
inline std::vector<measured> mse_correlations(finished_study const& s, method_columns const& m) {
    std::vector<measured> rho;
    for (std::size_t k = 0; k < s.layers(); ++k) rho.push_back(correlation(s.norm_h.row(k), m.mse.row(k)));
    return rho;
}

/// The same over some of the examples, some perhaps more than once, for the layers first … L − 1.
inline std::vector<measured> mse_correlations(finished_study const& s, method_columns const& m, std::size_t first,
                                              std::span<const std::size_t> examples) {
    const auto chosen = [examples](std::span<const double> column) {
        std::vector<double> numbers;
        numbers.reserve(examples.size());
        for (const std::size_t i : examples) numbers.push_back(column[i]);
        return numbers;
    };
    std::vector<measured> rho;
    for (std::size_t k = first; k < s.layers(); ++k)
        rho.push_back(correlation(chosen(s.norm_h.row(k)), chosen(m.mse.row(k))));
    return rho;
}

/// A mean per layer over D_large and over D_ctrl.
struct set_curves {
    std::vector<measured> large, ctrl;
};

inline set_curves curves_over(per_layer values, error_sets const& sets) {
    set_curves curves;
    for (std::size_t k = 0; k < values.rows; ++k) {
        curves.large.push_back(mean_over(values.row(k), sets.large));
        curves.ctrl.push_back(mean_over(values.row(k), sets.ctrl));
    }
    return curves;
}

/// In how many of the layers first … L − 1 a relation between two curves holds.
struct layer_count {
    std::size_t holds = 0, of = 0;
};

template <class Relation>
layer_count count_layers(std::span<const measured> a, std::span<const measured> b, std::size_t first,
                         Relation const& relation) {
    layer_count count;
    for (std::size_t k = first; k < a.size(); ++k)
        if (a[k] && b[k]) {
            ++count.of;
            count.holds += relation(*a[k], *b[k]) ? 1u : 0u;
        }
    return count;
}

/// In how many of the layers first … L − 1 the residuals of D_large are smaller than those of D_ctrl, and its MLP
/// inputs larger: there the norm reverses the order.
inline layer_count count_reversals(set_curves const& r, set_curves const& h, std::size_t first) {
    layer_count count;
    for (std::size_t k = first; k < r.large.size(); ++k)
        if (r.large[k] && r.ctrl[k] && h.large[k] && h.ctrl[k]) {
            ++count.of;
            count.holds += *r.large[k] < *r.ctrl[k] && *h.large[k] > *h.ctrl[k] ? 1u : 0u;
        }
    return count;
}

/// First layer of the upper half, L/2, which is where the paper looks.
inline std::size_t upper_half(std::size_t layers) noexcept { return layers / 2; }
/// First of the last ten layers, where it looks for the reversal.
inline std::size_t last_ten(std::size_t layers) noexcept { return layers - std::min<std::size_t>(10, layers); }

/// Whether a norm stands before the MLP. Where none does, h is r itself, and nothing can be reversed.
inline bool has_mlp_norm(finished_study const& s) {
    for (std::size_t k = 0; k < s.layers(); ++k)
        for (std::size_t n = 0; n < s.size(); ++n)
            if (s.norm_h.row(k)[n] != s.norm_r.row(k)[n] && !std::isnan(s.norm_r.row(k)[n])) return true;
    return false;
}
inline constexpr const char* no_mlp_norm = "no norm stands before the MLP, which reads r itself";

} // namespace bitlens
