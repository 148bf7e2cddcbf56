#include "bitlens/stats/ranks.hpp"

#include "goldens.hpp"
#include "not_finite.hpp"

#include <cmath>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

TEST_CASE("mid-ranks agree with scipy") {
    CHECK(mid_ranks(golden("y")) == golden("ranks_y"));
    CHECK(mid_ranks(std::vector<double>{3, 1, 3, 3}) == std::vector<double>{3, 1, 3, 3});
    CHECK(mid_ranks(std::vector<double>{0.0, -0.0}) == std::vector<double>{1.5, 1.5});
    CHECK(mid_ranks({}).empty());
    CHECK(mid_ranks(std::vector<double>{infinity, 0, -infinity}) == std::vector<double>{3, 2, 1});
    CHECK_THROWS_WITH_AS((void)mid_ranks(std::vector<double>{0, std::nan("")}), "mid_ranks: value 1 is not a number",
                         error);
}

TEST_CASE("quantiles agree with numpy") {
    auto x = golden("x");
    std::sort(x.begin(), x.end());
    for (std::size_t i = 0; i < golden("quantile_at").size(); ++i)
        CHECK(quantile(x, golden("quantile_at")[i]) == doctest::Approx(golden("quantile_x")[i]).epsilon(1e-14));
    CHECK(quantile(std::vector<double>{4}, 0.3) == 4);
    CHECK(quantile(std::vector<double>{1, 2}, 0.25) == 1.25);
    CHECK_THROWS_AS((void)quantile({}, 0.5), shape_error);
    CHECK_THROWS_AS((void)quantile(std::vector<double>{1}, 1.5), option_error);
    CHECK_THROWS_AS((void)quantile(std::vector<double>{1}, std::nan("")), option_error);
}
