#include "bitlens/stats/influence.hpp"

#include "bitlens/core/random.hpp"

#include <doctest/doctest.h>
#include <limits>
#include <vector>

using namespace bitlens;

namespace {

using list = std::vector<double>;

list without(list x, std::size_t i) {
    x.erase(x.begin() + static_cast<std::ptrdiff_t>(i));
    return x;
}

} // namespace

TEST_CASE("leaving each pair out at once is leaving each out in turn") {
    random_generator random(1);
    list x, y;
    for (int i = 0; i < 30; ++i) {
        x.push_back(random.normal());
        y.push_back(0.5 * x.back() + random.normal());
    }
    for (const double outlier : {1.0, 1e3, 1e9, 1e60}) { // from 1e9 on it is all that sums over all pairs remember
        CAPTURE(outlier);
        x[11] *= outlier;
        const auto found = leave_one_out_pearson(x, y);
        for (std::size_t i = 0; i < x.size(); ++i)
            CHECK(found[i].value() == doctest::Approx(pearson(without(x, i), without(y, i)).value()).epsilon(1e-9));
        x[11] /= outlier;
    }
}

TEST_CASE("the pair that a correlation rests on is the most influential") {
    list x(20, 0), y(20, 0);
    for (std::size_t i = 0; i < 20; ++i) {
        x[i] = static_cast<double>(i % 4);
        y[i] = static_cast<double>(i / 4);
    }
    x[13] = y[13] = 100;
    x[6] = y[6] = 20;
    CHECK(most_influential(x, y, 2) == std::vector<std::size_t>{13, 6});
    x[6] = y[6] = 100; // either alone leaves the other, and the correlation with it
    CHECK(*leave_one_out_pearson(x, y)[6] > 0.98);
    CHECK(most_influential(x, y, 2) == std::vector<std::size_t>{6, 13});
    CHECK(most_influential(list{0, 0, 0, 5}, list{1, 2, 3, 9}, 3) == std::vector<std::size_t>{3}); // the rest has none
    list all_but_one(20, 3);
    all_but_one[8] = 4; // without it there is no correlation
    CHECK_FALSE(leave_one_out_pearson(all_but_one, y)[8]);
    CHECK(most_influential(all_but_one, y, 1) == std::vector<std::size_t>{8});
    CHECK(most_influential(list(20, 1), y, 1).empty());
}

TEST_CASE("too few pairs, and numbers that are not finite, leave no correlation") {
    for (auto const& rho : leave_one_out_pearson(list{1, 2}, list{2, 1})) CHECK_FALSE(rho);
    for (auto const& rho : leave_one_out_pearson(list{1, 2, std::numeric_limits<double>::infinity()}, list{2, 1, 3}))
        CHECK_FALSE(rho);
    CHECK(leave_one_out_pearson(list{}, list{}).empty());
    CHECK_THROWS_AS(leave_one_out_pearson(list{1, 2}, list{1}), shape_error);
}
