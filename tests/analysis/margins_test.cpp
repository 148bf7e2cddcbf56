#include "bitlens/analysis/margins.hpp"

#include "expected_numbers.hpp"
#include "run_for_test.hpp"

#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

/// null: a number that is not finite.
matrix<float> margins_from(json const& rows, float not_finite) {
    matrix<float> m(rows.size(), rows[0].size());
    for (std::size_t n = 0; n < m.rows(); ++n)
        for (std::size_t t = 0; t < m.cols(); ++t)
            m(n, t) = rows[n][t].is_null() ? not_finite : rows[n][t].get<float>();
    return m;
}

} // namespace

TEST_CASE("the line of margins and the flips that follow from it are as scipy says") {
    const auto e = test::expected_numbers()["margins"];
    for (const float not_finite : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
        const auto full = margins_from(e["full"], not_finite), method = margins_from(e["method"], not_finite);
        const auto found = fit_margins(full.view(), method.view());
        CHECK(found.positions == e["positions"].get<std::size_t>());
        CHECK(*found.slope == test::as_expected(e["slope"]));
        CHECK(*found.intercept == test::as_expected(e["intercept"]));
        CHECK(*found.residual == test::as_expected(e["residual"]));
        CHECK(*found.explained == test::as_expected(e["explained"]));
        CHECK(*found.predicted_flips == test::as_expected(e["predicted_flips"]));
        CHECK(*found.observed_flips == test::as_expected(e["observed_flips"]));
        for (std::size_t n = 0; n < full.rows(); ++n) CHECK(found.slopes[n] == test::as_expected(e["slopes"][n]));
    }
}

TEST_CASE("documents whose margins shrink more are set against their errors") {
    auto run = test::made_up_run(
        30, {"a", "b"}, [](std::size_t i, std::size_t) { return static_cast<double>(i); },
        [](std::size_t i) { return static_cast<double>(i); });
    for (auto& s : run.table.columns())
        if (s.declared.name == "margin")
            for (std::size_t i = 0; i < 30; ++i)
                for (std::size_t t = 0; t < 2; ++t)
                    s.scores[2 * i + t] =
                        static_cast<float>(t + 1) * (s.variant == 0 ? 1 : 1 - 0.01f * static_cast<float>(i));
    const auto two_positions = margin_lines(make_study(std::move(run)));
    CHECK(std::isnan(two_positions[0].slopes[0])); // two positions have no line of their own
    CHECK(two_positions[0].pearson.reason() == "a correlation of fewer than three examples says nothing");
    CHECK(two_positions[0].pearson_interval.lo.reason() == "fewer than 20 examples say nothing of their uncertainty");
    CHECK(two_positions[0].positions == 60);
    CHECK(*two_positions[0].observed_flips == 0);

    auto longer = test::made_up_run(
        30, {"a"}, [](std::size_t i, std::size_t) { return static_cast<double>(i); },
        [](std::size_t i) { return static_cast<double>(i); });
    results_table table(longer.manifest.columns, longer.table.variants(), {30, 2, 5});
    for (auto& s : table.columns()) {
        if (s.declared.shape != column_shape::position) {
            s = *longer.table.find(s.name, s.declared.shape);
            continue;
        }
        if (s.declared.holds_ids) continue;
        for (std::size_t i = 0; i < 30; ++i)
            for (std::size_t t = 0; t < 5; ++t)
                s.scores[5 * i + t] =
                    static_cast<float>(t + 1) * (s.variant == 0 ? 1 : 1 - 0.03125f * static_cast<float>(i));
    }
    longer.table = std::move(table);
    const auto lines = margin_lines(make_study(std::move(longer)));
    CHECK(lines[0].slopes[16] == doctest::Approx(0.5));
    CHECK(*lines[0].pearson == doctest::Approx(-1));
    CHECK(*lines[0].spearman == doctest::Approx(-1));
    CHECK(*lines[0].spearman_interval.hi == doctest::Approx(-1));
}

TEST_CASE("margins all the same have no line, a run without margins no lines") {
    const auto s = make_study(read_run(test::golden_run())); // whose margins are 1
    const auto lines = margin_lines(s);
    REQUIRE(lines.size() == 3);
    CHECK_FALSE(lines[0].slope);
    CHECK_FALSE(lines[0].predicted_flips);
    CHECK(*lines[0].observed_flips == 0);
    const auto none = fit_margins({}, {});
    CHECK(none.positions == 0);
    CHECK_FALSE(none.observed_flips);

    auto run = test::made_up_run(
        3, {"a"}, [](std::size_t i, std::size_t) { return static_cast<double>(i); },
        [](std::size_t i) { return static_cast<double>(i); });
    std::erase_if(run.manifest.columns, [](column const& c) { return c.name == "margin"; });
    results_table table(run.manifest.columns, run.table.variants(), run.table.size());
    for (auto& c : table.columns()) c = *run.table.find(c.name, c.declared.shape);
    run.table = std::move(table);
    CHECK(margin_lines(make_study(std::move(run))).empty());
    const matrix<float> a(2, 3), b(2, 4);
    CHECK_THROWS_AS(fit_margins(a.view(), b.view()), shape_error);
}
