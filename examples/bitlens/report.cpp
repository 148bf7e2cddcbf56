/// `bitlens report`: tables, figures and report of a run again, from its folder alone.

#include "commands.hpp"
#include "png_figures.hpp"

#include "bitlens/analysis/finished_questions.hpp"
#include "bitlens/analysis/finished_study.hpp"
#include "bitlens/analysis/location_results.hpp"
#include "bitlens/page/question_report.hpp"
#include "bitlens/page/report.hpp"
#include "bitlens/report/visible_text.hpp"

#include <filesystem>
#include <iostream>
#include <utility>

namespace bitlens::command {

namespace {

report_summary write_report_of_study(std::filesystem::path const& folder, run_results run) {
    const auto s = make_study(std::move(run));
    return write_report(folder, s, read_location(folder, s));
}

} // namespace

void report(report_arguments const& a) {
    run_results run = read_run(a.run_folder);
    const report_summary summary = is_of_questions(run.manifest)
                                       ? write_question_report(a.run_folder, make_questions(std::move(run)))
                                       : write_report_of_study(a.run_folder, std::move(run));
    std::cout << summary << "report: " << visible_line(summary.page.native()) << '\n';
    for (auto const& name : summary.unfinished)
        std::cout << "not finished, and not in the report: " << visible_text(name)
                  << " (the command that began it goes on with it)\n";
    if (!a.png) return;
    const auto figures = a.run_folder / "figures";
    std::cout << write_png_figures(figures) << " figures as PNG: " << visible_line(figures.native()) << '\n';
}

} // namespace bitlens::command
