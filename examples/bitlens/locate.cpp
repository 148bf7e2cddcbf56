/// `bitlens locate`: where in the model the errors of a finished study arise, by variants of its methods.

#include "commands.hpp"
#include "model_runs.hpp"
#include "progress.hpp"
#include "setting.hpp"
#include "signals.hpp"
#include "streams.hpp"

#include "bitlens/analysis/location_results.hpp"
#include "bitlens/analysis/location_variants.hpp"
#include "bitlens/page/report.hpp"
#include "bitlens/recipes/awq_fold.hpp"
#include "bitlens/recipes/overrides.hpp"
#include "bitlens/recipes/stored_layers.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/sweep/memory_plan.hpp"
#include "bitlens/sweep/run_study.hpp"
#include "bitlens/version.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens::command {

namespace {

/// The study that the errors are of, and what of it is looked at.
struct located_study {
    finished_study s;
    std::vector<method> methods;                // asked for
    std::vector<std::optional<awq_fold>> folds; // of each: the scales of its channels
    override_rules rules;                       // of all of them
    std::size_t sets_of = 0;
    std::vector<std::size_t> rows; // rising
};

/// Place of a method of the study.   Errors: option_error listing those that there are.
std::size_t method_named(finished_study const& s, char const* option, std::string const& name) {
    const auto found = std::ranges::find(s.methods, name, &method_columns::name);
    if (found != s.methods.end()) return static_cast<std::size_t>(found - s.methods.begin());
    std::string there;
    for (auto const& m : s.methods) there += (there.empty() ? "" : ", ") + m.name;
    throw option_error(std::string(option) + ": the study has no finished method " + in_quotes(name) + "; it has " +
                       (there.empty() ? "none" : there));
}

located_study study_of(locate_arguments const& a, std::string const& who) {
    located_study l{make_study(read_run(a.run_folder)), {}, {}, {}, 0, {}};
    finished_study const& s = l.s;
    if (s.methods.empty()) throw option_error(a.run_folder.string() + ": a study with a finished method is expected");
    std::vector<std::string> names;
    for (auto const& m : s.methods) names.push_back(m.name);
    check_location_names(names, s.layers());
    std::set<std::size_t> chosen;
    for (auto const& name : a.methods)
        if (!chosen.insert(method_named(s, "--methods", name)).second)
            throw option_error("--methods: " + in_quotes(name) + " is named twice");
    for (std::size_t v = 0; v < s.methods.size(); ++v)
        if (chosen.empty() || chosen.contains(v))
            l.methods.push_back(method_of_run(
                a.run_folder, *std::ranges::find(s.run.manifest.methods, s.methods[v].name, &run_method::name)));
    if (json const* const rules = find_value(s.run.manifest.setting, "overrides", who))
        l.rules = override_rules(*rules, who, s.layers());
    if (a.sets_of) l.sets_of = method_named(s, "--sets-of", *a.sets_of);

    std::set<std::size_t> rows;
    for (auto const& word : a.on) {
        error_sets const& sets = s.sets[l.sets_of];
        if (word == "all")
            for (std::size_t n = 0; n < s.size(); ++n) rows.insert(n);
        else
            for (const std::size_t n : word == "large" ? sets.large : sets.ctrl) rows.insert(n);
    }
    l.rows.assign(rows.begin(), rows.end());
    if (l.rows.empty())
        throw option_error("--on: " + s.methods[l.sets_of].name + " has no D_large and D_ctrl among " +
                           std::to_string(s.size()) + " documents, of which a tenth is too few; --on all takes all");
    return l;
}

/// "upper", "all" or "A-B".   Errors: option_error for layers that the model does not have.
layer_range layers_named(std::string const& text, std::size_t layers) {
    if (text == "all") return {0, layers};
    if (text == "upper") return {upper_half(layers), layers};
    const auto dash = text.find('-');
    const layer_range range{std::stoull(text.substr(0, dash)), std::stoull(text.substr(dash + 1)) + 1};
    if (range.first >= range.end) throw option_error("--layers " + text + ": the first layer comes first");
    if (range.end > layers)
        throw option_error("--layers " + text + ": the model has layers 0 to " + std::to_string(layers - 1));
    return range;
}

location_request request_of(locate_arguments const& a, std::size_t layers) {
    const auto asks_for = [&](const char* experiment) {
        return std::ranges::find(a.experiments, experiment) != a.experiments.end();
    };
    location_request r;
    r.exits = asks_for("exit");
    r.restore = asks_for("restore");
    r.patch = asks_for("patch");
    r.gates = asks_for("gates");
    r.sensitivity = asks_for("sensitivity");
    r.attenuation = asks_for("attenuation");
    r.layers = layers_named(a.layers.value_or("upper"), layers);
    r.sensitive_layers = layers_named(a.layers.value_or("all"), layers);
    r.every = a.every;
    r.scale = a.frozen_scale ? exit_scale::frozen : exit_scale::fresh;
    return r;
}

/// The arithmetic of the study.   Errors: option_error where this machine would compute in another.
arithmetic arithmetic_of(run_manifest const& study, std::string const& who) {
    const auto text = required<std::string>(study.setting, "arithmetic", who);
    for (const arithmetic each : {arithmetic::f32, best_bf16()})
        if (arithmetic_text(each) == text) return each;
    throw option_error(who + ": the study was computed in " + in_quotes(text) + ", this machine computes in " +
                       in_quotes(arithmetic_text(arithmetic::f32)) + ": its losses would not be the study's");
}

/// The model of the study.   Errors: option_error with the first difference where it is another; format_error for a
/// study of another number of layers.
checkpoint model_of(std::filesystem::path const& path, finished_study const& s, std::string const& who) {
    json const& setting = s.run.manifest.setting;
    const auto allowed_keys =
        if_present<std::vector<std::string>>(required_object(setting, "model", who), "allowed_keys", who)
            .value_or(std::vector<std::string>());
    checkpoint source(path, allowed_keys);
    const bool has_tokenizer = required<std::string>(setting, "tokenizer", who) != "none";
    if (const auto difference =
            first_difference(setting.at("model"), describe_model(source, allowed_keys, has_tokenizer), "model"))
        throw option_error("--model " + path.string() + " is not the model of the study: " + *difference);
    if (s.layers() != source.config().layers)
        throw format_error("examples.csv: " + std::to_string(s.layers()) + " layers, expected " +
                           std::to_string(source.config().layers) + ", which the model has");
    return source;
}

/// Every loss of a model itself must be the study's, bit for bit.   Errors: format_error naming document and method.
void check_losses(results_table const& table, finished_study const& s) {
    for (std::size_t v = 0; v < table.variants().size(); ++v) {
        auto const* const own = table.find("nll_" + table.variants()[v], column_shape::document);
        auto const* const before = s.run.table.find("nll_" + table.variants()[v], column_shape::document);
        if (own == nullptr || before == nullptr) continue;
        for (std::size_t n = 0; n < s.size(); ++n)
            if (table.is_finished(v, n) && std::isfinite(own->numbers[n]) && own->numbers[n] != before->numbers[n]) {
                char text[160];
                std::snprintf(text, sizeof text, " is %.17g here and %.17g in examples.csv", own->numbers[n],
                              before->numbers[n]);
                throw format_error(own->name + " of " + s.run.documents.who(n) + text +
                                   ": the study was made by another version, or on another machine");
            }
    }
}

/// The full model, then each method.
using located_sources = std::vector<located_model<weight>>;

/// A source that stands for one while memory is planned.
struct planned_layers final : layer_source<weight> {
    std::vector<std::uint64_t> bytes_made{}; // of each layer: what is made whenever it is asked for; empty: nothing

    block_weights<weight> layer(std::size_t) override { return {}; }
};

located_sources planned_sources(located_study const& l, checkpoint const& source) {
    located_sources sources{{full_model_name, {}, std::make_shared<planned_layers>()}};
    for (std::size_t v = 0; v < l.methods.size(); ++v) {
        sources.push_back({l.methods[v].name, l.methods[v].text(), std::make_shared<planned_layers>()});
        if (!l.folds[v]) continue;
        const auto scaled = std::make_shared<planned_layers>();
        for (auto const& scales : l.folds[v]->scales)
            scaled->bytes_made.push_back(folded_bytes(source.family().form, source.config().block, scales));
        sources.back().scaled_full = scaled;
    }
    return sources;
}

/// What the planned sources of a tree make for a layer, where that is most.
std::uint64_t bytes_made(variant_tree<weight> const& tree, std::size_t layers) {
    std::uint64_t most = 0;
    for (std::size_t k = 0; k < layers; ++k) {
        std::set<layer_source<weight>*> asked;
        for (auto const& run : tree.step(k).runs) {
            for (std::size_t p = 0; p < projection_count; ++p) asked.insert(tree.source_of_matrix(run.variant, k, p));
            asked.insert(tree.source_of_rest(run.variant, k));
        }
        std::uint64_t bytes = 0;
        for (auto* const each : asked)
            if (auto const* const planned = dynamic_cast<planned_layers const*>(each);
                planned != nullptr && !planned->bytes_made.empty())
                bytes += planned->bytes_made[k];
        most = std::max(most, bytes);
    }
    return most;
}

location_variants<weight> variants_asked_for(located_study const& l, location_request const& request,
                                             located_sources const& sources) {
    return make_location_variants<weight>(std::span(sources), request, l.s.layers());
}

/// One for each variant of the table. Those of earlier calls keep their places, and are not run.
std::vector<variant<weight>> in_table_order(std::vector<variant<weight>> const& asked, results_table const& table) {
    std::vector<variant<weight>> all;
    for (auto const& name : table.variants()) {
        const auto found = std::ranges::find(asked, name, &variant<weight>::name);
        all.push_back(found == asked.end() ? variant<weight>::fork(name) : *found);
    }
    return all;
}

/// Variants that are run at once, and what that takes.
struct location_pass {
    std::vector<std::size_t> variants;
    memory_demand demand;
    memory_plan plan;
};

/// As few passes as memory allows: variants are added to one until the threads would not all have an example at work,
/// or weights could no longer be laid out.
/// Errors: as plan_memory, for the variant that takes most where there is no room for it alone.
template <class Demand>
std::vector<location_pass> plan_passes(std::span<const std::size_t> wanted, Demand const& demand_of_variants,
                                       machine const& here) {
    std::vector<location_pass> alone;
    for (const std::size_t v : wanted) alone.push_back({{v}, demand_of_variants(std::vector{v}), {}});
    std::ranges::stable_sort(alone, std::greater(), [&](location_pass const& pass) {
        sweep_memory const& states = pass.demand.states;
        return states.once + states.panels + states.per_example + here.threads * states.per_thread;
    });
    for (auto& pass : alone) pass.plan = plan_memory(pass.demand, here.memory, here.threads);

    std::ranges::sort(alone, {}, &location_pass::variants);
    std::vector<location_pass> passes;
    for (auto& each : alone) {
        if (!passes.empty()) {
            location_pass both{passes.back().variants, {}, {}};
            both.variants.push_back(each.variants[0]);
            both.demand = demand_of_variants(both.variants);
            try {
                both.plan = plan_memory(both.demand, here.memory, here.threads);
                const bool lays_out = both.plan.cut.lays_out || !passes.back().plan.cut.lays_out;
                if (lays_out &&
                    both.plan.cut.examples_per_block >= std::min<std::size_t>(here.threads, both.demand.rows)) {
                    passes.back() = std::move(both);
                    continue;
                }
            } catch (option_error const&) { // a pass of its own
            }
        }
        passes.push_back(std::move(each));
    }
    return passes;
}

/// What of the variants is still to be run, and how.
struct location_plan {
    std::vector<location_pass> passes;
    std::size_t layers = 0, exits = 0; // to run, of all documents; to score, of each
};

/// asked: in the order of the table; `run`: with all that is finished.   Errors: as plan_memory.
location_plan make_plan(checkpoint const& source, located_study const& l, std::span<const variant<weight>> asked,
                        location_variants<weight> const& made, run_results const& run, machine const& here) {
    model_config const& config = source.config();
    std::vector<std::size_t> wanted;
    location_plan plan;
    for (std::size_t v = 0; v < asked.size(); ++v) {
        const bool is_asked_for =
            std::ranges::find(made.variants, asked[v].name, &variant<weight>::name) != made.variants.end();
        if (!is_asked_for || std::ranges::all_of(l.rows, [&](std::size_t n) { return run.table.is_finished(v, n); }))
            continue;
        wanted.push_back(v);
        plan.exits += asked[v].exit ? 1u : 0u;
    }
    const auto bytes_of = [](results_table const& table) {
        return table.documents() * results_table::bytes_per_document(table.declared(), table.kinds(), table.size());
    };
    const std::size_t tokens = run.documents.ids.longest();
    const auto demand_of_variants = [&](std::vector<std::size_t> const& chosen) {
        const auto tree = bitlens::detail::chosen_variants(
            asked, std::span<const std::size_t>(bitlens::detail::with_what_they_need(std::span(chosen), asked)));
        const variant_tree<weight> planned(tree, config.block, config.layers);
        auto demand = demand_of(source, l.methods, planned.load(), tokens, l.rows.size(), 0, l.rules);
        demand.states.once += bytes_made(planned, config.layers);
        demand.results = bytes_of(run.table) + bytes_of(l.s.run.table);
        demand.states.per_example +=
            location_losses{}.bytes_of_one({tree.size(), config.layers, tokens, config.block.width});
        return demand;
    };
    plan.passes = plan_passes(wanted, demand_of_variants, here);
    for (auto const& pass : plan.passes) plan.layers += layers_to_do(run.table, asked, config, {l.rows, pass.variants});
    return plan;
}

/// "246.0 model runs on 20 documents; …": what is about to be computed.
std::string price_text(std::size_t layers_to_run, std::size_t exits, std::size_t documents,
                       model_config const& config) {
    double products = 0; // of a layer, a token
    for (std::size_t p = 0; p < projection_count; ++p) {
        const auto [rows, cols] = shape_of(static_cast<projection>(p), config.block);
        products += static_cast<double>(rows * cols);
    }
    const auto layers = static_cast<double>(config.layers);
    const double head = static_cast<double>(config.vocabulary * config.block.width) / (products * layers);
    char text[160];
    std::snprintf(text, sizeof text, "%.1f model runs on %zu documents", static_cast<double>(layers_to_run) / layers,
                  documents);
    std::string line = text;
    if (exits == 0) return line;
    std::snprintf(text, sizeof text,
                  "; %zu early exits on each, whose products with the head are as many as those of %.1f more runs",
                  exits, head * static_cast<double>(exits * documents));
    return line + text;
}

/// Says on standard output and in the log what is about to be computed, and in what memory.
void announce(location_plan const& plan, located_study const& l, model_config const& config, run_folder const& folder,
              machine const& here) {
    const auto say = [&](std::string const& line) {
        std::cout << line << '\n';
        folder.log(line);
    };
    say(price_text(plan.layers, plan.exits, l.rows.size(), config));
    for (auto const& pass : plan.passes)
        say((plan.passes.size() > 1 ? std::to_string(pass.variants.size()) + " variants at once, " : "") +
            plan_text(pass.demand, pass.plan, here.memory));
    flush_output();
}

/// The models and their variants, as much of them in memory as a plan says.
template <class Architecture>
struct located_models {
    transformer<Architecture, weight> model;
    std::vector<variant<weight>> variants; // one for each of the table
    bool full_resident, quantized_resident;

    located_models(checkpoint const& source, located_study const& l, location_request const& request,
                   arithmetic products, results_table const& table, memory_plan const& plan)
        : model(transformer<Architecture, weight>(source, plan.full_resident).with_products(products)),
          full_resident(plan.full_resident), quantized_resident(plan.quantized_resident) {
        located_sources sources{{full_model_name, {}, model.layers()}};
        model_config const& config = model.config();
        for (std::size_t v = 0; v < l.methods.size(); ++v) {
            method const& m = l.methods[v];
            sources.push_back({m.name, m.text(), layers_of(model, m, l.rules, quantized_resident)});
            sources.back().ends = ends_of<Architecture>(config, m);
            if (l.folds[v])
                sources.back().scaled_full = std::make_shared<folded_layers<weight>>(
                    model.layers(), Architecture::description.form, config.block, *l.folds[v]);
        }
        variants = in_table_order(variants_asked_for(l, request, sources).variants, table);
    }
    bool fit(memory_plan const& plan) const noexcept {
        return plan.full_resident == full_resident && plan.quantized_resident == quantized_resident;
    }
};

/// Runs all passes, and fills the table.   Errors: those of run_study and check_losses; interrupted.
template <class Architecture>
void run_passes(checkpoint const& source, located_study const& l, location_request const& request, arithmetic products,
                location_plan const& plan, run_folder const& folder, run_results& run, machine const& here) {
    const std::size_t layers_of_model = source.config().layers;
    const stop_requests stop;
    progress shown(plan.layers, layers_of_model, run.documents.ids.mean_tokens());
    const auto block_is_done = [&](std::size_t layers) {
        shown.advance(layers);
        check_losses(run.table, l.s);
        stop.check(folder.path().string() + ": holds all finished blocks; the same command goes on from there");
    };
    std::optional<located_models<Architecture>> models;
    std::vector<patch_count> replaced;
    for (auto const& pass : plan.passes) {
        if (models && !models->fit(pass.plan)) models.reset(); // before others take its place in memory
        if (!models) models.emplace(source, l, request, products, run.table, pass.plan);
        bitlens::detail::add_counts(replaced, run_study(models->model, models->variants, folder, run, pass.plan.cut,
                                                        location_losses{}, block_is_done, {l.rows, pass.variants}));
    }
    for (auto const& p : replaced)
        folder.log(p.variant + ": " + std::to_string(p.values) + " values of " + std::string(name(p.point)) +
                   " replaced");
    folder.log(std::to_string(plan.layers / layers_of_model) + " model runs in " + duration_text(shown.seconds()) +
               " on " + std::to_string(here.threads) + " threads");
}

/// A part is called by its variant: the longest name is one while it is being written.   Errors: io_error.
void expect_parts_writable(run_folder const& folder, run_manifest const& manifest, std::size_t documents) {
    for (run_method const& m : manifest.methods)
        expect_writable(folder.path() / folder.part_path(m.name, documents, documents).filename());
}

/// All of it, in the folder that it has to itself.
report_summary locate_in(run_folder const& folder, locate_arguments const& a, checkpoint const& source,
                         located_study const& l, arithmetic products, machine const& here) {
    finished_study const& s = l.s;
    const auto request = request_of(a, s.layers());
    const auto made = variants_asked_for(l, request, planned_sources(l, source));
    run_results run = begin_location(
        folder,
        {{{"bitlens", version}, {"study", s.run.manifest.setting}}, made.described, location_losses{}.columns()}, s);
    const auto asked = in_table_order(made.variants, run.table);
    const auto plan = make_plan(source, l, asked, made, run, here);
    if (!plan.passes.empty()) {
        expect_parts_writable(folder, run.manifest, run.size());
        // Not before all this has passed: later calls take up what the manifest names.
        folder.write_manifest(run.manifest);
        announce(plan, l, source.config(), folder, here);
        visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
            run_passes<Architecture>(source, l, request, products, plan, folder, run, here);
        });
    }
    check_losses(run.table, s);
    finish_location(folder, run, s.sets[l.sets_of]);
    return write_report(folder.path(), s, read_location(folder.path(), s)); // as `bitlens report` draws it
}

} // namespace

void locate(locate_arguments const& a) {
    const machine here(a.machine);
    const auto manifest = a.run_folder / "manifest.json";
    if (!is_there(manifest)) throw option_error(a.run_folder.string() + ": the folder of a finished study is expected");
    const run_folder folder(a.run_folder, location_folder);
    folder.expect_writable();
    expect_writable(a.run_folder / location_table);
    expect_report_writable(a.run_folder);
    const std::string who = manifest.string();
    located_study l = study_of(a, who);
    const checkpoint source = model_of(a.model, l.s, who);
    for (auto const& m : l.methods)
        l.folds.push_back(m.folder.empty() || is_checkpoint(m)
                              ? std::nullopt
                              : fold_of<weight>(quantized_folder(m.folder), source.config().block));
    const arithmetic products = arithmetic_of(l.s.run.manifest, who);
    const auto summary = locate_in(folder, a, source, l, products, here);
    std::cout << summary << "table: " << visible_line((a.run_folder / location_table).native())
              << "\nreport: " << visible_line(summary.page.native()) << '\n';
}

} // namespace bitlens::command
