#include "bitlens/page/example_text.hpp"
#include "bitlens/page/token_scale.hpp"

#include "run_for_test.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

/// 500 documents of two positions, in which the numbers of a column are the eighth powers of 1/1000, 2/1000 … 1, times
/// `size`: the larger the number, the further it is from the next.
run_results even_run(std::string const& column, float size) {
    run_results run = test::made_up_run(
        500, {"a"}, [](std::size_t, std::size_t) { return 0.0; }, [](std::size_t) { return 1.0; });
    for (stored_column& s : run.table.columns())
        if (s.declared.shape == column_shape::position && s.name == column)
            for (std::size_t i = 0; i < s.scores.size(); ++i)
                s.scores[i] = size * std::pow(static_cast<float>(i + 1) / 1000, 8.0f);
    return run;
}

} // namespace

TEST_CASE("steps are those that a quarter, a tenth, 3 % and 0.5 % of the run's positions are beyond") {
    for (const float size : {1e-4f, 1.0f, 100.0f}) {
        CAPTURE(size);
        const run_results run = even_run("kl_a", size);
        const token_numbers numbers(run.table);
        const token_scale scale = scale_of(numbers, token_measure::kl, 1);
        std::array<std::size_t, 5> reached{};
        for (std::size_t n = 0; n < 500; ++n)
            for (std::size_t t = 0; t < 2; ++t)
                ++reached[scale.step(scale.encode(numbers(token_measure::kl, 1, n, t)))];
        constexpr std::array expected{750, 150, 70, 25, 5};
        for (std::size_t i = 0; i < reached.size();
             ++i) // half a unit, a hundredth of 0.1, is 5 numbers at the first step
            CHECK(std::abs(static_cast<int>(reached[i]) - expected[i]) <= 6);
        CHECK(reached[4] >= 3);
    }
}

TEST_CASE("an error counts by its size, a margin by how small it is, and what is not finite is beyond all steps") {
    token_scale scale{token_measure::error, 2, {10, 20, 30, 40}};
    CHECK(scale.step(scale.encode(0.1)) == 0);
    CHECK(scale.step(scale.encode(0.11)) == 1);
    CHECK(scale.step(scale.encode(-0.35)) == 3);
    CHECK(scale.step(scale.encode(std::nan(""))) == 4);
    CHECK(scale.step(scale.encode(std::numeric_limits<double>::infinity())) == 4);
    CHECK(scale.step(scale.encode(1e300)) == 4);
    using codes = std::vector<token_scale::code>;
    CHECK(detail::step_class(scale, codes{5, -35, 11}) == "n3"); // the strongest of a group
    CHECK(detail::step_class(scale, codes{5, std::nullopt}) == "p4");
    CHECK(detail::step_class(scale, codes{5}) == "");
    scale = {token_measure::margin, 2, {-50, 10, 20, 40}};
    CHECK(scale.step(scale.encode(0.6)) == 0);
    CHECK(scale.step(scale.encode(0.4)) == 1);
    CHECK(scale.step(scale.encode(-0.3)) == 3);
    CHECK(detail::step_class(scale, codes{-30}) == "p3");
}

TEST_CASE("where all positions are alike, none is coloured; a run without a column has no such measure") {
    run_results run = even_run("none", 1);
    const token_numbers numbers(run.table);
    for (const token_measure m : token_measures) {
        const token_scale scale = scale_of(numbers, m, 1);
        CHECK(scale.step(scale.encode(numbers(m, 1, 3, 0))) == 0);
    }
    CHECK_FALSE(numbers.has(token_measure::error, 0));
    CHECK_FALSE(numbers.has(token_measure::kl, 0));

    auto columns = run.manifest.columns;
    std::erase_if(columns, [](column const& c) { return c.name == "kl" || c.name == "top"; });
    run.table = results_table(columns, {"full", "a"}, run.table.size());
    text_page page(run);
    CHECK(page.scales[0].empty());
    CHECK(page.scales[1].size() == 5);
    const std::string html = example_html(page, 0);
    CHECK(html.find("\"kl\"") == std::string::npos);
    CHECK(html.find("\"top\"") == std::string::npos);
}

TEST_CASE("losses before and after and their difference are in one unit, fine enough for every method") {
    run_results run = test::made_up_run(
        500, {"a", "b"}, [](std::size_t, std::size_t) { return 0.0; }, [](std::size_t) { return 1.0; });
    for (stored_column& s : run.table.columns())
        if (s.declared.shape == column_shape::position && s.declared.name == "nll")
            for (std::size_t i = 0; i < s.scores.size(); ++i)
                s.scores[i] = 2 + (s.variant == 0 ? 0 : s.variant == 1 ? 1e-3f : 1) * static_cast<float>(i) / 1000;
    text_page page(run);
    for (auto const& scale : page.scales[2])
        if (scale.measure <= token_measure::loss_full) CHECK(scale.digits == 5); // the errors of a are below 0.001
    CHECK(page.scales[2][0].steps[1] == 89900);                                  // of b: 0.899, of two figures at first
    const std::string html = example_html(page, 1);
    CHECK(html.find("\"loss\"") == std::string::npos); // it is the sum
    CHECK(html.find("\"loss_full\":[200000,200000]") != std::string::npos);
    CHECK(html.find("\"error\":[0,0]") != std::string::npos); // 2e-6, 3e-6
    CHECK(html.find("\"error\":[200,300]") != std::string::npos);
}

TEST_CASE("a text has a class for each coloured token, and its numbers as data") {
    run_results run = even_run("nll_a", 1);
    run.texts = token_texts(ids_of(run.documents, run.table), [](std::int32_t id) -> std::string {
        return id == 1498 ? "caf\xC3" : id == 1499 ? "\xA9" : "<" + std::to_string(id) + ">";
    });
    for (stored_column& s : run.table.columns())
        if (s.name == "nll_full" && s.declared.shape == column_shape::position)
            std::ranges::fill(s.scores, 0.0f);
        else if (s.name == "top_a")
            s.ids[0] = 7;
    text_page page(run);
    const std::string first = example_html(page, 0), last = example_html(page, 499);
    CHECK(first.starts_with(
        "<div class=\"text\" data-tokens=\"tokens-0\">&lt;0&gt;<i>&lt;1&gt;</i><i>&lt;2&gt;</i></div>"));
    CHECK(last.find(">&lt;1497&gt;<i class=\"p4\" data-n=\"2\">café</i></div>") != std::string::npos);
    const auto begin = last.find(page_data_begin("tokens-499")) + page_data_begin("tokens-499").size();
    const json data = parse_json(last.substr(begin, last.find(page_data_end) - begin), "tokens-499");
    CHECK(data["methods"][0]["error"] == json({99, 100}));
    CHECK(data["full"]["loss_full"] == json({0, 0}));
    CHECK(data["methods"][0]["top"] == json({0, 0}));        // the full model's
    CHECK(first.find("\"top\":[2,0]") != std::string::npos); // number 1 of the vocabulary, and one more
    CHECK(example_data(page).find("\"words\":[\"\\u003c0>\",\"\\u003c7>\"]") != std::string::npos);
    CHECK(example_switch(page).find("data-measure=\"error\">below <i class=\"n4\">") != std::string::npos);
}
