/// `bitlens perplexity`: of one text in windows, by the convention of the paper's Table 5.

#include "commands.hpp"
#include "model_runs.hpp"
#include "progress.hpp"
#include "setting.hpp"

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/analysis/select_documents.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/sweep/sweep.hpp"
#include "bitlens/text/documents.hpp"

#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens::command {

namespace {

std::string read_text(perplexity_arguments const& a) {
    const mapped_file file(a.text);
    const std::string_view text = checked_text(as_text(file.bytes()), a.text.string());
    return a.join_lines ? join_lines(text) : std::string(text);
}

/// Windows of `window` neighbouring ids; what is left over at the end is not scored.
matrix<std::int32_t> cut_windows(perplexity_arguments const& a, tokenizer const& t) {
    auto ids = t.encode(read_text(a));
    if (const auto bos = bos_token(t, a.bos)) ids.insert(ids.begin(), *bos);
    matrix<std::int32_t> windows(ids.size() / a.window, a.window);
    if (windows.rows() == 0)
        throw option_error(a.text.string() + ": " + std::to_string(ids.size()) + " tokens, at least one window of " +
                           std::to_string(a.window) + " is expected");
    std::copy_n(ids.begin(), windows.rows() * windows.cols(), windows.data());
    return windows;
}

template <class Architecture>
double mean_nll(checkpoint const& source, perplexity_arguments const& a, matrix<std::int32_t> const& windows,
                machine const& here) {
    const auto methods = methods_beside_full(a.method);
    const auto plan = plan_memory(demand_of(source, methods, windows.cols(), windows.rows(), sizeof(double)),
                                  here.memory, here.threads);
    const auto model =
        transformer<Architecture, weight>(source, plan.full_resident).with_products(products_named(a.arithmetic));
    const std::vector<variant<weight>> variants{{a.method, layers_of(model, methods, plan)}};
    progress shown(windows.rows(), windows.cols());
    std::vector<double> means(windows.rows());
    sweep<Architecture, weight>(
        model, variants, windows, plan.cut, [&](std::size_t) { return score_measurement(windows.cols() - 1); },
        [&](std::size_t first, std::span<score_measurement> block) {
            for (std::size_t e = 0; e < block.size(); ++e) means[first + e] = mean<double>(block[e].positions().nll);
            shown.advance(block.size());
        });
    return mean<double>(means);
}

} // namespace

void perplexity(perplexity_arguments const& a) {
    const machine here(a.machine);
    const checkpoint source(a.model);
    warn_beyond_context(source.config(), "--window", a.window);
    const tokenizer t = source.load_tokenizer();
    const auto windows = cut_windows(a, t);
    check_rows(a.text.string(), t, windows.span(), source.config().vocabulary);
    const double nll = visit_architecture(source.config(), [&]<class Architecture>(Architecture) {
        return mean_nll<Architecture>(source, a, windows, here);
    });
    std::printf("%zu windows of %zu tokens: nll %.6f nats per token, perplexity %.4f\n", windows.rows(), windows.cols(),
                nll, std::exp(nll));
}

} // namespace bitlens::command
