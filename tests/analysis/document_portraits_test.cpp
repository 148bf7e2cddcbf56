#include "bitlens/analysis/document_portraits.hpp"

#include "expected_numbers.hpp"
#include "run_for_test.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <optional>
#include <string>
#include <vector>

using namespace bitlens;

TEST_CASE("percentiles are of the numbers that are there; equal ones share theirs") {
    const auto found = percentiles(std::vector<double>{5, undefined_number, 1, 5, 9});
    CHECK(found[0] == 50); // places 2 and 3 of 4
    CHECK(std::isnan(found[1]));
    CHECK(found[2] == 12.5);
    CHECK(found[4] == 87.5);
    CHECK(percentiles(std::vector<double>{undefined_number}).size() == 1);
    CHECK(percentiles({}).empty());
}

TEST_CASE("a document parts where it begins to stay above the upper quartile, to the last layer") {
    constexpr std::size_t layers = 4, documents = 9;
    matrix<double> diff(layers, documents); // rises with the document: the quartiles are those of documents 2, 4, 6
    for (std::size_t k = 0; k < layers; ++k)
        for (std::size_t i = 0; i < documents; ++i) diff(k, i) = static_cast<double>(10 * k + i);
    std::swap(diff(0, 8), diff(0, 0)); // document 8 begins low, document 0 high
    std::swap(diff(2, 7), diff(2, 1)); // document 7 falls back at layer 2, document 1 jumps there
    const auto p = find_parting(diff.view());
    CHECK(*p.lower[3] == 32);
    CHECK(*p.median[3] == 34);
    CHECK(*p.upper[3] == 36);
    CHECK(p.parts_at[8] == 1);
    CHECK(p.parts_at[7] == 3);
    for (const std::size_t i : {0u, 1u, 5u, 6u}) CHECK_FALSE(p.parts_at[i]);

    diff(2, 8) = undefined_number; // is passed over; the quartile is then of eight
    CHECK(find_parting(diff.view()).parts_at[8] == 1);
    for (std::size_t k = 0; k < layers; ++k) diff(k, 8) = undefined_number;
    CHECK_FALSE(find_parting(diff.view()).parts_at[8]);
    for (std::size_t i = 0; i < documents; ++i) diff(1, i) = undefined_number;
    CHECK(find_parting(diff.view()).median[1].reason() == "no finite number was measured");
}

TEST_CASE("portraits of a run's documents are as numpy says") {
    const auto expected = test::expected_numbers();
    const auto s = make_study(read_run(test::golden_run()));
    const document_portraits portraits(s);
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        auto const& e = expected["methods"][s.methods[v].name];
        auto const& p = portraits.profiles()[v];
        for (std::size_t k = 0; k < s.layers(); ++k) {
            CHECK(*p.lower[k] == doctest::Approx(e["diff_r_quartiles"][0][k].get<double>()).epsilon(1e-14));
            CHECK(*p.median[k] == doctest::Approx(e["diff_r_quartiles"][1][k].get<double>()).epsilon(1e-14));
            CHECK(*p.upper[k] == doctest::Approx(e["diff_r_quartiles"][2][k].get<double>()).epsilon(1e-14));
        }
        std::size_t parted = 0;
        for (std::size_t i = 0; i < s.size(); ++i) {
            auto const& numpy = e["parts_at"][i];
            CHECK(p.parts_at[i] == (numpy.is_null() ? std::nullopt : std::optional(numpy.get<std::size_t>())));
            CHECK(portraits.of(i).parts_at[v] == p.parts_at[i]);
            parted += p.parts_at[i] ? 1u : 0u;
        }
        CHECK(parted == 10); // a quarter of 40
    }
    for (std::size_t i = 0; i < s.size(); ++i) {
        const auto portrait = portraits.of(i);
        REQUIRE(portrait.standings.size() == portraits.quantities().size());
        for (std::size_t k = 0; k < portrait.standings.size(); ++k) {
            auto const& here = portrait.standings[k];
            auto const& q = portraits.quantities()[here.quantity];
            CHECK(here.layer == (q.layered ? s.layers() - 1 : 0));
            CHECK(here.value == q.values()(here.layer, i));
            if (expected["percentiles"].contains(q.name))
                CHECK(here.percentile == expected["percentiles"][q.name][i].get<double>());
            if (k > 0) CHECK(std::abs(here.percentile - 50) <= std::abs(portrait.standings[k - 1].percentile - 50));
        }
        CHECK(portrait.error_percentiles.size() == 3);
    }
    CHECK(portraits.of(s.sets[0].worst[0]).error_percentiles[0] == doctest::Approx(100 * 39.5 / 40));
}

TEST_CASE("a document without a number has no standing in that quantity") {
    auto run = test::made_up_run(
        5, {"a"}, [](std::size_t i, std::size_t) { return i == 3 ? undefined_number : static_cast<double>(i); },
        [](std::size_t i) { return static_cast<double>(i); });
    for (auto& c : run.table.columns())
        if (c.name == "kurtosis_r") c.numbers[5 + 3] = undefined_number;
    const auto s = make_study(std::move(run));
    const document_portraits portraits(s);
    const auto lacking = portraits.of(3), whole = portraits.of(4);
    CHECK(lacking.standings.size() + 1 == whole.standings.size());
    for (auto const& here : lacking.standings) CHECK(portraits.quantities()[here.quantity].name != "kurtosis_r");
    CHECK(std::isnan(lacking.error_percentiles[0]));
    CHECK(whole.standings.front().percentile == 90); // of five the largest
}
