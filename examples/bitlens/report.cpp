/// `bitlens report`: tables, figures and report of a run again, from its folder alone.

#include "commands.hpp"

#include "bitlens/analysis/study_report.hpp"
#include "bitlens/report/visible_text.hpp"

#include <iostream>

namespace bitlens::command {

void report(std::filesystem::path const& run_folder) {
    const report_summary summary = write_report(run_folder);
    std::cout << summary << "report: " << summary.page.string() << '\n';
    for (auto const& name : summary.unfinished)
        std::cout << "not finished, and not in the report: " << visible_text(name)
                  << " (the study's command goes on with it)\n";
}

} // namespace bitlens::command
