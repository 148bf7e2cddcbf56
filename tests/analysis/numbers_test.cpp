#include "bitlens/analysis/numbers.hpp"

#include "run_for_test.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <vector>

using namespace bitlens;

namespace {

const double gap = std::nan("");
double rising(std::size_t i) { return static_cast<double>(i); }

} // namespace

TEST_CASE("statistics are taken over the documents that have both numbers") {
    const std::vector<double> x{1, 2, gap, 4, 7, 5}, y{2, 1, 9, gap, 6, 6};
    CHECK(*correlation(x, y) == *correlation(std::vector<double>{1, 2, 7, 5}, std::vector<double>{2, 1, 6, 6}));
    CHECK(*rank_correlation(x, y) ==
          *rank_correlation(std::vector<double>{1, 2, 7, 5}, std::vector<double>{2, 1, 6, 6}));
    CHECK(correlation(std::vector<double>{1, gap, 3}, std::vector<double>{1, 2, 5}).reason() ==
          "a correlation of fewer than three examples says nothing");
    CHECK(*overall_mean(x) == 3.8);
    CHECK(*standard_error(std::vector<double>{1, gap, 3}) == 1.0);
    CHECK(*mean_over(x, std::vector<std::size_t>{0, 2, 4}) == 4.0);
    CHECK_FALSE(mean_over(x, std::vector<std::size_t>{2}));
    CHECK_FALSE(overall_mean(std::vector<double>{gap}));
}

TEST_CASE("a document without a finite loss under one method changes no number of the others") {
    const auto error = [](std::size_t i, std::size_t v) { return v == 1 && i == 7 ? gap : rising(i * (v + 1) % 40); };
    const auto whole = make_study(test::made_up_run(
        40, {"a", "b"}, [](std::size_t i, std::size_t v) { return rising(i * (v + 1) % 40); }, rising));
    const auto s = make_study(test::made_up_run(40, {"a", "b"}, error, rising));
    REQUIRE(s.gaps[1].size() == 1);
    CHECK((s.gaps[1][0].row == 7 && s.gaps[1][0].position == 1));
    CHECK(s.gaps[0].empty());
    CHECK(*overall_mean(s.methods[0].error) == *overall_mean(whole.methods[0].error));
    CHECK(s.sets[0].worst == whole.sets[0].worst);
    CHECK(s.sets[0].ctrl == whole.sets[0].ctrl);
    for (const std::size_t member : s.sets[1].worst) CHECK(member != 7);
    CHECK(s.sets[1].worst.size() == 3); // a tenth of 39
    CHECK(*correlation(s.methods[0].error, s.methods[1].error) !=
          *correlation(whole.methods[0].error, whole.methods[1].error));
}

TEST_CASE("a run that is no study, or whose full model has no finite loss, is refused") {
    auto run = test::made_up_run(
        3, {"a"}, [](std::size_t, std::size_t) { return 1.0; }, rising);
    run.manifest.setting.erase("seed");
    CHECK_THROWS_WITH_AS(make_study(std::move(run)), doctest::Contains("seed"), format_error);

    run = test::made_up_run(
        3, {"a"}, [](std::size_t, std::size_t) { return 1.0; }, rising);
    run.table =
        results_table({{"nll", column_shape::document, column_owner::each_variant, "", ""}}, {"full", "a"}, {3, 2, 2});
    CHECK_THROWS_WITH_AS(make_study(std::move(run)), doctest::Contains("no column 'entropy_full'"), format_error);

    run = test::made_up_run(
        3, {"a"}, [](std::size_t, std::size_t) { return 1.0; }, rising);
    for (auto& s : run.table.columns())
        if (s.name == "nll_full" && s.declared.shape == column_shape::document) s.numbers[1] = gap;
    CHECK_THROWS_WITH_AS(make_study(std::move(run)),
                         "examples.csv: nll_full of document 1 is expected to be a finite number", format_error);

    run = test::made_up_run(
        3, {"a"}, [](std::size_t, std::size_t) { return 1.0; }, rising);
    for (auto& s : run.table.columns())
        if (s.name == "error_a") s.numbers[2] = 1.5;
    CHECK_THROWS_WITH_AS(make_study(std::move(run)),
                         doctest::Contains("error_a of document 2 is 1.500000, expected nll_a - nll_full = 1.000000"),
                         format_error);
}
