#include "bitlens/kernels/soft_cap.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace bitlens;

TEST_CASE_TEMPLATE("known caps", Arch, simd::default_arch, simd::scalar) {
    const std::vector<float> x{-200, -60, -30, -5, .5f, 10, 50, 100};
    const std::vector<double> of_50{-49.966465, -41.6827316, -26.8524799, -4.98339987,
                                    .499983311, 9.86876678,  38.0797081,  48.2013779};
    const std::vector<double> of_30{-29.9999027, -28.9208279, -22.847826, -4.95421267,
                                    .499953747,  9.64538288,  27.9332886, 29.9237404};
    for (const bool is_50 : {true, false}) {
        matrix<float> a(3, 8); // in a matrix of which it is a part
        for (std::size_t i = 0; i < 8; ++i) a(0, i) = a(1, i) = a(2, i) = x[i];
        soft_cap<Arch>(is_50 ? 50.0f : 30.0f, a.view().middle_rows(1, 1).middle_cols(0, 7));
        for (std::size_t i = 0; i < 7; ++i) // a tanh right to 2.5e-7, as theirs, and 3 roundings
            CHECK(double{a(1, i)} == doctest::Approx((is_50 ? of_50 : of_30)[i]).epsilon(7e-7).scale(0));
        CHECK(a(1, 7) == 100);
        CHECK(std::ranges::equal(a.row(0), x));
        CHECK(std::ranges::equal(a.row(2), x));
        soft_cap<Arch>(is_50 ? 50.0f : 30.0f, a.view().middle_rows(2, 1));
        CHECK(double{a(2, 7)} == doctest::Approx((is_50 ? of_50 : of_30)[7]).epsilon(7e-7).scale(0));
    }
}

TEST_CASE_TEMPLATE("a cap has the digits of a float, small numbers pass, and what is beyond all reach is at the cap",
                   Arch, simd::default_arch, simd::scalar) {
    matrix<float> a(1, 40000), before(1, 40000);
    for (std::size_t i = 0; i < 40000; ++i) // 10⁻⁶ … 10³ on both sides
        a(0, i) = before(0, i) = static_cast<float>((i % 2 == 0 ? 1 : -1) * std::pow(10.0, double(i) * 9 / 40000 - 6));
    soft_cap<Arch>(7, a);
    double worst = 0;
    for (std::size_t i = 0; i < 40000; ++i) {
        const double exact = 7 * std::tanh(double{before(0, i)} / 7);
        worst = std::max(worst, std::abs(double{a(0, i)} - exact) / std::abs(exact));
    }
    CHECK(worst <= 2.5e-7 + 4 * 6e-8); // the tanh, and the roundings of 1/c twice over, and of two products

    constexpr float infinity = std::numeric_limits<float>::infinity();
    matrix<float> ends(1, 6);
    std::ranges::copy(std::vector<float>{-infinity, infinity, -1e38f, 1e38f, 0, std::nanf("")}, ends.data());
    soft_cap<Arch>(30, ends);
    CHECK(std::ranges::equal(ends.row(0).first(5), std::vector<float>{-30, 30, -30, 30, 0}));
    CHECK(std::isnan(ends(0, 5)));
}

TEST_CASE("no cap leaves every bit, and a cap that is no number is refused") {
    matrix<float> a(1, 2);
    a(0, 0) = 1e30f, a(0, 1) = 3;
    soft_cap(no_soft_cap, a);
    CHECK(a(0, 0) == 1e30f);
    CHECK(a(0, 1) == 3);
    CHECK_THROWS_WITH_AS(soft_cap(-2, a), "soft_cap: soft cap -2.000000, expected a positive number, or 0 for none",
                         option_error);
    CHECK_THROWS_AS(soft_cap(std::nanf(""), a), option_error);
    CHECK_THROWS_AS(soft_cap(std::numeric_limits<float>::infinity(), a), option_error);
}
