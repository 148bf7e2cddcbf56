#pragma once
/// question_buckets: the questions of a set by how popular what they ask about is.

#include "bitlens/core/error.hpp"
#include "bitlens/report/number_text.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// Questions with low ≤ log10(popularity) < high; those of popularity 0 are in the lowest bucket.
struct question_bucket {
    double low, high;
    std::vector<std::size_t> questions; // rising

    /// "2.5 to 3".
    std::string text() const { return exact_text(low) + " to " + exact_text(high); }
};

struct question_buckets {
    std::vector<question_bucket> buckets; // rising; the low of one is the high of the one before
    std::size_t without = 0;              // questions that have no popularity and are in no bucket
};

/// How buckets are cut: edges of log10(popularity), or none, and the fewest questions of a bucket.
struct bucket_rule {
    std::optional<std::vector<double>> edges;
    std::size_t least = 100;
};

/// Errors: option_error naming `who` for edges that are not finite and rising, or none of them, and for `least` of 0.
inline void check_bucket_rule(bucket_rule const& rule, std::string_view who) {
    if (rule.least == 0)
        throw option_error(std::string(who) + ": a bucket of at least 0 questions, expected at least 1");
    if (!rule.edges) return;
    const bool finite = std::ranges::all_of(*rule.edges, [](double e) { return std::isfinite(e); });
    const bool rising = std::ranges::adjacent_find(*rule.edges, std::greater_equal<>{}) == rule.edges->end();
    if (!rule.edges->empty() && finite && rising) return;
    std::string found;
    for (const double e : *rule.edges)
        found += (found.empty() ? "" : ", ") + (std::isfinite(e) ? exact_text(e) : std::string("no finite number"));
    throw option_error(std::string(who) + ": edges " + (found.empty() ? "of no number" : found) +
                       ", expected finite numbers that rise");
}

namespace detail {

/// Every 0.5 from the floor of the least to above the most.
inline std::vector<double> usual_edges(double least, double most) {
    constexpr double step = 0.5;
    std::vector<double> edges;
    for (double e = std::floor(least); e <= std::floor(most) + 1; e += step) edges.push_back(e);
    return edges;
}

/// So that each number is between two of them.
inline std::vector<double> reaching_edges(std::vector<double> edges, double least, double most) {
    if (least < edges.front()) edges.insert(edges.begin(), std::floor(least));
    if (most >= edges.back()) edges.push_back(std::floor(most) + 1);
    return edges;
}

/// Neighbours joined, from the left, until each has `least`; what is left over at the right joins its neighbour.
inline std::vector<question_bucket> joined(std::vector<question_bucket> const& narrow, std::size_t least) {
    std::vector<question_bucket> wide;
    const auto join = [](question_bucket& to, question_bucket const& from) {
        to.high = from.high;
        to.questions.insert(to.questions.end(), from.questions.begin(), from.questions.end());
    };
    bool is_open = false; // whether the last one still takes its right neighbour
    for (auto const& bucket : narrow) {
        if (is_open)
            join(wide.back(), bucket);
        else
            wide.push_back(bucket);
        is_open = wide.back().questions.size() < least;
    }
    if (is_open && wide.size() > 1) {
        const auto last = std::move(wide.back());
        wide.pop_back();
        join(wide.back(), last);
    }
    for (auto& bucket : wide) std::ranges::sort(bucket.questions);
    return wide;
}

} // namespace detail

/// Without edges of the rule: every 0.5 from the floor of the least log10(popularity) on. Where popularities lie
/// beyond the rule's edges, there is one more bucket to that side; empty ones at both ends are left out. Then
/// neighbours are joined, from the left, until each bucket has `least` questions; the last, if it has fewer, joins its
/// left neighbour. One bucket may be all, and may have fewer; no popularity at all: no buckets.
/// popularity: of each question, finite and ≥ 0 (asserted).   Errors: as check_bucket_rule.
inline question_buckets make_buckets(std::span<const std::optional<double>> popularity, bucket_rule const& rule = {}) {
    check_bucket_rule(rule, "make_buckets");
    question_buckets found;
    std::vector<std::pair<double, std::size_t>> logs;
    std::vector<std::size_t> zeros;
    for (std::size_t q = 0; q < popularity.size(); ++q) {
        if (!popularity[q]) {
            ++found.without;
            continue;
        }
        BITLENS_ASSERT(std::isfinite(*popularity[q]) && *popularity[q] >= 0);
        if (*popularity[q] == 0)
            zeros.push_back(q);
        else
            logs.emplace_back(std::log10(*popularity[q]), q);
    }
    if (logs.empty() && zeros.empty()) return found;
    double least = 0, most = 0; // where all are 0, the first bucket has them
    if (!logs.empty()) {
        const auto [first, last] = std::ranges::minmax(logs);
        least = first.first;
        most = last.first;
    }
    const auto edges = rule.edges ? detail::reaching_edges(*rule.edges, least, most) : detail::usual_edges(least, most);
    std::vector<question_bucket> narrow;
    for (std::size_t e = 0; e + 1 < edges.size(); ++e) narrow.push_back({edges[e], edges[e + 1], {}});
    for (auto const& [x, q] : logs) {
        const auto above = std::ranges::upper_bound(edges, x) - edges.begin();
        narrow[static_cast<std::size_t>(above - 1)].questions.push_back(q);
    }
    const auto has_some = [](question_bucket const& b) { return !b.questions.empty(); };
    if (!logs.empty()) {
        narrow.erase(narrow.begin(), std::ranges::find_if(narrow, has_some));
        narrow.erase(std::find_if(narrow.rbegin(), narrow.rend(), has_some).base(), narrow.end());
    } else {
        narrow.resize(1);
    }
    narrow.front().questions.insert(narrow.front().questions.end(), zeros.begin(), zeros.end());
    found.buckets = detail::joined(narrow, rule.least);
    return found;
}

} // namespace bitlens
