#include "bitlens/sweep/run_parts.hpp"

#include "run_for_test.hpp"

#include <array>
#include <cmath>
#include <doctest/doctest.h>

using namespace bitlens;

namespace {

constexpr std::size_t few_documents = 3;

run_results few() {
    return test::made_up_run(
        few_documents, {"m"},
        [](std::size_t i, std::size_t) { return i == 2 ? std::nan("") : 0.5 + static_cast<double>(i); },
        [](std::size_t i) { return 0.25 * static_cast<double>(i + 1); });
}

results_table empty_like(run_results const& run, results_size size) {
    return results_table(run.manifest.columns, run.table.variants(), size);
}

/// Rows of one variant that are finished in `part` are those of `whole`.
void check_rows(results_table const& part, results_table const& whole, std::size_t variant) {
    const auto same = [](auto x, auto y) { return x == y || (std::isnan(x) && std::isnan(y)); };
    for (std::size_t c = 0; c < whole.columns().size(); ++c) {
        auto const &a = whole.columns()[c], &b = part.columns()[c];
        if (a.variant != variant) continue;
        CAPTURE(a.name);
        for (std::size_t n = 0; n < whole.documents(); ++n) {
            if (!part.is_finished(variant, n)) continue;
            for (std::size_t k = 0; k < a.numbers.size() / whole.documents(); ++k)
                CHECK(same(a.numbers[k * whole.documents() + n], b.numbers[k * whole.documents() + n]));
            for (std::size_t t = 0; t < a.scores.size() / whole.documents(); ++t)
                CHECK(same(a.scores[n * whole.positions() + t], b.scores[n * whole.positions() + t]));
        }
    }
}

} // namespace

TEST_CASE("parts bring back exactly the rows they hold") {
    const test::temporary_folder parent;
    const run_folder folder(parent.path());
    folder.write_manifest({});
    const auto run = few();
    for (std::size_t v = 0; v < 2; ++v) {
        write_part(folder, run.table, v, std::array<std::size_t, 2>{0, 1});
        auto again = empty_like(run, run.table.size());
        read_finished(folder, again);
        CHECK((again.is_finished(v, 0) && again.is_finished(v, 1) && !again.is_finished(v, 2)));
        check_rows(again, run.table, v);
        write_part(folder, run.table, v, std::array<std::size_t, 1>{2});
        read_finished(folder, again);
        CHECK(again.is_finished(v, 2));
        check_rows(again, run.table, v);
    }
}

TEST_CASE("the rows of a part need not be neighbours") {
    const test::temporary_folder parent;
    const run_folder folder(parent.path());
    folder.write_manifest({});
    const auto run = few();
    write_part(folder, run.table, 1, std::array<std::size_t, 2>{0, 2});
    auto again = empty_like(run, run.table.size());
    read_finished(folder, again);
    CHECK((again.is_finished(1, 0) && !again.is_finished(1, 1) && again.is_finished(1, 2)));
    check_rows(again, run.table, 1);
    // The file's name says which row is the first.
    std::filesystem::rename(folder.part_path("m", 0, 2), folder.part_path("m", 1, 2));
    CHECK_THROWS_WITH_AS(read_finished(folder, again),
                         doctest::Contains("array \"rows\": row 0, expected rows that rise from 1 and are below 3"),
                         format_error);
}

TEST_CASE("a part of another run is refused by name") {
    const test::temporary_folder parent;
    const run_folder folder(parent.path());
    folder.write_manifest({});
    const auto run = few();
    write_part(folder, run.table, 0, std::array<std::size_t, 3>{0, 1, 2});
    auto fewer_rows = empty_like(run, {2, 2, 2}), other_model = empty_like(run, {3, 3, 2});
    CHECK_THROWS_WITH_AS(read_finished(folder, fewer_rows), doctest::Contains("full-0-3.npz"), format_error);
    CHECK_THROWS_WITH_AS(read_finished(folder, other_model), doctest::Contains("layer.norm_r"), format_error);
}

TEST_CASE("a run whose tables are written takes a method more, and the parts of that") {
    const test::temporary_folder parent;
    const run_folder folder(parent.path());
    folder.write_manifest({});
    const auto run = few();
    write_run_tables(folder.path(), run.documents, run.table, run.texts);
    results_table longer(run.manifest.columns, {"full", "m", "n"}, run.table.size());
    read_finished(folder, longer);
    CHECK((longer.is_finished(0, 0) && longer.is_finished(1, 2) && !longer.is_finished(2, 0)));
    results_table other(run.manifest.columns, {"full", "n"}, run.table.size());
    write_part(folder, other, 1, std::array<std::size_t, 1>{1});
    read_finished(folder, longer);
    CHECK((longer.is_finished(2, 1) && !longer.is_finished(2, 0)));
}
