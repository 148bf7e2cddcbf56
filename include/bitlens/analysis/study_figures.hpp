#pragma once
/// The figures of a study, as charts: each becomes an SVG and the CSV with what it shows.

#include "bitlens/analysis/study_numbers.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/report/svg.hpp"
#include "bitlens/stats/density.hpp"

#include <algorithm>
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

/// Stems of the files of all figures; those of a method's sets end in its name.
namespace figure_name {
inline constexpr const char *norm_curves = "figure_01a_norm_r_", *norm_r_density = "figure_01b_norm_r_density_",
                            *norm_h_density = "figure_01c_norm_h_density_", *kurtosis = "figure_06_07_kurtosis_",
                            *correlation_r = "figure_08_correlation_r", *correlation_z_h = "figure_08_correlation_z_h",
                            *mlp_error = "mlp_error", *errors = "errors";
} // namespace figure_name

/// Writes an SVG file of the figure's name into the folder, and a CSV file of what it shows. Nothing for a figure
/// without charts.   Errors: io_error.
inline void write_figure(std::filesystem::path const& folder, figure const& f) {
    if (f.charts.empty()) return;
    write_file_atomically(folder / (f.name + ".svg"), to_svg(f.charts, f.per_row, svg_use::file));
    write_file_atomically(folder / (f.name + ".csv"), to_csv(f.charts));
    std::error_code kept; // a picture of an earlier figure would be taken for one of this
    std::filesystem::remove(folder / (f.name + ".png"), kept);
}

namespace detail {

inline series layer_series(std::string name, std::span<const measured> values, std::size_t first) {
    series s{std::move(name), mark::line, {}};
    for (std::size_t k = first; k < values.size(); ++k)
        s.points.push_back({static_cast<double>(k), values[k].optional()});
    return s;
}

/// Two curves over layers from `first` on: the orange of D_large and the blue of D_ctrl, as in the paper.
inline std::vector<series> large_and_ctrl(set_curves const& curves, std::size_t first) {
    return {layer_series("D_large", curves.large, first), layer_series("D_ctrl", curves.ctrl, first)};
}

inline axis layer_axis() { return {"layer", scale::linear, true}; }

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
inline double upper_half_line(run_results const& run) { return static_cast<double>(upper_half(run.layers())) - 0.5; }

inline chart correlation_chart(run_results const& run, std::string name, std::string title) {
    chart c = empty_chart(std::move(name), std::move(title), layer_axis(), {"Pearson correlation"});
    c.zero_line = true;
    c.split = upper_half_line(run);
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

/// Density of one column of examples over D_large and D_ctrl. Empty where a set has no two different values.
inline std::vector<series> densities(std::span<const double> values, error_sets const& sets) {
    const auto chosen = [&](std::span<const std::size_t> set) {
        std::vector<double> sample;
        for (const std::size_t i : set) sample.push_back(values[i]);
        return sample;
    };
    const std::vector<std::vector<double>> samples{chosen(sets.large), chosen(sets.ctrl)};
    const auto at = density_places(samples);
    std::vector<series> out{{"D_large", mark::area, {}}, {"D_ctrl", mark::area, {}}};
    for (std::size_t k = 0; k < samples.size(); ++k) {
        const auto bandwidth = silverman_bandwidth(samples[k]);
        if (!bandwidth) continue;
        const auto density = kernel_density(samples[k], at, *bandwidth);
        for (std::size_t i = 0; i < at.size(); ++i) out[k].points.push_back({at[i], density[i]});
    }
    return out;
}

/// Densities at each of the last ten layers.
inline std::vector<chart> last_layer_densities(per_layer const& values, error_sets const& sets,
                                               std::string const& what) {
    constexpr std::size_t shown = 10;
    std::vector<chart> charts;
    for (std::size_t k = values.size() - std::min(shown, values.size()); k < values.size(); ++k) {
        const std::string layer = "layer " + std::to_string(k);
        charts.push_back(empty_chart(layer, what + " at " + layer, {what}, {"density"}));
        charts.back().series = densities(values[k], sets);
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

/// Figure 1 (a): mean norm of r over the upper layers.
inline figure norm_curves_figure(finished_study const& s, std::size_t v) {
    auto const& run = s.run;
    auto const& name = run.methods[v].name;
    figure f{
        figure_name::norm_curves + detail::file_stem(name),
        "Residual magnitudes of the full model over the upper half of its layers, for the documents with large errors "
        "of " +
            name + " and for the control set.",
        {},
        1};
    f.charts.push_back(
        detail::empty_chart("norm_r", "Mean norm(x; r), sets of " + name, detail::layer_axis(), {"mean norm(x; r)"}));
    f.charts.back().series = detail::large_and_ctrl(curves_over(run.norm_r, s.sets[v]), upper_half(run.layers()));
    return f;
}

/// Figure 1 (b) and (c): densities at the last ten layers, before and after the norm.
inline figure norm_r_density_figure(finished_study const& s, std::size_t v) {
    auto const& name = s.run.methods[v].name;
    return {figure_name::norm_r_density + detail::file_stem(name),
            "Densities of norm(x; r), before the norm, at the last layers; sets of " + name + ".",
            detail::last_layer_densities(s.run.norm_r, s.sets[v], "norm(x; r)"), 2};
}
inline figure norm_h_density_figure(finished_study const& s, std::size_t v) {
    auto const& name = s.run.methods[v].name;
    return {figure_name::norm_h_density + detail::file_stem(name),
            "Densities of norm(x; h), after the norm, at the last layers; sets of " + name + ".",
            detail::last_layer_densities(s.run.norm_h, s.sets[v], "norm(x; h)"), 2};
}

/// Figures 6 and 7: kurtosis of r and of h per layer, on a logarithmic axis.
inline figure kurtosis_figure(finished_study const& s, std::size_t v) {
    auto const& run = s.run;
    auto const& name = run.methods[v].name;
    figure f{figure_name::kurtosis + detail::file_stem(name),
             "Kurtosis of the full model's states before (r) and after (h) the norm, for the sets of " + name +
                 ". The upper half begins at the dotted line.",
             {},
             2};
    const auto add = [&](std::string const& state, auto const& values) {
        chart c = detail::empty_chart("kurtosis_" + state, "Kurtosis of " + state + ", sets of " + name,
                                      detail::layer_axis(), {"mean kurtosis (log scale)", scale::logarithmic});
        c.series = detail::large_and_ctrl(curves_over(values, s.sets[v]), 0);
        c.split = detail::upper_half_line(run);
        f.charts.push_back(std::move(c));
    };
    add("r", run.kurtosis_r);
    add("h", run.kurtosis_h);
    return f;
}

/// The stems of all figures that a run with these methods can have.
inline std::vector<std::string> figure_names(std::span<const std::string> methods) {
    std::vector<std::string> all{figure_name::correlation_r, figure_name::correlation_z_h, figure_name::mlp_error,
                                 figure_name::errors};
    for (auto const& method : methods)
        for (const char* stem : {figure_name::norm_curves, figure_name::norm_r_density, figure_name::norm_h_density,
                                 figure_name::kurtosis})
            all.push_back(stem + detail::file_stem(method));
    return all;
}

/// What tells D_large from D_ctrl of one method.
struct set_figures {
    figure curves, density_r, density_h, kurtosis;
};

inline set_figures figures_of_sets(finished_study const& s, std::size_t v) {
    return {norm_curves_figure(s, v), norm_r_density_figure(s, v), norm_h_density_figure(s, v), kurtosis_figure(s, v)};
}

/// Correlation of one magnitude at each layer with each method's error.
inline chart layer_correlation_chart(finished_study const& s, std::string const& state, per_layer const& norms) {
    chart c = detail::correlation_chart(s.run, "norm_" + state, "Correlation of norm(x; " + state + ") with the error");
    for (auto const& m : s.run.methods)
        c.series.push_back(detail::layer_series(m.name, layer_correlations(norms, m.error), 0));
    return c;
}

/// Figures 8 to 11.
inline figure correlation_r_figure(finished_study const& s) {
    figure f{
        figure_name::correlation_r,
        "Correlation over all documents of the residual magnitude at each layer with the final error of each method. "
        "The paper shows the upper half, right of the dotted line.",
        {},
        1};
    f.charts.push_back(layer_correlation_chart(s, "r", s.run.norm_r));
    return f;
}
inline figure correlation_z_h_figure(finished_study const& s) {
    figure f{figure_name::correlation_z_h,
             "The same for the outputs of the blocks (z) and the inputs of the MLPs (h).",
             {},
             2};
    f.charts.push_back(layer_correlation_chart(s, "z", s.run.norm_z));
    f.charts.push_back(layer_correlation_chart(s, "h", s.run.norm_h));
    return f;
}

/// §5.3: correlation of norm(x; h) with the error of the MLP's output, per layer.
inline figure mse_figure(finished_study const& s) {
    chart c =
        detail::correlation_chart(s.run, "norm_h_mse", "Correlation of norm(x; h) with the MSE of the MLP output");
    for (auto const& m : s.run.methods) c.series.push_back(detail::layer_series(m.name, mse_correlations(s.run, m), 0));
    figure f{
        figure_name::mlp_error, "Do documents with larger MLP inputs get larger errors of the MLP's output?", {}, 1};
    f.charts.push_back(std::move(c));
    return f;
}

/// Table 1 as a picture: errors of the first method against those of each other.
inline figure error_figure(finished_study const& s) {
    auto const& methods = s.run.methods;
    figure f{figure_name::errors,
             "Each dot is a document: its error under one method against its error under another.",
             {},
             2};
    for (std::size_t v = 1; v < methods.size(); ++v) {
        series dots{methods[v].name, mark::dots, {}};
        for (std::size_t i = 0; i < s.run.size(); ++i)
            dots.points.push_back(
                {methods[0].error[i], methods[v].error[i], "document " + std::to_string(s.run.example[i])});
        f.charts.push_back(
            detail::empty_chart(methods[v].name, "Errors of " + methods[0].name + " and " + methods[v].name,
                                {methods[0].name + ", nats per token"}, {methods[v].name + ", nats per token"}));
        f.charts.back().series.push_back(std::move(dots));
    }
    return f;
}

} // namespace bitlens
