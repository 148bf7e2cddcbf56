#pragma once
/// What the paper finds, put as questions to a run: does it show the same?

#include "bitlens/analysis/verdicts.hpp"
#include "bitlens/page/published.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

inline std::string signed_text(measured const& m, int digits) {
    return m ? with_minus_sign(rounded_text(*m, digits)) : "not defined";
}

inline answer answer_with(std::string const& name, measured const& value, int digits, outcome found) {
    return {name + " " + signed_text(value, digits), found};
}

inline answer answer_with(std::string const& name, layer_count count, outcome found) {
    if (count.of == 0) return {name + " not defined", found};
    return {name + " " + std::to_string(count.holds) + " of " + std::to_string(count.of), found};
}

inline std::string joined(std::span<const answer> answers) {
    std::string text;
    for (auto const& a : answers) text += (text.empty() ? std::string() : std::string("; ")) + a.text;
    return text.empty() ? "nothing to compare" : text;
}

/// From … to, and the mean, of those that are defined.
inline std::string span_text(std::span<const measured> values, int digits) {
    std::vector<double> defined;
    for (auto const& v : values)
        if (v) defined.push_back(*v);
    if (defined.empty()) return "not defined";
    const auto text = [digits](double v) { return with_minus_sign(rounded_text(v, digits)); };
    const auto [low, high] = std::ranges::minmax(defined);
    if (defined.size() == 1) return text(low);
    return text(low) + " to " + text(high) + ", mean " + text(mean(defined));
}

} // namespace detail

/// Pairs to compare with the paper's, which are of different families; where a run has none, its pairs of one family.
struct compared_pairs {
    std::vector<method_pair> pairs;
    bool same_family; // nothing in the paper stands beside them
};

inline constexpr std::string_view same_family_words = " (same family; the paper leaves these out)";

inline compared_pairs comparable_pairs(std::span<const method_pair> pairs) {
    std::vector<method_pair> chosen;
    std::ranges::copy_if(pairs, std::back_inserter(chosen), [](auto const& p) { return !p.same_family; });
    if (chosen.empty() && !pairs.empty()) return {{pairs.begin(), pairs.end()}, true};
    return {std::move(chosen), false};
}

template <class Member>
std::vector<measured> column_of(std::span<const method_pair> pairs, Member member) {
    std::vector<measured> values;
    for (auto const& p : pairs) values.push_back(p.*member);
    return values;
}

/// The paper's findings beside this run's, with a verdict in words, whose rule is its first note. How strong a finding
/// is, the numbers say.
inline table claims_table(finished_study const& s, std::span<const method_pair> all_pairs) {
    using detail::answer, detail::answer_with, detail::draw_resample, detail::joined, detail::judge, detail::outcome,
        detail::resample, detail::side, detail::signed_text, detail::span_text, detail::verdict;
    table t{"claims",
            "What the paper finds, and what this run shows",
            {{"finding", "finding"}, {"paper", "the paper"}, {"run", "this run"}, {"verdict", "verdict"}},
            {},
            {detail::verdict_rule(),
             "The paper's numbers are of other models, methods and documents: " + std::string(published::source)}};

    const auto compared = comparable_pairs(all_pairs);
    auto const& pairs = compared.pairs;
    std::vector<answer> answers;
    const auto add_pairs = [&](char const* finding, std::string_view paper, std::string found) {
        if (compared.same_family) found += same_family_words;
        t.add({finding, std::string(paper), std::move(found), compared.same_family ? "no verdict" : verdict(answers)});
    };
    for (auto const& p : pairs)
        answers.push_back(answer_with("", p.pearson, 2, judge(p.pearson, p.interval, side::above, 0.5)));
    add_pairs("Methods fail on the same documents: their errors correlate above 0.5",
              "0.52 to 0.98, mean 0.82 over 50 pairs", span_text(column_of(pairs, &method_pair::pearson), 2));

    answers.clear();
    for (auto const& p : pairs)
        answers.push_back(answer_with("", p.overlap, 2,
                                      detail::judge_overlap(s.sets[p.first].worst, s.sets[p.second].worst, s.size())));
    const auto chance = mean_defined(column_of(pairs, &method_pair::chance));
    add_pairs("Their worst tenths overlap more than by chance", published::overlap,
              span_text(column_of(pairs, &method_pair::overlap), 2) +
                  (chance ? "; by chance about " + signed_text(chance, 2) : std::string()));

    const auto for_methods = [&](auto const& ask) {
        answers.clear();
        for (std::size_t v = 0; v < s.methods.size(); ++v) answers.push_back(ask(s.methods[v], s.sets[v]));
        return joined(answers);
    };
    const auto add = [&](char const* finding, char const* paper, std::string found) {
        t.add({finding, paper, std::move(found), verdict(answers)});
    };
    const auto correlation_answer = [&](auto const& m, std::span<const double> with, int digits, side wanted,
                                        double threshold) {
        const auto rho = correlation(with, m.error);
        return answer_with(m.name, rho, digits,
                           judge(rho, correlation_interval(with, m.error, s.seed), wanted, threshold));
    };
    add("The error and the KL divergence correlate at 0.97 or more", "0.97 or more",
        for_methods([&](auto const& m, auto const&) {
            return correlation_answer(m, m.kl, 3, side::above, published::least_kl_correlation);
        }));
    add("Documents with smaller residuals at the last layer have larger errors: the correlation is negative",
        "−0.58 to −0.83 with 3 bits", for_methods([&](auto const& m, auto const&) {
            return correlation_answer(m, s.norm_r.row(s.layers() - 1), 2, side::below, 0);
        }));
    const std::size_t upper = upper_half(s.layers());
    const auto most = [](layer_count count) { return 2 * count.holds > count.of; };
    // `count(sets)` → layer_count, for the sets of a method and for resamples of them.
    const auto answer_of_sets = [&](std::string const& name, error_sets const& sets, auto const& count) {
        const auto resamples = resample(sets.large.size(), s.seed, [&](random_generator& random) {
            return most(count({{}, draw_resample(sets.large, random), draw_resample(sets.ctrl, random)}));
        });
        const layer_count found = count(sets);
        return answer_with(name, found, judge(found, resamples));
    };
    const auto smaller_in_large = [&](per_layer values) {
        return for_methods([&](auto const& m, auto const& sets) {
            return answer_of_sets(m.name, sets, [&](error_sets const& drawn) {
                const auto c = curves_over(values.middle_rows(upper, values.rows - upper), drawn);
                return count_layers(c.large, c.ctrl, 0, [](double a, double b) { return a < b; });
            });
        });
    };
    add("The residuals of D_large are smaller than those of D_ctrl in the upper layers", "in all of Llama3-70B",
        smaller_in_large(s.norm_r));
    const std::size_t last_ten = s.layers() - std::min<std::size_t>(10, s.layers());
    add("The norm reverses this: residuals of D_large are smaller and its MLP inputs larger, in the last ten layers",
        "in the upper layers of all four models, clear in the last ten of Llama3-70B",
        for_methods([&](auto const& m, auto const& sets) {
            return answer_of_sets(m.name, sets, [&](error_sets const& drawn) {
                const auto last = [&](per_layer values) {
                    return curves_over(values.middle_rows(last_ten, values.rows - last_ten), drawn);
                };
                return count_reversals(last(s.norm_r), last(s.norm_h), 0);
            });
        }));
    add("The residuals of D_large have a smaller kurtosis in the upper layers", "in all shown",
        smaller_in_large(s.kurtosis_r));
    add("Larger MLP inputs get larger errors of the MLP output: correlation above 0.6 in the upper layers",
        "in most upper layers", for_methods([&](auto const& m, auto const&) {
            std::vector<std::size_t> all(s.size());
            std::iota(all.begin(), all.end(), std::size_t{0});
            const auto count = [&](std::span<const std::size_t> documents) {
                const auto rho = mse_correlations(s, m, upper, documents);
                return count_layers(rho, rho, 0,
                                    [](double a, double) { return a > published::norm_h_mse_correlation; });
            };
            const auto resamples = resample(
                all.size(), s.seed, [&](random_generator& random) { return most(count(draw_resample(all, random))); });
            const auto found = judge(count(all), resamples);
            return answer_with(m.name, count(all), found == outcome::mostly ? outcome::agrees : found);
        }));
    add("D_large is easier than the rest before quantization (perplexity of the full model)",
        "9.42, 5.62, 5.60, 2.66 "
        "against 11.06, 9.57, 8.67, 7.15",
        for_methods([&](auto const& m, auto const& sets) {
            const auto large = mean_over(s.nll_full, sets.large), all = overall_mean(s.nll_full);
            const auto resamples = resample(sets.large.size(), s.seed, [&](random_generator& random) {
                return *mean_over(s.nll_full, draw_resample(sets.large, random)) < *all;
            });
            auto a = answer_with(m.name, perplexity(large), 2, large ? judge(resamples) : outcome::not_defined);
            if (large) a.text += " against " + signed_text(perplexity(all), 2);
            return a;
        }));
    return t;
}

} // namespace bitlens
