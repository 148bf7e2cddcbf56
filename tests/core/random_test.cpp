#include "bitlens/core/random.hpp"

#include <doctest/doctest.h>

#include <array>
#include <random>

using namespace bitlens;

static_assert(std::uniform_random_bit_generator<random_generator>);

namespace {

constexpr std::array<std::uint64_t, 4> first_four(std::uint64_t seed) {
    random_generator random(seed);
    std::array<std::uint64_t, 4> words{};
    for (auto& word : words) word = random();
    return words;
}

} // namespace

// From the published recurrences of splitmix64 (state words) and xoshiro256** in Python's integers; that script's
// splitmix64 starts 6457827717110365317, 3203168211198807973 from 1234567 and its xoshiro256** starts 11520, 0,
// 1509978240 from (1, 2, 3, 4), as the test vectors of other implementations do.
static_assert(first_four(0) == std::array<std::uint64_t, 4>{0x99ec5f36cb75f2b4u, 0xbf6e1f784956452au,
                                                            0x1a5f849d4933e6e0u, 0x6aa594f1262d2d2cu});
static_assert(first_four(1) == std::array<std::uint64_t, 4>{0xb3f2af6d0fc710c5u, 0x853b559647364ceau,
                                                            0x92f89756082a4514u, 0x642e1c7bc266a3a7u});
static_assert(first_four(42) == std::array<std::uint64_t, 4>{0x15780b2e0c2ec716u, 0x6104d9866d113a7eu,
                                                             0xae17533239e499a1u, 0xecb8ad4703b360a1u});
static_assert(first_four(~std::uint64_t{0}) == std::array<std::uint64_t, 4>{0x8f5520d52a7ead08u, 0xc476a018caa1802du,
                                                                            0x81de31c0d260469eu, 0xbf658d7e065f3c2fu});

TEST_CASE("uniform numbers are the top 53 bits, in [0, 1)") {
    random_generator random(0);
    CHECK(random.uniform() == static_cast<double>(0x99ec5f36cb75f2b4u >> 11) / 9007199254740992.0);
    double smallest = 1, largest = 0, sum = 0;
    constexpr int n = 100'000;
    for (int i = 0; i < n; ++i) {
        const double u = random.uniform();
        smallest = std::min(smallest, u);
        largest = std::max(largest, u);
        sum += u;
    }
    CHECK(smallest >= 0.0);
    CHECK(largest < 1.0);
    CHECK(std::abs(sum / n - 0.5) < 5 * std::sqrt(1.0 / 12 / n)); // five standard errors
}

TEST_CASE("below is even over its range") {
    random_generator random(3);
    CHECK(random.below(1) == 0);
    constexpr std::size_t sides = 7;
    constexpr int n = 70'000;
    std::array<int, sides> count{};
    for (int i = 0; i < n; ++i) {
        const auto x = random.below(sides);
        REQUIRE(x < sides);
        ++count[x];
    }
    double chi_squared = 0;
    for (const int c : count) chi_squared += (c - n / 7.0) * (c - n / 7.0) / (n / 7.0);
    CHECK(chi_squared < 22.46); // 6 degrees of freedom, p = 0.001
    // A third of all words would be favoured by a plain remainder here; rejection keeps both halves equal.
    constexpr std::uint64_t n_large = 3u * (std::uint64_t{1} << 62);
    int low = 0;
    for (int i = 0; i < 10'000; ++i) low += random.below(n_large) < n_large / 2;
    CHECK(std::abs(low - 5000) < 5 * 50); // five standard deviations
}

TEST_CASE("normal numbers have the moments of a standard normal") {
    random_generator random(11);
    constexpr int n = 200'000;
    double sum = 0, squares = 0, fourth = 0;
    for (int i = 0; i < n; ++i) {
        const double x = random.normal();
        REQUIRE(std::isfinite(x));
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
    }
    // Five standard errors: Var x = 1, Var x² = 2, Var x⁴ = 96.
    CHECK(std::abs(sum / n) < 5 * std::sqrt(1.0 / n));
    CHECK(std::abs(squares / n - 1) < 5 * std::sqrt(2.0 / n));
    CHECK(std::abs(fourth / n - 3) < 5 * std::sqrt(96.0 / n));
}
