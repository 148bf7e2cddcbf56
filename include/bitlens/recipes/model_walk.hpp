#pragma once
/// Walks over a model: its layers are quantized one after the other, and a walk that was interrupted goes on with those
/// that are missing.

#include "bitlens/core/stopwatch.hpp"
#include "bitlens/layers/block_form.hpp"
#include "bitlens/models/transformer.hpp"
#include "bitlens/recipes/all_formats.hpp"
#include "bitlens/recipes/awq_cache.hpp"
#include "bitlens/recipes/awq_walk.hpp"
#include "bitlens/recipes/calibration_run.hpp"
#include "bitlens/recipes/gptq_walk.hpp"
#include "bitlens/recipes/method.hpp"
#include "bitlens/recipes/module_log.hpp"
#include "bitlens/recipes/overrides.hpp"
#include "bitlens/recipes/quantize_layers.hpp"
#include "bitlens/recipes/quantize_model.hpp"
#include "bitlens/recipes/walk_target.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/sweep/layer_panels.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

/// Documents that methods are calibrated on, as ids.
using calibration_documents = std::span<const std::vector<std::int32_t>>;
/// Called when a layer is done, with its number; may throw.
using layer_done = std::function<void(std::size_t)>;

namespace detail {

/// One of each matrix is laid out.
inline layer_panels one_layer(model_config const& config, arithmetic products) {
    layer_panels::matrix_counts one;
    one.fill(1);
    return {config.block, one, products};
}

/// The last layer that is still to be made, and one; 0 where all are there.
template <class W>
std::size_t end_of_missing(walk_target<W> const& out, std::size_t layers) {
    while (layers > 0 && out.has_layer(layers - 1)) --layers;
    return layers;
}

/// Takes all documents through a block.
template <block_form Form, class W>
void advance_all(calibration_run& run, std::size_t k, block_weights<W> const& block, layer_panels& panels) {
    panels.pack(std::span<const block_weights<W>>(&block, 1));
    run.advance_all<Form>({run.config().block_of(k), site{k}, panels[0]});
}

inline std::vector<module_record> records_of(std::vector<gptq_record> const& found) {
    std::vector<module_record> records;
    for (auto const& [layer, linear, log] : found) {
        module_record record{layer, std::string(name(linear))};
        record.loss = log.loss;
        record.relative_loss = log.relative_loss;
        record.damp = log.damp_used;
        record.condition = log.condition;
        record.seconds = log.factor_seconds + log.quantize_seconds;
        const auto note = [&](std::string const& text) { record.note += (record.note.empty() ? "" : "; ") + text; };
        if (log.saw_no_tokens) note("saw no tokens: rounded to nearest");
        if (log.dead_columns > 0) note(counted(log.dead_columns, "dead column"));
        if (log.attempts > 1) note(std::to_string(log.attempts) + " attempts to factor");
        if (log.floor_used > 0) note("floor of the diagonal " + exact_text(log.floor_used));
        if (log.fell_back_to_rtn) note("not positive definite: rounded to nearest");
        records.push_back(std::move(record));
    }
    return records;
}

inline std::vector<module_record> records_of(std::vector<awq_record> const& found, std::size_t method) {
    std::vector<module_record> records;
    for (auto const& each : found) {
        if (each.method != method) continue;
        module_record record{each.layer, each.module};
        record.loss = each.loss;
        record.relative_loss = each.relative_loss;
        if (each.ratio) record.ratio = double{*each.ratio};
        record.seconds = each.seconds;
        record.note = each.note;
        if (each.plain_loss)
            record.note = "without scales the loss is " + exact_text(*each.plain_loss) +
                          (each.note.empty() ? "" : "; " + each.note);
        records.push_back(std::move(record));
    }
    return records;
}

} // namespace detail

/// The format that a method packs to, by name.   Errors: option_error where W does not list it.
template <class W>
std::string format_of(method const& m) {
    std::string found;
    std::visit(
        [&](auto const& kind) {
            with_quantizer<W>(kind, [&]<class Q>(Q const&) { found = format_name<typename Q::format>(); });
        },
        m.kind);
    return found;
}

/// GPTQ: layer by layer, documents have come through the quantized layers before.
/// Errors: those of gptq_block, calibration_run and the target.
template <class Architecture, class W>
void gptq_walk(
    transformer<Architecture, W> const& model, gptq_method const& how, override_rules const& rules,
    calibration_documents documents, unsigned threads, walk_target<W>& out,
    layer_done const& done = [](std::size_t) {}) {
    model_config const& config = model.config();
    const std::size_t end = detail::end_of_missing(out, config.layers);
    if (end == 0) return;
    calibration_run run(model, documents, threads);
    layer_panels panels = detail::one_layer(config, model.products());
    constexpr block_form form = Architecture::description.form;
    for (std::size_t k = 0; k < end; ++k) {
        block_weights<W> block = model.layers()->layer(k);
        if (out.has_layer(k)) {
            const auto finished = out.finished(k);
            for (std::size_t p = 0; p < projection_count; ++p)
                if (finished.linear[p] != nullptr) block.linear[p] = finished.linear[p];
            detail::advance_all<form>(run, k, block, panels);
        } else {
            std::vector<gptq_record> records;
            auto quantized = gptq_block<form>(run, k, block, how, rules, panels, threads, records);
            out.finish_layer(k, std::move(quantized), detail::records_of(records));
        }
        done(k);
    }
}

/// AWQ by several methods, each into its target: they share the passes of the full model, which is all that documents
/// come through.   Errors: those of awq_block, calibration_run and the targets.
template <class Architecture, class W>
void awq_walk(
    transformer<Architecture, W> const& model, std::span<const awq_method> methods, override_rules const& rules,
    calibration_documents documents, unsigned threads, std::span<walk_target<W>* const> out,
    layer_done const& done = [](std::size_t) {}) {
    model_config const& config = model.config();
    std::size_t end = 0;
    for (auto const* const target : out) end = std::max(end, detail::end_of_missing(*target, config.layers));
    if (end == 0) return;
    calibration_run run(model, documents, threads);
    layer_panels panels = detail::one_layer(config, model.products());
    constexpr block_form form = Architecture::description.form;
    for (std::size_t k = 0; k < end; ++k) {
        const block_weights<W> full = model.layers()->layer(k);
        std::vector<walk_target<W>*> missing;
        std::vector<awq_method> asked;
        for (std::size_t m = 0; m < methods.size(); ++m) {
            if (out[m]->has_layer(k)) continue;
            missing.push_back(out[m]);
            asked.push_back(methods[m]);
        }
        if (asked.empty()) {
            detail::advance_all<form>(run, k, full, panels);
        } else {
            std::vector<awq_record> records;
            auto quantized =
                awq_block<form>(run, k, full, std::span<const awq_method>(asked), rules, panels, threads, records);
            for (std::size_t i = 0; i < missing.size(); ++i)
                missing[i]->finish_layer(k, std::move(quantized[i]), detail::records_of(records, i));
        }
        done(k);
    }
}

/// AWQ by scales and clips that were found elsewhere.   Errors: those of awq_block_of and the target.
template <class Architecture, class W>
void awq_walk(
    transformer<Architecture, W> const& model, awq_cache const& cache, awq_method const& how, walk_target<W>& out,
    layer_done const& done = [](std::size_t) {}) {
    model_config const& config = model.config();
    for (std::size_t k = 0; k < config.layers; ++k) {
        if (out.has_layer(k)) continue;
        const stopwatch watch;
        auto quantized = awq_block_of<W>(cache, k, model.layers()->layer(k), Architecture::description.form,
                                         config.block_of(k), how);
        out.finish_layer(
            k, std::move(quantized),
            {{.layer = k, .module = "block", .seconds = watch.seconds(), .note = "scales and clips as given"}});
        done(k);
    }
}

/// Methods that need no documents.   Errors: those of the quantizer, naming layer, projection and method, and of the
/// target.
template <class Architecture, class W>
void plain_walk(
    transformer<Architecture, W> const& model, method const& how, override_rules const& rules, walk_target<W>& out,
    layer_done const& done = [](std::size_t) {}) {
    for (std::size_t k = 0; k < model.config().layers; ++k) {
        if (out.has_layer(k)) continue;
        const auto full = model.layers()->layer(k);
        quantized_block<W> quantized;
        std::vector<module_record> records;
        for (std::size_t p = 0; p < projection_count; ++p) {
            const auto which = static_cast<projection>(p);
            const auto use = treatment_of(how, rules, k, which);
            if (!use) continue;
            const stopwatch watch;
            quantized.linear[p] = detail::with_floats(*full.linear[p], [&](matrix_view<const float> w) {
                return std::make_shared<const W>(detail::quantize_at<W>(k, which, *use, w));
            });
            records.push_back({.layer = k, .module = std::string(name(which)), .seconds = watch.seconds()});
        }
        out.finish_layer(k, std::move(quantized), std::move(records));
        done(k);
    }
}

/// The model's blocks by one method, in memory; `documents` is for those that need them.   Errors: those of the walk.
template <class Architecture, class W>
std::shared_ptr<walked_layers<W>> quantize_model(transformer<Architecture, W> const& model, method const& how,
                                                 calibration_documents documents, unsigned threads) {
    const auto layers =
        std::make_shared<walked_layers<W>>(model.layers(), model.config().block, Architecture::description.form);
    walk_target<W>* const out = layers.get();
    if (auto const* const gptq = std::get_if<gptq_method>(&how.kind))
        gptq_walk(model, *gptq, {}, documents, threads, *out);
    else if (auto const* const awq = std::get_if<awq_method>(&how.kind))
        awq_walk(model, std::span(awq, 1), {}, documents, threads, std::span(&out, 1));
    else
        plain_walk(model, how, {}, *out);
    return layers;
}

} // namespace bitlens
