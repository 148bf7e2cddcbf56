#include "files.hpp"
#include "targets.hpp"

#include "bitlens/analysis/study_report.hpp"
#include "bitlens/analysis/study_results.hpp"
#include "bitlens/sweep/run_folder.hpp"

#include <array>

namespace bitlens::fuzz {

namespace {

folder make_run() {
    return folder{{"manifest.json", "run_manifest/valid.json"},
                  {"examples.csv", "run_examples/valid.csv"},
                  {"tokens.npz", "run_tokens/valid.npz"}};
}

/// What a second `bitlens study` does with an earlier one's folder. Sizes are those of the run in the corpus.
void resume(folder const& place) {
    constexpr std::size_t examples = 12, positions = 3, layers = 1;
    place.write(".lock", {}); // the mark of a run's folder
    const run_folder run(place.path());
    std::array variants{make_variant_results("full", examples, positions, layers),
                        make_variant_results("rtn4-row", examples, positions, layers)};
    read_finished(run, variants);
}

} // namespace

void run_manifest(input bytes) {
    static const folder run = make_run();
    run.write("manifest.json", bytes);
    write_report(run.path());
}

void run_examples(input bytes) {
    static const folder run = make_run();
    run.write("examples.csv", bytes);
    write_report(run.path());
    resume(run);
}

void run_float32(input bytes) {
    static const folder run = make_run();
    run.write("float32.csv", bytes);
    write_report(run.path());
}

void run_tokens(input bytes) {
    static const folder run = make_run();
    run.write("tokens.npz", bytes);
    write_report(run.path());
    resume(run);
}

void run_part(input bytes) {
    static const folder run{{"parts/full-3-2.npz", "run_part/valid.npz"}};
    run.write("parts/full-3-2.npz", bytes);
    resume(run);
}

} // namespace bitlens::fuzz
