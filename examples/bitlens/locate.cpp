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
#include "bitlens/recipes/overrides.hpp"
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
    std::vector<run_method> methods; // asked for
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

located_study study_of(locate_arguments const& a) {
    located_study l{make_study(read_run(a.run_folder)), {}, 0, {}};
    finished_study const& s = l.s;
    if (s.methods.empty()) throw option_error(a.run_folder.string() + ": a study with a finished method is expected");
    std::set<std::size_t> chosen;
    for (auto const& name : a.methods)
        if (!chosen.insert(method_named(s, "--methods", name)).second)
            throw option_error("--methods: " + in_quotes(name) + " is named twice");
    for (std::size_t v = 0; v < s.methods.size(); ++v)
        if (chosen.empty() || chosen.contains(v)) l.methods.push_back({s.methods[v].name, s.methods[v].spec});
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
    if (range.first >= range.end || range.end > layers)
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

/// Errors: option_error with the first difference where the model is not that of the study.
void check_model(checkpoint const& source, run_manifest const& study, std::vector<std::string> const& allowed_keys,
                 std::string const& who) {
    const bool has_tokenizer = required<std::string>(study.setting, "tokenizer", who) != "none";
    if (const auto difference =
            first_difference(study.setting.at("model"), describe_model(source, allowed_keys, has_tokenizer), "model"))
        throw option_error("--model " + source.path().string() + " is not the model of the study: " + *difference);
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

/// A source that stands for one while memory is planned.
struct planned_layers final : layer_source<weight> {
    block_weights<weight> layer(std::size_t) override { return {}; }
};

/// Variants that are run at once, and what that takes.
struct location_pass {
    std::vector<std::size_t> variants;
    memory_demand demand;
    memory_plan plan;
};

/// As few passes as memory allows: variants are added to one until the threads would not all have an example at work.
template <class Demand>
std::vector<location_pass> plan_passes(std::span<const std::size_t> wanted, Demand const& demand_of_variants,
                                       machine const& here) {
    std::vector<location_pass> passes;
    for (const std::size_t v : wanted) {
        if (!passes.empty()) {
            auto more = passes.back().variants;
            more.push_back(v);
            const memory_demand demand = demand_of_variants(more);
            try {
                const memory_plan plan = plan_memory(demand, here.memory, here.threads);
                if (plan.cut.examples_per_block >= std::min<std::size_t>(here.threads, demand.rows)) {
                    passes.back() = {std::move(more), demand, plan};
                    continue;
                }
            } catch (option_error const&) { // a pass of its own
            }
        }
        const memory_demand demand = demand_of_variants(std::vector{v});
        passes.push_back({{v}, demand, plan_memory(demand, here.memory, here.threads)});
    }
    return passes;
}

/// "12.3 model runs a document, …": what is about to be computed.
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

template <class Architecture>
report_summary run(locate_arguments const& a, checkpoint const& source, located_study& l, run_folder const& folder,
                   arithmetic products, machine const& here) {
    model_config const& config = source.config();
    finished_study& s = l.s;
    const std::string who = (folder.path() / "manifest.json").string();
    json const& setting = s.run.manifest.setting;
    const override_rules rules = setting.at("overrides").is_null()
                                     ? override_rules()
                                     : override_rules(setting.at("overrides"), who, config.layers);
    std::vector<method> methods;
    for (run_method const& m : l.methods) methods.push_back(parse_method(m.name + "=" + m.spec));

    const auto variants_from = [&](auto const& sources) {
        std::vector<located_model<weight>> models{{full_model_name, {}, sources[0]}};
        for (std::size_t v = 0; v < methods.size(); ++v)
            models.push_back({methods[v].name, methods[v].text(), sources[v + 1]});
        return make_location_variants<weight>(models, request_of(a, config.layers), config.layers);
    };
    std::vector<std::shared_ptr<layer_source<weight>>> sources;
    for (std::size_t v = 0; v <= methods.size(); ++v) sources.push_back(std::make_shared<planned_layers>());
    auto asked = variants_from(sources);

    run_manifest manifest{{{"bitlens", version}, {"study", setting}}, asked.described, location_losses{}.columns()};
    const run_manifest agreed = folder.agree(manifest);
    folder.expect_names_writable(agreed.methods);
    run_results run = begin_location(folder, manifest, s);
    // Variants of earlier calls keep their places in the table, and are not run.
    const auto in_table_order = [&](std::vector<variant<weight>> const& made) {
        std::vector<variant<weight>> all;
        for (auto const& name : run.table.variants()) {
            const auto found = std::ranges::find(made, name, &variant<weight>::name);
            all.push_back(found == made.end() ? variant<weight>::fork(name) : *found);
        }
        return all;
    };
    auto variants = in_table_order(asked.variants);
    std::vector<std::size_t> wanted;
    for (std::size_t v = 0; v < variants.size(); ++v)
        if (std::ranges::find(asked.variants, variants[v].name, &variant<weight>::name) != asked.variants.end() &&
            std::ranges::any_of(l.rows, [&](std::size_t n) { return !run.table.is_finished(v, n); }))
            wanted.push_back(v);

    const auto running = [&](std::span<const std::size_t> chosen) {
        const std::span<const variant<weight>> all(variants);
        return bitlens::detail::chosen_variants(all, std::span<const std::size_t>(bitlens::detail::with_what_they_need(chosen, all)));
    };
    const auto demand_of_variants = [&](std::vector<std::size_t> const& chosen) {
        const auto tree = running(chosen);
        const auto load = variant_tree<weight>(tree, config.block, config.layers).load();
        auto demand = demand_of(source, methods, load, s.run.documents.ids.cols(), l.rows.size(), 0, rules);
        demand.results =
            s.size() * results_table::bytes_per_document(run.manifest.columns, run.table.kinds(), run.table.size());
        demand.states.per_example += location_losses{}.bytes_of_one(
            {tree.size(), config.layers, s.run.documents.ids.cols(), config.block.width});
        return demand;
    };
    const auto passes = plan_passes(wanted, demand_of_variants, here);
    memory_plan keep; // what all passes can keep in memory
    for (auto const& pass : passes) {
        keep.full_resident = keep.full_resident && pass.plan.full_resident;
        keep.quantized_resident = keep.quantized_resident && pass.plan.quantized_resident;
    }
    std::size_t layers = 0, exits = 0;
    for (auto const& pass : passes)
        layers += layers_to_do(run.table, std::span<const variant<weight>>(variants), config, {l.rows, pass.variants});
    for (const std::size_t v : wanted) exits += variants[v].exit ? 1u : 0u;
    if (!wanted.empty()) {
        const std::string price = price_text(layers, exits, l.rows.size(), config);
        std::cout << price << '\n';
        folder.log(price);
        for (auto const& pass : passes) {
            const std::string line =
                (passes.size() > 1 ? std::to_string(pass.variants.size()) + " variants at once, " : "") +
                plan_text(pass.demand, pass.plan, here.memory);
            std::cout << line << '\n';
            folder.log(line);
        }
        flush_output();

        const auto model = transformer<Architecture, weight>(source, keep.full_resident).with_products(products);
        sources[0] = model.layers();
        for (std::size_t v = 0; v < methods.size(); ++v)
            sources[v + 1] =
                std::make_shared<quantized_layers<weight>>(model.layers(), methods[v], rules, keep.quantized_resident);
        asked = variants_from(sources);
        variants = in_table_order(asked.variants);
        const stop_requests stop;
        progress shown(layers, config.layers, s.run.documents.ids.cols());
        std::vector<patch_count> replaced;
        for (auto const& pass : passes)
            bitlens::detail::add_counts(
                replaced, run_study(model, variants, folder, run, pass.plan.cut, location_losses{},
                                    [&](std::size_t done) {
                                        shown.advance(done);
                                        check_losses(run.table, s);
                                        stop.check(folder.path().string() +
                                                   ": holds all finished blocks; the same command goes on from there");
                                    },
                                    {l.rows, pass.variants}));
        for (auto const& p : replaced)
            folder.log(p.variant + ": " + std::to_string(p.values) + " values of " + std::string(name(p.point)) +
                       " replaced");
        folder.log(std::to_string(layers / config.layers) + " model runs in " + duration_text(shown.seconds()) +
                   " on " + std::to_string(here.threads) + " threads");
    }
    check_losses(run.table, s);
    finish_location(folder, run, s.sets[l.sets_of]);
    return write_report(folder.path(), s, located_run{std::move(run.table), l.sets_of});
}

} // namespace

void locate(locate_arguments const& a) {
    const machine here(a.machine);
    if (!std::filesystem::exists(a.run_folder / "manifest.json"))
        throw option_error(a.run_folder.string() + ": the folder of a finished study is expected");
    const run_folder folder(a.run_folder, location_folder);
    folder.expect_writable();
    expect_writable(a.run_folder / location_table);
    expect_report_writable(a.run_folder);
    located_study l = study_of(a);
    const std::string who = (a.run_folder / "manifest.json").string();
    std::vector<std::string> allowed_keys;
    if (json const& model = l.s.run.manifest.setting.at("model"); model.contains("allowed_keys"))
        allowed_keys = required<std::vector<std::string>>(model, "allowed_keys", who);
    const checkpoint source(a.model, allowed_keys);
    check_model(source, l.s.run.manifest, allowed_keys, who);
    const arithmetic products = arithmetic_of(l.s.run.manifest, who);
    const auto summary = visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        return run<Architecture>(a, source, l, folder, products, here);
    });
    std::cout << summary << "table: " << visible_line((a.run_folder / location_table).native())
              << "\nreport: " << visible_line(summary.page.native()) << '\n';
}

} // namespace bitlens::command
