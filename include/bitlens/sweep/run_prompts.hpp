#pragma once
/// run_prompts: what a model generates after each document of a run, block by block into the run's table, resumable.

#include "bitlens/core/error.hpp"
#include "bitlens/core/machine.hpp"
#include "bitlens/models/generate.hpp"
#include "bitlens/models/transformer.hpp"
#include "bitlens/sweep/results_table.hpp"
#include "bitlens/sweep/run_folder.hpp"
#include "bitlens/sweep/run_parts.hpp"
#include "bitlens/sweep/run_results.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace bitlens {

/// How the work is cut. Nothing of it changes a result.
struct prompt_cut {
    std::size_t rows_per_block = 64; // written together
    std::size_t at_once = 16;        // read side by side
    unsigned tasks = available_cores();
};

/// Rows of a variant that are not finished, rising.
inline std::vector<std::size_t> rows_to_generate(results_table const& table, std::size_t variant) {
    std::vector<std::size_t> rows;
    for (std::size_t n = 0; n < table.documents(); ++n)
        if (!table.is_finished(variant, n)) rows.push_back(n);
    return rows;
}

/// Generates after each document whose row of `variant` is missing, as generate_each does, and lets `write(n,
/// generated, row)` fill the row, which is finished then. Every finished block is written to the folder: see begin_run,
/// finish_run. `progress(n)` is called when n more rows are written, and may throw.
/// Errors: those of generate_each and `write`; io_error when a part cannot be written.
template <class Architecture, class W, class Write>
void run_prompts(
    transformer<Architecture, W> const& model, std::size_t variant, run_folder const& folder, run_results& run,
    generation_end const& until, prompt_cut cut, Write const& write,
    std::function<void(std::size_t)> const& progress = [](std::size_t) {}) {
    const auto missing = rows_to_generate(run.table, variant);
    const std::size_t block = std::max<std::size_t>(cut.rows_per_block, 1);
    for (std::size_t first = 0; first < missing.size(); first += block) {
        const auto rows = std::span(missing).subspan(first, std::min(block, missing.size() - first));
        std::vector<std::vector<std::int32_t>> prompts;
        for (const std::size_t n : rows) {
            const auto ids = std::as_const(run.documents.ids).row(n);
            prompts.emplace_back(ids.begin(), ids.end());
        }
        generate_each(
            model, std::span<const std::vector<std::int32_t>>(prompts), until, cut.at_once,
            [&](std::size_t i, generated_text const& generated) {
                results_row row(run.table, variant, rows[i]);
                write(rows[i], generated, row);
                row.finish();
            },
            cut.tasks);
        write_part(folder, run.table, variant, rows);
        progress(rows.size());
    }
}

} // namespace bitlens
