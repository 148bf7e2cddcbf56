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
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/sha256.hpp"
#include "bitlens/recipes/method.hpp"
#include "bitlens/recipes/overrides.hpp"
#include "bitlens/recipes/quantize_model.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/version.hpp"

#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bitlens::command {

namespace {

json file_identity(std::filesystem::path const& path) {
    return {{"name", visible_text(path.filename().string())},
            {"bytes", std::filesystem::file_size(path)},
            {"sha256", sha256_of_file(path)}};
}

/// The model's tokenizer. Rows of ids need none: where it cannot be read, the study does without.
std::optional<tokenizer> tokenizer_of(checkpoint const& source, bool needed) {
    try {
        return source.load_tokenizer();
    } catch (error const& e) {
        if (needed) throw;
        std::cerr << "warning: there is no tokenizer, so tables and report show ids, as in " << id_text(400) << ": "
                  << visible_text(e.what()) << '\n';
        return std::nullopt;
    }
}

/// The files of the model that this study reads.
std::vector<std::filesystem::path> files_of(checkpoint const& source, bool has_tokenizer) {
    auto files = source.files();
    if (!has_tokenizer)
        std::erase_if(files, [](std::filesystem::path const& file) {
            return file.filename() == "tokenizer.json" || file.filename() == "tokenizer_config.json";
        });
    return files;
}

/// Everything that decides a result, and nothing else: equal manifests, equal bytes.
/// bos: whether a beginning-of-text token was put in front, or where the rows have theirs from.
json describe_run(study_arguments const& a, checkpoint const& model, std::optional<tokenizer> const& t,
                  document_selection const& s, json bos) {
    json files = json::array();
    for (auto const& file : files_of(model, t.has_value())) files.push_back(file_identity(file));
    json manifest;
    manifest["bitlens"] = version;
    manifest["model"] = {
        {"architecture", model.config().architecture}, {"layers", model.config().layers}, {"files", files}};
    manifest["full"] = model.format_description();
    manifest["tokenizer"] = t ? visible_text(t->description()) : "none";
    manifest["data"] = file_identity(a.data);
    manifest["rows"] = {{"read", s.read}, {"used", s.documents.rows.size()}, {"shorter", s.shorter}, {"cut", s.cut}};
    manifest["tokens"] = a.tokens;
    manifest["bos"] = std::move(bos);
    manifest["examples"] = a.examples ? json(*a.examples) : json("all");
    manifest["first_position"] = a.first_position;
    manifest["seed"] = a.seed;
    manifest["arithmetic"] =
        std::string(name(products_named(a.arithmetic))) + ", " + std::string(simd::default_arch::name());
    manifest["overrides"] = a.overrides ? read_json_file(*a.overrides) : json(nullptr);
    return manifest;
}

/// The methods that the folder has, in its order, then those that this call adds: their order is that of the tables.
/// Errors: option_error for another run's folder.
std::vector<method> agree_with_folder(run_folder const& folder, json const& manifest,
                                      std::vector<method> const& asked_for) {
    auto earlier = folder.manifest();
    if (!earlier) return asked_for;
    const std::string file = (folder.path() / "manifest.json").string();
    std::vector<method_name> earlier_methods;
    if (find_value(*earlier, "methods", file)) earlier_methods = methods_of(*earlier, file);
    earlier->erase("methods");
    if (const auto difference = first_difference(*earlier, manifest))
        throw option_error(folder.path().string() + ": holds another run: " + *difference +
                           "; another --out keeps both");
    std::vector<method> methods;
    for (auto const& [name, spec] : earlier_methods) {
        methods.push_back(parse_method(name + "=" + spec));
        const auto same = std::ranges::find(asked_for, name, &method::name);
        if (same != asked_for.end() && same->text() != spec)
            throw option_error(folder.path().string() + ": method " + name + " is " + spec + " there, " + same->text() +
                               " asked for; another name keeps both");
    }
    for (auto const& m : asked_for)
        if (std::ranges::find(methods, m.name, &method::name) == methods.end()) methods.push_back(m);
    return methods;
}

/// Says before the model runs that files named after the methods could not be written.   Errors: io_error.
void check_names(run_folder const& folder, std::vector<method> const& methods, std::size_t rows) {
    std::vector<std::string> names;
    for (auto const& m : methods) names.push_back(m.name);
    expect_figures_writable(folder.path(), names);
    folder.make_room_for_parts();
    for (auto const& name : names) expect_writable(folder.part_path(name, rows, rows)); // the longest of its parts
}

/// Bytes that the results of one row take: what is measured per layer, and per position of every variant.
std::uint64_t results_bytes(model_config const& config, std::size_t tokens, std::size_t methods) {
    return config.layers * (5 + methods) * sizeof(double) + (methods + 1) * tokens * 4 * sizeof(float);
}

template <class Architecture>
report_summary run(study_arguments const& a, checkpoint const& source, std::optional<tokenizer> const& t,
                   document_selection const& s, run_folder const& folder, json const& manifest,
                   std::vector<method> const& methods, machine const& here) {
    model_config const& config = source.config();
    const auto rules = a.overrides ? read_override_rules(*a.overrides, config.layers) : override_rules();
    for (auto const& m : methods) check_shapes<weight>(config.block, config.layers, m, rules);
    auto demand = demand_of(source, methods, a.tokens, s.documents.rows.size(),
                            results_bytes(config, a.tokens, methods.size()), rules);
    demand.states.per_example +=
        document_measurement::bytes(methods.size() + 1, config.layers, a.tokens, config.block.width);
    const auto plan = plan_memory(demand, here.memory, here.threads);
    const std::string plan_line = plan_text(demand, plan, here.memory);
    std::cout << plan_line << '\n' << std::flush;
    check_names(folder, methods, s.documents.rows.size());
    const bool lacks_float32_check =
        products_named(a.arithmetic) != arithmetic::f32 && !has_float32_check(folder.path(), methods);
    folder.write_manifest(manifest); // not before all this has passed: later calls take up what it names
    folder.log(plan_line);

    const auto model =
        transformer<Architecture, weight>(source, plan.full_resident).with_products(products_named(a.arithmetic));
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
    const stop_requests stop;
    const auto stop_if_asked = [&] {
        stop.check(folder.path().string() + ": holds all finished blocks; the same command goes on from there");
    };
    if (runs > 0) {
        progress shown(runs, a.tokens);
        run_study<Architecture, weight>(model, variants, s.documents, a.first_position, plan.cut, folder, results,
                                        [&](std::size_t done) {
                                            shown.advance(done);
                                            stop_if_asked();
                                        });
        folder.log(std::to_string(runs) + " model runs of " + std::to_string(a.tokens) + " tokens in " +
                   duration_text(shown.seconds()) + " on " + std::to_string(here.threads) + " threads");
    }
    if (lacks_float32_check) {
        const auto checked = first_documents(s.documents, float32_documents);
        std::cout << "what the arithmetic changes: " << checked.rows.size() << " documents in float32\n" << std::flush;
        progress shown(checked.rows.size() * variants.size(), a.tokens);
        write_float32_check(folder.path(),
                            measure_run<Architecture, weight>(model.with_products(arithmetic::f32), variants, checked,
                                                              plan.cut, a.first_position, [&](std::size_t documents) {
                                                                  shown.advance(documents * variants.size());
                                                                  stop_if_asked();
                                                              }));
    }
    // Parts that are still there belong to tables that a kill kept from being written.
    if (std::ranges::any_of(results, [&](auto const& v) { return !folder.parts(v.name).empty(); }))
        write_study_tables(folder, s.documents, results,
                           [&](std::int32_t id) { return t ? t->text_of(id) : id_text(id); });
    folder.remove_parts();
    return write_report(folder.path());
}

} // namespace

void study(study_arguments const& a) {
    if (a.out.empty()) throw option_error("--out: the name of a folder is expected, an empty text was found");
    const machine here(a.machine);
    const auto methods = parse_methods(a.methods);
    const checkpoint source(a.model);
    const bool from_ids = document_reader(a.data).holds_ids();
    const auto t = tokenizer_of(source, !from_ids);
    warn_beyond_context(source.config(), "--tokens", a.tokens);
    if (from_ids && a.bos == "yes")
        throw option_error("--bos yes: " + a.data.string() + " holds token ids, which are taken as they stand");
    const auto bos = from_ids ? std::nullopt : bos_token(*t, a.bos);
    const document_selection s =
        select_documents(a.data, t ? &*t : nullptr, bos, source.config().vocabulary, a.tokens, a.examples);
    std::cout << source.format_description() << "\n"
              << s.documents.rows.size() << " of " << s.read << " documents of " << a.tokens << " tokens (" << s.shorter
              << " shorter ones left out, " << s.cut << " longer ones cut)\n";

    const run_folder folder(a.out);
    json manifest = describe_run(a, source, t, s, from_ids ? json("as in the data") : json(bos.has_value()));
    const auto all_methods = agree_with_folder(folder, manifest, methods);
    if (all_methods.empty())
        throw option_error("--methods: at least one is expected; " + std::string(existing_methods));
    for (auto const& m : all_methods) manifest["methods"].push_back({{"name", m.name}, {"spec", m.text()}});
    const auto summary = visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        return run<Architecture>(a, source, t, s, folder, manifest, all_methods, here);
    });
    std::cout << summary << "report: " << summary.page.string() << '\n';
}

} // namespace bitlens::command
