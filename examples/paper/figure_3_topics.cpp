/// Figure 3: are the documents that quantization breaks those of one topic?
///
///     the five topics with the largest shares of D_large, beside their shares of all documents; topics are those of
///     the data, whose lines have a key `topic`

#include "experiment.hpp"

#include "bitlens/analysis/topics.hpp"

#include <iostream>

namespace {

using namespace bitlens;

void show_topics(finished_study const& s) {
    const auto found = study_topics(s);
    if (!found) throw option_error("--data: documents of at least two topics are expected, in the key \"topic\"");
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        table t{"figure_3",
                "The largest topics of D_large of " + s.methods[v].name,
                {{"topic", "topic"},
                 {"large", "documents in D_large"},
                 {"share_large", "share"},
                 {"share_all", "share of all documents"}},
                {},
                {}};
        for (const std::size_t topic : found->largest[v]) {
            auto const& e = found->methods[v][topic];
            t.add({found->topics[topic], e.large, e.share_large, e.share_all});
        }
        std::size_t covered = 0;
        for (auto const& e : found->methods[v]) covered += e.large > 0 ? 1u : 0u;
        const measured largest =
            found->largest[v].empty() ? measured(no_tenth()) : found->methods[v][found->largest[v].front()].share_large;
        t.notes.push_back("D_large has documents of " + std::to_string(covered) + " of " +
                          counted(found->topics.size(), "topic") + ", the largest share is " + shown(largest, 3) +
                          ". The paper: of all 24, none above 0.12.");
        std::cout << to_text(t) << (v + 1 < s.methods.size() ? "\n" : "");
    }
}

} // namespace

int main(int argc, char** argv) { return paper::run(argc, argv, "rtn3-g64,nf3-g64", show_topics); }
