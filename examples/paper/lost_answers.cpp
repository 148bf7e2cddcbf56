/// Beyond the paper: do documents with large errors and answers that are lost share what foretells them?
///
///     lost_answers DOCUMENTS CHOICES     finished run folders of one model and the same methods: of documents, and of
///                                        questions of several choices (`bitlens study --choices-key … --answer-key …`)
///
///     right, lost    choices by the loss of their tokens behind the question
///     rho            Spearman's correlation of what the full model does, at its last layer, with the error of a
///                    document, and with whether a right answer is lost

#include "experiment.hpp"

#include "bitlens/page/choice_table.hpp"
#include "bitlens/page/shared_foretelling_table.hpp"

#include <iostream>

namespace {

using namespace bitlens;

void show_lost_answers(paper::request const& asked) {
    const auto runs = paper::measure_choices(asked);
    std::cout << to_text(choices_table(runs.choices, *choices_of(runs.choices)));
    for (auto const& of_method : share_foretelling(runs.documents, runs.choices))
        std::cout << '\n' << to_text(shared_foretelling_table(of_method));
}

} // namespace

int main(int argc, char** argv) {
    return paper::run(argc, argv, "rtn3-g64,nf3-g64", paper::own_option::runs, show_lost_answers);
}
