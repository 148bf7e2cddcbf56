#include "bitlens/analysis/foretelling.hpp"

#include "expected_numbers.hpp"
#include "run_for_test.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

std::vector<double>& numbers(run_results& run, std::string const& name) {
    for (auto& s : run.table.columns())
        if (s.name == name && s.declared.shape != column_shape::position) return s.numbers;
    throw error("no column " + name);
}

/// Every number at random; norm_r at layer 1 is the error with noise.
run_results noisy_run(std::size_t documents) {
    random_generator random(11);
    std::vector<double> errors;
    for (std::size_t i = 0; i < documents; ++i) errors.push_back(random.normal());
    auto run = test::made_up_run(
        documents, {"a"}, [&](std::size_t i, std::size_t) { return errors[i]; },
        [&](std::size_t) { return random.normal(); });
    auto& norm_r = numbers(run, "norm_r");
    for (std::size_t i = 0; i < documents; ++i) norm_r[documents + i] = -errors[i] + 0.5 * random.normal();
    return run;
}

} // namespace

TEST_CASE("every recorded quantity of the full model is there, as a run declares them") {
    auto run = test::made_up_run(
        4, {"a"}, [](std::size_t i, std::size_t) { return static_cast<double>(i); },
        [](std::size_t i) { return static_cast<double>(i); });
    auto columns = run.manifest.columns;
    columns.push_back({"sharpness", column_shape::layer, column_owner::full_model, "apples", "one of my own"});
    columns.push_back({"of_methods", column_shape::document, column_owner::each_method, "", ""});
    results_table table(columns, run.table.variants(), run.table.size());
    for (auto& to : table.columns())
        if (auto const* from = run.table.find(to.name, to.declared.shape)) to = *from;
    run.table = std::move(table);
    run.documents.bytes = {8, std::nullopt, 2, 5};
    const auto s = make_study(std::move(run));
    const auto all = recorded_quantities(s);
    std::vector<std::string> names;
    for (auto const& q : all) names.push_back(q.name);
    CHECK(names == std::vector<std::string>{"nll_full", "entropy_full", "bits_per_byte_full", "growth_r", "norm_r",
                                            "norm_z", "norm_h", "kurtosis_r", "kurtosis_h", "top8_r", "sharpness",
                                            "bytes_per_token"});
    CHECK(all[4].values().rows == 2);
    CHECK(all[4].values()(1, 3) == 3);
    CHECK(all[10].unit == "apples");
    CHECK(all[0].values().rows == 1);
    CHECK(all[0].values()(0, 2) == 2);
    CHECK(all.back().values()(0, 0) == 4); // 8 bytes of 2 scored tokens
    CHECK(std::isnan(all.back().values()(0, 1)));
}

TEST_CASE("the quantities of a run correlate with its errors as scipy says, over all documents and in each half") {
    const auto expected = test::expected_numbers();
    const auto s = make_study(read_run(test::golden_run()));
    const auto f = foretell(s);
    CHECK(f.halves.choosing == expected["halves"]["choosing"].get<std::vector<std::size_t>>());
    CHECK(f.halves.testing == expected["halves"]["testing"].get<std::vector<std::size_t>>());
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        auto const& e = expected["methods"][s.methods[v].name]["foretold"];
        for (auto const& found : f.methods[v]) {
            auto const& name = f.quantities[found.quantity].name;
            CAPTURE(name);
            auto const& q = e[name];
            CHECK(found.layer == q["layer"].get<std::size_t>());
            CHECK(found.naive_layer == q["naive_layer"].get<std::size_t>());
            if (name == "bytes_per_token") { // the same for all documents of the run
                CHECK_FALSE(found.chosen_by);
                CHECK_FALSE(found.spearman);
                CHECK_FALSE(found.naive_pearson);
                CHECK_FALSE(found.robust.pearson_without);
                CHECK_FALSE(found.pearson_interval.lo);
                continue;
            }
            CHECK(*found.chosen_by == test::as_expected(q["chosen_by"]));
            CHECK(*found.spearman == test::as_expected(q["tested"][0]));
            CHECK(*found.pearson == test::as_expected(q["tested"][1]));
            CHECK(*found.naive_spearman == test::as_expected(q["spearman"][found.naive_layer]));
            CHECK(*found.naive_pearson == test::as_expected(q["pearson"][found.naive_layer]));
        }
        auto const& best = f.methods[v].front();
        CHECK(f.quantities[best.quantity].name == e["best"].get<std::string>());
        CHECK(*best.spearman_interval.lo == test::as_expected(e["best_spearman_interval"][0]));
        CHECK(*best.spearman_interval.hi == test::as_expected(e["best_spearman_interval"][1]));
        CHECK(*best.pearson_interval.lo == test::as_expected(e["best_pearson_interval"][0]));
        CHECK(*best.pearson_interval.hi == test::as_expected(e["best_pearson_interval"][1]));
        CHECK(*best.robust.pearson_without == test::as_expected(e["best_robust"]["pearson_without"]));
        CHECK(*best.robust.spearman_without == test::as_expected(e["best_robust"]["spearman_without"]));
        REQUIRE(best.robust.left_out.size() == 1);
        CHECK(best.robust.left_out[0] == f.halves.testing[e["best_robust"]["left_out"][0].get<std::size_t>()]);
        for (std::size_t r = 1; r < f.methods[v].size(); ++r)
            if (f.methods[v][r].chosen_by)
                CHECK(std::abs(*f.methods[v][r].chosen_by) <= std::abs(*f.methods[v][r - 1].chosen_by));
        CHECK(f.methods[v].back().quantity == f.quantities.size() - 1); // what has no correlation comes last
    }
}

TEST_CASE("what truly foretells the error is chosen; the best of noise looks better over all documents than it is") {
    const auto s = make_study(noisy_run(400));
    const auto f = foretell(s);
    auto const& best = f.methods[0].front();
    CHECK(f.quantities[best.quantity].name == "norm_r");
    CHECK(best.layer == 1);
    CHECK(best.documents == 200);
    CHECK(*best.spearman < -0.8);
    CHECK(*best.spearman_interval.hi < -0.7);
    CHECK(naive_best(f.methods[0]) == &best);

    // 300 columns of noise: the best correlates by chance, but only where it was looked for.
    auto run = noisy_run(60);
    run.manifest.columns.push_back({"noise", column_shape::layer, column_owner::full_model, "", ""});
    constexpr std::size_t layers = 300;
    results_table table(run.manifest.columns, run.table.variants(), {60, layers, 2});
    random_generator random(4);
    for (auto& to : table.columns()) {
        if (to.declared.shape == column_shape::layer)
            for (auto& x : to.numbers) x = random.normal();
        else
            to = *run.table.find(to.name, to.declared.shape);
    }
    run.table = std::move(table);
    const auto noise = make_study(std::move(run));
    const auto found = foretell(noise);
    const auto& flattered = *naive_best(found.methods[0]);
    CHECK(std::abs(*flattered.naive_spearman) > 0.35);
    CHECK(std::abs(*found.methods[0].front().chosen_by) > 0.5);
    CHECK(*found.methods[0].front().spearman_interval.lo < 0);
    CHECK(*found.methods[0].front().spearman_interval.hi > 0);
}

TEST_CASE("halves of fewer than 20 documents say nothing, and say so; all documents are as they are") {
    const auto s = make_study(noisy_run(38));
    const auto f = foretell(s);
    for (auto const& found : f.methods[0]) {
        if (found.quantity + 1 == f.quantities.size()) continue; // the run knows no bytes
        const std::string why = "a half has 19 documents with both numbers, fewer than 20";
        CHECK(found.chosen_by.reason() == why);
        CHECK(found.spearman.reason() == why);
        CHECK(found.pearson_interval.hi.reason() == why);
        CHECK(found.robust.spearman_without.reason() == why);
        CHECK(bool(found.naive_spearman) == (f.quantities[found.quantity].name != "nll_full")); // which is always 2
    }
    auto lacking_run = noisy_run(40); // one half lacks a number
    for (auto& x : numbers(lacking_run, "growth_r")) x = undefined_number;
    numbers(lacking_run, "growth_r")[0] = 1;
    const auto lacking = make_study(std::move(lacking_run));
    const auto g = foretell(lacking);
    CHECK(g.methods[0].front().spearman);
    for (auto const& found : g.methods[0])
        if (g.quantities[found.quantity].name == "growth_r") {
            CHECK_FALSE(found.chosen_by);
            CHECK_FALSE(found.naive_spearman);
        }
}

TEST_CASE("same seed, same numbers, with any number of threads; another seed, another split") {
    auto run = noisy_run(100);
    const auto s = make_study(std::move(run));
    const auto a = foretell(s);
    const thread_limit one(1);
    const auto b = foretell(s);
    for (std::size_t r = 0; r < a.methods[0].size(); ++r) {
        auto const &x = a.methods[0][r], &y = b.methods[0][r];
        CHECK(x.quantity == y.quantity);
        CHECK(x.spearman.optional() == y.spearman.optional());
        CHECK(x.spearman_interval.lo.optional() == y.spearman_interval.lo.optional());
        CHECK(x.pearson_interval.hi.optional() == y.pearson_interval.hi.optional());
    }
    CHECK(split_documents(100, 1).choosing != split_documents(100, 2).choosing);
    const auto odd = split_documents(41, 0);
    CHECK(odd.choosing.size() == 20);
    CHECK(odd.testing.size() == 21);
}
