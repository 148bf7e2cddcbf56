#pragma once
/// What the topics of the documents have to do with their errors.

#include "bitlens/analysis/intervals.hpp"
#include "bitlens/analysis/numbers.hpp"
#include "bitlens/core/parallel.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/stats/overlap.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// One topic under one method. Over documents that have a topic and an error.
struct topic_errors {
    std::size_t documents, large; // of the topic: all, and those in D_large
    measured mean_error;
    measured_interval interval;      // 95 %, by bootstrap over the documents of the topic
    measured share_all, share_large; // of the topic in all documents, and in D_large
    measured chance;           // that a random set of the size of D_large is as far from share_all, to either side
    measured chance_corrected; // times the number of topics, at most 1 (Bonferroni)
};

/// Kruskal and Wallis' H = (n − 1) · Σ_g n_g (r̄_g − r̄)² / Σ_i (r_i − r̄)² over the mid-ranks r of the errors.
struct topic_test {
    std::size_t documents, topics;
    measured h;
    measured explained; // H / (n − 1): the share of the variance of the ranks that lies between topics
    measured chance;    // share of random assignments of the topics to the documents with as large an H
};

struct topic_study {
    std::vector<std::string> topics;                // by falling number of documents, then by name
    std::vector<std::vector<topic_errors>> methods; // [method][topic]
    std::vector<std::vector<std::size_t>> largest;  // [method]: at most five topics of D_large, the largest share first
    std::vector<topic_test> tests;                  // [method]
};

inline constexpr std::size_t topic_permutations = 1000;

namespace detail {

/// The topic of each document; none for those without.
struct topic_labels {
    std::vector<std::string> names;
    std::vector<std::optional<std::size_t>> of;
};

inline topic_labels label_topics(std::span<const std::string> topics) {
    std::map<std::string, std::size_t> count;
    for (auto const& t : topics)
        if (!t.empty()) ++count[t];
    std::vector<std::pair<std::string, std::size_t>> by_size(count.begin(), count.end());
    std::ranges::stable_sort(by_size, [](auto const& a, auto const& b) { return a.second > b.second; });
    topic_labels labels;
    std::map<std::string, std::size_t> place;
    for (auto const& [name, size] : by_size) {
        place[name] = labels.names.size();
        labels.names.push_back(name);
    }
    for (auto const& t : topics) labels.of.push_back(t.empty() ? std::nullopt : std::optional(place[t]));
    return labels;
}

/// How likely a random set of b out of n has as many of a, or as few, whichever is rarer; twice that, at most 1.
inline double chance_either_way(std::size_t a, std::size_t b, std::size_t n, std::size_t common) {
    const double as_many = chance_of_common(a, b, n, common), as_few = chance_of_common(n - a, b, n, b - common);
    return std::min(1.0, 2 * std::min(as_many, as_few));
}

/// Σ_g (Σ_{i∈g} r_i)² / n_g, all of H that depends on who is in which group.
inline double between_groups(std::span<const double> centred_ranks, std::span<const std::size_t> group,
                             std::span<const double> sizes, std::vector<double>& sums) {
    std::ranges::fill(sums, 0.0);
    for (std::size_t i = 0; i < group.size(); ++i) sums[group[i]] += centred_ranks[i];
    double total = 0;
    for (std::size_t g = 0; g < sums.size(); ++g)
        if (sizes[g] > 0) total += sums[g] * sums[g] / sizes[g];
    return total;
}

} // namespace detail

/// Do topics matter? `group[i]`, below `groups`, is that of document i; a NaN has no rank and is left out.
/// Errors: shape_error unless there is a group for each error.
inline topic_test test_topics(std::span<const double> error, std::span<const std::size_t> group, std::size_t groups,
                              std::uint64_t seed) {
    detail::check_size("test_topics", "group", group.size(), error.size());
    std::vector<double> values, sizes(groups);
    std::vector<std::size_t> of;
    for (std::size_t i = 0; i < error.size(); ++i)
        if (!std::isnan(error[i])) {
            values.push_back(error[i]);
            of.push_back(group[i]);
            ++sizes.at(group[i]);
        }
    const auto topics = static_cast<std::size_t>(std::ranges::count_if(sizes, [](double n) { return n > 0; }));
    const auto none = [&](std::string const& why) {
        return topic_test{values.size(), topics, undefined{why}, undefined{why}, undefined{why}};
    };
    if (values.size() < fewest_documents)
        return none("fewer than " + std::to_string(fewest_documents) + " documents have a topic and an error");
    if (topics < 2) return none("all documents are of one topic");

    auto ranks = mid_ranks(values);
    const double n = static_cast<double>(values.size());
    for (double& r : ranks) r -= (n + 1) / 2; // multiples of ½: their sums are exact
    const double square = detail::sum_of(ranks.size(), [&](std::size_t i) { return ranks[i] * ranks[i]; });
    if (square == 0) return none("the errors are all the same");
    std::vector<double> sums(groups);
    const double observed = detail::between_groups(ranks, of, sizes, sums);
    constexpr double rounding = 1e-12; // of sums over groups in another order
    random_generator random(seed);
    std::size_t as_large = 1; // the assignment that was found is one of them
    for (std::size_t p = 0; p < topic_permutations; ++p) {
        for (std::size_t i = of.size(); i > 1; --i) std::swap(of[i - 1], of[static_cast<std::size_t>(random.below(i))]);
        as_large += detail::between_groups(ranks, of, sizes, sums) >= observed * (1 - rounding) ? 1u : 0u;
    }
    return {values.size(), topics, (n - 1) * observed / square, observed / square,
            static_cast<double>(as_large) / static_cast<double>(topic_permutations + 1)};
}

/// nullopt: fewer than two topics. Documents without a topic are left out of all of it.
inline std::optional<topic_study> study_topics(finished_study const& s) {
    constexpr std::size_t shown = 5; // as in figure 3 of the paper
    auto labels = detail::label_topics(s.run.documents.topics);
    const std::size_t topics = labels.names.size(), methods = s.methods.size();
    if (topics < 2) return std::nullopt;
    topic_study found{std::move(labels.names), std::vector<std::vector<topic_errors>>(methods), {}, {}};
    std::vector<std::size_t> rows, group; // documents with a topic
    for (std::size_t i = 0; i < s.size(); ++i)
        if (labels.of[i]) {
            rows.push_back(i);
            group.push_back(*labels.of[i]);
        }
    found.largest.resize(methods);
    found.tests.resize(methods, {0, 0, undefined{}, undefined{}, undefined{}});
    parallel_for(methods, [&](std::size_t v) {
        std::vector<std::vector<double>> errors(topics);
        std::vector<double> error;
        for (std::size_t i = 0; i < rows.size(); ++i) {
            error.push_back(s.methods[v].error[rows[i]]);
            if (!std::isnan(error.back())) errors[group[i]].push_back(error.back());
        }
        std::vector<std::size_t> large(topics);
        std::size_t all = 0, all_large = 0;
        for (auto const& e : errors) all += e.size();
        for (const std::size_t i : s.sets[v].large)
            if (labels.of[i]) {
                ++large[*labels.of[i]];
                ++all_large;
            }
        for (std::size_t t = 0; t < topics; ++t) {
            const std::size_t n = errors[t].size();
            const auto share = [](std::size_t part, std::size_t of, undefined const& why) -> measured {
                if (of == 0) return why;
                return static_cast<double>(part) / static_cast<double>(of);
            };
            const measured chance = all_large == 0 ? measured(no_tenth())
                                                   : measured(detail::chance_either_way(n, all_large, all, large[t]));
            found.methods[v].push_back(
                {n, large[t], n == 0 ? measured(undefined{"no document of the topic has an error"}) : mean(errors[t]),
                 mean_interval(errors[t], s.seed + t), share(n, all, {"no document has a topic and an error"}),
                 share(large[t], all_large, no_tenth()), chance,
                 chance ? measured(std::min(1.0, *chance * static_cast<double>(topics))) : chance});
        }
        auto& largest = found.largest[v];
        for (std::size_t t = 0; t < topics; ++t)
            if (large[t] > 0) largest.push_back(t);
        std::ranges::stable_sort(largest, [&](std::size_t a, std::size_t b) { return large[a] > large[b]; });
        largest.resize(std::min(shown, largest.size()));
        found.tests[v] = test_topics(error, group, topics, s.seed);
    });
    return found;
}

} // namespace bitlens
