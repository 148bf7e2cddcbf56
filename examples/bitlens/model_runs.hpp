#pragma once
/// From a checkpoint and methods to the models that a verb runs, within the memory it may use.

#include "quantize_methods.hpp"
#include "setting.hpp"

#include "bitlens/models/checkpoint.hpp"
#include "bitlens/models/parameter_names.hpp"
#include "bitlens/recipes/awq_fold.hpp"
#include "bitlens/recipes/method.hpp"
#include "bitlens/recipes/overrides.hpp"
#include "bitlens/recipes/quantize_model.hpp"
#include "bitlens/recipes/quantized_folder.hpp"
#include "bitlens/recipes/stored_layers.hpp"
#include "bitlens/sweep/column.hpp"
#include "bitlens/sweep/manifest.hpp"
#include "bitlens/sweep/memory_plan.hpp"
#include "bitlens/sweep/variants.hpp"
#include "bitlens/text/documents.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens::command {

/// Whether a method is a checkpoint that others may have made.
inline bool is_checkpoint(method const& m) { return std::holds_alternative<checkpoint_method>(m.kind); }

/// That checkpoint. Each is opened once, and its files are hashed once, by whatever path a run comes to it: of a large
/// one that takes a while.
inline checkpoint const& checkpoint_of(method const& m) {
    static std::map<std::filesystem::path, checkpoint> known;
    std::error_code unknown; // where nothing is, which is said when it is opened
    auto place = std::filesystem::canonical(m.folder, unknown);
    if (unknown) place = m.folder;
    const auto found = known.find(place);
    return found != known.end() ? found->second : known.emplace(place, checkpoint(m.folder)).first->second;
}

/// What stands in a manifest for what lies at a method's place.
inline std::string identity_of_stored(method const& m) {
    return is_checkpoint(m) ? sha256_of(without_file_names(describe_model(checkpoint_of(m), {}, false)).dump())
                            : quantized_folder(m.folder).identity();
}

/// Where that comes from, in words: how it is stored, and what its files say of who quantized it and how.
inline std::string origin_of_stored(method const& m) {
    if (!is_checkpoint(m)) return calibrated_on(quantized_folder(m.folder).manifest());
    std::string text = checkpoint_of(m).format_description();
    for (auto const& fact : checkpoint_of(m).quantization_facts()) text += ", " + fact;
    for (auto const& conclusion : conclusions_of(checkpoint_of(m))) text += "; " + conclusion;
    return text;
}

/// Whether a method has an embedding, a final norm and a head of its own. Those of another vocabulary are left out, as
/// check_source says: nothing could be compared.
inline bool has_own_ends(model_config const& config, method const& m) {
    return is_checkpoint(m) && checkpoint_of(m).config().vocabulary == config.vocabulary;
}

/// The methods of "--method X": none for "full".
inline std::vector<method> methods_beside_full(std::string const& text) {
    if (text == "full") return {};
    return {parse_method(text)};
}

namespace detail {

/// What a checkpoint's blocks take beside the full model, and its ends where they are its own.
inline void add_checkpoint(memory_demand& d, checkpoint const& other, bool has_own_ends) {
    for (auto const& t : other.tensors()) {
        if (t.shape.size() != 2) continue;
        const std::uint64_t bytes = other.form_of<weight>(t.name).bytes;
        if (is_linear_of_block(t.name))
            d.quantized += bytes;
        else if (has_own_ends)
            d.ends += bytes;
    }
}

} // namespace detail

/// And how large it is.
inline json describe_size(checkpoint const& source) {
    const parameter_count count = count_parameters(source.family(), source.config());
    return {{"all", count.all}, {"blocks", count.blocks}};
}

/// A word to who asks for longer rows than a model was trained on, which it computes all the same.
inline void warn_beyond_context(model_config const& config, std::string const& what, std::size_t tokens) {
    if (config.context != 0 && tokens > config.context)
        std::cerr << "warning: " << what << ' ' << tokens << ": the model was trained on " << config.context
                  << " positions at most, and its losses beyond them mean little\n";
}

namespace detail {

/// The rules that a method was quantized with where it lies quantized, else those of the study.
inline override_rules rules_of(method const& m, override_rules const& of_study, std::size_t layers) {
    if (m.folder.empty()) return of_study;
    const quantized_folder folder(m.folder);
    const std::string who = folder.path().string() + ": knobs";
    json const* const rules = find_value(folder.manifest().knobs, "overrides", who);
    return rules == nullptr || rules->is_null() ? override_rules() : override_rules(*rules, who, layers);
}

/// Bytes of one matrix under a method. One that stays full is the full model's own, but for channels in other scales.
inline std::uint64_t quantized_bytes(method const& m, override_rules const& rules, std::size_t layer, projection p,
                                     block_form form, block_shape const& shape) {
    const matrix_shape size = shape_of(p, shape);
    if (const auto use = treatment_of(m, rules, layer, p)) return use->bytes(size);
    auto const* const awq = std::get_if<awq_method>(&m.kind);
    return awq != nullptr && awq->scale && can_be_folded(p, form, shape) ? size.rows * size.cols * sizeof(float) : 0;
}

} // namespace detail

/// What running the full model and `methods`, and what `load` says of what is made of them, on `rows` rows of `tokens`
/// ids asks of memory. `results_per_row` is what the verb itself keeps of a row.
inline memory_demand demand_of(checkpoint const& source, std::vector<method> const& methods, sweep_load const& load,
                               std::size_t tokens, std::size_t rows, std::uint64_t results_per_row,
                               override_rules const& rules = {}) {
    model_config const& config = source.config();
    memory_demand d;
    d.layers = config.layers;
    d.rows = rows;
    d.results = rows * results_per_row;
    std::uint64_t widened = 0;
    for (auto const& t : source.tensors()) {
        if (t.shape.size() != 2) continue;
        const loaded_form form = source.form_of<weight>(t.name);
        if (!is_linear_of_block(t.name)) {
            // Of a borrowed embedding only rows are read, but for a head that is the same.
            if (t.name != bitlens::detail::embedding_name || config.tied_head || !form.is_borrowed)
                d.ends += form.bytes;
            continue;
        }
        d.full += form.bytes;
        // The floats that a matrix is quantized from, where it is not kept as float.
        if (!form.is_float) widened = std::max(widened, sizeof(float) * t.shape[0] * t.shape[1]);
    }
    for (auto const& m : methods) {
        if (is_checkpoint(m)) {
            detail::add_checkpoint(d, checkpoint_of(m), has_own_ends(config, m));
            continue;
        }
        const override_rules of_method = detail::rules_of(m, rules, config.layers);
        for (std::size_t k = 0; k < config.layers; ++k)
            for (std::size_t p = 0; p < projection_count; ++p)
                d.quantized += detail::quantized_bytes(m, of_method, k, static_cast<projection>(p),
                                                       source.family().form, config.block);
    }
    d.states = plan_sweep_memory(config, tokens, load);
    if (!methods.empty()) d.states.once += widened;
    return d;
}
/// The same of the models alone.
inline memory_demand demand_of(checkpoint const& source, std::vector<method> const& methods, std::size_t tokens,
                               std::size_t rows, std::uint64_t results_per_row, override_rules const& rules = {}) {
    return demand_of(source, methods, sweep_load::of_models(methods.size() + 1, source.config().layers), tokens, rows,
                     results_per_row, rules);
}

/// How a model generates after prompts: what is kept, and how many of them are read side by side.
struct generation_plan {
    memory_plan memory;
    std::size_t at_once;
};

/// Of `rows` prompts, the longest of `tokens` with what follows it.   Errors: as plan_memory.
inline generation_plan plan_generation(checkpoint const& source, std::vector<method> const& methods, std::size_t tokens,
                                       std::size_t rows, std::size_t most_at_once, arithmetic products,
                                       machine const& here) {
    model_config const& config = source.config();
    const std::uint64_t cached = config.layers * key_value_cache<>::bytes(tokens + tokens / 2, config.block.kv_heads,
                                                                          config.block.head_dim, products);
    auto demand = demand_of(source, methods, tokens, std::min(most_at_once, rows), 0);
    demand.states.per_example += cached + config.vocabulary * sizeof(float);
    const auto plan = plan_memory(demand, here.memory, here.threads);
    // What a prompt needs fits as often as it does; a sweep would take no larger block.
    const std::uint64_t beside = plan.total - plan.cut.examples_per_block * demand.states.per_example;
    return {plan, static_cast<std::size_t>(
                      std::clamp<std::uint64_t>((here.memory - beside) / demand.states.per_example, 1, most_at_once))};
}

/// One line for people: what is kept, and how large a block is.
inline std::string plan_text(memory_demand const& d, memory_plan const& plan, std::uint64_t allowed) {
    const auto kept = [&](std::uint64_t all, bool resident) {
        return resident ? bytes_text(all) : bytes_text(all / d.layers) + " (one layer at a time)";
    };
    return "memory: embedding and head " + bytes_text(d.ends) + ", blocks " + kept(d.full, plan.full_resident) +
           (d.quantized > 0 ? ", quantized blocks " + kept(d.quantized, plan.quantized_resident) : "") +
           ", work on one layer " + bytes_text(d.states.once + (plan.cut.lays_out ? d.states.panels : 0)) +
           (plan.cut.lays_out ? "" : " (each product decodes its weights)") + ", states of " +
           std::to_string(plan.cut.examples_per_block) + " rows " +
           bytes_text(plan.cut.examples_per_block * d.states.per_example + plan.cut.threads * d.states.per_thread) +
           ", in all " + bytes_text(plan.total) + " of " + bytes_text(allowed) + " allowed";
}

/// The blocks of a method: read from where it lies quantized, or made of the full model's.
template <class Architecture>
std::shared_ptr<layer_source<weight>> layers_of(transformer<Architecture, weight> const& model, method const& m,
                                                override_rules const& rules, bool keep_resident) {
    if (is_checkpoint(m)) return std::make_shared<checkpoint_layers<weight>>(checkpoint_of(m), keep_resident);
    if (!m.folder.empty())
        return std::make_shared<stored_layers<weight>>(quantized_folder(m.folder), model.layers(), model.config(),
                                                       Architecture::description.form, keep_resident);
    return std::make_shared<quantized_layers<weight>>(model.layers(), m, rules, keep_resident);
}

/// The embedding, final norm and head of a method; none where they are the full model's.
template <class Architecture>
std::shared_ptr<const model_ends<weight>> ends_of(model_config const& config, method const& m) {
    if (!has_own_ends(config, m)) return nullptr;
    return std::make_shared<const model_ends<weight>>(
        transformer<Architecture, weight>(checkpoint_of(m), false).ends());
}

/// What a sweep runs side by side: the full model, then each method's.
template <class Architecture>
std::vector<variant<weight>> variants_of(transformer<Architecture, weight> const& model,
                                         std::vector<method> const& methods, memory_plan const& plan,
                                         override_rules const& rules = {}) {
    std::vector<variant<weight>> variants{{full_model_name, model.layers()}};
    for (auto const& m : methods) {
        variants.push_back({m.name, layers_of(model, m, rules, plan.quantized_resident)});
        variants.back().ends = ends_of<Architecture>(model.config(), m);
    }
    return variants;
}

/// The one model that `methods` (none or one) ask for.
template <class Architecture>
transformer<Architecture, weight> model_of(transformer<Architecture, weight> const& model,
                                           std::vector<method> const& methods, memory_plan const& plan) {
    if (methods.empty()) return model;
    if (has_own_ends(model.config(), methods[0]))
        return transformer<Architecture, weight>(checkpoint_of(methods[0]), plan.quantized_resident)
            .with_products(model.products());
    return model.with_layers(layers_of(model, methods[0], {}, plan.quantized_resident));
}

/// Methods that a verb without calibration takes.   Errors: option_error for one that has to be quantized first, or
/// lies in the folder of another model.
inline void check_methods(checkpoint const& source, model_arguments const& model, std::vector<method> const& methods) {
    for (auto const& m : methods)
        if (!m.folder.empty())
            check_source(source, model, m);
        else if (m.needs_documents())
            throw option_error("method " + m.name + ", " + m.text() +
                               ", looks at what the model reads; `bitlens quantize` writes it into a folder, which is "
                               "taken here as NAME=FOLDER");
}

/// Where a study keeps what it quantizes, or a link to it.
inline std::filesystem::path quantized_in_run(std::filesystem::path const& run, std::string const& method) {
    return run / "quantized" / method;
}

/// A method of a study as its models run.   Errors: format_error where its folder is another one by now.
inline method method_of_run(std::filesystem::path const& run, run_method const& m) {
    method found = parse_method(m.name + "=" + m.spec);
    if (m.quantized.empty()) return found;
    found.folder = quantized_in_run(run, m.name);
    std::error_code unknown; // of a link to nowhere
    if (const auto there = std::filesystem::canonical(found.folder, unknown); is_checkpoint(found) && !unknown)
        found.folder = there; // beside which the other parts of a file are
    if (identity_of_stored(found) != m.quantized)
        throw format_error(found.folder.string() + ": is another quantized model than the study's");
    return found;
}

/// All rows of an NPY file of token ids (rows, tokens).   Errors: as document_reader; option_error for another file.
inline matrix<std::int32_t> read_token_ids(std::filesystem::path const& path) {
    document_reader reader(path);
    if (!reader.holds_ids())
        throw option_error(path.string() + ": NPY of token ids is expected, such as `ids` of a run's tokens.npz");
    std::vector<std::int32_t> ids;
    std::size_t rows = 0;
    for (document d; reader.next(d); ++rows) ids.insert(ids.end(), d.ids.begin(), d.ids.end());
    if (ids.empty()) throw option_error(path.string() + ": at least one token id is expected");
    matrix<std::int32_t> all(rows, ids.size() / rows);
    std::copy(ids.begin(), ids.end(), all.data());
    return all;
}

} // namespace bitlens::command
