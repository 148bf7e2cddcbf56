#pragma once
/// What the paper (arXiv 2506.12044, §7.2 and appendix F) reports of PopQA, to stand beside a run of questions.

#include "bitlens/report/table.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace bitlens::published {

inline constexpr std::string_view questions_source =
    "arXiv 2506.12044: base models of 7 to 70 billion parameters in 16 bits, the 14,000 questions of PopQA behind 15 "
    "examples each, greedy answers, the mark of its source (containment).";

/// log10 of the popularities whose questions lose most (figure 5).
inline constexpr double middle_low = 2.8, middle_high = 4.8;
/// What they lose of the accuracy at least: NF3 and AWQ3, Mistral-12B.
inline constexpr double middle_lost = 0.10;
/// The share of the questions above them.
inline constexpr double popular_share = 0.06;
/// Figure 19.
inline constexpr std::size_t popularity_buckets = 8, fewest_in_bucket = 100;

inline table questions_table() {
    table t{"published_questions",
            "In the paper: PopQA under quantization",
            {{"what", "what"}, {"value", "value", 2}, {"where", "where"}},
            {},
            {std::string(questions_source), "The edges of the buckets are not given."}};
    t.add({"log10 of popularity from which on accuracies drop most", middle_low, "figure 5"});
    t.add({"to", middle_high, "figure 5"});
    t.add({"accuracy lost there, more than", middle_lost, "§7.2, Mistral-12B, NF3 and AWQ3"});
    t.add({"share of the questions above", popular_share, "§7.2"});
    t.add({"buckets", popularity_buckets, "figure 19"});
    t.add({"questions of a bucket, at least", fewest_in_bucket, "figure 19"});
    return t;
}

} // namespace bitlens::published
