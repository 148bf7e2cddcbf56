#include "bitlens/analysis/finished_questions.hpp"

#include "questions_for_test.hpp"
#include "temporary_folder.hpp"

#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <functional>
#include <optional>
#include <string>

using namespace bitlens;

namespace {

test::made_up_questions small_set() {
    test::made_up_questions m{.questions = 3, .methods = {"nf3-g64", "rtn3-g64"}};
    m.seeds = {7, 1};
    m.contains = [](std::size_t k, std::size_t q, std::size_t v) { return (k + q + v) % 2 == 0; };
    m.popularity = [](std::size_t q) { return q == 1 ? std::optional<double>() : static_cast<double>(q) * 10.5; };
    return m;
}

void check_small(finished_questions const& q) {
    REQUIRE(q.size() == 3);
    CHECK(q.methods() == 2);
    CHECK(q.full == "F32");
    CHECK(q.seeds == std::vector<std::uint64_t>{7, 1});
    CHECK(q.shots == 15);
    CHECK_FALSE(q.rule.edges);
    CHECK(q.rule.least == 100);
    auto const& asked = q.questions[2];
    CHECK(asked.row == 2);
    CHECK(asked.id == "q2");
    CHECK(asked.relation == "capital");
    CHECK(asked.text == "What is <i>2</i>?");
    CHECK(asked.answers == std::vector<std::string>{"right", "the \"right\" one"});
    CHECK(asked.popularity == 21.0);
    CHECK_FALSE(q.questions[1].popularity);
    CHECK(q.questions[0].popularity == 0.0);
    REQUIRE(q.variants.size() == 3);
    CHECK(q.variants[0].name == "full");
    CHECK(q.variants[2].spec == "rtn3-g64");
    CHECK(q.variants[2].contains[q.row(1, 1)] == 1);
    CHECK(q.variants[2].exact[q.row(1, 2)] == 0);
    CHECK(q.variants[0].nll[5] == 0.5);
    CHECK(q.variants[0].ids.row(0)[2] == 0);
    CHECK(q.variants[0].ids.row(0)[3] == -1);
    CHECK(std::isnan(q.variants[0].token_nll.row(0)[14]));
}

/// What make_questions says of a run in which something was changed.
std::string complaint(std::function<void(run_results&)> const& change) {
    run_results run = test::run_of(small_set());
    change(run);
    try {
        make_questions(std::move(run));
    } catch (format_error const& e) {
        return e.what();
    }
    return "";
}

std::vector<std::string>& kept(run_results& run, std::size_t key) { return run.documents.kept[key].values; }

} // namespace

TEST_CASE("a run of questions in memory and from its folder") {
    check_small(make_questions(test::run_of(small_set())));
    const test::temporary_folder folder;
    test::write_questions(folder.path(), small_set());
    check_small(make_questions(read_run(folder.path())));
    CHECK(make_questions(test::run_of({.questions = 0})).size() == 0);
    auto ruled = small_set();
    ruled.edges = {2.8, 3, 4.8};
    ruled.least = 5;
    const auto q = make_questions(test::run_of(ruled));
    CHECK(q.rule.edges == std::vector<double>{2.8, 3, 4.8});
    CHECK(q.rule.least == 5);
}

TEST_CASE("what is no run of questions is refused, with the place") {
    CHECK(complaint([](run_results&) {}) == "");
    CHECK(complaint([](run_results& r) { r.manifest.setting.erase("kind"); }) ==
          "manifest.json: a run of questions is expected, whose key \"kind\" is \"questions\"");
    CHECK(complaint([](run_results& r) { r.manifest.setting["kind"] = 3; }).find("\"kind\"") != std::string::npos);
    for (const char* key : {"full", "seeds", "shots", "bucket_least"})
        CHECK(complaint([key](run_results& r) {
                  r.manifest.setting.erase(key);
              }).find("manifest.json: the key \"" + std::string(key) + "\" is missing") == 0);
    for (json const& seeds : {json::array(), json{7, 7}, json{-1, 7}, json("7")})
        CHECK(complaint([&](run_results& r) { r.manifest.setting["seeds"] = seeds; }).find("\"seeds") !=
              std::string::npos);
    CHECK(complaint([](run_results& r) {
              r.manifest.setting["seeds"] = {7, 1, 2, 3};
          }) == "examples.csv: 6 rows, expected the same number for each of the 4 seeds of manifest.json");
    CHECK(complaint([](run_results& r) {
              r.manifest.setting["bucket_edges"] = {3, 2};
          }) == "manifest.json: bucket_edges and bucket_least: edges 3, 2, expected finite numbers that rise");
    CHECK(complaint([](run_results& r) { r.manifest.setting["bucket_least"] = 0; }).find("at least 0 questions") !=
          std::string::npos);
    CHECK(complaint([](run_results& r) { r.documents.kept.pop_back(); }).find("\"popularity\" is not kept") !=
          std::string::npos);
    CHECK(complaint([](run_results& r) { r.documents.kept.clear(); }).find("\"seed\" is not kept") !=
          std::string::npos);
    CHECK(complaint([](run_results& r) { kept(r, 1).pop_back(); }) ==
          "examples.csv: 5 values of \"question\", expected 6");
}

TEST_CASE("a cell of a run of questions that says nothing sensible is refused, with its document") {
    CHECK(complaint([](run_results& r) { kept(r, 0)[4] = "2"; }) ==
          "examples.csv: seed of document 1 (q1), row 4: \"2\" was found, expected 1: rows stand seed by seed");
    for (const char* list : {"right", "{\"a\": \"b\"}", "[]", "[1]", "[\"a\", null]", "", "[\"a\"] "}) {
        CAPTURE(list);
        const auto found = complaint([list](run_results& r) { kept(r, 2)[1] = kept(r, 2)[4] = list; });
        CHECK((found.find("examples.csv: answers of document 1 (q1): ") == 0) == (std::string(list) != "[\"a\"] "));
    }
    for (const char* number : {"many", "-1", "nan", "inf", "1e999", "12 ", "0x10"}) {
        CAPTURE(number);
        CHECK(complaint([number](run_results& r) { kept(r, 3)[1] = kept(r, 3)[4] = number; }) ==
              "examples.csv: popularity of document 1 (q1): \"" + std::string(number) +
                  "\" was found, expected a finite number of 0 or more, or nothing");
    }
    const std::string order = "examples.csv: document 1 (q1) under seed 1 is expected to be document 1 (q1), as under "
                              "seed 7: all seeds have the same questions in the same order";
    for (const std::size_t key : {1u, 2u, 3u})
        CHECK(complaint([key](run_results& r) { kept(r, key)[4] += " "; }) == order);
    CHECK(complaint([](run_results& r) { r.documents.topics[4] = "other"; }) == order);
    CHECK(complaint([](run_results& r) { r.documents.rows[4] = 9; }).find("all seeds have the same questions") !=
          std::string::npos);
}

TEST_CASE("marks that are neither 0 nor 1, columns that are missing and tokens behind the end are refused") {
    const auto numbers = [](run_results& r, std::string const& name) -> std::vector<double>& {
        return std::ranges::find(r.table.columns(), name, &stored_column::name)->numbers;
    };
    CHECK(complaint([&](run_results& r) { numbers(r, "exact_rtn3-g64")[4] = 0.5; }) ==
          "examples.csv: exact_rtn3-g64 of document 1 (q1): 0.5 was found, expected 0 or 1");
    CHECK(complaint([&](run_results& r) { numbers(r, "contains_full")[0] = undefined_number; }) ==
          "examples.csv: contains_full of document 0 (q0): no number was found, expected 0 or 1");
    CHECK(complaint([](run_results& r) {
              std::ranges::find(r.table.columns(), "answer_nf3-g64", &stored_column::name)->ids[14] = 1;
          }) == "tokens.npz: array 'answer_nf3-g64', document 0 (q0): token ids and then −1 to the end are expected");
    CHECK(complaint([](run_results& r) {
              auto columns = r.manifest.columns;
              columns.erase(columns.begin());
              r.table = results_table(columns, {"full", "nf3-g64", "rtn3-g64"}, r.table.size());
          }).find("manifest.json: a run of questions is expected; the results: there is no column 'contains_full'") ==
          0);
}
