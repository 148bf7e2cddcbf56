#include "files.hpp"
#include "targets.hpp"

#include "bitlens/analysis/study_report.hpp"
#include "bitlens/analysis/study_results.hpp"
#include "bitlens/io/gzip.hpp"
#include "bitlens/sweep/run_folder.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

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

/// What every number of a run goes through before a report shows it.   Errors: as write_report.
void use(finished_study const& study, bitlens::run_tokens const& tokens) {
    for (std::size_t i = 0; i < study.run.size(); ++i) {
        for (const std::int32_t id : tokens.ids(i)) tokens.bytes(id);
        for (auto const& m : study.run.methods)
            must(tokens.nll(i, m.name).size() == tokens.kl(i, m.name).size() &&
                     tokens.top(i, m.name).size() == tokens.nll(i, full_model_name).size(),
                 "scores of another length");
    }
    summary_lines(study, method_pairs(study));
    for (auto const& make : {method_table, documents_table, error_sets_table, set_means_table, mse_table}) make(study);
}

/// Errors: as write_report.
void read_and_use(folder const& run) {
    run_results results = read_run(run.path());
    const bitlens::run_tokens tokens(run / "tokens.npz", results);
    use(make_study(std::move(results), tokens), tokens);
}

/// The report itself, for one input in long_for_one_in.
void report(folder const& run, input bytes) {
    if (crc32_of(std::as_bytes(bytes)) % long_for_one_in == 0) write_report(run.path());
}

} // namespace

void run_manifest(input bytes) {
    static const folder run = make_run();
    run.write("manifest.json", bytes);
    read_and_use(run);
    report(run, bytes);
}

void run_examples(input bytes) {
    static const folder run = make_run();
    run.write("examples.csv", bytes);
    read_and_use(run);
    report(run, bytes);
    resume(run);
}

void run_float32(input bytes) {
    static const folder run = make_run();
    static const run_results results = read_run(run.path());
    run.write("float32.csv", bytes);
    const auto changes = float32_table(run.path(), results);
    must(changes && changes->rows.size() == 1 + results.methods.size(), "a row for each variant");
    report(run, bytes);
}

void run_tokens(input bytes) {
    static const folder run = make_run();
    static const run_results results = read_run(run.path());
    const bitlens::run_tokens tokens(run.write("tokens.npz", bytes), results);
    use(make_study(results, tokens), tokens);
    report(run, bytes);
    resume(run);
}

void run_part(input bytes) {
    static const folder run{{"parts/full-3-2.npz", "run_part/valid.npz"}};
    run.write("parts/full-3-2.npz", bytes);
    resume(run);
}

} // namespace bitlens::fuzz
