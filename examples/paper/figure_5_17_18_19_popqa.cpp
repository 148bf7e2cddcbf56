/// Figures 5, 17, 18 and 19: what does quantization leave of what a model knows, by how popular it is?
///
///     figure_5_17_18_19_popqa RUN     a finished run of `bitlens popqa`; without: a tiny random model and made-up
///                                     questions
///
///     5, 17    accuracy of the full model minus that of each method, by buckets of log10(popularity)
///     18       the accuracies themselves
///     19       questions of each bucket

#include "experiment.hpp"

#include "bitlens/analysis/question_numbers.hpp"
#include "bitlens/page/question_figures.hpp"
#include "bitlens/page/question_tables.hpp"

#include <iostream>

namespace {

using namespace bitlens;

void show_questions(paper::request const& asked) {
    const finished_questions q = paper::measure_questions(asked);
    const auto n = numbers_of(q);
    std::cout << to_text(accuracy_table(q, n)) << '\n'
              << to_text(bucket_accuracy_table(q, n)) << '\n'
              << to_text(bucket_degradation_table(q, n));
    std::cout << "\nFigures:";
    for (auto const& f : {lost_accuracy_figure(q, n, answer_mark::contains),
                          accuracy_figure(q, n, answer_mark::contains), histogram_figure(q, n)}) {
        write_figure(".", f);
        std::cout << ' ' << f.name << ".svg";
    }
    std::cout << '\n';
}

} // namespace

int main(int argc, char** argv) {
    return paper::run(argc, argv, "rtn3-g64,nf3-g64", paper::own_option::runs, show_questions);
}
