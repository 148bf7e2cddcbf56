#include "bitlens/stats/proportions.hpp"

#include <doctest/doctest.h>

#include <cstddef>

using namespace bitlens;

TEST_CASE("McNemar's exact test") {
    CHECK(mcnemar_chance(0, 0) == 1);
    // statsmodels 0.15.0, mcnemar([[0, b], [c, 0]], exact=True); scipy 1.17.1, binomtest(min(b, c), b + c).
    struct parted {
        std::size_t b, c;
        double chance;
    };
    for (parted const& t : {parted{1, 0, 1.0},
                            {0, 5, 0.0625},
                            {3, 3, 1.0},
                            {4, 3, 1.0},
                            {10, 2, 0.03857421875},
                            {2, 10, 0.03857421875},
                            {25, 40, 0.08168153394154003},
                            {121, 59, 4.4344492637551645e-06},
                            {300, 301, 1.0},
                            {1000, 1100, 0.03072070786424249},
                            {0, 60, 1.734723475976807e-18},
                            {6000, 5500, 3.2572139388351413e-06}}) {
        CAPTURE(t.b);
        CAPTURE(t.c);
        CHECK(mcnemar_chance(t.b, t.c) == doctest::Approx(t.chance).scale(0).epsilon(1e-9));
    }
}

TEST_CASE("Wilson's interval of a share") {
    CHECK_FALSE(wilson_interval(0, 0));
    // statsmodels 0.15.0, proportion_confint(k, n, method="wilson"); the last by its formula.
    struct share {
        double k;
        std::size_t n;
        double lo, hi;
    };
    for (share const& s : {share{0, 1, 0, 0.7934506856227627},
                           {1, 1, 0.2065493143772374, 1},
                           {0, 10, 0, 0.27753279986288926},
                           {10, 10, 0.7224672001371106, 1},
                           {5, 10, 0.23659309051256394, 0.7634069094874361},
                           {81, 263, 0.2552885198782742, 0.36620957698280004},
                           {394, 3636, 0.0986676612204526, 0.11888067646930219},
                           {1, 3636, 4.8550757359141724e-05, 0.0015563155223350172},
                           {2.5, 10, 0.08094782420999444, 0.5578185757214501}}) {
        CAPTURE(s.k);
        CAPTURE(s.n);
        const auto within = wilson_interval(s.k / static_cast<double>(s.n), s.n);
        REQUIRE(within);
        CHECK(within->lo == doctest::Approx(s.lo).epsilon(1e-12));
        CHECK(within->hi == doctest::Approx(s.hi).epsilon(1e-12));
    }
    CHECK_THROWS_AS(wilson_interval(1.5, 10), option_error);
}
