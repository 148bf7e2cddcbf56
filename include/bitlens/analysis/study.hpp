#pragma once
/// run_study: the sweep of a study, from whatever an earlier process finished to the last row.

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/analysis/measure_documents.hpp"
#include "bitlens/analysis/study_results.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/models/transformer.hpp"
#include "bitlens/sweep/run_folder.hpp"
#include "bitlens/sweep/sweep.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace bitlens {

/// Rows first … first + count − 1, all of which lack the same variants (indices into the study's list).
struct missing_rows {
    std::size_t first = 0, count = 0;
    std::vector<std::size_t> variants;
};

/// What is left to do, in order of the rows. Rows that lack nothing are in no piece.
inline std::vector<missing_rows> rows_to_do(std::span<const variant_results> results) {
    std::vector<missing_rows> pieces;
    const std::size_t rows = results.empty() ? 0 : results[0].finished.size();
    for (std::size_t n = 0; n < rows; ++n) {
        std::vector<std::size_t> missing;
        for (std::size_t v = 0; v < results.size(); ++v)
            if (!results[v].finished[n]) missing.push_back(v);
        if (missing.empty()) continue;
        if (!pieces.empty() && pieces.back().first + pieces.back().count == n && pieces.back().variants == missing)
            ++pieces.back().count;
        else
            pieces.push_back({n, 1, std::move(missing)});
    }
    return pieces;
}

/// Fills `results` (one per variant, the full model first), writing every finished block to the folder.
/// The full model runs wherever a method is missing, because KL and MSE are taken against it; its own rows are kept
/// once. `progress(rows)` is called after each block with the number of rows × variants that it finished. Errors: those
/// of sweep; shape_error for another number of results than of variants; io_error when a part cannot be written.
template <class Architecture, class W, class Variants, class Progress>
void run_study(transformer<Architecture, W> const& model, Variants const& variants, study_documents const& documents,
               bool first_position, sweep_cut cut, run_folder const& folder, std::span<variant_results> results,
               Progress const& progress) {
    const auto list = variants_of<W>(variants);
    detail::check_size("run_study", "results", results.size(), list.size());
    for (auto const& piece : rows_to_do(results)) {
        std::vector<variant<W>> running{list[0]};
        std::vector<std::size_t> index{0}; // of each running variant in `results`
        for (const std::size_t v : piece.variants) {
            if (v == 0) continue;
            running.push_back(list[v]);
            index.push_back(v);
        }
        const auto block_done = [&](std::size_t first, std::span<document_measurement> block) {
            for (std::size_t i = 0; i < running.size(); ++i) {
                variant_results& v = results[index[i]];
                if (v.finished[piece.first + first]) continue;
                for (std::size_t e = 0; e < block.size(); ++e)
                    take_measurement(v, piece.first + first + e, block[e], i);
                write_part(folder, v, piece.first + first, block.size());
            }
            progress(block.size() * running.size());
        };
        measure_documents(model, running, documents.ids.view().middle_rows(piece.first, piece.count), first_position,
                          cut, block_done);
    }
}

} // namespace bitlens
