#include "bitlens/page/tables.hpp"

#include "bitlens/page/claims.hpp"
#include "run_for_test.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

finished_study golden_study() { return make_study(read_run(test::golden_run())); }

/// The number in a table's row and column of that key.
double number(table const& t, std::size_t row, std::string const& key) {
    for (std::size_t c = 0; c < t.columns.size(); ++c)
        if (t.columns[c].key == key) return std::get<double>(t.rows.at(row)[c].value);
    throw error("no column " + key);
}

std::string const& reason(table const& t, std::size_t row, std::size_t col) {
    return std::get<undefined>(t.rows.at(row)[col].value).reason;
}

/// Sums of 40 numbers in double, in any order, agree to 40 rounding errors.
doctest::Approx near(json const& value) { return doctest::Approx(value.get<double>()).epsilon(1e-13); }

} // namespace

TEST_CASE("every table says what numpy and scipy say") {
    const auto expected = read_json_file(std::filesystem::path(BITLENS_TEST_DATA) / "analysis" / "expected.json");
    const auto s = golden_study();
    const auto methods = method_table(s), kl = kl_correlation_table(s), sets = error_sets_table(s),
               last = last_layer_table(s), layers = layer_correlation_table(s), means = set_means_table(s),
               mse = mse_table(s);
    for (std::size_t v = 0; v < s.methods.size(); ++v) {
        CAPTURE(s.methods[v].name);
        auto const& e = expected["methods"][s.methods[v].name];
        for (const char* key :
             {"mean_error", "standard_error", "median_error", "largest_error", "perplexity", "perplexity_full"})
            CHECK(number(methods, v, key) == near(e[key]));
        CHECK(number(kl, v, "pearson") == near(e["kl_pearson"]));
        CHECK(number(kl, v, "pearson_low") < number(kl, v, "pearson"));
        CHECK(number(kl, v, "pearson_high") > number(kl, v, "pearson"));
        CHECK(s.sets[v].worst == e["worst"].get<std::vector<std::size_t>>());
        CHECK(s.sets[v].large == e["large"].get<std::vector<std::size_t>>());
        CHECK(number(sets, v, "error_large") == near(e["error_large"]));
        CHECK(number(sets, v, "perplexity_full_large") == near(e["perplexity_full_large"]));
        CHECK(number(last, v, "pearson_r") == near(e["r"].back()));
        CHECK(number(last, v, "spearman_r") == near(e["spearman_r"]));
        CHECK(number(last, v, "low_r") < number(last, v, "pearson_r"));
        CHECK(number(last, v, "high_r") > number(last, v, "pearson_r"));
        for (std::size_t k = 0; k < s.layers(); ++k) {
            const std::size_t row = v * s.layers() + k;
            CHECK(number(layers, row, "pearson_r") == near(e["r"][k]));
            CHECK(number(layers, row, "pearson_z") == near(e["z"][k]));
            CHECK(number(layers, row, "pearson_h") == near(e["h"][k]));
            CHECK(number(means, row, "norm_r_large") == near(e["norm_r_large"][k]));
            CHECK(number(means, row, "kurtosis_r_large") == near(e["kurtosis_r_large"][k]));
            CHECK(number(mse, row, "mean_mse") == near(e["mean_mse"][k]));
            CHECK(number(mse, row, "pearson_norm_h") == near(e["mse"][k]));
        }
    }
    const auto pairs = method_pairs(s);
    const auto correlations = method_correlation_table(s, pairs), overlap = overlap_table(s, pairs);
    REQUIRE(pairs.size() == 3);
    for (std::size_t p = 0; p < pairs.size(); ++p) {
        auto const& e = expected["pairs"][s.methods[pairs[p].first].name + " " + s.methods[pairs[p].second].name];
        CHECK(number(correlations, p, "pearson") == near(e["pearson"]));
        CHECK(number(correlations, p, "spearman") == near(e["spearman"]));
        CHECK(number(overlap, p, "jaccard_worst") == near(e["jaccard_worst"]));
        CHECK(number(overlap, p, "jaccard_large") == near(e["jaccard_large"]));
        CHECK(number(overlap, p, "chance") == doctest::Approx(0.4 / 7.6)); // 4·4/40 common of 4 + 4 − 0.4
    }
}

TEST_CASE("families are the letters of the spec, and pairs of different ones are what the paper compares") {
    const auto s = golden_study();
    const auto pairs = method_pairs(s); // rtn3 nf3, rtn3 mine (an rtn4), nf3 mine
    CHECK_FALSE(pairs[0].same_family);
    CHECK(pairs[1].same_family);
    CHECK_FALSE(pairs[2].same_family);
    CHECK(comparable_pairs(pairs).pairs.size() == 2);
    CHECK_FALSE(comparable_pairs(pairs).same_family);
    const auto one_family = comparable_pairs(std::span(pairs).subspan(1, 1)); // shown, but beside nothing
    CHECK(one_family.pairs.size() == 1);
    CHECK(one_family.same_family);
    CHECK_FALSE(comparable_pairs({}).same_family);
}

TEST_CASE("the paper's overlaps stand below ours") {
    const auto notes = overlap_table(golden_study(), {}).notes;
    REQUIRE(notes.size() == 2);
    for (const char* value : {"mean 0.51, by chance about 0.05", "0.30 to 0.66"})
        CHECK_MESSAGE(notes[0].find(value) != std::string::npos, value);
    CHECK(notes[1].find("our reading") != std::string::npos);
}

TEST_CASE("what the paper reports is copied right") {
    double sum = 0;
    for (auto const& p : published::method_correlations) sum += p.pearson;
    CHECK(sum / 50 == doctest::Approx(published::mean_method_correlation).epsilon(0.005)); // §4.1: 0.82
    // §5.2 gives the models' means of table 2.
    const auto t = published::last_layer_table();
    const auto mean_of_rows = [&t](std::size_t first, std::size_t count) {
        double total = 0;
        for (std::size_t r = first; r < first + count; ++r) total += number(t, r, "pearson");
        return total / static_cast<double>(count);
    };
    CHECK(mean_of_rows(0, 3) == doctest::Approx(-.66).epsilon(0.01));
    CHECK(mean_of_rows(3, 3) == doctest::Approx(-.76).epsilon(0.01));
    CHECK(mean_of_rows(6, 3) == doctest::Approx(-.78).epsilon(0.01));
    CHECK(mean_of_rows(9, 2) == doctest::Approx(-.80).epsilon(0.01));
    CHECK(published::perplexity_table().rows.size() == 27);
    // Table 5: what the claim says of 3 and 4 bits, over all pairs of methods of a model.
    const auto perplexities = published::perplexity_table();
    double least = 1, most = 0;
    for (auto const& three : perplexities.rows)
        for (auto const& four : perplexities.rows) {
            const auto text = [](std::vector<cell> const& row, std::size_t c) {
                return std::get<std::string>(row[c].value);
            };
            if (text(three, 0) != text(four, 0) || !text(three, 1).ends_with('3') || !text(four, 1).ends_with('4'))
                continue;
            const double more = std::log(std::get<double>(three[2].value) / std::get<double>(four[2].value));
            least = std::min(least, more);
            most = std::max(most, more);
        }
    CHECK(published::fewer_bits == rounded_text(least, 2) + " to " + rounded_text(most, 2) + " in four models");
    const auto tails = published::long_tail_table();
    CHECK(number(tails, 0, "hard") == 0.14);
    CHECK(number(tails, 1, "easy") == 1.00);
}

TEST_CASE("too few documents: not defined, and why") {
    const test::temporary_folder folder;
    test::write_run(
        folder.path(), 2, {"a", "b"}, [](std::size_t i, std::size_t) { return static_cast<double>(i); },
        [](std::size_t i) { return static_cast<double>(i); });
    const auto s = make_study(read_run(folder.path()));
    const auto pairs = method_pairs(s);
    CHECK(reason(method_correlation_table(s, pairs), 0, 3) ==
          "a correlation of fewer than three examples says nothing");
    CHECK(reason(overlap_table(s, pairs), 0, 2) == no_tenth().reason);
    CHECK(reason(error_sets_table(s), 0, 4) == no_tenth().reason);
    CHECK(number(method_table(s), 0, "mean_error") == 0.5);
}

TEST_CASE("errors that are all the same have no correlation") {
    const test::temporary_folder folder;
    test::write_run(
        folder.path(), 12, {"a", "b"},
        [](std::size_t i, std::size_t v) { return v == 0 ? 0.25 : static_cast<double>(i); },
        [](std::size_t i) { return static_cast<double>(i); });
    const auto s = make_study(read_run(folder.path()));
    const auto correlations = method_correlation_table(s, method_pairs(s));
    for (const std::size_t c : {3u, 4u, 5u, 6u})
        CHECK(reason(correlations, 0, c) == "the same value in all examples has no correlation");
    CHECK(number(last_layer_table(s), 1, "pearson_r") == doctest::Approx(1.0)); // error and norm are both i
    const auto pairs = method_pairs(s);
    CHECK(verdict(claims::methods_fail_together({s, pairs})) == "not defined");
}

TEST_CASE("keys of the data that are kept stand in the list of documents, unless they are empty everywhere") {
    auto run = test::made_up_run(
        3, {"a"}, [](std::size_t i, std::size_t) { return static_cast<double>(i); }, [](std::size_t) { return 1.0; });
    run.documents.kept = {{"lang", {"de", "", "fr"}}, {"url", {"", "", ""}}};
    const auto t = documents_table(make_study(std::move(run)));
    CHECK(t.columns.back().key == "lang");
    CHECK(std::get<std::string>(t.rows.at(0).back().value) == "fr"); // the largest error comes first
    CHECK(std::get<std::string>(t.rows.at(2).back().value) == "de");
}

TEST_CASE("hard and easy documents have their own numbers, means and intervals") {
    const test::temporary_folder folder;
    test::write_run(
        folder.path(), 60, {"a"}, [](std::size_t i, std::size_t) { return static_cast<double>(i); },
        [](std::size_t) { return 1.0; });
    const auto s = make_study(read_run(folder.path()));
    std::vector<double> before(60, 2.0);
    for (std::size_t i = 0; i < 20; ++i) before[i] = 1;
    for (std::size_t i = 50; i < 60; ++i) before[i] = 4;
    const auto t = long_tail_table(s, before, "another model's");
    CHECK(t.notes.at(0).find("Loss: another model's.") != std::string::npos);
    CHECK(std::get<std::uint64_t>(t.rows.at(0)[1].value) == 10);
    CHECK(number(t, 0, "hard_error") == 54.5);
    CHECK(reason(t, 0, 3) == too_few_documents().reason);
    CHECK(std::get<std::uint64_t>(t.rows.at(0)[5].value) == 20);
    CHECK(number(t, 0, "easy_error") == 9.5);
    CHECK(number(t, 0, "easy_low") < 9.5);
    CHECK(number(t, 0, "easy_high") > 9.5);
}
