#include "bitlens/page/run_report.hpp"

#include "../page_script_hash.hpp"
#include "report_for_test.hpp"
#include "run_for_test.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <map>
#include <set>
#include <string>

using namespace bitlens;
using test::all_files;

namespace {

void check_all(test::report_files const& files) { test::check_report(files, detail::page_scripts()); }

} // namespace

TEST_CASE("the report of the golden run: whole, harmless, and the same the second time") {
    const test::temporary_folder folder;
    std::filesystem::copy(test::golden_run(), folder.path());
    const auto summary = write_report(folder.path());
    CHECK(summary.lines.size() == 7);
    CHECK(summary.page == folder.path() / "report.html");
    const auto files = all_files(folder.path());
    check_all(files);
    for (const char* name : {"summary.json", "report.html", "figures/figure_01a_norm_r_mine.svg",
                             "figures/figure_01b_norm_r_density_nf3-g64.csv",
                             "figures/figure_01c_norm_h_density_rtn3-g64.svg", "figures/figure_06_07_kurtosis_mine.svg",
                             "figures/figure_08_correlation_r.svg", "figures/figure_08_correlation_z_h.csv",
                             "figures/mlp_error.svg", "figures/errors.csv", "figures/figure_16_long_tail.svg"})
        CHECK_MESSAGE(files.contains(name), name);

    auto const& page = files.at("report.html");
    CHECK(page.find("“Full” means the checkpoint as it is stored (GGUF, Q4_1 and F32)") != std::string::npos);
    CHECK(page.find("&lt;b&gt;Food&lt;/b&gt;") != std::string::npos);
    CHECK(page.find("&lt;model&gt;.gguf") != std::string::npos);
    CHECK(page.find(folder.path().string()) == std::string::npos);
    CHECK(page.find("by our choice") != std::string::npos);
    CHECK(page.find("How a verdict is found") != std::string::npos);
    CHECK(page.find("<title>other documents, document 0: ") != std::string::npos); // of a dot
    CHECK(page.find("<title>&lt;model&gt;.gguf · rtn3-g64, nf3-g64, mine (rtn4-g64) · 40 documents of 24 tokens – "
                    "bitlens</title>") != std::string::npos);
    // Of thousands of dots the page has those of one method.
    CHECK(page.find("<a href=\"figures/figure_16_long_tail.svg\">") != std::string::npos);
    CHECK(page.find(">Errors of rtn3-g64</text>") != std::string::npos);
    CHECK(page.find(">Errors of nf3-g64</text>") == std::string::npos);
    std::size_t before = 0;
    for (const char* part : {"<dl class=\"facts\">", "class=\"summary\"", "id=\"worst\"", "class=\"worst\"",
                             "id=\"foretells\"", "id=\"claims\"", "id=\"methods\"", "id=\"same\"", "id=\"sets\"",
                             "id=\"tail\"", "id=\"magnitudes\"", "id=\"mlp\"", "id=\"examples\"", "id=\"manifest\""}) {
        const auto at = page.find(part);
        CHECK_MESSAGE((at != std::string::npos && at > before), part);
        before = at;
    }
    for (const char* data : {"figure_01b_norm_r_density_mine", "figure_01c_norm_h_density_mine"}) {
        const std::string link = "<a href=\"figures/" + std::string(data) + ".csv\">";
        const auto first = page.find(link); // of the last layer; then of the last ten
        CHECK_MESSAGE((first != std::string::npos && page.find(link, first + 1) != std::string::npos), data);
    }

    write_report(folder.path());
    CHECK(all_files(folder.path()) == files);
}

TEST_CASE("a page names the hashes of its scripts") {
    for (page_script const& script : detail::page_scripts()) CHECK(script.sha256 == test::base64_sha256(script.code));
}

TEST_CASE("summary.json holds every table, with reasons for what is not defined") {
    const test::temporary_folder folder;
    std::filesystem::copy(test::golden_run(), folder.path());
    const auto lines = write_report(folder.path()).lines;
    const auto summary = read_json_file(folder.path() / "summary.json");
    CHECK(summary["summary"].get<std::vector<std::string>>() == lines);
    for (const char* name : {"claims", "methods", "method_correlation", "kl_correlation", "error_sets", "overlap",
                             "last_layer", "layer_correlation", "set_means", "mlp_error", "long_tail"})
        CHECK_MESSAGE(summary["tables"].contains(name), name);
    CHECK(summary["tables"]["methods"]["rows"][0]["method"] == "rtn3-g64");
    CHECK(summary["published"]["published_last_layer"]["rows"][0]["pearson"] == -0.66);

    test::write_run(
        folder.path(), 1, {"a"}, [](std::size_t, std::size_t) { return 0.5; }, [](std::size_t) { return 1.0; });
    write_report(folder.path());
    const auto small = read_json_file(folder.path() / "summary.json");
    CHECK(small["tables"]["methods"]["rows"][0]["standard_error"]["not_defined"] ==
          "fewer than two examples have no spread");
}

TEST_CASE("every small or dull run has a report") {
    for (const std::size_t documents : {0u, 1u, 2u, 3u, 9u, 10u, 25u})
        for (std::vector<std::string> const& methods : {std::vector<std::string>{}, {"a"}, {"a", "b", "c"}})
            for (const double slope : {0.0, 0.125}) {
                CAPTURE(documents);
                CAPTURE(methods.size());
                CAPTURE(slope);
                const test::temporary_folder folder;
                const auto value = [slope](std::size_t i) { return slope * static_cast<double>(i); };
                test::write_run(
                    folder.path(), documents, methods, [&](std::size_t i, std::size_t) { return value(i); }, value);
                CHECK(write_report(folder.path()).lines.size() == 7);
                check_all(all_files(folder.path()));
            }
}

TEST_CASE("errors too large for a perplexity do not become infinite") {
    const test::temporary_folder folder;
    test::write_run(
        folder.path(), 12, {"a"}, [](std::size_t, std::size_t) { return 1e3; }, [](std::size_t) { return 1.0; });
    CHECK(write_report(folder.path()).lines[0].find("perplexity not defined") != std::string::npos);
}

TEST_CASE("method names make plain file names") {
    CHECK(detail::file_stem("nf3-g64") == "nf3-g64");
    CHECK(detail::file_stem("../a b<c>") == ".._a_b_c_");
}

TEST_CASE("a loss that is not finite is named on the terminal and in the report, and nothing else changes") {
    const test::temporary_folder folder;
    test::write_run(
        folder.path(), 40, {"a", "b"},
        [](std::size_t i, std::size_t v) { return v == 1 && i == 7 ? std::nan("") : static_cast<double>(i % 9); },
        [](std::size_t i) { return static_cast<double>(i); });
    const auto summary = write_report(folder.path());
    REQUIRE(summary.lines.size() == 8);
    CHECK(summary.lines[0] ==
          "Under b the loss is not finite in 1 document, which its statistics leave out: document 7 "
          "from position 2 on.");
    const auto files = all_files(folder.path());
    check_all(files);
    CHECK(files.at("report.html").find("Under b the loss is not finite in 1 document") != std::string::npos);
    const auto written = read_json_file(folder.path() / "summary.json");
    CHECK(written["tables"]["methods"]["rows"][1]["mean_error"].is_number());
}

TEST_CASE("dots of more than two thousand documents are in the figure's files, not in the page") {
    figure f{"long_tail", "Caption.", {}, 1};
    f.charts.emplace_back();
    f.charts[0].series.push_back({"documents", mark::dots, {}});
    for (std::size_t i = 0; i < 2000; ++i)
        f.charts[0].series[0].points.push_back({static_cast<double>(i), 1.0, "", {}, {}});
    const std::string drawn = detail::long_tail_html(f);
    CHECK(drawn.find("<circle") != std::string::npos);
    CHECK(drawn.find("figures/long_tail.svg") == std::string::npos);
    f.charts[0].series[0].points.push_back({2000, 1.0, "", {}, {}});
    const std::string linked = detail::long_tail_html(f);
    CHECK(linked.find("<circle") == std::string::npos);
    CHECK(linked.find("figures/long_tail.svg") != std::string::npos);
}
