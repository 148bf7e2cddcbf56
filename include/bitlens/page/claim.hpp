#pragma once
/// claim: one finding of the paper, put as a question to a run, with what each method or pair answers.

#include "bitlens/analysis/verdicts.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/table.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// One method's, or one pair's, answer to a question.
struct answer {
    std::string text; // "rtn3-g64 12 of 15"
    outcome found;
};

/// What a run answers: its answers, and what the reader sees of them.
struct run_answer {
    std::vector<answer> answers;
    std::string text;
    bool comparable = true; // else nothing in the paper stands beside them, and no verdict does
};

struct claim {
    std::string question; // what the paper finds: does this run show it too?
    std::string paper;    // its numbers there
    run_answer answer;
};

/// What claims are made from.
struct evidence {
    finished_study const& study;
    std::span<const method_pair> pairs; // of its methods
};

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

inline std::string verdict(claim const& c) { return c.answer.comparable ? verdict(c.answer.answers) : "no verdict"; }

/// The rule of the verdicts, for the reader of the page.
inline std::string verdict_rule() {
    return "How a verdict is found, for each method or pair: a finding agrees where it holds in at least 97.5 % of " +
           std::to_string(bootstrap_resamples) +
           " bootstrap resamples of the documents (of D_large and D_ctrl, where it is about them), differs where it "
           "fails in as many, and is not decided between, nor where fewer than " +
           std::to_string(fewest_documents) +
           " documents could be resampled. A correlation holds beyond its threshold (0, 0.5 or 0.97); what is said of "
           "layers holds where more than half of them show it, and agrees in most layers where not all do (of the MLP "
           "outputs the paper itself says “most”). That no topic prevails agrees where it holds so of every topic, and "
           "differs where it fails so of one. Overlaps are set against those of random sets, 2.5 % to each side.";
}

/// Claims with what a run answers. The notes say how verdicts are found, and of what the paper's numbers are.
inline table claims_table(std::span<const claim> found, std::vector<std::string> notes) {
    table t{"claims",
            "What the paper finds, and what this run shows",
            {{"verdict", "verdict"}, {"finding", "finding"}, {"paper", "the paper"}, {"run", "this run"}},
            {},
            std::move(notes)};
    for (auto const& c : found) t.add({verdict(c), c.question, c.paper, c.answer.text});
    return t;
}

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

/// `ask(method, sets)` → answer, of every method.
template <class Ask>
run_answer ask_methods(finished_study const& s, Ask const& ask) {
    run_answer all;
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        all.answers.push_back(ask(s.methods[v], s.sets[v]));
        all.text += (v == 0 ? "" : "; ") + all.answers.back().text;
    }
    if (all.answers.empty()) all.text = "nothing to compare";
    return all;
}

} // namespace detail

} // namespace bitlens
