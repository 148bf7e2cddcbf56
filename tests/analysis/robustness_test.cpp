#include "bitlens/analysis/robustness.hpp"

#include "expected_numbers.hpp"
#include "run_for_test.hpp"

#include <doctest/doctest.h>
#include <vector>

using namespace bitlens;

TEST_CASE("errors of two methods without their most influential documents are as numpy says") {
    const auto expected = test::expected_numbers();
    const auto s = make_study(read_run(test::golden_run()));
    const auto pairs = robust_pairs(s);
    REQUIRE(pairs.size() == 3);
    for (auto const& p : pairs) {
        auto const &first = s.methods[p.first], &second = s.methods[p.second];
        auto const& e = expected["pairs"][first.name + " " + second.name];
        CHECK(*p.errors.pearson == doctest::Approx(e["pearson"].get<double>()).epsilon(1e-12));
        CHECK(*p.errors.spearman == doctest::Approx(e["spearman"].get<double>()).epsilon(1e-12));
        CHECK(*p.errors.pearson_without ==
              doctest::Approx(e["robust"]["pearson_without"].get<double>()).epsilon(1e-12));
        CHECK(*p.errors.spearman_without ==
              doctest::Approx(e["robust"]["spearman_without"].get<double>()).epsilon(1e-12));
        CHECK(p.errors.left_out == e["robust"]["left_out"].get<std::vector<std::size_t>>());
        const auto without = leave_one_out_pearson(first.error, second.error);
        for (std::size_t i = 0; i < s.size(); ++i)
            CHECK(without[i].value() - *p.errors.pearson ==
                  doctest::Approx(e["robust"]["influence"][i].get<double>()).epsilon(1e-9));
    }
}

TEST_CASE("a twentieth is left out, one at least; documents without a number count nowhere, and keep their places") {
    CHECK(influential_documents(3) == 1);
    CHECK(influential_documents(39) == 1);
    CHECK(influential_documents(40) == 2);
    const std::vector<double> x{undefined_number, 1, 2, 3, 1, 50}, y{9, 2, 1, 2, undefined_number, 50};
    const auto found = correlation_without_influential(x, y);
    CHECK(*found.pearson > 0.99);
    CHECK(found.left_out == std::vector<std::size_t>{5});
    CHECK(*found.pearson_without == doctest::Approx(0).epsilon(1e-12)); // of (1, 2), (2, 1), (3, 2)
    const auto three = correlation_without_influential(std::vector<double>{1, 2, 3}, std::vector<double>{1, 2, 2});
    CHECK(three.pearson);
    CHECK(three.pearson_without.reason() == "a correlation of fewer than three examples says nothing");
    const auto same = correlation_without_influential(std::vector<double>(9, 1), std::vector<double>(9, 1));
    CHECK(same.pearson_without.reason() == "the same value in all examples has no correlation");
    CHECK(same.left_out.empty());
}
