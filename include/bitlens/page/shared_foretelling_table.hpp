#pragma once
/// What foretells errors beside what foretells lost answers, as a table.

#include "bitlens/analysis/shared_foretelling.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/table.hpp"

#include <string>

namespace bitlens {

inline table shared_foretelling_table(shared_foretelling const& of) {
    table t{
        "shared_foretelling_" + of.method,
        "What foretells errors of documents, and lost answers, under " + of.method,
        {{"quantity", "quantity"},
         {"with_error", "rho with the error", 3},
         {"error_lo", "from", 3},
         {"error_hi", "to", 3},
         {"with_loss", "rho with a lost answer", 3},
         {"loss_lo", "from", 3},
         {"loss_hi", "to", 3}},
        {},
        {"Spearman's rank correlations, at the last layer where there are layers, with 95 % intervals. An answer is "
         "lost where the full model's likeliest choice is right and the method's is not: " +
         std::to_string(of.lost) + " of " + counted(of.right_before, "right answer") + "."}};
    for (auto const& q : of.quantities)
        t.add({q.name, q.with_error, q.error_interval.lo, q.error_interval.hi, q.with_loss, q.loss_interval.lo,
               q.loss_interval.hi});
    t.notes.push_back(
        "Over quantities, the two correlations agree by " +
        (of.agreement ? fixed_text(*of.agreement, 2) : "nothing that is defined: " + of.agreement.reason()) +
        " (Spearman).");
    return t;
}

} // namespace bitlens
