#include "bitlens/sweep/results_table.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <optional>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

std::vector<column> few_columns() {
    using enum column_shape;
    using enum column_owner;
    return {{"loss", document, each_variant, "nats", "a loss"},
            {"gain", document, each_method, "nats", "a gain"},
            {"size", layer, full_model, "", "a size"},
            {"loss", position, each_variant, "nats", "a loss"},
            {"best", position, full_model, "token id", "an id", true}};
}

results_table few_results() { return {few_columns(), {"full", "m"}, {3, 2, 4}}; }

std::vector<std::string> names(results_table const& t) {
    std::vector<std::string> all;
    for (auto const& s : t.columns()) all.push_back(s.name);
    return all;
}

} // namespace

TEST_CASE("a declaration says which columns there are of which variant, and how large they are") {
    const auto t = few_results();
    CHECK(names(t) == std::vector<std::string>{"loss_full", "size", "loss_full", "best", "loss_m", "gain_m", "loss_m"});
    CHECK(t.of_documents("gain_m").size() == 3);
    CHECK((t.of_layers("size").rows == 2 && t.of_layers("size").cols == 3));
    CHECK((t.of_positions("loss_m").rows == 3 && t.of_positions("loss_m").cols == 4));
    CHECK(t.ids_of_positions("best").cols == 4);
    CHECK(std::isnan(t.of_documents("loss_full")[2]));
    CHECK_FALSE(t.is_complete());
    // 2 losses, 1 gain, 2 layers of doubles; 2 · 4 floats and 4 ids
    CHECK(results_table::bytes_per_document(few_columns(), t.kinds(), t.size()) == 5 * 8 + 12 * 4);
}

TEST_CASE("a column that is not there is an error that lists those that are") {
    const auto t = few_results();
    CHECK_THROWS_WITH_AS(t.of_documents("size"),
                         "the results: there is no column 'size' of each document; there are loss_full, loss_m, gain_m",
                         option_error);
    CHECK_THROWS_WITH_AS(t.of_positions("best"), "the results: column 'best' holds token ids", option_error);
    CHECK_THROWS_WITH_AS(t.ids_of_positions("loss_m"), "the results: column 'loss_m' holds no token ids", option_error);
}

TEST_CASE("names that files could not tell apart are refused before anything is measured") {
    const auto declare = [](std::vector<column> columns, std::vector<std::string> variants) {
        return results_table(columns, std::move(variants), {1, 2, 1});
    };
    using enum column_shape;
    using enum column_owner;
    const column sizes{"size", layer, full_model, "", ""}, size{"size", document, each_method, "", ""};
    CHECK_THROWS_WITH_AS(declare({sizes, size}, {"full", "l1"}),
                         "two columns of the results are called size_l1; a method of another name keeps both",
                         option_error);
    CHECK_NOTHROW(declare({sizes, size}, {"full", "l2"}));
    CHECK_THROWS_AS(declare({{"Size", document, full_model, "", ""}}, {"full"}), option_error);
    CHECK_THROWS_AS(declare({{"best", document, full_model, "", "", true}}, {"full"}), option_error);
}

TEST_CASE("a row takes every column of its variant once, and what is not finite is undefined") {
    auto t = few_results();
    results_row row(t, 0, 1);
    row.number("loss", 0.5);
    row.layers("size", std::vector<std::optional<double>>{2.0, std::nullopt});
    row.positions<double>("loss", std::vector{0.25, 0.5, 0.75, std::numeric_limits<double>::infinity()});
    CHECK_THROWS_WITH_AS(row.finish(), "measurement: 'best' of variant full was not written", option_error);
    row.positions<std::int32_t>("best", std::vector<std::int32_t>{1, 2, 3, 4});
    row.finish();
    CHECK(t.is_finished(0, 1));
    CHECK_FALSE(t.is_finished(0, 0));
    CHECK(t.of_documents("loss_full")[1] == 0.5);
    CHECK(t.of_layers("size")(0, 1) == 2.0);
    CHECK(std::isnan(t.of_layers("size")(1, 1)));
    CHECK(t.of_positions("loss_full")(1, 2) == 0.75f);
    CHECK(std::isinf(t.of_positions("loss_full")(1, 3)));
    CHECK(t.ids_of_positions("best")(1, 3) == 4);

    results_row other(t, 1, 0);
    other.number("gain", std::numeric_limits<double>::infinity());
    CHECK(std::isnan(t.of_documents("gain_m")[0]));
    CHECK_THROWS_WITH_AS(other.number("gain", 1.0), "measurement: 'gain' of variant m is written a second time",
                         option_error);
    CHECK_THROWS_WITH_AS(other.number("size", 1.0),
                         "measurement: 'size' of variant m is declared by no column of each document", option_error);
    CHECK_THROWS_WITH_AS(other.positions<double>("loss", std::vector{1.0}),
                         "measurement: loss of variant m: 1 values, expected 4", shape_error);
}
