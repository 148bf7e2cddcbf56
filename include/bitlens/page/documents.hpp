#pragma once
/// documents: which documents a page shows, and all that it needs to know of each.

#include "bitlens/analysis/document_portraits.hpp"
#include "bitlens/page/document_words.hpp"
#include "bitlens/page/example_text.hpp"
#include "bitlens/text/near_duplicates.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// Rows of the run's table.
struct shown_documents {
    std::vector<std::vector<std::size_t>> worst; // of each method, by falling error, without near-duplicates
    std::vector<std::size_t> texts;              // shown with their text: the worst, method by method, each once
    std::vector<std::size_t> ordinary;           // and these, whose error under the first method is nearest the median
};

namespace detail {

/// The first documents of each list, each once.
inline std::vector<std::size_t> heads_of(std::span<const std::vector<std::size_t>> lists, std::size_t count) {
    std::vector<std::size_t> all;
    for (auto const& list : lists)
        for (std::size_t i = 0; i < std::min(count, list.size()); ++i)
            if (std::ranges::find(all, list[i]) == all.end()) all.push_back(list[i]);
    return all;
}

} // namespace detail

/// The first `count` of some rows, without near-duplicates of those before them.
inline std::vector<std::size_t> first_distinct(run_results const& run, std::vector<std::size_t> rows,
                                               std::size_t count) {
    constexpr std::size_t most_searched = 1000; // copies of one document end there
    constexpr double largest_similarity = 0.1;
    rows.resize(std::min(rows.size(), most_searched));
    std::vector<std::span<const std::int32_t>> ids;
    for (const std::size_t row : rows) ids.push_back(run.documents.ids.row(row));
    std::vector<std::size_t> distinct;
    for (const std::size_t place : keep_distinct(ids, count, largest_similarity)) distinct.push_back(rows[place]);
    return distinct;
}

/// The ten worst of each method, as D_large takes them, and five ordinary ones. Of runs of many tokens or methods the
/// page has the text of fewer, but of the three worst of each method: it is to stay a page that opens at once.
inline shown_documents choose_documents(finished_study const& s) {
    constexpr std::size_t most_worst = 10, least_texts = 3, most_ordinary = 5;
    constexpr std::size_t most_numbers = 40 * 512 * 7; // documents, tokens, variants: about 3 MB
    shown_documents shown;
    if (s.methods.empty()) return shown;
    for (auto const& m : s.methods) shown.worst.push_back(first_distinct(s.run, rank_by_error(m.error), most_worst));
    const std::size_t numbers_of_one = std::max<std::size_t>(s.run.documents.ids.longest() * (s.methods.size() + 1), 1);
    std::size_t count = most_worst;
    do shown.texts = detail::heads_of(shown.worst, count);
    while (shown.texts.size() * numbers_of_one > most_numbers && --count >= least_texts);

    auto const& error = s.methods.front().error;
    auto ranked = rank_by_error(error);
    const double median = ranked.empty() ? 0 : error[ranked[ranked.size() / 2]];
    std::ranges::stable_sort(ranked, {}, [&](std::size_t i) { return std::abs(error[i] - median); });
    for (const std::size_t row : ranked)
        if (shown.ordinary.size() < most_ordinary && std::ranges::find(shown.texts, row) == shown.texts.end())
            shown.ordinary.push_back(row);
    return shown;
}

/// The place of each document among the errors of a method, 1 for the largest; 0 where it has none.
inline std::vector<std::size_t> error_ranks(std::span<const double> error) {
    std::vector<std::size_t> ranks(error.size(), 0);
    const auto order = rank_by_error(error);
    for (std::size_t place = 0; place < order.size(); ++place) ranks[order[place]] = place + 1;
    return ranks;
}

/// What the parts of a page about documents have in common.
struct documents_page {
    explicit documents_page(finished_study const& of)
        : s(of), shown(choose_documents(of)), text(of.run), portraits(of),
          first_token(have_common_start(of.run.documents) ? 1 : 0) {
        for (auto const& m : s.methods) {
            ranks.push_back(error_ranks(m.error));
            names.push_back(m.name);
        }
    }

    finished_study const& s;
    shown_documents shown;
    text_page text;
    document_portraits portraits;
    std::size_t first_token;                     // that first words begin with
    std::vector<std::vector<std::size_t>> ranks; // [method][row], of error_ranks
    std::vector<std::string> names;              // of the methods

    std::string words(std::size_t row) const { return first_words(s.run, row, first_token); }
    /// The method under which a document stands highest among the worst.
    std::size_t worst_method(std::size_t row) const {
        std::size_t worst = 0;
        const auto rank = [&](std::size_t v) { return ranks[v][row] == 0 ? s.size() + 1 : ranks[v][row]; };
        for (std::size_t v = 1; v < ranks.size(); ++v)
            if (rank(v) < rank(worst)) worst = v;
        return worst;
    }
    bool has_text(std::size_t row) const {
        return std::ranges::find(shown.texts, row) != shown.texts.end() ||
               std::ranges::find(shown.ordinary, row) != shown.ordinary.end();
    }
    /// The id of a document's part of the page, "" where it has none.
    std::string target(std::size_t row) const {
        return has_text(row) ? "document-" + std::to_string(s.run.documents.rows[row]) : "";
    }
};

/// "97", "> 99.9".
inline std::string percentile_text(double percentile) {
    if (percentile > 99.9) return "> 99.9";
    if (percentile < 0.1) return "< 0.1";
    return fixed_text(percentile, percentile < 1 || percentile > 99 ? 1 : 0);
}

} // namespace bitlens
