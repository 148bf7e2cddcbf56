/// `bitlens perplexity`: of one text in windows, by the convention of the paper's Table 5.

#include "commands.hpp"
#include "model_runs.hpp"
#include "progress.hpp"
#include "setting.hpp"

#include "bitlens/analysis/numbers.hpp"
#include "bitlens/analysis/window_losses.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/page/table_json.hpp"
#include "bitlens/report/table.hpp"
#include "bitlens/sweep/position_scores.hpp"
#include "bitlens/sweep/select_documents.hpp"
#include "bitlens/text/text_windows.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iostream>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens::command {

namespace {

/// What is known of one model.
struct method_perplexity {
    std::string name, spec;
    std::vector<double> nll; // nats per token, the mean of each window

    measured difference_to(method_perplexity const& full, measured (*statistic)(std::span<const double>)) const {
        std::vector<double> difference(nll.size());
        std::ranges::transform(nll, full.nll, difference.begin(), std::minus{});
        return statistic(difference);
    }
};

/// The full model, then every method, in one sweep.
template <class Architecture>
std::vector<method_perplexity> measure(checkpoint const& source, perplexity_arguments const& a,
                                       std::vector<method> const& methods, matrix<std::int32_t> const& windows,
                                       machine const& here) {
    model_config const& config = source.config();
    for (auto const& m : methods) check_shapes<weight>(config.block, config.layers, m, {});
    const std::size_t scored = windows.cols() - 1, count = methods.size() + 1;
    auto demand = demand_of(source, methods, windows.cols(), windows.rows(), count * sizeof(double));
    demand.states.per_example += score_measurement::bytes(scored, count);
    const auto plan = plan_memory(demand, here.memory, here.threads);
    const auto model =
        transformer<Architecture, weight>(source, plan.full_resident).with_products(products_named(a.arithmetic));
    const auto variants = variants_of(model, methods, plan);

    progress shown(windows.rows() * count * config.layers, config.layers, windows.cols());
    auto losses = window_losses(model, variants, windows.view(), plan.cut,
                                [&](std::size_t done) { shown.advance(done * count * config.layers); });
    std::vector<method_perplexity> results{{full_model_name, full_model_name, std::move(losses[0])}};
    for (std::size_t m = 0; m < methods.size(); ++m)
        results.push_back({methods[m].name, methods[m].text(), std::move(losses[m + 1])});
    return results;
}

/// Of a mean loss in nats per token.
measured bits_per_byte(measured const& nll, text_windows const& windows) {
    if (!windows.bytes) return undefined{"the ids do not give the text back, so that its bytes are not known"};
    if (*windows.bytes == 0) return undefined{"no byte of the text is scored"};
    return *nll * static_cast<double>(windows.scored()) / std::numbers::ln2 / static_cast<double>(*windows.bytes);
}

table table_of(std::span<const method_perplexity> results, text_windows const& windows) {
    table t{"perplexity",
            counted(windows.ids.rows(), "window") + " of " + std::to_string(windows.ids.cols()) +
                " tokens; nll and its difference to the full model in nats per token",
            {{"name", "method"},
             {"nll", "nll", 6},
             {"nll_standard_error", "standard error", 6},
             {"perplexity", "perplexity", 4},
             {"difference", "difference", 6},
             {"difference_standard_error", "standard error", 6},
             {"bits_per_byte", "bits per byte", 4}},
            {},
            {}};
    for (auto const& r : results) {
        const measured nll = overall_mean(r.nll);
        t.add({r.name, nll, standard_error(r.nll), perplexity(nll), r.difference_to(results[0], overall_mean),
               r.difference_to(results[0], standard_error), bits_per_byte(nll, windows)});
    }
    return t;
}

/// For programs: what was measured, and the rows of the table.
ordered_json to_json(perplexity_arguments const& a, checkpoint const& source, text_windows const& windows,
                     std::span<const method_perplexity> results) {
    ordered_json all;
    all["model"] = a.model.path.string();
    all["full"] = source.format_description();
    all["text"] = a.text.string();
    all["join_lines"] = a.join_lines;
    all["bos"] = windows.bos;
    all["window"] = windows.ids.cols();
    all["tokens"] = windows.tokens;
    all["windows"] = windows.ids.rows();
    all["scored"] = windows.scored();
    if (windows.bytes)
        all["bytes"] = *windows.bytes;
    else
        all["bytes"] = nullptr;
    all["arithmetic"] = arithmetic_text(products_named(a.arithmetic));
    ordered_json& methods = all["methods"] = bitlens::to_json(table_of(results, windows))["rows"];
    for (std::size_t v = 0; v < results.size(); ++v) methods[v]["spec"] = results[v].spec;
    return all;
}

} // namespace

void perplexity(perplexity_arguments const& a) {
    const machine here(a.machine);
    const auto methods = parse_methods(a.methods);
    const checkpoint source = open_model(a.model);
    check_methods(source, a.model, methods);
    warn_beyond_context(source.config(), "--window", a.window);
    const tokenizer t = source.load_tokenizer();
    const auto windows =
        cut_windows(read_text(a.text, a.join_lines), a.text.string(), t, bos_token(t, a.bos), a.window);
    check_rows(a.text.string(), t, windows.ids.span(), source.config().vocabulary);
    const auto results = visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        return measure<Architecture>(source, a, methods, windows.ids, here);
    });
    if (a.json) {
        // Paths may be no UTF-8.
        std::cout << to_json(a, source, windows, results).dump(2, ' ', false, ordered_json::error_handler_t::replace)
                  << '\n';
    } else if (results.size() > 1) {
        std::cout << to_text(table_of(results, windows));
    } else {
        const measured nll = overall_mean(results[0].nll);
        std::cout << windows.ids.rows() << " windows of " << windows.ids.cols() << " tokens: nll " << shown(nll, 6)
                  << " nats per token, perplexity " << shown(perplexity(nll), 4) << '\n';
    }
}

} // namespace bitlens::command
