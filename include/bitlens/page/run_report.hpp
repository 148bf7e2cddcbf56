#pragma once
/// The report of a run from its folder alone, whatever it is a run of.

#include "bitlens/analysis/finished_questions.hpp"
#include "bitlens/analysis/finished_study.hpp"
#include "bitlens/analysis/location_results.hpp"
#include "bitlens/page/question_report.hpp"
#include "bitlens/page/report.hpp"
#include "bitlens/sweep/run_results.hpp"

#include <filesystem>
#include <utility>

namespace bitlens {

/// Of documents or of questions, as the manifest says.   Errors: those of read_run, of make_study and read_location or
/// of make_questions, and of the report.
inline report_summary write_report(std::filesystem::path const& folder) {
    run_results run = read_run(folder);
    if (is_of_questions(run.manifest)) return write_question_report(folder, make_questions(std::move(run)));
    const auto s = make_study(std::move(run));
    return write_report(folder, s, read_location(folder, s));
}

} // namespace bitlens
