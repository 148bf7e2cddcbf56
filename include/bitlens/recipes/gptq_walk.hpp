#pragma once
/// gptq_block: GPTQ on one block of a model. Each linear layer is quantized against what it reads of documents that
/// have come through the quantized layers before it, those of its own block among them.

#include "bitlens/core/error.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/layers/block_form.hpp"
#include "bitlens/quantizers/gptq.hpp"
#include "bitlens/quantizers/input_hessian.hpp"
#include "bitlens/recipes/all_formats.hpp"
#include "bitlens/recipes/calibration_run.hpp"
#include "bitlens/recipes/gptq_method.hpp"
#include "bitlens/recipes/overrides.hpp"
#include "bitlens/recipes/quantize_layers.hpp"
#include "bitlens/recipes/quantize_model.hpp"
#include "bitlens/recipes/quantized_folder.hpp"
#include "bitlens/sweep/layer_panels.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace bitlens {

/// What GPTQ says of one matrix.
struct gptq_record {
    std::size_t layer = 0;
    projection linear{};
    gptq_log log;
};

namespace detail {

/// The stage that computes what the linear layers of an input group give, in the order of input_groups.
inline constexpr std::array<stage, 4> stages{stage::qkv, stage::o, stage::gate_up, stage::down};

/// Reads what the linear layers of one input group read of document n, whose stream stands before the group's stage or
/// the one before it. The stream is left before the first stage that changes it, so that what is quantized meanwhile
/// takes part in the next run.   Shapes: y (T, width of the group).
template <block_form Form>
void read_input(calibration_run& run, std::size_t n, laid_out_layer const& layer, std::size_t group,
                calibration_task& task, matrix_view<float> y) {
    residual_stream& stream = run.stream(n);
    const auto rest_before = [&](stage resting) { // whose result lies in the task, which another document takes over
        run.advance<Form>(n, layer, static_cast<stage>(static_cast<int>(resting) + 1), task);
        stream.next = resting;
    };
    switch (stages[group]) {
    case stage::qkv:
        return read_stream(stream.x, Form, block_norm::attn, *layer.weights.rest, layer.shape.norm_eps, y);
    case stage::o:
        rest_before(stage::qkv);
        return copy_rows(task.buffers->heads.view(), y);
    case stage::gate_up:
        run.advance<Form>(n, layer, stage::gate_up, task);
        return read_stream(stream.x, Form, block_norm::mlp, *layer.weights.rest, layer.shape.norm_eps, y);
    case stage::down:
        rest_before(stage::gate_up);
        return copy_rows(task.buffers->act.view(), y);
    case stage::end:
        break;
    }
}

/// Σ xᵀx of the inputs of one group over all documents.   Errors: format_error naming layer and input, for one that is
/// not finite.
template <block_form Form>
input_hessian hessian_of(calibration_run& run, laid_out_layer const& layer, std::size_t group, std::size_t width,
                         unsigned threads) {
    input_hessian hessian(width);
    const std::size_t held = run.documents_at_once(width, threads);
    for (std::size_t first = 0; first < run.size(); first += held) {
        const std::size_t count = std::min(held, run.size() - first);
        std::vector<matrix<float>> inputs(count);
        run.for_each(first, count, [&](std::size_t n, calibration_task& task) {
            auto& input = inputs[n - first] = matrix<float>(run.stream(n).x.rows(), width);
            read_input<Form>(run, n, layer, group, task, input);
        });
        hessian.add(std::vector<matrix_view<const float>>(inputs.begin(), inputs.end()), threads);
    }
    return hessian;
}

/// w in the format that the method asks for, of those that W lists; compiled once for all forms of blocks.
template <class W>
std::shared_ptr<const W> quantize_calibrated(gptq_method const& how, matrix_view<const float> w,
                                             gptq_inputs const& inputs, gptq_log& log) {
    std::shared_ptr<const W> quantized;
    with_quantizer<W>(how, [&](auto const& q) { quantized = std::make_shared<const W>(q(w, inputs, &log)); });
    return quantized;
}

} // namespace detail

/// Quantizes a block and takes the documents through it. Groups of linear layers that read the same are quantized in
/// the order in which they run; each is used from then on. What `rules` treat otherwise stays full, or is rounded as
/// they say.
/// Errors: format_error naming layer, projection and method, for inputs or weights that are not finite.
template <block_form Form, class W>
quantized_block<W> gptq_block(calibration_run& run, std::size_t k, block_weights<W> const& full, gptq_method const& how,
                              override_rules const& rules, layer_panels& panels, unsigned threads,
                              std::vector<gptq_record>& records) {
    const block_shape shape = run.config().block_of(k);
    block_weights<W> now = full; // of which more and more is quantized
    quantized_block<W> quantized;
    const auto lay_out = [&] { panels.pack(std::span<const block_weights<W>>(&now, 1)); };
    constexpr auto groups = input_groups(Form);
    for (std::size_t g = 0; g < groups.size(); ++g) {
        lay_out();
        const laid_out_layer layer{shape, site{k}, panels[0]};
        std::vector<projection> readers;
        for (std::size_t p = 0; p < projection_count; ++p)
            if (groups[g].readers[p]) readers.push_back(static_cast<projection>(p));
        const std::string place = "layer " + std::to_string(k) + " " + std::string(name(readers[0]));
        const gptq_inputs inputs = [&] {
            try {
                return gptq_inputs(detail::hessian_of<Form>(run, layer, g, shape_of(readers[0], shape).cols, threads),
                                   how.options, how.group_size, threads);
            } catch (format_error const& e) {
                throw format_error("input of " + place + ", " + how.text() + ": " + e.what());
            }
        }();
        for (const projection p : readers) {
            const auto index = static_cast<std::size_t>(p);
            const auto use = treatment_of(method{{{}, how}}, rules, k, p);
            if (!use) continue;
            detail::with_floats(*full.linear[index], [&](matrix_view<const float> w) {
                if (!use->needs_documents()) {
                    quantized.linear[index] = std::make_shared<const W>(detail::quantize_at<W>(k, p, *use, w));
                    return;
                }
                records.push_back({k, p, {}});
                quantized.linear[index] = detail::quantize_calibrated<W>(how, w, inputs, records.back().log);
            });
            now.linear[index] = quantized.linear[index];
        }
    }
    lay_out();
    run.advance_all<Form>({shape, site{k}, panels[0]});
    return quantized;
}

} // namespace bitlens
