/// `bitlens study`: documents in, a run folder with tables, figures and a report out.

#include "commands.hpp"
#include "model_runs.hpp"
#include "progress.hpp"
#include "run_methods.hpp"
#include "setting.hpp"
#include "signals.hpp"
#include "streams.hpp"

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/analysis/float32_check.hpp"
#include "bitlens/analysis/location_results.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/page/report.hpp"
#include "bitlens/recipes/method.hpp"
#include "bitlens/recipes/overrides.hpp"
#include "bitlens/recipes/quantize_model.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/sweep/run_study.hpp"
#include "bitlens/sweep/select_documents.hpp"
#include "bitlens/version.hpp"

#include <algorithm>
#include <cstddef>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens::command {

namespace {

/// Beside each method that rounds in groups the same one with groups moved by half of one: a grid that the full model
/// lies on already flatters or distorts one of the two more.
std::vector<method> with_shifted(std::vector<method> methods) {
    std::vector<method> all;
    for (auto const& m : methods) {
        all.push_back(m);
        std::visit(
            [&]<class Kind>(Kind kind) {
                if constexpr (requires { kind.shifted_groups; }) {
                    if (kind.group_size == 0 || kind.shifted_groups || !m.folder.empty()) return;
                    kind.shifted_groups = true;
                    all.push_back(method{{m.name + "-shift", kind}});
                }
            },
            m.kind);
    }
    return all;
}

/// What "--tokens" says, of which nothing is found wrong any more: so many of each row, or as many as it has.
/// Errors: option_error for a number where rows have prompts, behind which they are of any length.
std::optional<std::size_t> tokens_asked_for(study_arguments const& a) {
    const bool has_prompts = !a.keys.prompt.empty() || !a.keys.choices.empty();
    const std::string text = a.tokens.value_or(has_prompts ? "max" : "512");
    if (text == "max") return std::nullopt;
    if (has_prompts)
        throw option_error("--tokens " + text + ": rows with prompts are read whole; --tokens max is expected");
    return std::stoull(text);
}
row_length length_of(std::optional<std::size_t> tokens, model_config const& config) {
    if (tokens) return *tokens;
    return row_length::any_up_to(config.context == 0 ? std::numeric_limits<std::size_t>::max() : config.context);
}

/// Everything that decides a result, and nothing else: equal manifests, equal bytes.
/// bos: whether a beginning-of-text token was put in front, or where the rows have theirs from.
run_manifest describe_run(study_arguments const& a, checkpoint const& model, std::optional<tokenizer> const& t,
                          document_selection const& s, json bos, std::vector<run_method> methods) {
    json manifest;
    manifest["bitlens"] = version;
    manifest["model"] = describe_model(model, a.model.allowed_keys, t.has_value());
    manifest["full"] = full_text(model);
    manifest["parameters"] = describe_size(model);
    manifest["tokenizer"] = t ? visible_text(t->description()) : "none";
    manifest["data"] = file_identity(a.data);
    const document_keys usual;
    for (auto const& [what, key, usual_key] :
         {std::tuple{"text", &a.keys.text, &usual.text}, std::tuple{"id", &a.keys.id, &usual.id},
          std::tuple{"topic", &a.keys.topic, &usual.topic}, std::tuple{"prompt", &a.keys.prompt, &usual.prompt},
          std::tuple{"choices", &a.keys.choices, &usual.choices}, std::tuple{"answer", &a.keys.answer, &usual.answer}})
        if (*key != *usual_key) manifest["keys"][what] = *key;
    manifest["rows"] = {{"read", s.read}, {"used", s.documents.rows.size()}, {"shorter", s.shorter}, {"cut", s.cut}};
    if (!s.too_long.empty()) manifest["rows"]["too_long"] = s.too_long.size();
    const auto tokens = tokens_asked_for(a);
    manifest["tokens"] = tokens ? json(*tokens) : json("max");
    manifest["bos"] = std::move(bos);
    manifest["examples"] = a.examples ? json(*a.examples) : json("all");
    manifest["first_position"] = a.first_position;
    manifest["seed"] = a.seed;
    manifest["arithmetic"] = arithmetic_text(products_named(a.arithmetic));
    manifest["overrides"] = a.overrides ? read_json_file(*a.overrides) : json(nullptr);
    run_manifest run{std::move(manifest), {}, document_statistics{}.columns(), names_of(s.documents.kept)};
    run.methods = std::move(methods);
    return run;
}

template <class Architecture>
report_summary run(study_arguments const& a, checkpoint const& source, std::optional<tokenizer> const& t,
                   document_rows documents, run_folder const& folder, run_manifest const& manifest,
                   std::vector<method> const& methods, machine const& here) {
    model_config const& config = source.config();
    const std::size_t longest = documents.ids.longest();
    const auto size = results_size::of(documents.ids, config.layers);
    const auto rules = a.overrides ? read_override_rules(*a.overrides, config.layers) : override_rules();
    for (auto const& m : methods) check_shapes<weight>(config.block, config.layers, m, rules);
    auto demand =
        demand_of(source, methods, longest, documents.size(),
                  results_table::bytes_per_document(manifest.columns, variant_kinds(manifest.methods), size), rules);
    demand.states.per_example +=
        document_statistics{}.bytes_of_one({methods.size() + 1, config.layers, longest, config.block.width});
    const auto plan = plan_memory(demand, here.memory, here.threads);
    const std::string plan_line = plan_text(demand, plan, here.memory);
    std::cout << plan_line << '\n';
    flush_output();
    folder.expect_names_writable(manifest.methods);
    const bool lacks_float32_check =
        products_named(a.arithmetic) != arithmetic::f32 && !has_float32_check(folder.path(), methods);
    // Not before all this has passed: later calls take up what the manifest names.
    run_results run = begin_run(folder, manifest, std::move(documents), config.layers);
    folder.log(plan_line);

    const auto model =
        transformer<Architecture, weight>(source, plan.full_resident).with_products(products_named(a.arithmetic));
    const auto variants = variants_of(model, methods, plan, rules);

    const document_statistics kind{a.first_position ? every_position : position_range{}, run.documents.bytes};
    const std::size_t layers = layers_to_do(run.table, std::span<const variant<weight>>(variants), config);
    const stop_requests stop;
    const auto stop_if_asked = [&] {
        stop.check(folder.path().string() + ": holds all finished blocks; the same command goes on from there");
    };
    if (layers > 0) {
        progress shown(layers, config.layers, run.documents.ids.mean_tokens());
        run_study(model, variants, folder, run, plan.cut, kind, [&](std::size_t done) {
            shown.advance(done);
            stop_if_asked();
        });
        folder.log(std::to_string(layers / config.layers) + " model runs of " + lengths_text(run.documents.ids) +
                   " in " + duration_text(shown.seconds()) + " on " + std::to_string(here.threads) + " threads");
    }
    if (lacks_float32_check) {
        const auto checked = run.documents.first(float32_documents);
        std::cout << "what the arithmetic changes: " << checked.size() << " documents in float32\n";
        flush_output();
        const std::size_t layers_of_all = variants.size() * config.layers; // of one document
        progress shown(checked.size() * layers_of_all, config.layers, checked.ids.mean_tokens());
        const auto in_float32 =
            measure_run(model.with_products(arithmetic::f32), variants, checked, plan.cut, kind, [&](std::size_t done) {
                shown.advance(done * layers_of_all);
                stop_if_asked();
            });
        write_float32_check(folder.path(), checked, in_float32);
    }
    finish_run(folder, run, [&](std::int32_t id) { return t ? t->text_of(id) : id_text(id); });
    const auto s = make_study(std::move(run));
    return write_report(folder.path(), s, read_location(folder.path(), s));
}

/// Says before the first document is read what the run would end with.   Errors: io_error.
void check_results(run_folder const& folder) {
    folder.expect_writable();
    expect_tables_writable(folder.path());
    expect_writable(float32_path(folder.path()));
    expect_report_writable(folder.path());
}

} // namespace

void study(study_arguments const& a) {
    if (a.out.empty()) throw option_error("--out: the name of a folder is expected, an empty text was found");
    const machine here(a.machine);
    std::vector<method> asked_for = parse_methods(a.methods);
    if (a.shift_grid) asked_for = with_shifted(std::move(asked_for));
    const checkpoint source = open_model(a.model);
    const auto tokens = tokens_asked_for(a);
    if (tokens) warn_beyond_context(source.config(), "--tokens", *tokens);
    const row_length length = length_of(tokens, source.config());
    const run_folder folder(a.out);
    check_results(folder);
    check_kept(a.keys.kept, results_table(document_statistics{}.columns(), variant_names(named(asked_for)),
                                          {0, source.config().layers, 0}));
    const bool from_ids = document_reader(a.data, length.most, a.keys).holds_ids();
    const auto t = tokenizer_of(source, !from_ids);
    if (from_ids && a.bos == "yes")
        throw option_error("--bos yes: " + a.data.string() + " holds token ids, which are taken as they stand");
    const auto bos = from_ids ? std::nullopt : bos_token(*t, a.bos);
    document_selection s =
        select_documents(a.data, t ? &*t : nullptr, bos, source.config().vocabulary, length, a.examples, a.keys);
    std::cout << source.format_description() << "\n"
              << s.documents.rows.size() << " of " << s.read << " documents of " << lengths_text(s.documents.ids)
              << " (" << s.shorter << " shorter ones left out, " << s.cut << " longer ones cut)\n";

    say_left_out(s.too_long, "longer than the model's context with its prompt");
    for (auto const& m : asked_for)
        if (!m.folder.empty()) check_source(source, a.model, m);
    const quantization_setting setting{a.model,       source,      t ? &*t : nullptr, a.bos,
                                       a.calibration, a.overrides, a.arithmetic,      &s.documents};
    const auto plans = plan_quantization(setting, asked_for, a.out / "quantized", false);
    const run_manifest manifest = folder.agree(describe_run(
        a, source, t, s, from_ids ? json("as in the data") : json(bos.has_value()), named(asked_for, plans)));
    const auto methods = quantized_methods(setting, plans, std::move(asked_for), here, a.out, manifest);
    const auto summary = visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        return run<Architecture>(a, source, t, std::move(s.documents), folder, manifest, methods, here);
    });
    std::cout << summary << "report: " << visible_line(summary.page.native()) << '\n';
}

} // namespace bitlens::command
