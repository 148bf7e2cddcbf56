/// `bitlens study`: documents in, a run folder with tables, figures and a report out.

#include "commands.hpp"
#include "model_runs.hpp"
#include "progress.hpp"
#include "setting.hpp"
#include "signals.hpp"

#include "bitlens/analysis/float32_check.hpp"
#include "bitlens/analysis/measure_run.hpp"
#include "bitlens/analysis/select_documents.hpp"
#include "bitlens/analysis/study.hpp"
#include "bitlens/analysis/study_report.hpp"
#include "bitlens/io/sha256.hpp"
#include "bitlens/recipes/method.hpp"
#include "bitlens/recipes/overrides.hpp"
#include "bitlens/recipes/quantize_model.hpp"
#include "bitlens/version.hpp"

#include <algorithm>
#include <iostream>
#include <memory>
#include <vector>

namespace bitlens::command {

namespace {

json file_identity(std::filesystem::path const& path) {
    return {{"name", path.filename().string()},
            {"bytes", std::filesystem::file_size(path)},
            {"sha256", sha256_of_file(path)}};
}

/// Everything that decides a result, and nothing else: equal manifests, equal bytes.
json describe_run(study_arguments const& a, checkpoint const& model, tokenizer const& t, document_selection const& s) {
    json files = json::array();
    for (auto const& file : model.files()) files.push_back(file_identity(file));
    json manifest;
    manifest["bitlens"] = version;
    manifest["model"] = {
        {"architecture", model.config().architecture}, {"layers", model.config().layers}, {"files", files}};
    manifest["full"] = model.format_description();
    manifest["tokenizer"] = t.description();
    manifest["data"] = file_identity(a.data);
    manifest["rows"] = {{"read", s.read}, {"used", s.documents.rows.size()}, {"shorter", s.shorter}, {"cut", s.cut}};
    manifest["tokens"] = a.tokens;
    manifest["bos"] = bos_token(t, a.bos).has_value();
    manifest["examples"] = a.examples ? json(*a.examples) : json("all");
    manifest["first_position"] = a.first_position;
    manifest["seed"] = a.seed;
    manifest["arithmetic"] =
        std::string(name(products_named(a.arithmetic))) + ", " + std::string(simd::default_arch::name());
    manifest["overrides"] = a.overrides ? read_json_file(*a.overrides) : json(nullptr);
    return manifest;
}

/// The methods of this call, then those that the folder has beside them. Errors: option_error for another run's folder.
std::vector<method> agree_with_folder(run_folder const& folder, json const& manifest, std::vector<method> methods) {
    auto earlier = folder.manifest();
    if (!earlier) return methods;
    const std::string file = (folder.path() / "manifest.json").string();
    std::vector<method_name> earlier_methods;
    if (find_value(*earlier, "methods", file)) earlier_methods = methods_of(*earlier, file);
    earlier->erase("methods");
    if (const auto difference = first_difference(*earlier, manifest))
        throw option_error(folder.path().string() + ": holds another run: " + *difference);
    for (auto const& [name, spec] : earlier_methods) {
        const auto same = std::ranges::find(methods, name, &method::name);
        if (same == methods.end())
            methods.push_back(parse_method(name + "=" + spec));
        else if (same->text() != spec)
            throw option_error(folder.path().string() + ": method " + name + " is " + spec + " there, " + same->text() +
                               " asked for; another name keeps both");
    }
    return methods;
}

/// Bytes that the results of one row take: what is measured per layer, and per position of every variant.
std::uint64_t results_bytes(model_config const& config, std::size_t tokens, std::size_t methods) {
    return config.layers * (5 + methods) * sizeof(double) + (methods + 1) * tokens * 4 * sizeof(float);
}

template <class Architecture>
report_summary run(study_arguments const& a, checkpoint const& source, tokenizer const& t, document_selection const& s,
                   run_folder const& folder, std::vector<method> const& methods, machine const& here) {
    model_config const& config = source.config();
    const auto demand =
        demand_of(source, methods, a.tokens, s.documents.rows.size(), results_bytes(config, a.tokens, methods.size()));
    const auto plan = plan_memory(demand, here.memory, here.threads);
    const std::string plan_line = plan_text(demand, plan, here.memory);
    std::cout << plan_line << '\n' << std::flush;
    folder.log(plan_line);

    const auto model =
        transformer<Architecture, weight>(source, plan.full_resident).with_products(products_named(a.arithmetic));
    const auto rules = a.overrides ? read_override_rules(*a.overrides, config.layers) : override_rules();
    std::vector<variant<weight>> variants{{full_model_name, model.layers()}};
    for (auto const& m : methods)
        variants.push_back(
            {m.name, std::make_shared<quantized_layers<weight>>(model.layers(), m, rules, plan.quantized_resident)});

    std::vector<variant_results> results;
    for (auto const& v : variants)
        results.push_back(make_variant_results(v.name, s.documents.rows.size(), a.tokens - 1, config.layers));
    read_finished(folder, results);
    std::size_t runs = 0;
    for (auto const& piece : rows_to_do(results))
        runs += piece.count * (piece.variants.size() + (piece.variants[0] == 0 ? 0 : 1));
    if (runs > 0) {
        progress shown(runs, a.tokens);
        const stop_requests stop;
        run_study<Architecture, weight>(
            model, variants, s.documents, a.first_position, plan.cut, folder, results, [&](std::size_t done) {
                shown.advance(done);
                stop.check(folder.path().string() + ": holds all finished blocks; the same command goes on from there");
            });
        folder.log(std::to_string(runs) + " model runs of " + std::to_string(a.tokens) + " tokens in " +
                   duration_text(shown.seconds()) + " on " + std::to_string(here.threads) + " threads");
    }
    if (model.products() != arithmetic::f32 && !has_float32_check(folder.path(), methods)) {
        const auto checked = first_documents(s.documents, float32_documents);
        std::cout << "what the arithmetic changes: " << checked.rows.size() << " documents in float32\n" << std::flush;
        write_float32_check(folder.path(),
                            measure_run<Architecture, weight>(model.with_products(arithmetic::f32), variants, checked,
                                                              plan.cut, a.first_position));
    }
    // Parts that are still there belong to tables that a kill kept from being written.
    if (std::ranges::any_of(results, [&](auto const& v) { return !folder.parts(v.name).empty(); }))
        write_study_tables(folder, s.documents, results, [&](std::int32_t id) { return t.token_bytes(id); });
    folder.remove_parts();
    return write_report(folder.path());
}

} // namespace

void study(study_arguments const& a) {
    const machine here(a.machine);
    const auto methods = parse_methods(a.methods);
    const checkpoint source(a.model);
    const tokenizer t = source.load_tokenizer();
    const document_selection s = select_documents(a.data, t, bos_token(t, a.bos), a.tokens, a.examples);
    std::cout << source.format_description() << "\n"
              << s.documents.rows.size() << " of " << s.read << " documents of " << a.tokens << " tokens (" << s.shorter
              << " shorter ones left out, " << s.cut << " longer ones cut)\n";

    const run_folder folder(a.out);
    json manifest = describe_run(a, source, t, s);
    const auto all_methods = agree_with_folder(folder, manifest, methods);
    for (auto const& m : all_methods) manifest["methods"].push_back({{"name", m.name}, {"spec", m.text()}});
    folder.write_manifest(manifest);
    const auto summary = visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        return run<Architecture>(a, source, t, s, folder, all_methods, here);
    });
    std::cout << summary << "report: " << summary.page.string() << '\n';
}

} // namespace bitlens::command
