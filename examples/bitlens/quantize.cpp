/// `bitlens quantize`: methods into folders that other verbs take in place of a method's name.

#include "model_runs.hpp"
#include "progress.hpp"
#include "quantize_methods.hpp"
#include "signals.hpp"
#include "streams.hpp"

#include "bitlens/io/folder_lock.hpp"
#include "bitlens/models/checkpoint_difference.hpp"
#include "bitlens/recipes/export_checkpoint.hpp"
#include "bitlens/recipes/model_walk.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/text/tokenizer_difference.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <iostream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens::command {

namespace {

override_rules rules_of(quantization_setting const& s) {
    return s.overrides ? read_override_rules(*s.overrides, s.source.config().layers) : override_rules();
}

/// What is known of a set once it is read.
void announce(calibration_set const& set) {
    for (auto const& remark : set.remarks) std::cerr << "note: " << visible_line(remark) << '\n';
    for (auto const& repeat : set.in_study)
        std::cerr << "note: " << visible_line(set.file.string()) << ": text " << repeat.row + 1
                  << " is left out, because the study has it in row " << repeat.study_row + 1 << '\n';
    std::cout << "calibration of " << set.options.preset.name << ": " << visible_line(set.summary()) << '\n';
}

/// The tokenizer's first token counts for texts alone.
method_documents documents_of(quantization_setting const& s) {
    auto const& file = s.calibration.documents.file;
    const bool holds_text = file && !document_reader(*file, 0, {.text = s.calibration.documents.text_key}).holds_ids();
    const auto bos = holds_text && s.text != nullptr ? bos_token(*s.text, s.bos) : std::nullopt;
    return {s.calibration.documents, calibration_model_of(s.source.config(), s.text, bos), s.study};
}

std::uint64_t walk_bytes(model_config const& config, calibration_set const* documents, unsigned threads,
                         std::uint64_t layer_of_full) {
    block_shape const& shape = config.block;
    layer_panels::matrix_counts one;
    one.fill(1);
    std::uint64_t bytes = 2 * layer_of_full + layer_panels::bytes(shape, one, arithmetic::f32);
    if (documents == nullptr) return bytes;
    const std::size_t width = std::max({shape.width, shape.query_width(), shape.ffn_width});
    std::size_t longest = 0;
    for (auto const& d : documents->documents) longest = std::max(longest, d.size());
    // A walk keeps a stream of each document, AWQ's what an inspected module gives beside it.
    return bytes + 2 * calibration_run::stream_bytes(config, documents->tokens()) +
           threads * calibration_run::task_bytes(config, longest) + 3 * input_hessian::bytes(width);
}

/// What is quantized in one walk: several methods of AWQ, or one other method.
template <class Architecture>
void walk(transformer<Architecture, weight> const& model, std::span<planned_quantization const* const> plans,
          std::vector<method> const& methods, override_rules const& rules, machine const& here,
          layer_done const& done) {
    std::deque<quantized_folder_writer> folders;
    std::deque<folder_target<weight>> targets;
    std::vector<walk_target<weight>*> out;
    std::vector<awq_method> scaled;
    for (auto const* const plan : plans) {
        folders.emplace_back(plan->folder, plan->manifest);
        out.push_back(&targets.emplace_back(folders.back(), model.config().block));
        if (auto const* const how = std::get_if<awq_method>(&methods[plan->method].kind)) scaled.push_back(*how);
    }
    method const& first = methods[plans[0]->method];
    if (plans[0]->cache != nullptr)
        awq_walk(model, *plans[0]->cache, scaled[0], *out[0], done);
    else if (!scaled.empty())
        awq_walk(model, std::span<const awq_method>(scaled), rules, plans[0]->documents->documents, here.threads,
                 std::span<walk_target<weight>* const>(out), done);
    else if (auto const* const how = std::get_if<gptq_method>(&first.kind))
        gptq_walk(model, *how, rules, plans[0]->documents->documents, here.threads, *out[0], done);
    else
        plain_walk(model, first, rules, *out[0], done);
}

} // namespace

/// What differs beside weights is said.   Errors: format_error for a model of another architecture or sizes.
void check_checkpoint(checkpoint const& source, checkpoint const& other, method const& m) {
    const auto note = [&](std::string const& text) {
        std::cerr << "note: " << m.name << ": " << visible_line(text) << '\n';
    };
    note(other.format_description());
    for (auto const& conclusion : conclusions_of(other)) note(conclusion);
    for (auto const& difference : setting_differences(source, other))
        note(difference + "; those of the full model are used");
    try {
        if (const auto text = tokenizer_difference(source.load_tokenizer(), other.load_tokenizer()))
            note("its tokenizer is another: " + *text + "; the full model's cuts the documents");
    } catch (error const& e) {
        note(std::string("tokenizers are not compared: ") + e.what());
    }
}

void check_source(checkpoint const& source, model_arguments const& model, method const& m) {
    if (is_checkpoint(m)) return check_checkpoint(source, checkpoint_of(m), m);
    const quantized_manifest found = quantized_folder(m.folder).manifest();
    const json asked = without_file_names(describe_model(source, model.allowed_keys, false));
    if (const auto difference = first_difference(found.source, asked, "source"))
        throw option_error(m.folder.string() + ": another model was quantized into this folder: " + *difference);
}

std::vector<planned_quantization> plan_quantization(quantization_setting const& s, std::vector<method> const& methods,
                                                    std::filesystem::path const& root, bool all_methods) {
    const json rules = s.overrides ? read_json_file(*s.overrides) : json(nullptr);
    std::vector<planned_quantization> plans;
    std::optional<method_documents> documents;
    for (std::size_t i = 0; i < methods.size(); ++i) {
        method const& m = methods[i];
        if (!m.folder.empty() || !(all_methods || m.needs_documents())) continue;
        planned_quantization plan{i, {}, root / m.name};
        const bool is_imported = s.calibration.awq_cache && std::holds_alternative<awq_method>(m.kind);
        if (m.needs_documents() && !s.calibration.documents.file && !is_imported && is_quantized_folder(plan.folder)) {
            const quantized_folder there(plan.folder); // finished by an earlier call, which knew the documents
            plan.manifest = there.manifest();
            if (plan.manifest.method != m.text())
                throw option_error(plan.folder.string() + ": holds " + plan.manifest.method + ", " + m.text() +
                                   " is asked for; another name keeps both");
            if (const auto missing = there.first_missing_layer())
                throw option_error(plan.folder.string() + ": layer " + std::to_string(*missing) +
                                   " is missing; --calibration with the file of the earlier call goes on there");
        } else {
            plan.manifest.method = m.text();
            plan.manifest.format = format_of<weight>(m);
            plan.manifest.layers = s.source.config().layers;
            plan.manifest.knobs = {{"overrides", rules}, {"arithmetic", s.arithmetic}};
            const json named = describe_model(s.source, s.model.allowed_keys, false);
            plan.manifest.source = without_file_names(named);
            for (json const& file : named["files"]) plan.manifest.origin["model"].push_back(file["name"]);
            if (is_imported) {
                if (s.overrides)
                    throw option_error("--overrides: matrices that stay full are not among what --awq-cache found "
                                       "scales for; one of the two is expected");
                plan.cache = std::make_shared<awq_cache>(
                    read_awq_cache(*s.calibration.awq_cache, s.source.config(), s.source.family()));
                const json cache = file_identity(*s.calibration.awq_cache);
                plan.manifest.calibration = {{"awq_cache", without_name(cache)}};
                plan.manifest.origin["awq_cache"] = cache;
            } else if (m.needs_documents()) {
                if (!documents) documents.emplace(documents_of(s));
                plan.documents = documents->of(m, announce);
                plan.manifest.calibration = plan.documents->identity();
                plan.manifest.origin["calibration"] = plan.documents->origin();
            }
        }
        plan.identity = identity_of(plan.manifest);
        plans.push_back(std::move(plan));
    }
    return plans;
}

void quantize_methods(quantization_setting const& s, std::vector<planned_quantization> const& plans,
                      std::vector<method>& methods, machine const& here) {
    model_config const& config = s.source.config();
    const auto rules = rules_of(s);
    const auto is_finished = [&](planned_quantization const& plan) {
        if (!is_quantized_folder(plan.folder)) return false;
        const quantized_folder there(plan.folder);
        return there.manifest() == plan.manifest && !there.first_missing_layer();
    };
    std::vector<std::vector<planned_quantization const*>> walks;
    std::vector<planned_quantization const*>* of_awq = nullptr;
    for (auto const& plan : plans) {
        methods[plan.method].folder = plan.folder;
        if (is_finished(plan)) continue;
        const bool is_awq = plan.cache == nullptr && std::holds_alternative<awq_method>(methods[plan.method].kind);
        if (is_awq && of_awq != nullptr) {
            of_awq->push_back(&plan);
            continue;
        }
        walks.reserve(plans.size());
        walks.push_back({&plan});
        if (is_awq) of_awq = &walks.back();
    }
    const auto no_methods = demand_of(s.source, {}, 2, 1, 0);
    for (auto const& together : walks) {
        std::string names;
        for (auto const* const plan : together) names += (names.empty() ? "" : ", ") + methods[plan->method].name;
        const std::uint64_t bytes = no_methods.ends + walk_bytes(config, together[0]->documents.get(), here.threads,
                                                                 no_methods.full / config.layers);
        std::cout << "quantizing " << names << ": memory " << bytes_text(bytes) << " of " << bytes_text(here.memory)
                  << " allowed\n";
        if (bytes > here.memory)
            throw option_error("memory: " + bytes_text(bytes) + " are needed to quantize " + names + "; " +
                               bytes_text(here.memory) +
                               " are allowed. Fewer calibration texts need less, and so do shorter ones");
        flush_output();
        visit_architecture(config, [&]<class Architecture>(Architecture) {
            const auto model =
                transformer<Architecture, weight>(s.source, false).with_products(products_named(s.arithmetic));
            const stop_requests stop;
            walk(model, std::span<planned_quantization const* const>(together), methods, rules, here,
                 [&](std::size_t k) {
                     std::cerr << names << ": layer " << k + 1 << " of " << config.layers << '\n';
                     stop.check(together[0]->folder.parent_path().string() +
                                ": holds all finished layers; the same command goes on from there");
                 });
        });
    }
}

namespace {

constexpr const char* gguf_format = "gguf";

/// Writes what was quantized as the packages of others load it, each as its folder's name, '-' and the format, or as a
/// GGUF file of that name.
void export_methods(quantize_arguments const& a, checkpoint const& source, std::vector<method> const& methods) {
    export_options options;
    if (a.format != gguf_format)
        options.layout = std::ranges::find(export_layouts, a.format, [](auto const& l) { return l.first; })->second;
    if (a.scales)
        options.scales = *a.scales == "f16"    ? safetensors_type::f16
                         : *a.scales == "bf16" ? safetensors_type::bf16
                                               : safetensors_type::f32;
    for (auto const& m : methods) {
        std::filesystem::path to = m.folder;
        to += (a.format == gguf_format ? "." : "-") + a.format;
        const auto write = [&] {
            if (a.format == gguf_format)
                export_gguf<weight>(quantized_folder(m.folder), source, options.scales, to);
            else
                export_checkpoint<weight>(quantized_folder(m.folder), source, options, to);
        };
        try {
            write();
        } catch (shape_error const& e) { // a layout of 16-bit scales, often
            throw option_error("--format " + a.format + ": " + m.name + ": " + e.what() +
                               (a.scales ? "" : "; --scales f16, bf16 or f32 says what scales are rounded to"));
        }
        std::cout << m.name << ": " << visible_line(to.string()) << '\n';
    }
}

} // namespace

void quantize(quantize_arguments const& a) {
    if (a.out.empty()) throw option_error("--out: the name of a folder is expected, an empty text was found");
    const machine here(a.machine);
    auto methods = parse_methods(a.methods);
    if (methods.empty()) throw option_error("--methods: at least one is expected; what exists:", method::existing());
    for (auto const& m : methods)
        if (!m.folder.empty())
            throw option_error("--methods: " + m.name + " is the folder " + m.folder.string() +
                               ", which is quantized already");
    const checkpoint source = open_model(a.model);
    const auto text = tokenizer_of(source, false);
    const quantization_setting setting{a.model,      source, text ? &*text : nullptr, a.bos, a.calibration, a.overrides,
                                       a.arithmetic, nullptr};
    const auto rules = rules_of(setting);
    for (auto const& m : methods) check_shapes<weight>(source.config().block, source.config().layers, m, rules);
    const auto plans = plan_quantization(setting, methods, a.out, true);
    quantize_methods(setting, plans, methods, here);
    for (auto const& m : methods) std::cout << m.name << ": " << visible_line(m.folder.string()) << '\n';
    if (a.format != "bitlens") export_methods(a, source, methods);
}

} // namespace bitlens::command
