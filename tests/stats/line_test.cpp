#include "bitlens/stats/line.hpp"

#include "bitlens/core/random.hpp"

#include <doctest/doctest.h>
#include <vector>

using namespace bitlens;

namespace {
using list = std::vector<double>;
} // namespace

TEST_CASE("a line through three pairs, worked by hand") {
    // x̄ = 1, ȳ = 2: Σxx = 2, Σxy = 3, Σyy = 6; slope 3/2, intercept 1/2, left over 6 − 9/2 = 3/2.
    const auto line = fit_line(moments_of_pairs(list{0, 1, 2}, list{1, 1, 4})).value();
    CHECK(line.slope == 1.5);
    CHECK(line.intercept == 0.5);
    CHECK(line.residual == doctest::Approx(std::sqrt(1.5)).epsilon(1e-15));
    CHECK(line.explained == 0.75);
}

TEST_CASE("sums of parts joined are those of the whole") {
    random_generator random(2);
    list x, y;
    pair_moments joined;
    for (std::size_t part = 0; part < 7; ++part) {
        list part_x, part_y;
        for (std::size_t i = 0; i < part * part; ++i) { // the first part is empty
            part_x.push_back(1000 + random.normal() + static_cast<double>(part));
            part_y.push_back(0.3 * part_x.back() + random.normal());
        }
        joined.join(moments_of_pairs(part_x, part_y));
        x.insert(x.end(), part_x.begin(), part_x.end());
        y.insert(y.end(), part_y.begin(), part_y.end());
    }
    const auto whole = moments_of_pairs(x, y);
    CHECK(joined.n == 91);
    for (const auto sum :
         {&pair_moments::mean_x, &pair_moments::mean_y, &pair_moments::xx, &pair_moments::xy, &pair_moments::yy})
        CHECK(joined.*sum == doctest::Approx(whole.*sum).epsilon(1e-12));
}

TEST_CASE("no line through two pairs, or through numbers all the same") {
    CHECK_FALSE(fit_line(moments_of_pairs(list{1, 2}, list{1, 2})));
    CHECK_FALSE(fit_line(moments_of_pairs(list{0.1, 0.1, 0.1}, list{1, 2, 3})));
    CHECK_FALSE(fit_line(moments_of_pairs(list{1, 2, 3}, list{0.1, 0.1, 0.1})));
    pair_moments joined = moments_of_pairs(list{0.1, 0.1, 0.1}, list{1, 2, 3});
    joined.join(moments_of_pairs(list{0.1, 0.1}, list{5, 6}));
    CHECK_FALSE(fit_line(joined));
    CHECK_FALSE(fit_line(moments_of_pairs(list{}, list{})));
    CHECK_THROWS_AS(moments_of_pairs(list{1}, list{}), shape_error);
}

TEST_CASE("the chance to be below zero") {
    CHECK(chance_below_zero(0, 1) == 0.5);
    CHECK(chance_below_zero(2, 1) == doctest::Approx(0.022750131948179195).epsilon(1e-14)); // Φ(−2)
    CHECK(chance_below_zero(-4, 2) == doctest::Approx(0.9772498680518208).epsilon(1e-14));
    CHECK(chance_below_zero(-1e-9, 0) == 1);
    CHECK(chance_below_zero(0, 0) == 0);
}
