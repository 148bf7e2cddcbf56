/// Figures 4 and 16: does quantization break rare documents, or common ones?
///
///     x    NLL of a document before quantization, under the same model (figure 16), or under that of a finished run
///          over the same documents, --before RUN (figure 4: Llama3-70B says for every model which documents are rare)
///     y    its error
///          and the mean of y over all documents with x ≥ 4, and with x ≤ 1, nats per token

#include "experiment.hpp"

#include "bitlens/page/figures.hpp"
#include "bitlens/page/tables.hpp"

#include <algorithm>
#include <iostream>

namespace {

using namespace bitlens;

void show_long_tail(paper::request const& asked) {
    paper::request sharp = asked;
    sharp.sharpness = 4; // or the tiny model finds no document easy
    const auto s = paper::measure_study(sharp);
    std::vector<double> before(s.nll_full.begin(), s.nll_full.end());
    std::string whose = "of the full model";
    if (!asked.before.empty()) {
        before = losses_in(make_study(read_run(asked.before)), asked.before.string(), s.run.documents);
        whose = "in " + asked.before.string();
    }
    table t = long_tail_table(s, before, whose);
    const bool named = std::ranges::any_of(s.run.documents.names, [](auto const& id) { return !id.empty(); });
    if (!asked.before.empty())
        t.notes.push_back(std::to_string(defined_numbers(before).size()) + " of " + counted(s.size(), "document") +
                          " are in both runs, by their row number" +
                          (named ? " and id." : "; none has an id to compare."));
    t.notes.push_back("The paper: 0.14 (AWQ3) and 0.30 (GPTQ3) of the hard ones, 0.67 and 1.00 of the easy ones.");
    std::cout << to_text(t);

    const figure f = long_tail_figure(s, before, "loss " + whose);
    write_figure(".", f);
    std::cout << "\nFigure: " << f.name << ".svg\n";
}

} // namespace

int main(int argc, char** argv) {
    return paper::run(argc, argv, "rtn3-g64,nf3-g64", paper::own_option::before, show_long_tail);
}
