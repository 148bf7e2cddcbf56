#pragma once
/// What a run of questions measures of every answer: its columns, and how they are filled.

#include "bitlens/core/error.hpp"
#include "bitlens/models/generate.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/sweep/column.hpp"
#include "bitlens/sweep/results_table.hpp"
#include "bitlens/sweep/token_rows.hpp"
#include "bitlens/text/answer_marks.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens {

/// Of each variant; a position is a generated token, the first at 0.
inline std::vector<column> columns_of_questions() {
    using enum column_shape;
    const auto owner = column_owner::each_variant;
    return {
        {"contains", document, owner, "",
         "1 where the first line of the answer contains a right one as the source's program looks for it, else 0"},
        {"exact", document, owner, "", "1 where it is a right one after normalisation, else 0"},
        {"answer_nll", document, owner, "nats per token", "mean of -log p over the generated tokens"},
        {"answer", position, owner, "token id", "what was generated, -1 after the end", true},
        {"nll", position, owner, "nats", "-log p of a generated token, NaN after the end"},
    };
}

/// Fills a row of them. text: what the generated ids stand for.   Errors: shape_error for more tokens than `positions`,
/// those of the table.
inline void write_answer(generated_text const& generated, std::string_view text, std::span<const std::string> answers,
                         std::size_t positions, results_row& row) {
    if (generated.ids.size() > positions)
        throw shape_error("write_answer: " + std::to_string(generated.ids.size()) + " tokens, expected at most " +
                          std::to_string(positions));
    const std::string_view line = first_line(text);
    row.number("contains", contains_answer(line, answers) ? 1.0 : 0.0);
    row.number("exact", matches_answer(line, answers) ? 1.0 : 0.0);
    row.number("answer_nll", mean<double>(generated.nll));
    std::vector<std::int32_t> ids(positions, token_rows::no_token);
    std::vector<double> nll(positions, undefined_number);
    std::ranges::copy(generated.ids, ids.begin());
    std::ranges::copy(generated.nll, nll.begin());
    row.positions<std::int32_t>("answer", ids);
    row.positions<double>("nll", nll);
}

} // namespace bitlens
