#include "bitlens/page/shared_foretelling_table.hpp"

#include "choices_for_test.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

/// 60 questions of two choices, all right before; the method loses those whose other numbers are the largest.
finished_study lost_where_large() {
    const std::size_t questions = 60;
    return make_study(test::run_of_choices(
        std::vector<test::made_up_choice_question>(questions, {2, 1}), std::vector<std::size_t>(2 * questions, 1),
        [=](std::size_t v, std::size_t n) { return n % 2 == 0              ? 2.0
                                                   : v == 1 && n / 2 >= 45 ? 3.0
                                                                           : 1.0; },
        [](std::size_t n) { return n % 2 == 0 ? -static_cast<double>(n) : static_cast<double>(n); }));
}

finished_study documents_whose_error(double sign) {
    return make_study(test::made_up_run(
        50, {"a"}, [=](std::size_t i, std::size_t) { return sign * 0.01 * static_cast<double>(i); },
        [](std::size_t i) { return static_cast<double>(i); }));
}

} // namespace

TEST_CASE("what rises with the errors and with lost answers foretells both; of the right choice's row alone") {
    const auto choices = lost_where_large();
    for (const double sign : {1.0, -1.0}) {
        const auto found = share_foretelling(documents_whose_error(sign), choices);
        REQUIRE(found.size() == 1);
        CHECK((found[0].right_before == 60 && found[0].lost == 15));
        const auto norm = std::ranges::find(found[0].quantities, "norm_r", &shared_quantity::name);
        REQUIRE(norm != found[0].quantities.end());
        CHECK(*norm->with_error == doctest::Approx(sign));
        // Ranks of 0 … 59 against a step at 45: sqrt(3 · 45 · 15 · 60² / ((60³ − 60) · 60)).
        CHECK(*norm->with_loss == doctest::Approx(0.7501).epsilon(1e-3));
        CHECK(*norm->loss_interval.lo > 0.5);
        CHECK(*norm->loss_interval.hi < 0.9);
        const std::string text = to_text(shared_foretelling_table(found[0]));
        CHECK(text.find("15 of 60 right answers") != std::string::npos);
    }
}

TEST_CASE("runs that have nothing in common, or no choices, are refused") {
    const auto documents = documents_whose_error(1);
    CHECK_THROWS_WITH_AS(share_foretelling(documents, documents_whose_error(1)),
                         doctest::Contains("questions of several choices is expected"), option_error);
    const auto other = make_study(test::made_up_run(
        50, {"b"}, [](std::size_t, std::size_t) { return 0.0; }, [](std::size_t) { return 1.0; }));
    CHECK_THROWS_WITH_AS(share_foretelling(other, lost_where_large()),
                         doctest::Contains("a method that both runs have"), option_error);
}
