/// Table 5: what does each method cost on all documents, as perplexity?
///
///     FineWeb       exp(mean NLL) over documents of equally many tokens (512), each from its beginning
///     WikiText-2    lines joined by blank ones, tokenized once, cut into windows (2048): exp of the mean of their
///     means,
///                   each over all tokens but the first

#include "experiment.hpp"

#include <iostream>

namespace {

using namespace bitlens;

void show_perplexities(paper::request const& asked) {
    const auto s = paper::measure_study(asked);
    const auto windows = paper::measure_text(asked);

    table t{"table_5",
            "Perplexity on " + counted(s.size(), "document") + " of " + lengths_text(s.run.documents.ids),
            {{"method", "method"}, {"documents", "documents"}},
            {},
            {}};
    if (windows) {
        t.columns.push_back({"text", "text"});
        t.title +=
            ", and on a text in " + counted(windows->full.size(), "window") + " of " + std::to_string(windows->window);
    }
    const auto add = [&](std::string const& name, std::span<const double> nll, std::span<const double> of_windows) {
        std::vector<cell> row{name, perplexity(overall_mean(nll))};
        if (windows) row.push_back(perplexity(overall_mean(of_windows)));
        t.add(std::move(row));
    };
    add("full", s.nll_full, windows ? windows->full : std::vector<double>());
    for (std::size_t v = 0; v < s.methods.size(); ++v)
        add(s.methods[v].name, s.methods[v].nll, windows ? windows->methods[v] : std::vector<double>());
    std::cout << to_text(t);
}

} // namespace

int main(int argc, char** argv) {
    return paper::run(argc, argv, "rtn4-g64,nf4-g64,rtn3-g64,nf3-g64", paper::own_option::text, show_perplexities);
}
