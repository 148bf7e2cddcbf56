#pragma once
/// recorded_quantity: whatever a run recorded of the full model, document by document.

#include "bitlens/analysis/finished_study.hpp"
#include "bitlens/sweep/column.hpp"
#include "bitlens/sweep/results_table.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// One number per document, or one per document and layer. NaN where there is none.
struct recorded_quantity {
    std::string name; // as the files have it: "nll_full", "norm_r"
    bool layered;
    std::string unit, meaning;    // of its column
    per_layer stored;             // in the run's table
    std::vector<double> computed; // of a quantity that no column holds; then `stored` is empty

    /// Shapes: (L, N), or (1, N).
    per_layer values() const noexcept {
        return stored.rows > 0 ? stored : per_layer{computed.data(), 1, computed.size()};
    }
};

/// Length of the text of the scored tokens over their number. NaN where its bytes are not known.
inline std::vector<double> bytes_per_token(document_rows const& documents) {
    std::vector<double> length(documents.size(), undefined_number);
    for (std::size_t i = 0; i < documents.size(); ++i)
        if (documents.bytes[i])
            length[i] = static_cast<double>(*documents.bytes[i]) / static_cast<double>(documents.ids.scored(i).count());
    return length;
}

/// Every column of documents or layers that the full model has, in the order of their declaration, and the length of
/// the text. Whatever else a run declares is among them. They refer to the study's table.
inline std::vector<recorded_quantity> recorded_quantities(finished_study const& s) {
    std::vector<recorded_quantity> all;
    for (stored_column const& c : s.run.table.columns()) {
        if (c.variant != 0 || c.declared.shape == column_shape::position) continue;
        all.push_back({c.name,
                       c.declared.shape == column_shape::layer,
                       c.declared.unit,
                       c.declared.meaning,
                       {c.numbers.data(), s.run.table.layers_of(c), s.size()},
                       {}});
    }
    all.push_back({"bytes_per_token",
                   false,
                   "bytes per token",
                   "length of the text of the scored tokens over their number",
                   {},
                   bytes_per_token(s.run.documents)});
    return all;
}

} // namespace bitlens
