/// `bitlens perplexity`: of one text in windows, by the convention of the paper's Table 5.

#include "commands.hpp"
#include "model_runs.hpp"
#include "progress.hpp"
#include "setting.hpp"

#include "bitlens/analysis/numbers.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/page/table_json.hpp"
#include "bitlens/report/table.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/sweep/position_scores.hpp"
#include "bitlens/sweep/select_documents.hpp"
#include "bitlens/sweep/sweep.hpp"
#include "bitlens/text/documents.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iostream>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens::command {

namespace {

struct text_windows {
    bool bos = false;         // whether the text begins with a beginning-of-text token
    std::size_t tokens = 0;   // ids of the whole text, with it
    matrix<std::int32_t> ids; // (windows, window): neighbouring ones; what is left over at the end is not scored
    /// Of the text that the scored ids stand for, which are all of a window but the first; unknown where ids do not
    /// give the text back, as from a tokenizer that drops what it has no token for.
    std::optional<std::size_t> bytes;

    std::size_t scored() const noexcept { return ids.rows() * (ids.cols() - 1); }
};

std::string read_text(perplexity_arguments const& a) {
    const mapped_file file(a.text);
    const std::string_view text = checked_text(as_text(file.bytes()), a.text.string());
    return a.join_lines ? join_lines(text) : std::string(text);
}

text_windows cut_windows(perplexity_arguments const& a, tokenizer const& t) {
    const std::string text = read_text(a);
    auto ids = t.encode(text);
    const bool is_whole = t.decode(ids) == text;
    const auto bos = bos_token(t, a.bos);
    if (bos) ids.insert(ids.begin(), *bos);
    text_windows windows{bos.has_value(), ids.size(), matrix<std::int32_t>(ids.size() / a.window, a.window), {}};
    auto& cut = windows.ids;
    if (cut.rows() == 0)
        throw option_error(a.text.string() + ": " + std::to_string(ids.size()) + " tokens, at least one window of " +
                           std::to_string(a.window) + " is expected");
    std::copy_n(ids.begin(), cut.rows() * cut.cols(), cut.data());
    if (!is_whole) return windows;
    std::size_t bytes = 0;
    for (std::size_t n = 0; n < cut.rows(); ++n)
        for (const std::int32_t id : cut.row(n).subspan(1)) bytes += t.token_bytes(id).size();
    windows.bytes = bytes;
    return windows;
}

/// Errors: error for the first loss of a window that is no number, naming its place.
void check_finite(std::span<const double> nll, std::string const& method, std::size_t window) {
    const auto at = std::ranges::find_if_not(nll, [](double x) { return std::isfinite(x); });
    if (at == nll.end()) return;
    throw error("method " + method + ", window " + std::to_string(window) + ", position " +
                std::to_string(at - nll.begin()) + " (both from 0): the loss is " +
                (std::isnan(*at) ? "not a number" : "infinite") + "; what the model computes there is beyond float32");
}

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

    std::vector<method_perplexity> results{{full_model_name, full_model_name, std::vector<double>(windows.rows())}};
    for (auto const& m : methods) results.push_back({m.name, m.text(), std::vector<double>(windows.rows())});
    progress shown(windows.rows() * count * config.layers, config.layers, windows.cols());
    sweep<Architecture, weight>(
        model, variants, windows, plan.cut, [&](std::size_t) { return score_measurement(scored, count); },
        [&](std::size_t first, std::span<score_measurement> block) {
            for (std::size_t e = 0; e < block.size(); ++e)
                for (std::size_t v = 0; v < count; ++v) {
                    auto const& nll = block[e].positions(v).nll;
                    check_finite(nll, results[v].name, first + e);
                    results[v].nll[first + e] = mean<double>(nll);
                }
            shown.advance(block.size() * count * config.layers);
        });
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
    warn_beyond_context(source.config(), "--window", a.window);
    const tokenizer t = source.load_tokenizer();
    const auto windows = cut_windows(a, t);
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
