#include "bitlens/page/float32_table.hpp"

#include "run_for_test.hpp"

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

/// Three documents of one method, errors 1, 2, 4; the full model's loss is 2 everywhere.
finished_study three_documents() {
    return make_study(test::made_up_run(
        3, {"m"}, [](std::size_t i, std::size_t) { return static_cast<double>(1u << i); },
        [](std::size_t) { return 1.0; }));
}

double number(table const& t, std::size_t row, std::size_t col) { return std::get<double>(t.rows[row][col].value); }

} // namespace

TEST_CASE("a run without float32.csv has nothing to compare with") {
    const test::temporary_folder folder;
    CHECK_FALSE(float32_table(folder.path(), three_documents()));
    CHECK_FALSE(has_float32_check(folder.path(), std::vector<run_method>{}));
}

TEST_CASE("differences are this run minus float32") {
    const test::temporary_folder folder;
    const auto run = three_documents();
    results_table in_float32(run.run.manifest.columns, {"full", "m"}, run.run.table.size());
    const auto nll_of = [&](std::size_t v) -> std::vector<double>& {
        return std::ranges::find_if(in_float32.columns(),
                                    [v](auto const& s) {
                                        return s.variant == v && s.declared.name == "nll" &&
                                               s.declared.shape == column_shape::document;
                                    })
            ->numbers;
    };
    nll_of(0) = {2, 2.25, 2};                                          // differences 0, −0.25, 0
    nll_of(1) = {3.5, 4.25, 5.75};                                     // the run's: 3, 4, 6; −0.5, −0.25, 0.25
    write_float32_check(folder.path(), run.run.documents, in_float32); // errors 1.5, 2, 3.75; the run has 1, 2, 4
    CHECK(has_float32_check(folder.path(), run.methods));

    const auto t = float32_table(folder.path(), run);
    REQUIRE(t);
    REQUIRE(t->rows.size() == 2);
    CHECK(std::get<std::uint64_t>(t->rows[0][1].value) == 3);
    CHECK(number(*t, 0, 2) == doctest::Approx(-0.25 / 3));
    CHECK(number(*t, 0, 3) == 0.25);
    CHECK(std::holds_alternative<undefined>(t->rows[0][4].value));
    CHECK(number(*t, 1, 2) == doctest::Approx(-0.5 / 3));
    CHECK(number(*t, 1, 3) == 0.5);
    CHECK(number(*t, 1, 4) == doctest::Approx(7.0 / 3));
    CHECK(number(*t, 1, 5) == doctest::Approx(7.25 / 3));
    CHECK(number(*t, 1, 6) == 0.5);
    CHECK(number(*t, 1, 7) ==
          doctest::Approx(pearson(std::vector{1.0, 2.0, 4.0}, std::vector{1.5, 2.0, 3.75}).value()));
}

TEST_CASE("a float32.csv of another run is refused by name") {
    const test::temporary_folder folder;
    const auto run = three_documents();
    write_file_atomically(float32_path(folder.path()), "example,nll_full,nll_m\n7,2,3\n");
    CHECK_THROWS_WITH_AS(float32_table(folder.path(), run), doctest::Contains("an example of examples.csv"),
                         format_error);
    write_file_atomically(float32_path(folder.path()), "example,nll_full\n0,2\n");
    CHECK_FALSE(has_float32_check(folder.path(), run.methods));
    CHECK_THROWS_WITH_AS(float32_table(folder.path(), run), doctest::Contains("nll_m"), format_error);
}
