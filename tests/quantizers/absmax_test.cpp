#include "bitlens/quantizers/absmax.hpp"

#include "bitlens/core/random.hpp"
#include "goldens.hpp"

#include <limits>

using namespace bitlens;

namespace {

using nf3 = absmax<normal_float<3, 64>>;
using nf4 = absmax<normal_float<4, 64>>;

template <quant_format F>
std::string code_digits(packed_matrix<F> const& m, std::size_t r) {
    std::string digits;
    for (std::size_t c = 0; c < m.cols(); ++c) digits += "0123456789abcdef"[m.code(r, c)];
    return digits;
}

} // namespace

TEST_CASE("KAT-N: NF4") {
    const auto w = known_answer_weights();
    const auto m = nf4{}(w);
    CHECK(m.scale(0, 0) == 0.78125f);
    CHECK(m.scale(1, 0) == 0.765625f);
    CHECK(code_digits(m, 0) == "17e29f3b05d17e2af4c06d18e2a04c16e29f3b05d17e29f3c05d18e2af4c16e1");
    CHECK(code_digits(m, 1) == "9f3b05d17e29f3b05d18e2af4c06e18e3b04d17e29f3b05d17e2af4c06d18e2a");
    CHECK(m.value(0, 0) == -0.5439006090164185f);
    CHECK(m.value(0, 1) == 0);
    CHECK(m.value(0, 2) == 0.564810037612915f);
    CHECK(m.value(0, 3) == -0.41021332144737244f);
}

TEST_CASE("KAT-N: NF3") {
    const auto w = known_answer_weights();
    const auto m = nf3{}(w);
    CHECK(m.scale(0, 0) == 0.78125f);
    CHECK(code_digits(m, 0) == "0361471502613614725026137150260361471502603614725026137157260361");
}

TEST_CASE("NF4 codes and scales equal those of bitsandbytes") {
    for (nf4_golden const& expected : nf4_goldens()) {
        CAPTURE(expected.name);
        const auto m = nf4{}(expected.view());
        for (std::size_t r = 0; r < m.rows(); ++r) {
            for (std::size_t c = 0; c < m.cols(); ++c) REQUIRE(m.code(r, c) == expected.codes[r * m.cols() + c]);
            for (std::size_t g = 0; g < m.groups(); ++g) REQUIRE(m.scale(r, g) == expected.scales[r * m.groups() + g]);
        }
    }
}

TEST_CASE("nested scales: the same codes, scales near those of bitsandbytes") {
    for (nf4_golden const& expected : nf4_goldens()) {
        if (expected.name == "subnormal") continue; // differences of scales have no digits left there
        CAPTURE(expected.name);
        const auto m = nf4{.nested_scales = true}(expected.view());
        const auto plain = nf4{}(expected.view());
        double sum = 0, largest = 0;
        for (const float s : expected.scales) sum += double{s};
        const double offset = sum / static_cast<double>(expected.scales.size());
        for (const float s : expected.scales) largest = std::max(largest, std::abs(double{s} - offset));
        for (std::size_t r = 0; r < m.rows(); ++r) {
            CHECK(code_digits(m, r) == code_digits(plain, r));
            for (std::size_t g = 0; g < m.groups(); ++g) {
                // Its offset, its map and its search may each differ in the last bit, so that a scale near the middle
                // of two levels may take the other one. Levels are at most 0.9/64 apart, but for 0.99… → 1.
                const double theirs = double{expected.nested_scales[r * m.groups() + g]};
                CHECK(std::abs(double{m.scale(r, g)} - theirs) <= 0.9 / 64 * largest + 4e-7 * offset);
            }
        }
    }
}

TEST_CASE("every weight gets its nearest level") {
    random_generator random(9);
    matrix<float> w(4, 128);
    for (float& v : w.span()) v = static_cast<float>(random.normal());
    const auto check = [&](auto const& m) {
        using F = typename std::remove_cvref_t<decltype(m)>::format;
        for (std::size_t r = 0; r < w.rows(); ++r)
            for (std::size_t c = 0; c < w.cols(); ++c) {
                const double scale = double{m.scale(r, m.group_of(c))};
                const double x = double{w(r, c)};
                double nearest = std::numeric_limits<double>::infinity();
                for (const float level : F::codebook) nearest = std::min(nearest, std::abs(x - scale * double{level}));
                REQUIRE(std::abs(x - scale * double{F::codebook[m.code(r, c)]}) <= nearest + 2e-7 * scale);
            }
    };
    check(absmax<normal_float<3, 32>>{}(w));
    check(absmax<normal_float<3, 0>>{}(w));
    check(absmax<normal_float<4, 128>>{}(w));
    check(absmax<normal_float<4, 0>>{}(w));
}

TEST_CASE("NF3: a tie goes to the lower code") {
    using F = normal_float<3, 32>;
    std::vector<float> x(32, 0.0f);
    x[31] = 1; // the scale
    for (std::size_t k = 0; k < 7; ++k) {
        x[2 * k] = decision_thresholds<F>[k];
        x[2 * k + 1] = std::nextafter(decision_thresholds<F>[k], 2.0f);
    }
    const auto m = absmax<F>{}({x.data(), 1, 32});
    for (std::size_t k = 0; k < 7; ++k) {
        CHECK(m.code(0, 2 * k) == k);
        CHECK(m.code(0, 2 * k + 1) == k + 1);
    }
}

TEST_CASE("NF4 multiplies by the reciprocal of the scale, NF3 divides by the scale") {
    // Weights beside the border of the first level above 0, where the two do not agree.
    const auto code_of_first = []<class F>(absmax<F> const& quantize, float x, float scale) {
        std::vector<float> group(32, 0.0f);
        group[0] = x, group[31] = scale;
        return quantize({group.data(), 1, 32}).code(0, 0);
    };
    const absmax<normal_float<4, 32>> four;
    CHECK(code_of_first(four, 0x1.e8f0fep-5f, 1.5f) == 8);     // divided: 7
    CHECK(code_of_first(four, 0x1.36ae78p-4f, 1.90625f) == 7); // divided: 8
    const absmax<normal_float<3, 32>> three;
    CHECK(code_of_first(three, 0x1.ee609ep-4f, 1.5f) == 3);     // multiplied: 4
    CHECK(code_of_first(three, 0x1.5908c4p-3f, 2.09375f) == 4); // multiplied: 3
}

TEST_CASE("a group of zeros gets the code of level 0 and scale 0") {
    const std::vector<float> x{0, -0.0f, 0, 0};
    const auto three = absmax<normal_float<3, 0>>{}({x.data(), 1, 4});
    const auto four = absmax<normal_float<4, 0>>{}({x.data(), 1, 4});
    CHECK(code_digits(three, 0) == "3333");
    CHECK(code_digits(four, 0) == "7777");
    CHECK(three.scale(0, 0) == 0);
    CHECK(four.scale(0, 0) == 0);
}

TEST_CASE("what absmax refuses") {
    matrix<float> w(2, 96);
    CHECK_THROWS_AS((void)nf4{}(w), shape_error); // 96 is not a multiple of 64
    CHECK_NOTHROW((void)(absmax<normal_float<4, 32>>{}(w)));
    w(1, 33) = -std::numeric_limits<float>::infinity();
    CHECK_THROWS_WITH_AS((void)(absmax<normal_float<4, 32>>{}(w)),
                         "absmax: the weight at row 1, column 33 is -inf; a finite number is expected", format_error);
    w(1, 33) = std::nanf("");
    CHECK_THROWS_AS((void)(absmax<normal_float<3, 0>>{}(w)), format_error);
}
