/// `bitlens report`: tables, figures and report of a run again, from its folder alone.

#include "commands.hpp"
#include "png_figures.hpp"

#include "bitlens/page/run_report.hpp"
#include "bitlens/report/visible_text.hpp"

#include <iostream>

namespace bitlens::command {

void report(report_arguments const& a) {
    const report_summary summary = write_report(a.run_folder);
    std::cout << summary << "report: " << visible_line(summary.page.native()) << '\n';
    for (auto const& name : summary.unfinished)
        std::cout << "not finished, and not in the report: " << visible_text(name)
                  << " (the command that began it goes on with it)\n";
    if (!a.png) return;
    const auto figures = a.run_folder / "figures";
    std::cout << write_png_figures(figures) << " figures as PNG: " << visible_line(figures.native()) << '\n';
}

} // namespace bitlens::command
