#pragma once
/// The few lines of a run of questions that matter, in words made from its numbers.

#include "bitlens/analysis/question_numbers.hpp"
#include "bitlens/page/claim.hpp"
#include "bitlens/page/question_tables.hpp"
#include "bitlens/report/number_text.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

/// " (0.01 to 0.03)", or nothing.
inline std::string interval_words(measured_interval const& within, int digits) {
    if (!within.lo || !within.hi) return {};
    return " (" + signed_text(within.lo, digits) + " to " + signed_text(within.hi, digits) + ")";
}

inline std::string accuracy_words(finished_questions const& q, mark_numbers const& mark) {
    std::string text = "Right by " + mark_words(mark.mark) + ", of " + counted(q.size(), "question") +
                       (q.seeds.size() > 1 ? ", mean over " + counted(q.seeds.size(), "seed") + " of examples" : "") +
                       ": full model " + signed_text(mark.all.variants[0].share.mean, 3);
    for (std::size_t m = 0; m < q.methods(); ++m) {
        degradation const& d = mark.all.methods[m];
        text += "; " + q.variants[m + 1].name + " " + signed_text(mark.all.variants[m + 1].share.mean, 3) + ", lost " +
                signed_text(d.lost.mean, 3) + interval_words(d.within, 3);
    }
    return text + (q.methods() > 0 && mark.all.methods[0].within.lo ? ". In brackets: 95 % intervals." : ".");
}

inline std::string bucket_words(finished_questions const& q, question_numbers const& n) {
    auto const& buckets = n.buckets.buckets;
    if (buckets.empty()) return "No buckets of popularity: " + no_buckets().reason + ".";
    if (buckets.size() == 1)
        return "There are too few questions for more than one bucket of popularity: " +
               counted(buckets.front().questions.size(), "question") + ", with " + std::to_string(q.rule.least) +
               " to a bucket.";
    std::string text;
    for (std::size_t m = 0; m < q.methods(); ++m) {
        std::vector<double> lost;
        for (auto const& b : n.of(answer_mark::contains).buckets)
            lost.push_back(b.methods[m].lost.mean.optional().value());
        const auto [least, most] = std::ranges::minmax_element(lost);
        const auto bucket = [&](std::vector<double>::const_iterator at) {
            return buckets[static_cast<std::size_t>(at - lost.cbegin())].text() + " (" + signed_text(*at, 3) + ")";
        };
        text += (m == 0 ? "" : "; ") + q.variants[m + 1].name + " loses most at " + bucket(most) + ", least at " +
                bucket(least);
    }
    return text.empty() ? "" : "By log10 of popularity, in " + counted(buckets.size(), "bucket") + ": " + text + ".";
}

inline std::string flip_words(finished_questions const& q, question_numbers const& n) {
    std::string text;
    for (std::size_t m = 0; m < q.methods(); ++m) {
        answer_flips const& f = n.of(answer_mark::contains).all.methods[m].flips.front();
        text += (m == 0 ? "" : "; ") + q.variants[m + 1].name + " loses " + std::to_string(f.lost) + " of " +
                std::to_string(f.both + f.lost) + " right answers and gains " + std::to_string(f.gained);
    }
    return text.empty() ? "" : "Under " + seed_words(q) + ", " + text + ".";
}

inline std::string pair_words(finished_questions const& q, question_numbers const& n) {
    shared_flips const* most = nullptr;
    for (auto const& p : n.of(answer_mark::contains).pairs)
        if (p.lost_overlap && (!most || *p.lost_overlap > *most->lost_overlap)) most = &p;
    if (!most) return {};
    return "Methods lose the same answers most for " + q.variants[most->first + 1].name + " and " +
           q.variants[most->second + 1].name + ": Jaccard " + signed_text(most->lost_overlap, 2) +
           ", by chance about " + signed_text(most->lost_chance, 2) + ".";
}

inline std::string spread_words(finished_questions const& q, question_numbers const& n) {
    if (q.seeds.size() < 2) return {};
    auto const& all = n.of(answer_mark::contains).all;
    std::string text = "Between seeds of examples, the full model's accuracy spreads by " +
                       signed_text(all.variants[0].share.spread, 4);
    for (std::size_t m = 0; m < q.methods(); ++m)
        text += (m == 0 ? ", what is lost by " : ", ") + signed_text(all.methods[m].lost.spread, 4) + " (" +
                q.variants[m + 1].name + ")";
    return text + ".";
}

inline std::string changed_words(finished_questions const& q, std::span<const changed_question> lost,
                                 std::span<const changed_question> gained) {
    if (q.methods() == 0) return {};
    return counted(lost.size(), "question") + (lost.size() == 1 ? " is" : " are") +
           " answered by the full model alone under some seed, " + std::to_string(gained.size()) +
           " by quantized models alone.";
}

} // namespace detail

/// What each mark says of all questions; then by containment: buckets, flips, which methods flip alike, seeds, and how
/// many questions only one side answers.
inline std::vector<std::string> summary_lines(finished_questions const& q, question_numbers const& n,
                                              std::span<const changed_question> lost,
                                              std::span<const changed_question> gained) {
    std::vector<std::string> lines;
    for (auto const& mark : n.marks) lines.push_back(detail::accuracy_words(q, mark));
    for (auto& line : {detail::bucket_words(q, n), detail::flip_words(q, n), detail::pair_words(q, n),
                       detail::spread_words(q, n), detail::changed_words(q, lost, gained)})
        if (!line.empty()) lines.push_back(line);
    return lines;
}

} // namespace bitlens
