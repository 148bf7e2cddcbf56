#pragma once
/// The figures of a study, as charts: each becomes an SVG and the CSV with what it shows.

#include "bitlens/analysis/long_tail.hpp"
#include "bitlens/analysis/numbers.hpp"
#include "bitlens/analysis/resamples.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/report/svg.hpp"
#include "bitlens/stats/density.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens {

/// Charts that are drawn and saved together.
struct figure {
    std::string name; // stem of its files
    std::string caption;
    std::vector<chart> charts;
    std::size_t per_row = 1;
};

/// Writes an SVG file of the figure's name into the folder, and a CSV file of what it shows. Nothing for a figure
/// without charts.   Errors: io_error.
inline void write_figure(std::filesystem::path const& folder, figure const& f) {
    if (f.charts.empty()) return;
    write_file_atomically(folder / (f.name + ".svg"), to_svg(f.charts, f.per_row, svg_use::file));
    write_file_atomically(folder / (f.name + ".csv"), to_csv(f.charts));
    const auto picture = folder / (f.name + ".png"); // of an earlier figure: it would be taken for one of this
    std::error_code kept;
    if (std::filesystem::is_regular_file(picture, kept)) std::filesystem::remove(picture, kept);
}

namespace detail {

inline series layer_series(std::string name, banded_curve const& curve, std::size_t first) {
    series s{std::move(name), mark::band, {}};
    for (std::size_t k = first; k < curve.values.size(); ++k)
        s.points.push_back({static_cast<double>(k),
                            curve.values[k].optional(),
                            {},
                            curve.within[k].lo.optional(),
                            curve.within[k].hi.optional()});
    return s;
}

/// Two curves over layers from `first` on: the orange of D_large and the blue of D_ctrl, as in the paper.
inline std::vector<series> large_and_ctrl(banded_sets const& curves, std::size_t first) {
    return {layer_series("D_large", curves.large, first), layer_series("D_ctrl", curves.ctrl, first)};
}

inline axis layer_axis() { return {"layer", scale::linear, true}; }

/// "n = 40 documents", or "39 to 40" where methods or layers differ in how many have a number.
inline std::string size_note(std::span<const std::size_t> counts) {
    const auto [fewest, most] =
        counts.empty() ? std::ranges::min_max_result<std::size_t>{0, 0} : std::ranges::minmax(counts);
    return "n = " + (fewest == most ? std::string() : std::to_string(fewest) + " to ") + counted(most, "document");
}
inline std::string size_note(std::size_t large, std::size_t ctrl) {
    return "n = " + std::to_string(large) + " in D_large, " + std::to_string(ctrl) + " in D_ctrl";
}
inline std::string size_note(error_sets const& sets) { return size_note(sets.large.size(), sets.ctrl.size()); }

inline constexpr std::string_view bands_caption =
    " Bands: 95 % of 1000 bootstrap resamples of the documents; none of fewer than 20.";

/// A chart with nothing drawn on its axes yet. (Nested braces instead make g++ 12 warn of strings it did not see
/// built.)
inline chart empty_chart(std::string name, std::string title, axis x, axis y) {
    chart c;
    c.name = std::move(name);
    c.title = std::move(title);
    c.x = std::move(x);
    c.y = std::move(y);
    return c;
}

/// Where the upper half of the layers begins.
inline double upper_half_line(finished_study const& s) { return static_cast<double>(upper_half(s.layers())) - 0.5; }

inline chart correlation_chart(finished_study const& s, std::string name, std::string title) {
    chart c = empty_chart(std::move(name), std::move(title), layer_axis(), {"Pearson correlation"});
    c.zero_line = true;
    c.splits = {upper_half_line(s)};
    return c;
}

/// Where to draw densities of several samples so that all of each is seen: 200 places.
inline std::vector<double> density_places(std::span<const std::vector<double>> samples) {
    constexpr std::size_t places = 200;
    constexpr double margin = 3; // bandwidths: beyond it less than 0.3 % of a kernel
    range r;
    for (auto const& sample : samples)
        if (const auto bandwidth = silverman_bandwidth(sample)) {
            r.include(*std::ranges::min_element(sample) - margin * *bandwidth);
            r.include(*std::ranges::max_element(sample) + margin * *bandwidth);
        }
    std::vector<double> at;
    if (r.empty()) return at;
    for (std::size_t i = 0; i < places; ++i)
        at.push_back(std::lerp(r.low, r.high, static_cast<double>(i) / static_cast<double>(places - 1)));
    return at;
}

/// What one column says of some examples, and which they are. Those without a number are left out.
struct set_sample {
    std::vector<double> numbers;
    std::vector<std::size_t> rows;
};

inline set_sample sample_of(std::span<const double> values, std::span<const std::size_t> set) {
    set_sample sample;
    for (const std::size_t i : set)
        if (!std::isnan(values[i])) {
            sample.numbers.push_back(values[i]);
            sample.rows.push_back(i);
        }
    return sample;
}

/// Density of one column of examples over D_large and D_ctrl. Empty where a set has no two different values.
inline std::vector<series> densities(std::span<const set_sample, 2> samples) {
    const std::vector<std::vector<double>> numbers{samples[0].numbers, samples[1].numbers};
    const auto at = density_places(numbers);
    std::vector<series> out{{"D_large", mark::area, {}}, {"D_ctrl", mark::area, {}}};
    for (std::size_t k = 0; k < out.size(); ++k) {
        const auto bandwidth = silverman_bandwidth(numbers[k]);
        if (!bandwidth) continue;
        const auto density = kernel_density(numbers[k], at, *bandwidth);
        for (std::size_t i = 0; i < at.size(); ++i) out[k].points.push_back({at[i], density[i]});
    }
    return out;
}

/// A dot for each example: D_large in a strip above that of D_ctrl. Where it stands within its strip follows from its
/// place in the set.
inline std::vector<series> strips(finished_study const& s, std::span<const set_sample, 2> samples) {
    constexpr double golden = 0.6180339887498949, width = 0.6;
    std::vector<series> out{{"D_large", mark::dots, {}}, {"D_ctrl", mark::dots, {}}};
    for (std::size_t k = 0; k < out.size(); ++k)
        for (std::size_t i = 0; i < samples[k].rows.size(); ++i)
            out[k].points.push_back(
                {samples[k].numbers[i],
                 (k == 0 ? 1.0 : 0.0) + width * (std::fmod(static_cast<double>(i + 1) * golden, 1.0) - 0.5),
                 "document " + std::to_string(s.run.documents.rows[samples[k].rows[i]])});
    return out;
}

/// How a column is spread over both sets; of few documents the documents themselves.
inline chart spread_chart(finished_study const& s, std::span<const double> values, error_sets const& sets,
                          std::string name, std::string title, std::string const& what) {
    const std::array<set_sample, 2> samples{sample_of(values, sets.large), sample_of(values, sets.ctrl)};
    const std::size_t large = samples[0].rows.size(), ctrl = samples[1].rows.size();
    const bool few = std::min(large, ctrl) < fewest_documents;
    chart c = empty_chart(std::move(name), std::move(title), {what}, {few ? "documents" : "density"});
    c.y.numbered = !few;
    c.series = few ? strips(s, samples) : densities(samples);
    c.note = size_note(large, ctrl);
    return c;
}

/// The spread at each of the last ten layers.
inline std::vector<chart> last_layer_densities(finished_study const& s, per_layer values, error_sets const& sets,
                                               std::string const& what) {
    constexpr std::size_t shown = 10;
    std::vector<chart> charts;
    for (std::size_t k = values.rows - std::min(shown, values.rows); k < values.rows; ++k) {
        const std::string layer = "layer " + std::to_string(k);
        charts.push_back(spread_chart(s, values.row(k), sets, layer, what + " at " + layer, what));
    }
    return charts;
}

/// Only letters, digits, dots and hyphens of a method's name: part of a file name.
inline std::string file_stem(std::string_view name) {
    std::string stem;
    for (const char c : name) {
        const bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
        stem += plain ? c : '_';
    }
    return stem;
}

} // namespace detail

/// Figure 1 (a): mean norm of r over the upper layers, and how far D_large is from D_ctrl.
inline figure norm_curves_figure(finished_study const& s, std::size_t v, resampler& draws) {
    auto const& name = s.methods[v].name;
    const std::size_t first = upper_half(s.layers());
    const auto curves = draws.means(s.norm_r, s.sets[v]);
    figure f{
        "figure_01a_norm_r_" + detail::file_stem(name),
        "Residual magnitudes of the full model over the upper half of its layers, for the documents with large errors "
        "of " +
            name + " and for the control set, and their difference as a share of the control set's." +
            std::string(detail::bands_caption),
        {},
        2};
    chart c =
        detail::empty_chart("norm_r", "Mean norm(x; r), sets of " + name, detail::layer_axis(), {"mean norm(x; r)"});
    c.series = detail::large_and_ctrl(curves, first);
    c.note = detail::size_note(s.sets[v]);
    f.charts.push_back(std::move(c));
    c = detail::empty_chart("norm_r_difference", "Difference of norm(x; r), sets of " + name, detail::layer_axis(),
                            {"(D_large − D_ctrl) / D_ctrl"});
    c.series.push_back(detail::layer_series("Difference", curves.difference, first));
    c.zero_line = true;
    c.note = detail::size_note(s.sets[v]);
    f.charts.push_back(std::move(c));
    return f;
}

/// Figure 1 (b) and (c): densities at the last ten layers, before and after the norm.
inline figure norm_r_density_figure(finished_study const& s, std::size_t v) {
    auto const& name = s.methods[v].name;
    return {"figure_01b_norm_r_density_" + detail::file_stem(name),
            "Densities of norm(x; r), before the norm, at the last layers; sets of " + name + ".",
            detail::last_layer_densities(s, s.norm_r, s.sets[v], "norm(x; r)"), 2};
}
inline figure norm_h_density_figure(finished_study const& s, std::size_t v) {
    auto const& name = s.methods[v].name;
    return {"figure_01c_norm_h_density_" + detail::file_stem(name),
            "Densities of norm(x; h), after the norm, at the last layers; sets of " + name + ".",
            detail::last_layer_densities(s, s.norm_h, s.sets[v], "norm(x; h)"), 2};
}

/// Figures 6 and 7: kurtosis of r and of h per layer, on a logarithmic axis.
inline figure kurtosis_figure(finished_study const& s, std::size_t v, resampler& draws) {
    auto const& name = s.methods[v].name;
    figure f{"figure_06_07_kurtosis_" + detail::file_stem(name),
             "Kurtosis of the full model's states before (r) and after (h) the norm, for the sets of " + name +
                 ". The upper half begins at the dotted line." + std::string(detail::bands_caption),
             {},
             2};
    const auto add = [&](std::string const& state, per_layer values) {
        chart c = detail::empty_chart("kurtosis_" + state, "Kurtosis of " + state + ", sets of " + name,
                                      detail::layer_axis(), {"mean kurtosis (log scale)", scale::logarithmic});
        c.series = detail::large_and_ctrl(draws.means(values, s.sets[v]), 0);
        c.note = detail::size_note(s.sets[v]);
        c.splits = {detail::upper_half_line(s)};
        f.charts.push_back(std::move(c));
    };
    add("r", s.kurtosis_r);
    add("h", s.kurtosis_h);
    return f;
}

/// What tells D_large from D_ctrl of one method.
struct set_figures {
    figure curves, density_r, density_h, kurtosis;
};

inline set_figures figures_of_sets(finished_study const& s, std::size_t v, resampler& draws) {
    return {norm_curves_figure(s, v, draws), norm_r_density_figure(s, v), norm_h_density_figure(s, v),
            kurtosis_figure(s, v, draws)};
}

/// Correlation of one magnitude at each layer with each method's error.
inline chart layer_correlation_chart(finished_study const& s, std::string const& state, per_layer norms,
                                     resampler& draws) {
    chart c = detail::correlation_chart(s, "norm_" + state, "Correlation of norm(x; " + state + ") with the error");
    std::vector<std::size_t> sizes;
    for (auto const& m : s.methods) {
        c.series.push_back(detail::layer_series(m.name, draws.correlations(norms, m.error), 0));
        for (std::size_t k = 0; k < norms.rows; ++k) sizes.push_back(defined_pairs(norms.row(k), m.error).x.size());
    }
    c.note = detail::size_note(sizes);
    return c;
}

/// Figures 8 to 11.
inline figure correlation_r_figure(finished_study const& s, resampler& draws) {
    figure f{
        "figure_08_correlation_r",
        "Correlation over all documents of the residual magnitude at each layer with the final error of each method. "
        "The paper shows the upper half, right of the dotted line." +
            std::string(detail::bands_caption),
        {},
        1};
    f.charts.push_back(layer_correlation_chart(s, "r", s.norm_r, draws));
    return f;
}
inline figure correlation_z_h_figure(finished_study const& s, resampler& draws) {
    figure f{"figure_08_correlation_z_h",
             "The same for the outputs of the blocks (z) and the inputs of the MLPs (h).",
             {},
             2};
    f.charts.push_back(layer_correlation_chart(s, "z", s.norm_z, draws));
    f.charts.push_back(layer_correlation_chart(s, "h", s.norm_h, draws));
    return f;
}

/// §5.3: correlation of norm(x; h) with the error of the MLP's output, per layer.
inline figure mse_figure(finished_study const& s, resampler& draws) {
    chart c = detail::correlation_chart(s, "norm_h_mse", "Correlation of norm(x; h) with the MSE of the MLP output");
    std::vector<std::size_t> sizes;
    for (auto const& m : s.methods) {
        c.series.push_back(detail::layer_series(m.name, draws.correlations(s.norm_h, m.mse), 0));
        for (std::size_t k = 0; k < s.layers(); ++k)
            sizes.push_back(defined_pairs(s.norm_h.row(k), m.mse.row(k)).x.size());
    }
    c.note = detail::size_note(sizes);
    figure f{"mlp_error",
             "Do documents with larger MLP inputs get larger errors of the MLP's output?" +
                 std::string(detail::bands_caption),
             {},
             1};
    f.charts.push_back(std::move(c));
    return f;
}

namespace detail {

/// Places in both vectors of the `count` points farthest from the means, in standard deviations of each axis; the
/// farthest first, equal ones in their order.
inline std::vector<std::size_t> farthest_points(paired_numbers const& points, std::size_t count) {
    std::vector<double> distance(points.x.size(), 0.0);
    for (auto const* axis : {&points.x, &points.y}) {
        if (axis->empty()) continue;
        const double middle = mean(*axis), spread = variance(*axis);
        for (std::size_t i = 0; i < axis->size() && spread > 0; ++i)
            distance[i] += ((*axis)[i] - middle) * ((*axis)[i] - middle) / spread;
    }
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < distance.size(); ++i)
        if (distance[i] > 0) order.push_back(i);
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return distance[a] > distance[b]; });
    order.resize(std::min(order.size(), count));
    return order;
}

/// Errors of two methods, one dot per document that has both.
inline chart scatter_chart(finished_study const& s, std::size_t first, std::size_t second) {
    constexpr std::size_t named = 3;
    auto const &a = s.methods[first], &b = s.methods[second];
    chart c = empty_chart(b.name, "Errors of " + a.name + " and " + b.name, {a.name + ", nats per token"},
                          {b.name + ", nats per token"});
    std::vector<bool> is_large(s.size());
    for (const std::size_t i : s.sets[first].large) is_large[i] = true;
    series large{"D_large of " + a.name, mark::dots, {}}, others{"other documents", mark::dots, {}};
    paired_numbers both;
    std::vector<std::string> numbers;
    for (std::size_t i = 0; i < s.size(); ++i) {
        if (std::isnan(a.error[i]) || std::isnan(b.error[i])) continue;
        numbers.push_back(std::to_string(s.run.documents.rows[i]));
        (is_large[i] ? large : others).points.push_back({a.error[i], b.error[i], "document " + numbers.back()});
        both.x.push_back(a.error[i]);
        both.y.push_back(b.error[i]);
    }
    for (const std::size_t i : farthest_points(both, named)) c.named.push_back({both.x[i], both.y[i], numbers[i]});
    const auto pearson = correlation(a.error, b.error), spearman = rank_correlation(a.error, b.error);
    const auto text = [](measured const& rho) { return rho ? with_minus_sign(rounded_text(*rho, 2)) : "not defined"; };
    c.note = size_note(std::array{both.x.size()}) + ", Pearson " + text(pearson) + ", Spearman " + text(spearman);
    c.identity_line = true;
    c.series = {std::move(large), std::move(others)};
    return c;
}

} // namespace detail

/// Table 1 as a picture: errors of the first method against those of each other.
inline figure error_figure(finished_study const& s) {
    figure f{
        "errors",
        "Each dot is a document: its error under one method against its error under another; on the line both are "
        "the same. The three documents that are farthest from the mean, in standard deviations, have their number.",
        {},
        2};
    for (std::size_t v = 1; v < s.methods.size(); ++v) f.charts.push_back(detail::scatter_chart(s, 0, v));
    return f;
}

namespace detail {

/// The mean error of some documents, flat from one loss to another, with its interval.
inline series flat_mean(std::string name, tail const& of, double from, double to) {
    series s{std::move(name), mark::band, {}};
    if (of.mean)
        for (const double x : {from, to})
            s.points.push_back({x, of.mean.optional(), {}, of.within.lo.optional(), of.within.hi.optional()});
    return s;
}

inline chart long_tail_chart(finished_study const& s, std::size_t v, std::span<const double> before,
                             std::string const& whose) {
    auto const& m = s.methods[v];
    chart c = empty_chart(m.name, "Errors of " + m.name, {whose + ", nats per token"}, {"error, nats per token"});
    series documents{"documents", mark::dots, {}};
    range losses;
    for (std::size_t i = 0; i < s.size(); ++i) {
        if (std::isnan(before[i]) || std::isnan(m.error[i])) continue;
        documents.points.push_back({before[i], m.error[i], "document " + std::to_string(s.run.documents.rows[i])});
        losses.include(before[i]);
    }
    const auto [hard, easy, easy_lose_more] = long_tail_of(before, m.error, s.seed);
    c.note = size_note(std::array{documents.points.size()}) + ", " + std::to_string(easy.errors.size()) +
             " of them easy, " + std::to_string(hard.errors.size()) + " hard";
    c.zero_line = true;
    c.series = {flat_mean("mean, loss of 1 or less", easy, std::min(losses.low, easy_loss), easy_loss),
                flat_mean("mean, loss of 4 or more", hard, hard_loss, std::max(losses.high, hard_loss)),
                std::move(documents)};
    return c;
}

} // namespace detail

/// Figures 4 and 16: losses before quantization against errors, a chart for each method. before: of each document, NaN
/// where there is none; `whose` says in a few words which loss that is.   Shapes: before (N).
inline figure long_tail_figure(finished_study const& s, std::span<const double> before, std::string const& whose) {
    figure f{
        "figure_16_long_tail",
        "Each dot is a document: how much of it the model did not foresee, and what quantization added. Lines: mean "
        "error of the documents that were easy (a loss of 1 nat per token or less) and of those that were hard (4 "
        "or more)." +
            std::string(detail::bands_caption),
        {},
        2};
    for (std::size_t v = 0; v < s.methods.size(); ++v) f.charts.push_back(detail::long_tail_chart(s, v, before, whose));
    return f;
}

} // namespace bitlens
