#include "bitlens/stats/moments.hpp"

#include "goldens.hpp"
#include "not_finite.hpp"

#include <cmath>
#include <vector>

using namespace bitlens;
using namespace bitlens::test;

TEST_CASE("moments agree with numpy and scipy") {
    auto const& x = golden("x");
    CHECK(mean(x) == doctest::Approx(golden("mean_x")[0]).epsilon(1e-14));
    CHECK(variance(x) == doctest::Approx(golden("variance_x")[0]).epsilon(1e-14));
    CHECK(kurtosis(x).value() == doctest::Approx(golden("kurtosis_x")[0]).epsilon(1e-14));
}

TEST_CASE("known moments") {
    const std::vector<double> two{-1, 1}, four{1, 2, 3, 4}, one{7};
    CHECK(mean(four) == 2.5);
    CHECK(variance(four) == 1.25);
    CHECK(kurtosis(four).value() == doctest::Approx(1.64)); // (2·1.5⁴ + 2·0.5⁴)/4 / 1.25²
    CHECK(kurtosis(two).value() == 1);                      // the smallest there is
    CHECK(mean(one) == 7);
    CHECK(variance(one) == 0);
    CHECK_FALSE(kurtosis(one));
    CHECK(kurtosis<float>(std::vector<float>{-1, 1}).value() == 1);
}

TEST_CASE("a constant vector has variance zero exactly and no kurtosis") {
    for (const std::size_t n : {2u, 3u, 10u, 1000u}) {
        const std::vector<double> tenths(n, 0.1); // sums of 0.1 round
        CHECK(mean(tenths) == 0.1);
        CHECK(variance(tenths) == 0);
        CHECK_FALSE(kurtosis(tenths));
    }
}

TEST_CASE("a spread far below the mean keeps its digits") {
    std::vector<double> far, near;
    for (int i = 0; i < 100; ++i) {
        near.push_back(i % 7);
        far.push_back(1e9 + i % 7); // Σx² − N·x̄² would lose all digits
    }
    CHECK(variance(far) == doctest::Approx(variance(near)).epsilon(1e-14));
    CHECK(kurtosis(far).value() == doctest::Approx(kurtosis(near).value()).epsilon(1e-14));
    const double next = std::nextafter(1.0, 2.0); // the mean of 1 and next is no double
    CHECK(variance(std::vector<double>{1, next}) == (next - 1) * (next - 1) / 4);
    CHECK(kurtosis(std::vector<double>{1, next}).value() == 1);
}

TEST_CASE("no values are an error; NaN and infinity go on into the mean, never into a kurtosis") {
    CHECK_THROWS_AS(mean(std::vector<double>{}), shape_error);
    CHECK_THROWS_AS(variance(std::vector<double>{}), shape_error);
    CHECK_THROWS_AS((void)kurtosis(std::vector<double>{}), shape_error);
    CHECK(std::isnan(mean(std::vector<double>{1, not_a_number})));
    CHECK(std::isnan(variance(std::vector<double>{not_a_number, 1})));
    CHECK(std::isinf(mean(std::vector<double>{1, infinity})));
    CHECK_FALSE(kurtosis(std::vector<double>{1, not_a_number, 2}));
    CHECK_FALSE(kurtosis(std::vector<double>{1, infinity, 2}));
    CHECK_FALSE(kurtosis(std::vector<double>{1e100, -1e100, 0})); // fourth powers leave double
    CHECK_FALSE(kurtosis(std::vector<double>{1e-100, -1e-100, 0}));
    CHECK(kurtosis<float>(std::vector<float>{3e38f, -3e38f}).value() == 1); // those of floats do not
    CHECK(kurtosis<float>(std::vector<float>{1e-45f, -1e-45f}).value() == 1);
}

TEST_CASE("the three readings of the kurtosis of activations") {
    const auto r = golden_floats("r");
    const matrix_view<const float> view(r.data(), 5, 67);
    CHECK(kurtosis_per_token(view).value() == doctest::Approx(golden("kurtosis_per_token")[0]).epsilon(1e-14));
    CHECK(kurtosis_flat(view).value() == doctest::Approx(golden("kurtosis_flat")[0]).epsilon(1e-14));
    CHECK(kurtosis_llmc(view).value() == doctest::Approx(golden("kurtosis_llmc")[0]).epsilon(1e-14));

    // Rows that are not back to back: the same numbers.
    matrix<float> wide(5, 70);
    for (std::size_t t = 0; t < 5; ++t)
        for (std::size_t c = 0; c < 67; ++c) wide(t, c) = view(t, c);
    CHECK(kurtosis_flat(wide.view().middle_cols(0, 67)) == kurtosis_flat(view));
    CHECK(kurtosis_llmc(wide.view().middle_cols(0, 67)) == kurtosis_llmc(view));

    // One token: the first two readings agree.
    CHECK(kurtosis_per_token(view.middle_rows(2, 1)) == kurtosis_flat(view.middle_rows(2, 1)));
}

TEST_CASE("edges of the three readings") {
    const std::vector<float> same(6, 0.1f), constant_token{1, 2, 4, 5, 5, 5}, one{3};
    CHECK_FALSE(kurtosis_per_token({same.data(), 2, 3}));
    CHECK_FALSE(kurtosis_flat({same.data(), 2, 3}));
    CHECK(kurtosis_llmc({same.data(), 2, 3}).value() == 0);
    CHECK_FALSE(kurtosis_per_token({constant_token.data(), 2, 3}));
    CHECK(kurtosis_flat({constant_token.data(), 2, 3}));
    CHECK_FALSE(kurtosis_llmc({one.data(), 1, 1}));
    std::vector<float> broken{1, 2, std::nanf(""), 4};
    CHECK_FALSE(kurtosis_per_token({broken.data(), 2, 2}));
    CHECK_FALSE(kurtosis_flat({broken.data(), 2, 2}));
    CHECK_FALSE(kurtosis_llmc({broken.data(), 2, 2}));
    CHECK_THROWS_AS((void)kurtosis_per_token({}), shape_error);
    CHECK_THROWS_AS((void)kurtosis_flat({}), shape_error);
    CHECK_THROWS_AS((void)kurtosis_llmc({}), shape_error);
}

TEST_CASE("per token is at most d, whatever one token does") {
    std::vector<float> spike(64, 0.0f);
    spike[5] = 1e30f;
    const double n = 64; // one of n differs: κ = (n² − 3n + 3)/(n − 1)
    CHECK(kurtosis_per_token({spike.data(), 1, 64}).value() == doctest::Approx((n * n - 3 * n + 3) / (n - 1)));
}
