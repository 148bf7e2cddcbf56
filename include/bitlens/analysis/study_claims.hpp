#pragma once
/// What the paper finds, put as questions to a run: does it show the same?

#include "bitlens/analysis/published.hpp"
#include "bitlens/analysis/study_numbers.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// One method's, or one pair's, answer to a question.
struct answer {
    std::string text;           // "rtn3-g64 12 of 15"
    std::optional<bool> agrees; // nothing where it is not defined
};

inline std::string signed_text(measured const& m, int digits) {
    return m ? with_minus_sign(rounded_text(*m, digits)) : "not defined";
}

inline answer answer_with(std::string name, measured const& value, int digits, bool agrees) {
    return {std::move(name) + " " + signed_text(value, digits), value ? std::optional(agrees) : std::nullopt};
}

/// Agrees when the relation holds in more than half of the layers.
inline answer answer_with(std::string name, layer_count count) {
    if (count.of == 0) return {std::move(name) + " not defined", std::nullopt};
    return {std::move(name) + " " + std::to_string(count.holds) + " of " + std::to_string(count.of),
            2 * count.holds > count.of};
}

inline std::string verdict(std::span<const answer> answers) {
    std::size_t defined = 0, agree = 0;
    for (auto const& a : answers)
        if (a.agrees) {
            ++defined;
            agree += *a.agrees ? 1u : 0u;
        }
    if (defined == 0) return "not defined";
    if (agree == defined) return "agrees";
    if (agree == 0) return "differs";
    return "agrees for " + std::to_string(agree) + " of " + std::to_string(defined);
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

/// The pairs that the paper would compare: those of different families, or all where there are none.
inline std::vector<method_pair> comparable_pairs(std::span<const method_pair> pairs) {
    std::vector<method_pair> chosen;
    std::ranges::copy_if(pairs, std::back_inserter(chosen), [](auto const& p) { return !p.same_family; });
    return chosen.empty() ? std::vector<method_pair>(pairs.begin(), pairs.end()) : chosen;
}

template <class Member>
std::vector<measured> column_of(std::span<const method_pair> pairs, Member member) {
    std::vector<measured> values;
    for (auto const& p : pairs) values.push_back(p.*member);
    return values;
}

/// The paper's findings beside this run's, with a verdict in words. A finding "agrees" if its direction is the same
/// here; how strong it is, the numbers say.
inline table claims_table(finished_study const& s, std::span<const method_pair> all_pairs) {
    using detail::answer, detail::answer_with, detail::joined, detail::span_text, detail::verdict;
    auto const& run = s.run;
    table t{"claims",
            "What the paper finds, and what this run shows",
            {{"finding", "finding"}, {"paper", "the paper"}, {"run", "this run"}, {"verdict", "verdict"}},
            {},
            {"The paper's numbers are of other models, methods and documents: " + std::string(published::source)}};

    const auto pairs = comparable_pairs(all_pairs);
    std::vector<answer> answers;
    for (auto const& p : pairs) answers.push_back(answer_with("", p.pearson, 2, p.pearson && *p.pearson > 0.5));
    t.add({"Methods fail on the same documents: their errors correlate above 0.5",
           "0.52 to 0.98, mean 0.82 over 50 pairs", span_text(column_of(pairs, &method_pair::pearson), 2),
           verdict(answers)});

    answers.clear();
    for (auto const& p : pairs)
        answers.push_back(answer_with("", p.overlap, 2, p.overlap && p.chance && *p.overlap > *p.chance));
    t.add({"Their worst tenths overlap more than chance (about 0.05)", "mean 0.51",
           span_text(column_of(pairs, &method_pair::overlap), 2), verdict(answers)});

    const auto for_methods = [&](auto const& ask) {
        answers.clear();
        for (std::size_t v = 0; v < run.methods.size(); ++v) answers.push_back(ask(run.methods[v], s.sets[v]));
        return joined(answers);
    };
    const auto add = [&](char const* finding, char const* paper, std::string found) {
        t.add({finding, paper, std::move(found), verdict(answers)});
    };
    add("The error and the KL divergence correlate at 0.97 or more", "0.97 or more",
        for_methods([](auto const& m, auto const&) {
            const auto rho = correlation(m.error, m.kl);
            return answer_with(m.name, rho, 3, rho && *rho >= published::least_kl_correlation);
        }));
    add("Documents with smaller residuals at the last layer have larger errors: the correlation is negative",
        "−0.58 to −0.83 with 3 bits", for_methods([&](auto const& m, auto const&) {
            const auto rho = correlation(run.norm_r.back(), m.error);
            return answer_with(m.name, rho, 2, rho && *rho < 0);
        }));
    const std::size_t upper = upper_half(run.layers());
    const auto less = [](double a, double b) { return a < b; };
    const auto greater = [](double a, double b) { return a > b; };
    add("The residuals of D_large are smaller than those of D_ctrl in the upper layers", "in all shown",
        for_methods([&](auto const& m, auto const& sets) {
            const auto c = curves_over(run.norm_r, sets);
            return answer_with(m.name, count_layers(c.large, c.ctrl, upper, less));
        }));
    const std::size_t last_ten = run.layers() - std::min<std::size_t>(10, run.layers());
    add("The norm reverses this: the MLP inputs of D_large are larger in the last ten layers", "clear in Llama3-70B",
        for_methods([&](auto const& m, auto const& sets) {
            const auto c = curves_over(run.norm_h, sets);
            return answer_with(m.name, count_layers(c.large, c.ctrl, last_ten, greater));
        }));
    add("The residuals of D_large have a smaller kurtosis in the upper layers", "in all shown",
        for_methods([&](auto const& m, auto const& sets) {
            const auto c = curves_over(run.kurtosis_r, sets);
            return answer_with(m.name, count_layers(c.large, c.ctrl, upper, less));
        }));
    add("Larger MLP inputs get larger errors of the MLP output: correlation above 0.6 in the upper layers",
        "in most upper layers", for_methods([&](auto const& m, auto const&) {
            const auto rho = mse_correlations(run, m);
            return answer_with(m.name, count_layers(rho, rho, upper, [](double a, double) {
                                   return a > published::norm_h_mse_correlation;
                               }));
        }));
    add("D_large is easier than the rest before quantization (perplexity of the full model)",
        "9.42, 5.62, 5.60, 2.66 "
        "against 11.06, 9.57, 8.67, 7.15",
        for_methods([&](auto const& m, auto const& sets) {
            const auto large = perplexity(mean_over(run.nll_full, sets.large)),
                       all = perplexity(overall_mean(run.nll_full));
            auto a = answer_with(m.name, large, 2, large && all && *large < *all);
            a.text += " against " + detail::signed_text(all, 2);
            return a;
        }));
    return t;
}

} // namespace bitlens
