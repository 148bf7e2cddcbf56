#pragma once
/// What the paper finds, put as questions to a run: does it show the same?

#include "bitlens/analysis/published.hpp"
#include "bitlens/analysis/study_numbers.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// Sets of fewer documents leave a question open.
inline constexpr std::size_t fewest_documents = 20;

/// `mostly`: in more than half of the layers.
enum class outcome { agrees, mostly, differs, undecided, not_defined };

/// One method's, or one pair's, answer to a question.
struct answer {
    std::string text; // "rtn3-g64 12 of 15"
    outcome found;
};

inline std::string signed_text(measured const& m, int digits) {
    return m ? with_minus_sign(rounded_text(*m, digits)) : "not defined";
}

enum class side { above, below };

/// Does a correlation lie on that side of the threshold? Its whole interval has to.
inline outcome judge(measured const& rho, measured_interval const& within, side wanted, double threshold) {
    if (!rho) return outcome::not_defined;
    if (!within.lo || !within.hi) return outcome::undecided;
    if (*within.lo > threshold) return wanted == side::above ? outcome::agrees : outcome::differs;
    if (*within.hi < threshold) return wanted == side::below ? outcome::agrees : outcome::differs;
    return outcome::undecided;
}

/// A relation of two measurements over a set of so many documents.
inline outcome judge(measured const& a, measured const& b, bool holds, std::size_t documents) {
    if (!a || !b) return outcome::not_defined;
    if (documents < fewest_documents) return outcome::undecided;
    return holds ? outcome::agrees : outcome::differs;
}

inline outcome judge(layer_count count, std::size_t documents) {
    if (count.of == 0) return outcome::not_defined;
    if (documents < fewest_documents) return outcome::undecided;
    if (count.holds == count.of) return outcome::agrees;
    return 2 * count.holds > count.of ? outcome::mostly : outcome::differs;
}

inline answer answer_with(std::string const& name, measured const& value, int digits, outcome found) {
    return {name + " " + signed_text(value, digits), found};
}

inline answer answer_with(std::string const& name, layer_count count, outcome found) {
    if (count.of == 0) return {name + " not defined", found};
    return {name + " " + std::to_string(count.holds) + " of " + std::to_string(count.of), found};
}

/// One word where all answers that are defined are the same, else how many give which.
inline std::string verdict(std::span<const answer> answers) {
    constexpr std::array<std::pair<outcome, std::string_view>, 4> words{{{outcome::agrees, "agrees"},
                                                                         {outcome::mostly, "agrees in most layers"},
                                                                         {outcome::differs, "differs"},
                                                                         {outcome::undecided, "not decided"}}};
    const auto defined =
        std::ranges::count_if(answers, [](answer const& a) { return a.found != outcome::not_defined; });
    if (defined == 0) return "not defined";
    std::string text;
    for (auto const& [found, word] : words) {
        const auto count = std::ranges::count(answers, found, &answer::found);
        if (count == defined) return std::string(word);
        if (count > 0)
            text += (text.empty() ? std::string() : std::string(", ")) + std::string(word) + " for " +
                    std::to_string(count);
    }
    return text;
}

/// The rule of the verdicts, for the reader of the page.
inline std::string verdict_rule() {
    const std::string fewest = std::to_string(fewest_documents);
    return "How a verdict is found, for each method or pair: a correlation agrees where its whole 95 % interval (1000 "
           "bootstrap resamples of the documents) lies on the paper's side of the threshold (0, 0.5 or 0.97), differs "
           "where it lies on the other side, and is not decided between. A comparison of sets and a count of layers "
           "have no interval: not decided where D_large, the worst tenth or, for the MLP outputs, all documents are "
           "fewer than " +
           fewest +
           ". A count agrees in all layers, in most, or, where no more than half do, differs; of the MLP outputs the "
           "paper itself says “most”.";
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
    using detail::answer, detail::answer_with, detail::joined, detail::judge, detail::outcome, detail::side,
        detail::signed_text, detail::span_text, detail::verdict;
    auto const& run = s.run;
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
        answers.push_back(answer_with(
            "", p.overlap, 2,
            judge(p.overlap, p.chance, p.overlap && p.chance && *p.overlap > *p.chance, s.sets[p.first].worst.size())));
    add_pairs("Their worst tenths overlap more than by chance", published::overlap,
              span_text(column_of(pairs, &method_pair::overlap), 2) + "; by chance about " +
                  signed_text(mean_defined(column_of(pairs, &method_pair::chance)), 2));

    const auto for_methods = [&](auto const& ask) {
        answers.clear();
        for (std::size_t v = 0; v < run.methods.size(); ++v) answers.push_back(ask(run.methods[v], s.sets[v]));
        return joined(answers);
    };
    const auto add = [&](char const* finding, char const* paper, std::string found) {
        t.add({finding, paper, std::move(found), verdict(answers)});
    };
    const auto correlation_answer = [&](auto const& m, std::span<const double> with, int digits, side wanted,
                                        double threshold) {
        const auto rho = correlation(with, m.error);
        return answer_with(m.name, rho, digits,
                           judge(rho, correlation_interval(with, m.error, run.seed), wanted, threshold));
    };
    add("The error and the KL divergence correlate at 0.97 or more", "0.97 or more",
        for_methods([&](auto const& m, auto const&) {
            return correlation_answer(m, m.kl, 3, side::above, published::least_kl_correlation);
        }));
    add("Documents with smaller residuals at the last layer have larger errors: the correlation is negative",
        "−0.58 to −0.83 with 3 bits", for_methods([&](auto const& m, auto const&) {
            return correlation_answer(m, run.norm_r.back(), 2, side::below, 0);
        }));
    const std::size_t upper = upper_half(run.layers());
    const auto smaller_in_large = [&](auto const& values, std::string const& name, error_sets const& sets) {
        const auto c = curves_over(values, sets);
        const auto count = count_layers(c.large, c.ctrl, upper, [](double a, double b) { return a < b; });
        return answer_with(name, count, judge(count, sets.large.size()));
    };
    add("The residuals of D_large are smaller than those of D_ctrl in the upper layers", "in all shown",
        for_methods([&](auto const& m, auto const& sets) { return smaller_in_large(run.norm_r, m.name, sets); }));
    const std::size_t last_ten = run.layers() - std::min<std::size_t>(10, run.layers());
    add("The norm reverses this: where residuals of D_large are smaller, its MLP inputs are larger, in the last ten "
        "layers",
        "clear in Llama3-70B", for_methods([&](auto const& m, auto const& sets) {
            const auto count = count_reversals(curves_over(run.norm_r, sets), curves_over(run.norm_h, sets), last_ten);
            return answer_with(m.name, count, judge(count, sets.large.size()));
        }));
    add("The residuals of D_large have a smaller kurtosis in the upper layers", "in all shown",
        for_methods([&](auto const& m, auto const& sets) { return smaller_in_large(run.kurtosis_r, m.name, sets); }));
    add("Larger MLP inputs get larger errors of the MLP output: correlation above 0.6 in the upper layers",
        "in most upper layers", for_methods([&](auto const& m, auto const&) {
            const auto rho = mse_correlations(run, m);
            const auto count =
                count_layers(rho, rho, upper, [](double a, double) { return a > published::norm_h_mse_correlation; });
            const auto found = judge(count, run.size());
            return answer_with(m.name, count, found == outcome::mostly ? outcome::agrees : found);
        }));
    add("D_large is easier than the rest before quantization (perplexity of the full model)",
        "9.42, 5.62, 5.60, 2.66 "
        "against 11.06, 9.57, 8.67, 7.15",
        for_methods([&](auto const& m, auto const& sets) {
            const auto large = perplexity(mean_over(run.nll_full, sets.large)),
                       all = perplexity(overall_mean(run.nll_full));
            auto a = answer_with(m.name, large, 2, judge(large, all, large && all && *large < *all, sets.large.size()));
            a.text += " against " + signed_text(all, 2);
            return a;
        }));
    return t;
}

} // namespace bitlens
