#include "bitlens/layers/rope.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/layers/reference.hpp"

#include "same_bits.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace bitlens;
using test::same_bits;

namespace {

matrix<float> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
    matrix<float> m(rows, cols);
    random_generator random(seed);
    for (float& x : m.span()) x = static_cast<float>(random.normal());
    return m;
}
matrix<float> copy_of(matrix_view<const float> from) {
    matrix<float> m(from.rows, from.cols);
    for (std::size_t t = 0; t < from.rows; ++t) std::ranges::copy(from.row(t), m.row(t).begin());
    return m;
}

/// Frequencies that transformers 5.24 computes in float32, which rounds the power once more or in another place.
constexpr double rounding = 1e-6;

void check_frequencies(rope_rule const& rule, std::size_t head_dim, std::size_t text,
                       std::vector<double> const& expected, double magnitude = 1) {
    const auto f = frequencies_of(rule, head_dim, text);
    REQUIRE(f.of_pair.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        CAPTURE(i);
        CHECK(double{f.of_pair[i]} == doctest::Approx(expected[i]).epsilon(rounding).scale(0));
    }
    CHECK(double{f.magnitude} == doctest::Approx(magnitude).epsilon(rounding).scale(0));
}

const std::vector<double> unscaled{1,
                                   .316227764,
                                   .100000001,
                                   .0316227786,
                                   .00999999978,
                                   .00316227786,
                                   .00100000005,
                                   .000316227786}; // of 16 dimensions, θ 10⁴

/// One rule of each kind, for 8 dimensions and texts on either side of 64 positions.
std::vector<rope_rule> one_of_each(std::size_t rotated = 0) {
    return {{5e5, rotated, rope_unscaled{}},
            {1e4, rotated, rope_linear{4}},
            {1e4, rotated, rope_dynamic{2, 64}},
            {1e4, rotated, rope_llama3{8, 1, 4, 64}},
            {1e4, rotated, rope_yarn{.factor = 4, .original_context = 64}},
            {1e4, rotated, rope_longrope{{1, 1.1, 1.2, 1.3}, {1, 4, 16, 64}, 64, 32, {}}},
            {1e4, rotated, rope_divided{{1, 1, 2.5f, 8}}}};
}

} // namespace

TEST_CASE("rotary embedding turns pairs half a head apart") {
    const rope_table table(3, 4, rope_rule{});
    matrix<float> x(3, 8);
    for (std::size_t t = 0; t < 3; ++t) x(t, 0) = x(t, 5) = 1; // dimension 0 of head 0, dimension 1 of head 1
    rope(table, 0, x);
    for (std::size_t t = 0; t < 3; ++t) {
        const double fast = static_cast<double>(t), slow = fast / 100;
        CHECK(double{x(t, 0)} == doctest::Approx(std::cos(fast)).epsilon(1e-6));
        CHECK(double{x(t, 2)} == doctest::Approx(std::sin(fast)).epsilon(1e-6));
        CHECK(double{x(t, 5)} == doctest::Approx(std::cos(slow)).epsilon(1e-6));
        CHECK(double{x(t, 7)} == doctest::Approx(std::sin(slow)).epsilon(1e-6));
        CHECK(x(t, 1) == 0);
    }
}

TEST_CASE("rotary embedding agrees with the exact angles as far as a float angle can") {
    const auto original = random_matrix(600, 3 * 64, 5);
    auto x = copy_of(original), truth = copy_of(original), tail = copy_of(original.view().middle_rows(500, 100));
    const rope_table table(600, 64, rope_rule{});
    rope(table, 0, x);
    reference::rope(64, rope_rule{}, truth);
    double worst = 0;
    for (std::size_t i = 0; i < x.span().size(); ++i)
        worst = std::max(worst, std::abs(double{x.span()[i]} - double{truth.span()[i]}));
    CHECK(worst <= 600 * 2.5 * 6e-8 * 5 * 1.5); // an angle up to 600, 2.5 roundings, numbers below 5, two of them

    rope(table, 500, tail); // the rows of a document in pieces
    CHECK(same_bits(tail, x.view().middle_rows(500, 100)));
}

TEST_CASE("every kind of scaling turns by its frequencies, times its magnitude") {
    for (const std::size_t text : {64u, 65u, 200u})
        for (rope_rule const& rule : one_of_each()) {
            CAPTURE(rule.scaling.index());
            CAPTURE(text);
            const auto original = random_matrix(text, 2 * 8, 5);
            auto x = copy_of(original), truth = copy_of(original);
            rope(rope_table(text, 8, rule), 0, x);
            reference::rope(8, rule, truth);
            const auto f = frequencies_of(rule, 8, text);
            double worst = 0;
            for (std::size_t i = 0; i < x.span().size(); ++i)
                worst = std::max(worst, std::abs(double{x.span()[i]} - double{truth.span()[i]}));
            // As above, and 1.5 roundings more of what becomes of a frequency.
            CHECK(worst <= static_cast<double>(text) * 4 * 6e-8 * 5 * 1.5 * double{f.magnitude});

            // A turn leaves lengths as they are: what is left is A.
            double before = 0, after = 0;
            for (const float v : original.span()) before += double{v} * double{v};
            for (const float v : x.span()) after += double{v} * double{v};
            CHECK(std::sqrt(after / before) == doctest::Approx(double{f.magnitude}).epsilon(1e-6));
        }
}

TEST_CASE("dimensions beyond those that turn pass unchanged") {
    for (rope_rule const& rule : one_of_each(8)) {
        CAPTURE(rule.scaling.index());
        const auto original = random_matrix(70, 2 * 11, 6); // two heads of 8 dimensions that turn and 3 that do not
        auto x = copy_of(original), turning = matrix<float>(70, 2 * 8);
        const auto part = [](auto const& m, std::size_t head, std::size_t first, std::size_t count) {
            return m.view().middle_cols(head * 11 + first, count);
        };
        for (std::size_t t = 0; t < 70; ++t)
            for (std::size_t h = 0; h < 2; ++h)
                std::ranges::copy(part(original, h, 0, 8).row(t), turning.row(t).begin() + static_cast<long>(8 * h));
        rope(rope_table(70, 11, rule), 0, x);
        rope_rule whole = rule;
        whole.rotated = 0;
        rope(rope_table(70, 8, whole), 0, turning);
        for (std::size_t h = 0; h < 2; ++h) {
            CHECK(same_bits(part(x, h, 0, 8), turning.view().middle_cols(8 * h, 8)));
            CHECK(same_bits(part(x, h, 8, 3), part(original, h, 8, 3)));
        }
    }
    const rope_table table(5, 11, rope_rule{.rotated = 8});
    CHECK(table.head_dim() == 11);
    CHECK(table.rotated() == 8);
}

TEST_CASE("known frequencies: unscaled, linear and divided") {
    check_frequencies({1e4, 0, rope_unscaled{}}, 16, 100, unscaled);
    check_frequencies(
        {5e5, 0, rope_unscaled{}}, 16, 100,
        {1, .193922758, .0376060307, .00729266508, .00141421345, .000274248188, 5.31829573e-05, 1.03133852e-05});
    check_frequencies(
        {1e4, 0, rope_linear{4}}, 16, 100,
        {.25, .079056941, .0250000004, .00790569466, .00249999994, .000790569466, .000250000012, 7.90569466e-05});
    check_frequencies({1e4, 0, rope_divided{{1, 1, 1, 1, 2, 2, 4, .5f}}}, 16, 100,
                      {unscaled[0], unscaled[1], unscaled[2], unscaled[3], unscaled[4] / 2, unscaled[5] / 2,
                       unscaled[6] / 4, unscaled[7] * 2});
}

TEST_CASE("known frequencies: dynamic, by the length of the text alone") {
    const rope_rule rule{1e4, 0, rope_dynamic{2, 64}};
    const std::vector<double> of_128{
        1, .270296127, .0730599985, .0197478328, .00533776311, .00144277664, .000389976951, .000105409265};
    check_frequencies(rule, 16, 128, of_128);
    check_frequencies(rule, 16, 1, unscaled);
    check_frequencies(rule, 16, 64, unscaled);
    check_frequencies(
        rule, 16, 65,
        {1, .314840704, .0991246626, .0312084779, .00982569903, .00309352996, .000973969174, .000306645117});
    check_frequencies(
        rule, 16, 200,
        {1, .249528468, .0622644536, .0155367535, .00387686281, .000967387517, .000241390735, 6.02338623e-05});
    check_frequencies(rule, 16, 128, of_128);
    check_frequencies(rule, 2, 128, {1}); // one pair has no base to stretch
    CHECK(frequencies_of(rule, 16, 64).of_pair == frequencies_of(rope_rule{}, 16, 64).of_pair); // the same bits
}

TEST_CASE("known frequencies: llama3") {
    check_frequencies(
        {5e5, 0, rope_llama3{8, 1, 4, 8192}}, 16, 100,
        {1, .193922758, .0376060307, .00729266508, .000524846022, 3.42810235e-05, 6.64786967e-06, 1.28917316e-06});
    check_frequencies(
        {1e4, 0, rope_llama3{32, 1, 4, 64}}, 16, 100,
        {1, .236687109, .00372535503, .000988211832, .000312499993, 9.88211832e-05, 3.12500015e-05, 9.88211832e-06});

    const auto llama_31 = frequencies_of({5e5, 0, rope_llama3{8, 1, 4, 8192}}, 128, 100).of_pair; // of 8B
    const auto plain = frequencies_of({5e5, 0, rope_unscaled{}}, 128, 100).of_pair;
    const auto divisor = [](auto const& from, auto const& by, std::size_t i) {
        return double{from[i]} / double{by[i]};
    };
    const double middle[] = {1.2074839, 1.5534146, 2.0263131, 2.6945302, 3.6842535, 5.2573271};
    for (std::size_t i = 0; i < 64; ++i) {
        CAPTURE(i);
        const double expected = i <= 28 ? 1 : i >= 35 ? 8 : middle[i - 29];
        CHECK(divisor(plain, llama_31, i) == doctest::Approx(expected).epsilon(rounding).scale(0));
    }
    const std::pair<std::size_t, double> some[] = {{0, 1},
                                                   {1, .814617217},
                                                   {28, .00321144611},
                                                   {29, .00216657063},
                                                   {30, .00137189368},
                                                   {34, .000178507791},
                                                   {35, 9.55621217e-05},
                                                   {36, 7.78465546e-05},
                                                   {63, 3.06892588e-07}};
    for (auto const& at : some)
        CHECK(double{llama_31[at.first]} == doctest::Approx(at.second).epsilon(rounding).scale(0));

    const auto llama_32 = frequencies_of({5e5, 0, rope_llama3{32, 1, 4, 8192}}, 64, 100).of_pair; // of 1B
    const auto plain_64 = frequencies_of({5e5, 0, rope_unscaled{}}, 64, 100).of_pair;
    const double middle_32[] = {1.651329, 3.292263, 9.66673};
    std::vector<float> divisors; // what a GGUF file has in place of the rule
    for (std::size_t i = 0; i < 32; ++i) {
        CAPTURE(i);
        const double expected = i <= 14 ? 1 : i >= 18 ? 32 : middle_32[i - 15];
        CHECK(divisor(plain_64, llama_32, i) == doctest::Approx(expected).epsilon(rounding).scale(0));
        divisors.push_back(static_cast<float>(expected));
    }
    const std::vector<double> as_doubles(llama_32.begin(), llama_32.end());
    check_frequencies({5e5, 0, rope_divided{divisors}}, 64, 100, as_doubles);
}

TEST_CASE("known frequencies: yarn") {
    const double four = 1.138629436; // 0.1·ln 4 + 1
    rope_yarn yarn{.factor = 4, .original_context = 64};
    const std::vector<double> whole{
        1, .237170815, .049999997, .00790569466, .00249999994, .000790569466, .000250000012, 7.90569466e-05};
    check_frequencies({1e4, 0, yarn}, 16, 100, whole, four);
    yarn.magnitude = 1; // is 1, not "unset"
    check_frequencies({1e4, 0, yarn}, 16, 100, whole, 1);
    yarn.magnitude = {}, yarn.truncate = false;
    check_frequencies(
        {1e4, 0, yarn}, 16, 100,
        {1, .198583528, .0255952496, .00790569466, .00249999994, .000790569466, .000250000012, 7.90569466e-05}, four);
    check_frequencies(
        {1e4, 0, rope_yarn{.factor = 4, .original_context = 131072}}, 16, 100,
        {1, .316227764, .100000001, .0316227786, .00999999978, .00316227786, .000812500017, .000197642366},
        four); // the mean goes on beyond the last pair
    check_frequencies(
        {1e6, 0, rope_yarn{.factor = 4, .original_context = 32768}}, 16, 100,
        {1, .177827939, .0316227786, .00421755994, .000500000024, 4.44569851e-05, 7.90569356e-06, 1.40585337e-06},
        four);
    check_frequencies(
        {1e6, 0, rope_yarn{.factor = 16, .original_context = 16384, .mscale = 1, .mscale_all = 1}}, 16, 100,
        {1, .177827939, .0316227786, .00386609649, .000375000003, 1.11142463e-05, 1.97642339e-06, 3.51463342e-07}, 1);
    const std::vector<double> of_40{
        1, .316227764, .100000001, .0239147246, .00512499968, .000849862176, 2.49999994e-05, 7.90569447e-06};
    check_frequencies({1e4, 0, rope_yarn{.factor = 40, .original_context = 4096, .mscale = .707, .mscale_all = 1}}, 16,
                      100, of_40, .92104236);
    // One of the two alone says nothing.
    const double forty = 0.1 * std::log(40.0) + 1;
    check_frequencies({1e4, 0, rope_yarn{.factor = 40, .original_context = 4096, .mscale = .707}}, 16, 100, of_40,
                      forty);
    check_frequencies({1e4, 0, rope_yarn{.factor = 40, .original_context = 4096, .mscale_all = .707}}, 16, 100, of_40,
                      forty);
    check_frequencies({1e4, 0, rope_yarn{.factor = 1, .original_context = 64}}, 16, 100, unscaled, 1);
    // Both ends of the mean at the same pair: half a step apart, all beyond it scaled.
    check_frequencies({1e4, 0, rope_yarn{.factor = 4, .original_context = 64, .fast = 64, .slow = 32}}, 4, 100,
                      {1, .0025}, four);
}

TEST_CASE("the shortest text with the frequencies of a longer one") {
    const std::vector<double> ones(4, 1.0), others{1, 2, 3, 4};
    const std::vector<rope_scaling> kinds{rope_unscaled{},
                                          rope_linear{2},
                                          rope_dynamic{2, 6},
                                          rope_llama3{8, 1, 4, 6},
                                          rope_yarn{.factor = 2, .original_context = 6},
                                          rope_longrope{ones, others, 6, 2, {}},
                                          rope_divided{{1, 2, 3, 4}}};
    std::size_t same = 0, different = 0;
    for (auto const& scaling : kinds)
        for (std::size_t longer = 1; longer <= 12; ++longer) {
            const rope_rule rule{.theta = 100, .scaling = scaling};
            const auto f = frequencies_of(rule, 8, longer);
            for (std::size_t shorter = 1; shorter <= longer; ++shorter) {
                const auto of_shorter = frequencies_of(rule, 8, shorter);
                const bool are_same = f.of_pair == of_shorter.of_pair && f.magnitude == of_shorter.magnitude;
                CHECK(are_same == (shortest_text_like(rule, longer) <= shorter));
                ++(are_same ? same : different);
            }
        }
    CHECK(same > 0);
    CHECK(different == 36 + 15 + 36); // of dynamic 6 · 6 and pairs beyond, of longrope 6 · 6
    const rope_frequencies f = frequencies_of({.scaling = rope_dynamic{2, 6}}, 8, 10);
    const rope_table some(3, 8, f), all(10, 8, rope_rule{.scaling = rope_dynamic{2, 6}});
    CHECK(some.positions() == 3);
    for (std::size_t t = 0; t < 3; ++t) {
        CHECK(std::ranges::equal(some.cos(t), all.cos(t)));
        CHECK(std::ranges::equal(some.sin(t), all.sin(t)));
    }
}

TEST_CASE("known frequencies: longrope, whose factors change for the whole text at once") {
    rope_longrope rule{{1, 1.1, 1.2, 1.3}, {1, 4, 16, 64}, 4096, 32, {}};
    const double magnitude = 1.19023807; // √(1 + ln 32 / ln 4096)
    const std::vector<double> of_short{1, .0909090936, .00833333284, .00076923077};
    check_frequencies({1e4, 0, rule}, 8, 1, of_short, magnitude);
    check_frequencies({1e4, 0, rule}, 8, 4096, of_short, magnitude);
    check_frequencies({1e4, 0, rule}, 8, 4097, {1, .0250000004, .000624999986, 1.56250007e-05}, magnitude);
    rule.magnitude = 1.5;
    check_frequencies({1e4, 0, rule}, 8, 1, of_short, 1.5);
    rule.magnitude = {}, rule.factor = 1;
    check_frequencies({1e4, 0, rule}, 8, 1, of_short, 1);
}

TEST_CASE("a rule to compute nothing with is refused") {
    const auto refused = [](rope_rule const& rule, std::size_t head_dim = 8) {
        try {
            rope_table(4, head_dim, rule);
            return std::string("no refusal");
        } catch (error const& e) {
            return std::string(e.what());
        }
    };
    constexpr float infinity = std::numeric_limits<float>::infinity();
    CHECK(refused({}, 5) == "rope: head_dim 5, expected an even number");
    CHECK(refused({}, 0) == "rope: head_dim 0, expected an even number");
    CHECK(refused({.rotated = 6}, 5) == "rope: 6 dimensions of a head turn, expected an even number up to head_dim 5");
    CHECK(refused({.rotated = 3}, 8) == "rope: 3 dimensions of a head turn, expected an even number up to head_dim 8");
    CHECK(refused({.rotated = 4}, 5) == "no refusal");
    CHECK(refused({.theta = 0}) == "rope: theta 0.000000, expected a positive number");
    CHECK(refused({.theta = std::nan("")}) == "rope: theta nan, expected a positive number");
    CHECK(refused({.theta = double{infinity}}) == "rope: theta inf, expected a positive number");
    const auto with = [](rope_scaling scaling) { return rope_rule{1e4, 0, std::move(scaling)}; };
    CHECK(refused(with(rope_linear{0})) == "rope: factor 0.000000, expected a positive number");
    CHECK(refused(with(rope_dynamic{-2, 64})) == "rope: factor -2.000000, expected a positive number");
    CHECK(refused(with(rope_dynamic{2, 0})) == "rope: context is 0 positions, expected at least 1");
    CHECK(refused(with(rope_llama3{0, 1, 4, 64})) == "rope: factor 0.000000, expected a positive number");
    CHECK(refused(with(rope_llama3{8, 0, 4, 64})) == "rope: low 0.000000, expected a positive number");
    CHECK(refused(with(rope_llama3{8, 4, 4, 64})) == "rope: high 4.000000, expected a number above 4.000000");
    CHECK(refused(with(rope_llama3{8, 1, 4, 0})) == "rope: original_context is 0 positions, expected at least 1");
    CHECK(refused(with(rope_yarn{.factor = -1, .original_context = 64})) ==
          "rope: factor -1.000000, expected a positive number");
    CHECK(refused(with(rope_yarn{.factor = 4})) == "rope: original_context is 0 positions, expected at least 1");
    CHECK(refused(with(rope_yarn{.factor = 4, .original_context = 64, .fast = 0})) ==
          "rope: fast 0.000000, expected a positive number");
    CHECK(refused(with(rope_yarn{.factor = 4, .original_context = 64, .slow = 0})) ==
          "rope: slow 0.000000, expected a positive number");
    CHECK(refused(with(rope_yarn{.factor = 4, .original_context = 64, .magnitude = 0})) ==
          "rope: magnitude 0.000000, expected a positive number");
    CHECK(refused({1, 0, rope_yarn{.factor = 4, .original_context = 64}}) ==
          "rope: theta of yarn 1.000000, expected a number above 1.000000");
    const std::vector<double> three(3, 1), four(4, 1);
    CHECK(refused(with(rope_longrope{three, four, 64, 4, {}})) == "rope: short_factors has 3 elements, expected 4");
    CHECK(refused(with(rope_longrope{four, three, 64, 4, {}})) == "rope: long_factors has 3 elements, expected 4");
    CHECK(refused(with(rope_longrope{four, {1, 2, 0, 4}, 64, 4, {}})) ==
          "rope: long_factors 0.000000, expected a positive number");
    CHECK(refused(with(rope_longrope{four, four, 0, 4, {}})) ==
          "rope: original_context is 0 positions, expected at least 1");
    CHECK(refused(with(rope_longrope{four, four, 1, 4, {}})) == "rope: magnitude inf, expected a positive number");
    CHECK(refused(with(rope_longrope{four, four, 64, 0, {}})) == "rope: factor 0.000000, expected a positive number");
    CHECK(refused(with(rope_divided{{1, 2, 3}})) == "rope: divisors has 3 elements, expected 4");
    CHECK(refused(with(rope_divided{{1, 2, 3, infinity}})) == "rope: divisors inf, expected a positive number");
}

TEST_CASE("rules are equal where all their numbers are") {
    const auto rules = one_of_each();
    for (std::size_t i = 0; i < rules.size(); ++i)
        for (std::size_t j = 0; j < rules.size(); ++j) CHECK((rules[i] == rules[j]) == (i == j));
    CHECK(rope_rule{.rotated = 2} != rope_rule{});
    CHECK(rope_rule{1e4, 0, rope_longrope{{1}, {2}, 64, 4, {}}} !=
          rope_rule{1e4, 0, rope_longrope{{1}, {3}, 64, 4, {}}});
}
