#include "bitlens/page/foretelling_tables.hpp"

#include "bitlens/page/table_json.hpp"
#include "expected_numbers.hpp"
#include "run_for_test.hpp"

#include <doctest/doctest.h>
#include <set>
#include <string>
#include <vector>

using namespace bitlens;

TEST_CASE("tables of what foretells the error hold what scipy says, by the keys of summary.json") {
    const auto expected = test::expected_numbers();
    const auto s = make_study(read_run(test::golden_run()));
    const auto f = foretell(s);
    const json ranked = to_json(foretelling_table(s, f))["rows"],
               robust = to_json(foretelling_robustness_table(s, f))["rows"];
    REQUIRE(ranked.size() == 33);
    REQUIRE(robust.size() == 33);
    for (std::size_t r = 0; r < ranked.size(); ++r) {
        auto const& row = ranked[r];
        auto const& e = expected["methods"][row["method"].get<std::string>()]["foretold"];
        if (r % 11 == 0) {
            CHECK(row["quantity"] == e["best"]);
            CHECK(row["spearman_low"].get<double>() == test::as_expected(e["best_spearman_interval"][0]));
            CHECK(row["pearson_high"].get<double>() == test::as_expected(e["best_pearson_interval"][1]));
            CHECK(robust[r]["pearson_without"].get<double>() == test::as_expected(e["best_robust"]["pearson_without"]));
            CHECK(robust[r]["spearman_without"].get<double>() ==
                  test::as_expected(e["best_robust"]["spearman_without"]));
            const auto row_left_out = f.halves.testing[e["best_robust"]["left_out"][0].get<std::size_t>()];
            CHECK(robust[r]["documents"] == s.run.documents.who(row_left_out));
        }
        CHECK(robust[r]["quantity"] == row["quantity"]);
        auto const& q = e[row["quantity"].get<std::string>()];
        if (row["quantity"] == "bytes_per_token") {
            CHECK(row["spearman"]["not_defined"] == "the same value in all examples has no correlation");
            CHECK(row["rank"].contains("not_defined"));
            continue;
        }
        CHECK(row["rank"] == r % 11 + 1);
        CHECK(row["chosen_by"].get<double>() == test::as_expected(q["chosen_by"]));
        CHECK(row["spearman"].get<double>() == test::as_expected(q["tested"][0]));
        CHECK(robust[r]["spearman"].get<double>() == test::as_expected(q["tested"][0]));
        CHECK(row["pearson"].get<double>() == test::as_expected(q["tested"][1]));
        CHECK(row["naive_spearman"].get<double>() ==
              test::as_expected(q["spearman"][q["naive_layer"].get<std::size_t>()]));
        if (q["spearman"].size() > 1)
            CHECK(row["layer"] == q["layer"]);
        else
            CHECK(row["layer"]["not_defined"] == "the quantity has one number per document");
    }
    const json pairs = to_json(pair_robustness_table(s, robust_pairs(s)))["rows"];
    REQUIRE(pairs.size() == 3);
    for (auto const& row : pairs) {
        auto const& e = expected["pairs"][row["first"].get<std::string>() + " " + row["second"].get<std::string>()];
        CHECK(row["pearson"].get<double>() == test::as_expected(e["pearson"]));
        CHECK(row["pearson_without"].get<double>() == test::as_expected(e["robust"]["pearson_without"]));
        CHECK(row["left_out"] == 2);
        CHECK(row["documents"] == s.run.documents.who(e["robust"]["left_out"][0].get<std::size_t>()) + "; " +
                                      s.run.documents.who(e["robust"]["left_out"][1].get<std::size_t>()));
    }
}

TEST_CASE("tables of topics, margins and parting layers hold what scipy says") {
    const auto expected = test::expected_numbers();
    const auto s = make_study(read_run(test::golden_run()));
    const auto topics = study_topics(s).value();
    const json by_topic = to_json(topics_table(s, topics))["rows"],
               tests = to_json(topic_tests_table(s, topics))["rows"];
    REQUIRE(by_topic.size() == 9);
    for (auto const& row : by_topic) {
        auto const& e =
            expected["methods"][row["method"].get<std::string>()]["topics"][row["topic"].get<std::string>()];
        CHECK(row["mean_error"].get<double>() == test::as_expected(e["mean_error"]));
        CHECK(row["share_large"].get<double>() == test::as_expected(e["share_large"]));
        CHECK(row["large"] == e["large"]);
        CHECK(row["documents"] == e["documents"]);
    }
    REQUIRE(tests.size() == 3);
    for (auto const& row : tests) {
        auto const& e = expected["methods"][row["method"].get<std::string>()];
        CHECK(row["h"].get<double>() == test::as_expected(e["topics_h"]));
        CHECK(row["chance"].get<double>() == test::as_expected(e["topics_chance"]));
    }
    const json margins = to_json(margins_table(s, margin_lines(s)))["rows"];
    REQUIRE(margins.size() == 3);
    CHECK(margins[0]["positions"] == 40 * 23);
    CHECK(margins[0]["observed_flips"] == 0);
    CHECK(margins[0]["slope"].contains("not_defined"));

    const json parting = to_json(parting_table(s, document_portraits(s)))["rows"];
    REQUIRE(parting.size() == 18);
    for (auto const& row : parting) {
        auto const& e = expected["methods"][row["method"].get<std::string>()];
        CHECK(row["median"].get<double>() ==
              test::as_expected(e["diff_r_quartiles"][1][row["layer"].get<std::size_t>()]));
        CHECK(row["parted"] == std::ranges::count(e["parts_at"], row["layer"]));
    }
}

TEST_CASE("where the halves are too small no layer was chosen and nothing has a rank") {
    const auto s = make_study(test::made_up_run(
        12, {"a"}, [](std::size_t i, std::size_t) { return static_cast<double>(i); },
        [](std::size_t i) { return static_cast<double>(i * i); }));
    const auto f = foretell(s);
    const std::string why = "a half has 6 documents with both numbers, fewer than 20";
    const json ranked = to_json(foretelling_table(s, f))["rows"],
               robust = to_json(foretelling_robustness_table(s, f))["rows"];
    REQUIRE(ranked.size() == 11);
    for (auto const& row : ranked)
        if (row["quantity"] == "norm_r") {
            CHECK(row["rank"]["not_defined"] == why);
            CHECK(row["layer"]["not_defined"] == why);
            CHECK(row["spearman_low"]["not_defined"] == why);
            CHECK(row["naive_layer"] == 0);
            CHECK(row["naive_spearman"].get<double>() == doctest::Approx(1));
        }
    for (auto const& row : robust) {
        CHECK(row["pearson_without"].contains("not_defined"));
        CHECK(row["left_out"] == 0);
    }
}

TEST_CASE("topics and ids of documents are escaped, and long lists of documents end") {
    const auto s = make_study(read_run(test::golden_run()));
    const auto page = to_html(topics_table(s, study_topics(s).value()));
    CHECK(page.find("<b>Food") == std::string::npos);
    CHECK(page.find("&lt;b&gt;Food&lt;/b&gt;") != std::string::npos);
    std::vector<std::size_t> rows(8);
    for (std::size_t i = 0; i < 8; ++i) rows[i] = i + 1;
    const auto text = detail::documents_text(s.run.documents, rows);
    CHECK(text.starts_with("document 2 (doc-1); document 4 (doc-2)"));
    CHECK(text.ends_with("; and 3 more"));
    CHECK(detail::documents_text(s.run.documents, {}).empty());
}
