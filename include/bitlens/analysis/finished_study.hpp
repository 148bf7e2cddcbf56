#pragma once
/// finished_study: a run by the names that the paper's statistics have for its columns, and the sets of its documents.

#include "bitlens/analysis/error_sets.hpp"
#include "bitlens/core/error.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/sweep/run_results.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// A number per document for every layer: row k is layer k.   Shapes: (L, N).
using per_layer = matrix_view<const double>;

/// The columns of one quantized model. NaN where a document has no number.   Shapes: (N), (L, N).
struct method_columns {
    std::string name;
    std::string spec; // how the command named it: "nf3-g64"
    std::span<const double> nll, error, kl, same_top, entropy, bits_per_byte;
    per_layer mse, diff_r, diff_attn, diff_mlp;
};

/// A loss that is not finite.
struct missing_loss {
    std::size_t row, position; // of the table; position t is that of id t + 1
};

/// All that tables and figures are made from. The columns are those of `run`, which can move but is never copied.
struct finished_study {
    run_results run;
    std::uint64_t seed = 0;
    bool first_position = false; // norms, kurtosis and differences count position 0
    std::string full;            // in which formats the full model is stored
    std::span<const double> nll_full, entropy_full, bits_per_byte_full, growth_r;
    per_layer norm_r, norm_z, norm_h, kurtosis_r, kurtosis_h, top8_r;
    std::vector<method_columns> methods;
    std::vector<error_sets> sets;                // one per method
    std::vector<std::vector<missing_loss>> gaps; // one list per method: the first of each document

    std::size_t size() const noexcept { return run.size(); }
    std::size_t layers() const noexcept { return run.layers(); }
};

namespace detail {

/// mean: the documents' losses; nll: those of their positions.
inline std::vector<missing_loss> find_gaps(results_table const& table, std::span<const double> mean,
                                           matrix_view<const float> nll) {
    std::vector<missing_loss> gaps;
    for (std::size_t n = 0; n < nll.rows; ++n) {
        if (!std::isnan(mean[n])) continue;
        std::size_t t = table.scored(n).first;
        while (t + 1 < table.scored(n).end && std::isfinite(nll(n, t))) ++t;
        gaps.push_back({n, t});
    }
    return gaps;
}

/// error must be the difference it is said to be, up to the order of summation.
inline void check_errors(finished_study const& s) {
    constexpr double rounding = 1e-9;
    for (auto const& m : s.methods)
        for (std::size_t n = 0; n < s.size(); ++n) {
            const double expected = m.nll[n] - s.nll_full[n];
            if (std::isnan(m.error[n]) && std::isnan(expected)) continue;
            if (!(std::abs(m.error[n] - expected) <= rounding * std::max(1.0, std::abs(m.nll[n]))))
                throw format_error("examples.csv: error_" + m.name + " of " + s.run.documents.who(n) + " is " +
                                   std::to_string(m.error[n]) + ", expected nll_" + m.name +
                                   " - nll_full = " + std::to_string(expected));
        }
}

} // namespace detail

/// The sets follow from the errors, the tokens and the run's seed.
/// Errors: format_error for a setting or column that a study has and this run does not, a loss of the full model that
/// is not finite, or an error that is no difference of losses.
inline finished_study make_study(run_results run) {
    finished_study s;
    s.run = std::move(run);
    results_table const& t = s.run.table;
    constexpr const char* who = "manifest.json";
    s.seed = required<std::uint64_t>(s.run.manifest.setting, "seed", who);
    s.first_position = required<bool>(s.run.manifest.setting, "first_position", who);
    s.full = required<std::string>(s.run.manifest.setting, "full", who);
    try {
        s.nll_full = t.of_documents("nll_full");
        s.entropy_full = t.of_documents("entropy_full");
        s.bits_per_byte_full = t.of_documents("bits_per_byte_full");
        s.growth_r = t.of_documents("growth_r");
        s.norm_r = t.of_layers("norm_r");
        s.norm_z = t.of_layers("norm_z");
        s.norm_h = t.of_layers("norm_h");
        s.kurtosis_r = t.of_layers("kurtosis_r");
        s.kurtosis_h = t.of_layers("kurtosis_h");
        s.top8_r = t.of_layers("top8_r");
        for (run_method const& m : s.run.methods()) {
            std::string const& name = m.name;
            const auto numbers = [&](const char* column) { return t.of_documents(column + name); };
            const auto layers = [&](const char* column) { return t.of_layers(column + name); };
            s.methods.push_back({name, m.spec, numbers("nll_"), numbers("error_"), numbers("kl_"), numbers("same_top_"),
                                 numbers("entropy_"), numbers("bits_per_byte_"), layers("mse_"), layers("diff_r_"),
                                 layers("diff_attn_"), layers("diff_mlp_")});
            s.gaps.push_back(detail::find_gaps(t, numbers("nll_"), t.of_positions("nll_" + name)));
        }
    } catch (option_error const& e) {
        throw format_error(std::string(who) + ": a study is expected; " + e.what());
    }
    for (std::size_t n = 0; n < s.size(); ++n)
        if (!std::isfinite(s.nll_full[n]))
            throw format_error("examples.csv: nll_full of " + s.run.documents.who(n) +
                               " is expected to be a finite number");
    detail::check_errors(s);
    std::vector<std::span<const std::int32_t>> ids;
    for (std::size_t n = 0; n < s.size(); ++n) ids.push_back(s.run.documents.ids.row(n));
    for (auto const& m : s.methods) s.sets.push_back(make_error_sets(m.error, ids, s.seed));
    return s;
}

} // namespace bitlens
