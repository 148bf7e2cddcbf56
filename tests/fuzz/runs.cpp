#include "files.hpp"
#include "targets.hpp"

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/analysis/location_results.hpp"
#include "bitlens/io/gzip.hpp"
#include "bitlens/page/question_tables.hpp"
#include "bitlens/page/run_report.hpp"
#include "bitlens/sweep/run_parts.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

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
    results_table table(document_statistics{}.columns(), {"full", "rtn4-row"}, {examples, layers, positions});
    read_finished(run, table);
}

/// What every number of a run goes through before a report shows it.   Errors: as write_report.
void use(finished_study const& study) {
    for (const std::int32_t id : ids_of(study.run.documents, study.run.table)) study.run.texts[id];
    for (auto const& m : study.methods)
        must(m.error.size() == study.size() && m.mse.rows == study.layers(), "columns of another length");
    summary_lines(study, method_pairs(study), foretell(study));
    for (auto const& make : {method_table, documents_table, error_sets_table, set_means_table, mse_table}) make(study);
}

/// Errors: as write_report.
void read_and_use(folder const& run) { use(make_study(read_run(run.path()))); }

/// A run in which `bitlens locate` has come to an end.
folder make_located_run() {
    return folder{{"manifest.json", "run_manifest/valid.json"},
                  {"examples.csv", "run_examples/valid.csv"},
                  {"tokens.npz", "run_tokens/valid.npz"},
                  {"locate.csv", "run_locate/valid.csv"},
                  {"locate/manifest.json", "run_locate_manifest/valid.json"}};
}

/// Errors: as read_location and make_location.
void read_and_use_location(folder const& run) {
    static const finished_study study = make_study(read_run(run.path()));
    const auto located = read_location(run.path(), study);
    must(located && located->table.documents() == study.size(), "a row for each document of the study");
    make_location(study, located->table, located->sets_of);
}

folder make_run_of_questions() {
    return folder{{"manifest.json", "run_questions_manifest/valid.json"},
                  {"examples.csv", "run_questions/valid.csv"},
                  {"tokens.npz", "run_questions_tokens/valid.npz"}};
}

/// Errors: as make_questions and answer_text.
void read_and_use_questions(folder const& run) {
    const auto q = make_questions(read_run(run.path()));
    must(q.run.size() == q.size() * q.seeds.size() && q.variants.size() == q.run.table.variants().size(),
         "a row for each question and seed, columns of each variant");
    for (std::size_t v = 0; v < q.variants.size(); ++v)
        for (std::size_t n = 0; n < q.run.size(); ++n) answer_text(q, v, n);
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
    static const finished_study study = make_study(read_run(run.path()));
    run.write("float32.csv", bytes);
    const auto changes = float32_table(run.path(), study);
    must(changes && changes->rows.size() == 1 + study.methods.size(), "a row for each variant");
    report(run, bytes);
}

void run_locate(input bytes) {
    static const folder run = make_located_run();
    run.write("locate.csv", bytes);
    read_and_use_location(run);
    report(run, bytes);
}

void run_locate_manifest(input bytes) {
    static const folder run = make_located_run();
    run.write("locate/manifest.json", bytes);
    read_and_use_location(run);
    report(run, bytes);
}

void run_tokens(input bytes) {
    static const folder run = make_run();
    run.write("tokens.npz", bytes);
    read_and_use(run);
    report(run, bytes);
    resume(run);
}

void run_part(input bytes) {
    static const folder run{{"parts/full-3-2.npz", "run_part/valid.npz"}};
    run.write("parts/full-3-2.npz", bytes);
    resume(run);
}

void run_questions(input bytes) {
    static const folder run = make_run_of_questions();
    run.write("examples.csv", bytes);
    read_and_use_questions(run);
    report(run, bytes);
}

void run_questions_manifest(input bytes) {
    static const folder run = make_run_of_questions();
    run.write("manifest.json", bytes);
    read_and_use_questions(run);
    report(run, bytes);
}

void run_questions_tokens(input bytes) {
    static const folder run = make_run_of_questions();
    run.write("tokens.npz", bytes);
    read_and_use_questions(run);
    report(run, bytes);
}

} // namespace bitlens::fuzz
