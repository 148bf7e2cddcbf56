#pragma once
/// What the paper finds, put as questions to a run: does it show the same?

#include "bitlens/analysis/long_tail.hpp"
#include "bitlens/analysis/topics.hpp"
#include "bitlens/page/claim.hpp"
#include "bitlens/page/published_methods.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// Pairs to compare with the paper's, which are of different families; where a run has none, its pairs of one family.
struct compared_pairs {
    std::vector<method_pair> pairs;
    bool same_family; // nothing in the paper stands beside them
};

inline constexpr std::string_view same_family_words = " (same family; tables 1 and 6 of the paper leave these out)";

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

namespace detail {

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

/// Of every pair: a number of it, and `judge_pair(pair)` → outcome.
template <class Judge>
run_answer ask_pairs(evidence const& e, std::span<const method_pair> pairs, measured method_pair::*number,
                     Judge const& judge_pair) {
    run_answer all{{}, span_text(column_of(pairs, number), 2)};
    for (auto const& p : pairs)
        all.answers.push_back(answer_with(e.study.methods[p.first].name + " and " + e.study.methods[p.second].name,
                                          p.*number, 2, judge_pair(p)));
    return all;
}

/// The same of every pair that can be compared; `beside` follows the numbers.
template <class Judge>
run_answer ask_comparable(evidence const& e, measured method_pair::*number, Judge const& judge_pair,
                          std::string const& beside = {}) {
    const auto [pairs, same_family] = comparable_pairs(e.pairs);
    run_answer all = ask_pairs(e, pairs, number, judge_pair);
    all.text += beside;
    all.comparable = !same_family;
    if (same_family) all.text += same_family_words;
    return all;
}

inline outcome judge_together(method_pair const& p) { return judge(p.pearson, p.interval, side::above, 0.5); }

inline bool most(layer_count count) noexcept { return 2 * count.holds > count.of; }

/// `count(sets)` → layer_count, for the sets of each method and for resamples of them.
template <class Count>
run_answer ask_sets(finished_study const& s, Count const& count) {
    return ask_methods(s, [&](method_columns const& m, error_sets const& sets) {
        const auto resamples = resample(sets.large.size(), s.seed, [&](random_generator& random) {
            return most(count({{}, draw_resample(sets.large, random), draw_resample(sets.ctrl, random)}));
        });
        const layer_count found = count(sets);
        return answer_with(m.name, found, judge(found, resamples));
    });
}

struct topic_share {
    std::size_t topic;
    double share;
};

/// topic_of: of each document, of which there is at least one.
inline topic_share largest_share(std::span<const std::size_t> topic_of, std::size_t topics) {
    std::vector<std::size_t> count(topics);
    for (const std::size_t t : topic_of) ++count[t];
    const auto largest = std::ranges::max_element(count);
    return {static_cast<std::size_t>(largest - count.begin()),
            static_cast<double>(*largest) / static_cast<double>(topic_of.size())};
}

/// Does no topic hold more than the share `most` of the documents? It is asked topic by topic: the largest of many
/// shares is large by chance.
inline outcome judge_shares(std::span<const std::size_t> topic_of, std::size_t topics, double most,
                            std::uint64_t seed) {
    const double allowed = most * static_cast<double>(topic_of.size());
    std::vector<resampled> within(topics); // in how many resamples the topic holds no more
    std::vector<std::size_t> count(topics);
    const auto drawn = resample(topic_of.size(), seed, [&](random_generator& random) {
        std::ranges::fill(count, std::size_t{0});
        for (const std::size_t t : draw_resample(topic_of, random)) ++count[t];
        for (std::size_t t = 0; t < topics; ++t) within[t].holds += static_cast<double>(count[t]) <= allowed ? 1u : 0u;
        return true;
    });
    outcome found = outcome::agrees;
    for (auto& of_topic : within) {
        of_topic.of = drawn.of;
        const outcome here = judge(of_topic);
        if (here == outcome::differs) return here;
        if (here == outcome::undecided) found = here;
    }
    return found;
}

/// Curves over the layers first … L − 1.
inline set_curves curves_from(per_layer values, std::size_t first, error_sets const& sets) {
    return curves_over(values.middle_rows(first, values.rows - first), sets);
}

inline run_answer smaller_in_large(finished_study const& s, per_layer values) {
    return ask_sets(s, [&](error_sets const& sets) {
        const auto c = curves_from(values, upper_half(s.layers()), sets);
        return count_layers(c.large, c.ctrl, 0, [](double a, double b) { return a < b; });
    });
}

inline answer correlation_answer(finished_study const& s, method_columns const& m, std::span<const double> with,
                                 int digits, side wanted, double threshold) {
    const auto rho = correlation(with, m.error);
    return answer_with(m.name, rho, digits, judge(rho, correlation_interval(with, m.error, s.seed), wanted, threshold));
}

} // namespace detail

/// The paper's findings, each by name.
namespace claims {

inline claim methods_fail_together(evidence const& e) {
    return {"Methods fail on the same documents: their errors correlate above 0.5",
            "0.52 to 0.98, mean 0.82 over 50 pairs",
            detail::ask_comparable(e, &method_pair::pearson, detail::judge_together)};
}

inline claim worst_tenths_overlap(evidence const& e) {
    auto const& s = e.study;
    const auto by_chance = mean_defined(column_of(comparable_pairs(e.pairs).pairs, &method_pair::chance));
    return {"Their worst tenths overlap more than by chance", std::string(published::overlap),
            detail::ask_comparable(
                e, &method_pair::overlap,
                [&](method_pair const& p) {
                    return detail::judge_overlap(s.sets[p.first].worst, s.sets[p.second].worst, s.size());
                },
                by_chance ? "; by chance about " + detail::signed_text(by_chance, 2) : std::string())};
}

inline claim divergence_says_the_same(evidence const& e) {
    return {"The error and the KL divergence correlate at 0.97 or more", "0.97 or more",
            detail::ask_methods(e.study, [&](method_columns const& m, error_sets const&) {
                return detail::correlation_answer(e.study, m, m.kl, 3, detail::side::above,
                                                  published::least_kl_correlation);
            })};
}

inline claim small_residuals_foretell_errors(evidence const& e) {
    const auto last = e.study.norm_r.row(e.study.layers() - 1);
    return {"Documents with smaller residuals at the last layer have larger errors: the correlation is negative",
            "−0.58 to −0.83 with 3 bits", detail::ask_methods(e.study, [&](method_columns const& m, error_sets const&) {
                return detail::correlation_answer(e.study, m, last, 2, detail::side::below, 0);
            })};
}

inline claim large_errors_have_small_residuals(evidence const& e) {
    return {"The residuals of D_large are smaller than those of D_ctrl in the upper layers", "in all of Llama3-70B",
            detail::smaller_in_large(e.study, e.study.norm_r)};
}

inline claim norm_reverses_magnitudes(evidence const& e) {
    auto const& s = e.study;
    return {
        "The norm reverses this: residuals of D_large are smaller and its MLP inputs larger, in the last ten layers",
        "in the upper layers of all four models, clear in the last ten of Llama3-70B",
        has_mlp_norm(s) ? detail::ask_sets(s,
                                           [&](error_sets const& sets) {
                                               const std::size_t first = last_ten(s.layers());
                                               return count_reversals(detail::curves_from(s.norm_r, first, sets),
                                                                      detail::curves_from(s.norm_h, first, sets), 0);
                                           })
                        : run_answer{{}, no_mlp_norm}};
}

inline claim large_errors_have_small_kurtosis(evidence const& e) {
    return {"The residuals of D_large have a smaller kurtosis in the upper layers", "in all shown",
            detail::smaller_in_large(e.study, e.study.kurtosis_r)};
}

inline claim large_inputs_get_large_errors(evidence const& e) {
    auto const& s = e.study;
    std::vector<std::size_t> all(s.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    const auto ask = [&](method_columns const& m, error_sets const&) {
        const auto count = [&](std::span<const std::size_t> documents) {
            const auto rho = mse_correlations(s, m, upper_half(s.layers()), documents);
            return count_layers(rho, rho, 0, [](double a, double) { return a > published::norm_h_mse_correlation; });
        };
        const auto resamples = detail::resample(all.size(), s.seed, [&](random_generator& random) {
            return detail::most(count(detail::draw_resample(all, random)));
        });
        const layer_count counted = count(all);
        const auto found = detail::judge(counted, resamples);
        // The paper itself says “most”.
        return detail::answer_with(m.name, counted, found == outcome::mostly ? outcome::agrees : found);
    };
    return {"Larger MLP inputs get larger errors of the MLP output: correlation above 0.6 in the upper layers",
            "in most upper layers", detail::ask_methods(s, ask)};
}

inline claim large_errors_were_easy(evidence const& e) {
    auto const& s = e.study;
    const auto all = overall_mean(s.nll_full);
    const auto ask = [&](method_columns const& m, error_sets const& sets) {
        const auto large = mean_over(s.nll_full, sets.large);
        const auto resamples = detail::resample(sets.large.size(), s.seed, [&](random_generator& random) {
            return *mean_over(s.nll_full, detail::draw_resample(sets.large, random)) < *all;
        });
        auto a =
            detail::answer_with(m.name, perplexity(large), 2, large ? detail::judge(resamples) : outcome::not_defined);
        if (large) a.text += " against " + detail::signed_text(perplexity(all), 2);
        return a;
    };
    return {"D_large is easier than the rest before quantization (perplexity of the full model)",
            "9.42, 5.62, 5.60, 2.66 against 11.06, 9.57, 8.67, 7.15", detail::ask_methods(s, ask)};
}

inline claim easy_documents_lose_more(evidence const& e) {
    auto const& s = e.study;
    return {"Documents that were easy have larger errors than hard ones: the mean error at a loss before of 1 nat per "
            "token or less, and at 4 or more",
            "0.67 and 0.14, 1.00 and 0.30 (AWQ3, GPTQ3 of Llama3-70B)",
            detail::ask_methods(s, [&](method_columns const& m, error_sets const&) -> answer {
                const auto found = long_tail_of(s.nll_full, m.error, s.seed);
                const auto text = [](tail const& t) {
                    return detail::signed_text(t.mean, 2) + " (n = " + std::to_string(t.errors.size()) + ")";
                };
                return {m.name + " " + text(found.easy) + " and " + text(found.hard), found.easy_lose_more};
            })};
}

inline claim no_topic_prevails(evidence const& e) {
    auto const& s = e.study;
    const auto labels = detail::label_topics(s.run.documents.topics);
    const std::size_t topics = labels.names.size();
    run_answer all = detail::ask_methods(s, [&](method_columns const& m, error_sets const& sets) -> answer {
        std::vector<std::size_t> of; // of the documents of D_large that have one
        for (const std::size_t i : sets.large)
            if (labels.of[i]) of.push_back(*labels.of[i]);
        if (of.empty()) return {m.name + " not defined", outcome::not_defined};
        const auto [topic, share] = detail::largest_share(of, topics);
        return {m.name + " " + detail::signed_text(share, 2) + " (" + labels.names[topic] + ")",
                detail::judge_shares(of, topics, published::largest_topic_share, s.seed)};
    });
    if (topics < 2) {
        all = {{}, topics == 0 ? "the documents have no topics" : "all documents are of one topic"};
    } else if (static_cast<double>(topics) * published::largest_topic_share < 1) {
        all.comparable = false;
        all.text += " (one of " + std::to_string(topics) + " topics always does)";
    }
    return {"Large errors are not those of one topic: none holds more than 12 % of D_large",
            "24 topics, of which none does", std::move(all)};
}

inline claim three_bits_lose_more(evidence const& e) {
    auto const& s = e.study;
    run_answer all;
    std::vector<measured> differences;
    for (auto const& three : s.methods)
        for (auto const& four : s.methods) {
            if (bits_of(three) != 3 || bits_of(four) != 4) continue;
            const auto both = defined_pairs(three.error, four.error);
            std::vector<double> more(both.x.size());
            std::ranges::transform(both.x, both.y, more.begin(), std::minus{});
            differences.push_back(overall_mean(more));
            const auto resamples = detail::resample(more.size(), s.seed, [&](random_generator& random) {
                return detail::resampled_mean(more, random) > 0;
            });
            all.answers.push_back(
                detail::answer_with(three.name + " and " + four.name, differences.back(), 3,
                                    differences.back() ? detail::judge(resamples) : outcome::not_defined));
        }
    all.text = differences.empty() ? "no method of 3 bits beside one of 4" : detail::span_text(differences, 3);
    return {"Methods of 3 bits lose more than those of 4: by how many nats per token the mean error is larger",
            std::string(published::fewer_bits), std::move(all)};
}

/// For a run with variants of GPTQ.
inline claim gptq_variants_fail_together(evidence const& e) {
    std::vector<method_pair> pairs;
    std::ranges::copy_if(e.pairs, std::back_inserter(pairs), [&](method_pair const& p) {
        return published::are_variants(e.study.methods[p.first], e.study.methods[p.second]);
    });
    return {"Variants of GPTQ, of another damping or order of columns, fail on the same documents: their errors "
            "correlate above 0.5",
            "0.92 to 0.95, mean 0.93 over 6 pairs (GPTQ3 of Qwen2.5-7B)",
            detail::ask_pairs(e, pairs, &method_pair::pearson, detail::judge_together)};
}

/// In the order in which the page shows them.
inline constexpr std::array all{methods_fail_together,
                                worst_tenths_overlap,
                                divergence_says_the_same,
                                small_residuals_foretell_errors,
                                large_errors_have_small_residuals,
                                norm_reverses_magnitudes,
                                large_errors_have_small_kurtosis,
                                large_inputs_get_large_errors,
                                large_errors_were_easy,
                                easy_documents_lose_more,
                                no_topic_prevails,
                                three_bits_lose_more};

} // namespace claims

/// The paper's findings beside this run.
inline std::vector<claim> claims_of(evidence const& e) {
    std::vector<claim> found;
    for (auto* const about : claims::all) found.push_back(about(e));
    if (auto variants = claims::gptq_variants_fail_together(e); !variants.answer.answers.empty())
        found.push_back(std::move(variants));
    return found;
}

/// The verdict first, whose rule is the first note. How strong a finding is, the numbers say.
inline table claims_table(std::span<const claim> found) {
    return claims_table(found, {verdict_rule(), "The paper's numbers are of other models, methods and documents: " +
                                                    std::string(published::source)});
}

} // namespace bitlens
