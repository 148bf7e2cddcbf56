#include "bitlens/page/size_study.hpp"

#include "run_for_test.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <variant>

using namespace bitlens;

namespace {

/// Errors fall where residuals rise. `norm`: whether one stands before the MLP, which turns the order round.
named_study study_called(std::string name, std::uint64_t parameters, bool norm, std::size_t documents = 40) {
    const auto rising = [](std::size_t i) { return static_cast<double>(i + 1); };
    run_results run = test::made_up_run(
        documents, {"a", "b"}, [&](std::size_t i, std::size_t) { return -rising(i); }, rising);
    run.manifest.setting["parameters"] = {{"all", parameters}, {"blocks", parameters / 2}};
    for (stored_column& c : run.table.columns())
        if (norm && c.name == "norm_h")
            for (double& x : c.numbers) x = 100 - x;
    return {std::move(name), make_study(std::move(run))};
}

std::string shown_in(table const& t, std::size_t row, std::string const& key) {
    for (std::size_t c = 0; c < t.columns.size(); ++c)
        if (t.columns[c].key == key) return shown(t.rows.at(row)[c], t.columns[c].digits);
    throw error("no column " + key);
}

} // namespace

TEST_CASE("the table of a size study has a row for each model and method, the smallest model first") {
    const std::array studies{study_called("<large>", 3'000'000, true), study_called("after", 1'500'000, false)};
    const auto t = size_table(make_size_study(studies));
    REQUIRE(t.rows.size() == 4);
    CHECK(shown_in(t, 0, "model") == "after");
    CHECK(shown_in(t, 2, "model") == "<large>");
    CHECK(shown_in(t, 2, "parameters") == "3.0");
    CHECK(shown_in(t, 2, "in_blocks") == "1.5");
    CHECK(shown_in(t, 2, "growth_r") == "20.50");
    CHECK(shown_in(t, 2, "pearson_r") == "-1.000");
    CHECK(shown_in(t, 2, "pearson_h") == "1.000");
    CHECK(shown_in(t, 3, "method") == "b");
    CHECK(shown_in(t, 2, "reversed") == "2 of 2");
    CHECK(shown_in(t, 2, "jaccard_worst") == "1.000");
    // Without a norm before the MLP there is a reason, and no number.
    CHECK(shown_in(t, 0, "pearson_h") == "not defined");
    CHECK(shown_in(t, 0, "reversed") == "not defined");
    CHECK(to_text(t).find("Not defined: no norm stands before the MLP, which reads r itself.") != std::string::npos);

    const auto pairs = models_in_common_table(make_size_study(studies));
    REQUIRE(pairs.rows.size() == 2);
    CHECK((shown_in(pairs, 0, "first") == "after" && shown_in(pairs, 0, "second") == "<large>"));
    CHECK(shown_in(pairs, 1, "jaccard_worst") == "1.000");
}

TEST_CASE("too few documents for a worst tenth are the reason where they are") {
    const auto few = study_called("few", 10, true, 9);
    const auto t = size_table(make_size_study({&few, 1}));
    CHECK(std::get<undefined>(t.rows[0][15].value).reason == no_tenth().reason);
}

TEST_CASE("the figure of a size study shows each model at its number of parameters") {
    const std::array studies{study_called("large", 3'000'000, true), study_called("after", 1'500'000, false)};
    const auto f = size_figure(make_size_study(studies));
    REQUIRE(f.charts.size() == 4);
    for (chart const& c : f.charts) {
        CHECK(c.x.scale == scale::logarithmic);
        for (series const& curve : c.series) {
            CHECK((curve.points.back().x == 3 && curve.points.back().label == "large"));
            if (&c == &f.charts[1]) { // no norm, nothing to reverse
                CHECK(curve.points.size() == 1);
            } else {
                REQUIRE(curve.points.size() == 2);
                CHECK((curve.points[0].x == 1.5 && curve.points[0].label == "after"));
            }
        }
    }
    REQUIRE(f.charts[0].series.size() == 2);
    CHECK(*f.charts[0].series[1].points[1].y == doctest::Approx(-1));
    CHECK(*f.charts[0].series[1].points[1].low == doctest::Approx(-1));
    CHECK(*f.charts[1].series[0].points[0].y == doctest::Approx(1));
    CHECK(*f.charts[2].series[0].points[0].y == doctest::Approx(20.5));
    CHECK((f.charts[3].series[0].name == "worst tenths" && *f.charts[3].series[0].points[0].y == 1));
    CHECK((f.charts[3].series[2].name == "by chance" && *f.charts[3].series[2].points[0].y < 0.1));
}

TEST_CASE("a size study is written as a figure, tables and a page that holds both") {
    const std::array studies{study_called("<large>", 3'000'000, true), study_called("after", 1'500'000, false)};
    const test::temporary_folder folder;
    write_size_study(folder.path(), make_size_study(studies));
    const auto bytes = [&](const char* name) { return test::read_bytes(folder.path() / name); };
    CHECK(bytes("size_study_models.csv").starts_with("model,parameters,in_blocks,layers,growth_r,"));
    CHECK(bytes("size_study_models.csv").find("<large>,3,1.5,2,20.5,") != std::string::npos);
    CHECK(bytes("size_study_pairs.csv").find("after,<large>,a,1,") != std::string::npos);
    CHECK(bytes("size_study.svg").find("&lt;large&gt;") != std::string::npos);
    CHECK(!bytes("size_study.csv").empty());
    const auto page = bytes("size_study.html");
    CHECK(page.find("<svg") != std::string::npos);
    CHECK(page.find("<bdi>&lt;large&gt;</bdi>") != std::string::npos);
    CHECK(page.find("<large>") == std::string::npos);
}
