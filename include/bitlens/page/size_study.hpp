#pragma once
/// What shows a size study: its tables, its figure, and a page with both.

#include "bitlens/analysis/size_study.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/page/figures.hpp"
#include "bitlens/report/html.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/table.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace detail {

inline double millions(std::uint64_t count) { return static_cast<double>(count) / 1e6; }

inline std::string study_size_words(size_study const& s) {
    return counted(s.documents, "document") + " of " + (s.tokens ? counted(*s.tokens, "token") : "unequal length") +
           " of each model's own tokenizer";
}

} // namespace detail

/// Model by model, and for each its methods.
inline table size_table(size_study const& s) {
    table t{
        "size_study_models",
        "What the paper finds, against the size of the model",
        {{"model", "model"},
         {"parameters", "million parameters", 1},
         {"in_blocks", "in blocks", 1},
         {"layers", "layers"},
         {"growth_r", "growth of r", 2},
         {"growth_r_low", "95 % from", 2},
         {"growth_r_high", "to", 2},
         {"method", "method"},
         {"mean_error", "mean error", 4},
         {"pearson_r", "norm(x; r) and error", 3},
         {"pearson_r_low", "95 % from", 3},
         {"pearson_r_high", "to", 3},
         {"pearson_h", "norm(x; h) and error", 3},
         {"pearson_h_low", "95 % from", 3},
         {"pearson_h_high", "to", 3},
         {"reversed", "layers reversed"},
         {"jaccard_worst", "worst tenths overlap", 3},
         {"chance", "by chance about", 3},
         {"jaccard_large", "D_large overlap", 3}},
        {},
        {"Over " + detail::study_size_words(s) + ".",
         "Growth: norm(x; r) at the last layer over that at the first. Correlations: Pearson's, of the magnitude at "
         "the last layer with the error in nats per token. Intervals: " +
             std::to_string(bootstrap_resamples) + " bootstrap resamples of the documents.",
         "Layers reversed: of the last ten, those where the residuals of D_large are smaller than those of D_ctrl and "
         "its MLP inputs larger. Overlap: Jaccard of two methods, mean over pairs."}};
    for (auto const& model : s.models)
        for (auto const& m : model.methods)
            t.add({model.name, detail::millions(model.parameters), detail::millions(model.in_blocks), model.layers,
                   model.growth.value, model.growth.within.lo, model.growth.within.hi, m.name, m.mean_error, m.r.value,
                   m.r.within.lo, m.r.within.hi, m.h.value, m.h.within.lo, m.h.within.hi,
                   m.reversed.of == 0 ? cell(undefined{m.h.value ? no_tenth().reason : m.h.value.reason()})
                                      : cell(std::to_string(m.reversed.holds) + " of " + std::to_string(m.reversed.of)),
                   model.overlap, model.chance, model.overlap_large});
    return t;
}

/// Two models under one method.
inline table models_in_common_table(size_study const& s) {
    table t{"size_study_pairs",
            "Do models of different size fail on the same documents?",
            {{"first", "model"},
             {"second", "and"},
             {"method", "method"},
             {"pearson", "errors, Pearson", 3},
             {"pearson_low", "95 % from", 3},
             {"pearson_high", "to", 3},
             {"jaccard_worst", "Jaccard, worst tenths", 3},
             {"chance", "by chance about", 3},
             {"jaccard_large", "Jaccard, D_large", 3}},
            {},
            {}};
    for (auto const& p : s.pairs)
        t.add({s.models[p.first].name, s.models[p.second].name, p.method, p.error.value, p.error.within.lo,
               p.error.within.hi, p.overlap, p.chance, p.overlap_large});
    return t;
}

namespace detail {

/// A chart against the number of parameters.
inline chart size_chart(size_study const& s, std::string name, std::string title, std::string y) {
    chart c = empty_chart(std::move(name), std::move(title), {"million parameters (log scale)", scale::logarithmic},
                          {std::move(y)});
    c.note = size_note(std::array{s.documents});
    return c;
}

/// A model of the curve, unless its number is not defined.
inline void add_model(series& curve, model_at_size const& model, measured const& value,
                      measured_interval const& within) {
    if (value)
        curve.points.push_back(
            {millions(model.parameters), value.optional(), model.name, within.lo.optional(), within.hi.optional()});
}

/// A curve for each method.
inline chart correlations_chart(size_study const& s, std::string const& state, number_within method_at_size::*number) {
    chart c = size_chart(s, "pearson_" + state, "Correlation of norm(x; " + state + ") with the error",
                         "Pearson correlation");
    c.zero_line = true;
    for (auto const& first : s.models[0].methods) {
        series& curve = c.series.emplace_back(series{first.name, mark::band, {}});
        for (auto const& model : s.models) {
            auto const& found = *std::ranges::find(model.methods, first.name, &method_at_size::name).*number;
            add_model(curve, model, found.value, found.within);
        }
    }
    return c;
}

inline chart growth_chart(size_study const& s) {
    chart c = size_chart(s, "growth_r", "Growth of norm(x; r)", "last layer / first layer");
    series& curve = c.series.emplace_back(series{"Growth", mark::band, {}});
    for (auto const& model : s.models) {
        add_model(curve, model, model.growth.value, model.growth.within);
        if (model.growth.value) c.named.push_back({millions(model.parameters), *model.growth.value, model.name});
    }
    return c;
}

inline chart overlap_chart(size_study const& s) {
    chart c = size_chart(s, "overlap", "Overlap of two methods, mean over pairs", "Jaccard");
    c.zero_line = true;
    for (auto const& [name, number] :
         {std::pair{"worst tenths", &model_at_size::overlap}, std::pair{"D_large", &model_at_size::overlap_large},
          std::pair{"by chance", &model_at_size::chance}}) {
        series& curve = c.series.emplace_back(series{name, mark::line, {}});
        for (auto const& model : s.models)
            add_model(curve, model, model.*number, {undefined{"not resampled"}, undefined{"not resampled"}});
    }
    return c;
}

} // namespace detail

/// Everything against the number of parameters.
inline figure size_figure(size_study const& s) {
    return {"size_study",
            "Each point is a model. Correlations of magnitudes at the last layer with the error, before (r) and after "
            "(h) the norm; how far the residuals grow from the first layer to the last; and how much two methods' "
            "documents with large errors overlap. Where a number is not defined, the curve leaves the model out." +
                std::string(detail::bands_caption),
            {detail::correlations_chart(s, "r", &method_at_size::r),
             detail::correlations_chart(s, "h", &method_at_size::h), detail::growth_chart(s), detail::overlap_chart(s)},
            2};
}

/// Writes size_study.svg and .csv, the tables as CSV, and size_study.html with all of it.   Errors: io_error.
inline void write_size_study(std::filesystem::path const& folder, size_study const& s) {
    const figure f = size_figure(s);
    write_figure(folder, f);
    std::string body = "<h1>What the paper finds, against the size of the model</h1>\n";
    body += "<figure>\n<div class=\"scroll\">" + to_svg(f.charts, f.per_row, svg_use::inside_page) +
            "</div><figcaption>" + html_escape(f.caption) + "</figcaption>\n</figure>\n";
    for (auto const& t : {size_table(s), models_in_common_table(s)}) {
        if (t.rows.empty()) continue;
        write_file_atomically(folder / (t.name + ".csv"), to_csv(t));
        body += to_html(t);
    }
    write_file_atomically(
        folder / (f.name + ".html"),
        html_page("Size study: " + counted(s.models.size(), "model") + " – bitlens", svg_style(), body));
}

} // namespace bitlens
