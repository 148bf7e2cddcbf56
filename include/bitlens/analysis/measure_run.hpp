#pragma once
/// measure_run: a study in memory, for programs that need no run folder.

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/analysis/measure_documents.hpp"
#include "bitlens/analysis/run_results.hpp"
#include "bitlens/analysis/study_results.hpp"
#include "bitlens/models/transformer.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/sweep/sweep.hpp"

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace bitlens {

namespace detail {

/// Row `i` of the run, as take_measurement and write_study_tables would write it.
inline void take_row(run_results& run, std::size_t i, document_measurement const& m) {
    run.nll_full[i] = mean<double>(m.positions(0).nll);
    for (std::size_t k = 0; k < run.layers(); ++k) {
        run.norm_r[k][i] = m.layers().norm_r[k];
        run.norm_z[k][i] = m.layers().norm_z[k];
        run.norm_h[k][i] = m.layers().norm_h[k];
        run.kurtosis_r[k][i] = m.layers().kurtosis_r[k];
        run.kurtosis_h[k][i] = m.layers().kurtosis_h[k];
    }
    for (std::size_t v = 1; v <= run.methods.size(); ++v) {
        method_results& method = run.methods[v - 1];
        method.nll[i] = mean<double>(m.positions(v).nll);
        method.error[i] = method.nll[i] - run.nll_full[i];
        method.kl[i] = mean<double>(m.positions(v).kl);
        method.same_top[i] = same_top(m.positions(v), m.positions(0));
        for (std::size_t k = 0; k < run.layers(); ++k) method.mse[k][i] = m.mlp_out_mse(v)[k];
    }
}

} // namespace detail

/// Every variant on every document. variants[0] is the full model; the others are the run's methods, by name and spec.
/// The numbers are those that read_run reads of a finished study; manifest, seed and `full` are left empty.
/// on_documents(n) is called when n more documents are done, and may throw.   Errors: those of sweep.
template <class Architecture, class W, class Variants>
run_results measure_run(
    transformer<Architecture, W> const& model, Variants const& variants, study_documents const& documents,
    sweep_cut cut, bool first_position = false,
    std::function<void(std::size_t)> const& on_documents = [](std::size_t) {}) {
    const auto list = variants_of<W>(variants);
    model_config const& config = model.config();
    const std::size_t rows = documents.ids.rows();
    const per_layer empty(config.layers, std::vector<double>(rows));

    run_results run;
    run.first_position = first_position;
    run.example.assign(documents.rows.begin(), documents.rows.end());
    run.id = documents.names;
    run.topic = documents.topics;
    run.tokens.assign(rows, documents.ids.cols());
    run.nll_full.resize(rows);
    run.norm_r = run.norm_z = run.norm_h = empty;
    run.kurtosis_r.assign(config.layers, std::vector<std::optional<double>>(rows));
    run.kurtosis_h = run.kurtosis_r;
    for (std::size_t v = 1; v < list.size(); ++v) {
        const std::vector<double> column(rows);
        run.methods.push_back({list[v].name, list[v].name, column, column, column, column, empty});
    }
    const auto block_done = [&](std::size_t first, std::span<document_measurement> block) {
        for (std::size_t e = 0; e < block.size(); ++e) detail::take_row(run, first + e, block[e]);
        on_documents(block.size());
    };
    measure_documents(model, list, documents.ids, first_position, cut, block_done);
    return run;
}

} // namespace bitlens
