#pragma once
/// lost_tokens: where in the texts a method loses most, token by token.

#include "bitlens/page/document_words.hpp"
#include "bitlens/page/token_scale.hpp"
#include "bitlens/report/table.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// A position of a document, and how much more the method loses there.
struct lost_token {
    std::size_t row, position; // position t is that of id t + 1
    double error;              // infinite where the method's loss is not finite
};

namespace detail {

inline bool loses_more(lost_token const& a, lost_token const& b) noexcept { return a.error > b.error; }

/// The first `count` of those that lose most; equal ones in their order.
inline void keep_largest(std::vector<lost_token>& tokens, std::size_t count) {
    std::ranges::stable_sort(tokens, loses_more);
    tokens.resize(std::min(count, tokens.size()));
}

} // namespace detail

/// The `count` positions of one document at which variant v loses most, the largest error first. None where the run
/// has no errors.
inline std::vector<lost_token> lost_tokens(token_numbers const& numbers, std::size_t v, std::size_t row,
                                           std::size_t count) {
    std::vector<lost_token> most; // falling
    if (!numbers.has(token_measure::error, v) || count == 0) return most;
    for (std::size_t t = numbers.scored(row).first; t < numbers.scored(row).end; ++t) {
        const double error = numbers(token_measure::error, v, row, t);
        const lost_token here{row, t, std::isfinite(error) ? error : std::numeric_limits<double>::infinity()};
        if (most.size() == count && !detail::loses_more(here, most.back())) continue;
        if (most.size() == count) most.pop_back();
        most.insert(std::ranges::upper_bound(most, here, detail::loses_more), here);
    }
    return most;
}

/// The same of the whole run, at most `per_document` in each document.
inline std::vector<lost_token> lost_tokens_of_run(token_numbers const& numbers, std::size_t v, std::size_t count,
                                                  std::size_t per_document) {
    std::vector<lost_token> most;
    for (std::size_t n = 0; n < numbers.documents(); ++n) {
        const auto here = lost_tokens(numbers, v, n, per_document);
        most.insert(most.end(), here.begin(), here.end());
    }
    detail::keep_largest(most, count);
    return most;
}

/// Such positions with what stands before them, and what each model finds likeliest there.
inline table lost_tokens_table(run_results const& run, token_numbers const& numbers, std::size_t v,
                               std::span<const lost_token> tokens) {
    const std::string method = run.table.variants()[v];
    table t{"lost_tokens_" + method,
            "The tokens that lose most under " + method,
            {{"example", "document"},
             {"context", "text before it"},
             {"token", "token"},
             {"nll_full", "loss before", 2},
             {"nll", "loss after", 2}},
            {},
            {}};
    const bool has_tops = numbers.has_top(0) && numbers.has_top(v);
    if (has_tops) {
        t.columns.push_back({"top_full", "likeliest before"});
        t.columns.push_back({"top", "likeliest after"});
    }
    const auto number = [](double x) { return std::isfinite(x) ? measured(x) : undefined{"not a finite number"}; };
    for (auto const& [row, position, error] : tokens) {
        const std::size_t at = position + 1;
        std::vector<cell> cells{run.documents.rows[row], words_before(run, row, at),
                                token_words(run.texts[run.documents.ids(row, at)]),
                                number(numbers(token_measure::loss_full, v, row, position)),
                                number(numbers(token_measure::loss, v, row, position))};
        if (has_tops)
            for (const std::size_t variant : {std::size_t{0}, v})
                cells.emplace_back(token_words(run.texts[numbers.top(variant, row, position)]));
        t.add(std::move(cells));
    }
    return t;
}

} // namespace bitlens
