#include "bitlens/quantizers/rtn.hpp"

#include "bitlens/core/random.hpp"
#include "goldens.hpp"

#include <cmath>
#include <limits>

using namespace bitlens;

namespace {

using codes = std::vector<unsigned>;
constexpr auto symmetric = zero_kind::symmetric;

template <quant_format F>
codes row_codes(packed_matrix<F> const& m, std::size_t r = 0) {
    codes list(m.cols());
    for (std::size_t c = 0; c < m.cols(); ++c) list[c] = m.code(r, c);
    return list;
}

template <quant_format F>
void check_known_answer(std::vector<float> const& x, float scale, unsigned zero, codes const& expected) {
    const auto m = rtn<F>{}({x.data(), 1, x.size()});
    CAPTURE(format_name<F>());
    CHECK(m.scale(0, 0) == doctest::Approx(scale).epsilon(1e-7));
    if constexpr (F::has_zero)
        CHECK(m.zero(0, 0) == zero);
    else
        CHECK(-F::codebook[0] == static_cast<float>(zero));
    CHECK(row_codes(m) == expected);
}

/// Compares one block of rtn.txt with rtn<F>.
template <quant_format F>
void check_golden(std::istream& file, matrix_view<const float> w) {
    const auto m = rtn<F>{}(w);
    const auto expected_codes = read_codes(file, 2);
    const auto expected_scales = read_floats(file, w.rows * m.groups());
    const auto expected_zeros = read_codes(file, 2);
    REQUIRE(expected_codes.size() == w.rows * w.cols);
    for (std::size_t r = 0; r < w.rows; ++r) {
        for (std::size_t c = 0; c < w.cols; ++c) REQUIRE(m.code(r, c) == expected_codes[r * w.cols + c]);
        for (std::size_t g = 0; g < m.groups(); ++g) {
            REQUIRE(m.scale(r, g) == expected_scales[r * m.groups() + g]);
            if constexpr (F::has_zero) REQUIRE(m.zero(r, g) == expected_zeros[r * m.groups() + g]);
        }
    }
}

/// |w − ŵ| ≤ scale/2 for every weight that the grid reaches, up to the roundings of three float operations.
template <quant_format F>
void check_error_bound(matrix_view<const float> w) {
    const auto m = rtn<F>{}(w);
    for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t c = 0; c < w.cols; ++c) {
            const float scale = m.scale(r, m.group_of(c));
            const float largest = std::abs(w(r, c)) + scale;
            REQUIRE(std::abs(m.value(r, c) - w(r, c)) <=
                    scale / 2 + 4 * std::numeric_limits<float>::epsilon() * largest);
        }
}

} // namespace

TEST_CASE("KAT-R1: weights of both signs") {
    const std::vector<float> x{-.75f, -.5f, -.125f, 0, .25f, .375f, .5f, 1};
    check_known_answer<uniform<3, 32>>(x, 0.25f, 3, {0, 1, 3, 3, 4, 5, 5, 7});
    check_known_answer<uniform<3, 32, symmetric>>(x, 0.2857143f, 4, {1, 2, 4, 4, 5, 5, 6, 7});
    check_known_answer<uniform<4, 32>>(x, 0.11666667f, 6, {0, 2, 5, 6, 8, 9, 10, 15});
    check_known_answer<uniform<4, 0, symmetric>>(x, 0.13333334f, 8, {2, 4, 7, 8, 10, 11, 12, 15});
}

TEST_CASE("KAT-R2: no negative weight") {
    const std::vector<float> x{.25f, .5f, .75f, 1, 1.25f, 1.5f, 1.75f, 2};
    check_known_answer<uniform<3, 0>>(x, 0.2857143f, 0, {1, 2, 3, 3, 4, 5, 6, 7});
    check_known_answer<uniform<3, 32, symmetric>>(x, 0.2857143f, 4, {5, 6, 7, 7, 7, 7, 7, 7});
    check_known_answer<uniform<4, 32>>(x, 0.13333334f, 0, {2, 4, 6, 7, 9, 11, 13, 15});
    check_known_answer<uniform<4, 32, symmetric>>(x, 0.13333334f, 8, {10, 12, 14, 15, 15, 15, 15, 15});
}

TEST_CASE("halves go to the even neighbour, codes and zero points alike") {
    check_known_answer<uniform<3, 32>>({-.5f, 0, 1, 2, 3, 4, 5.5f, 6.5f}, 1, 0, {0, 0, 1, 2, 3, 4, 6, 6});
    check_known_answer<uniform<3, 32>>({-2.5f, -1, 0, 1, 2, 3, 3.5f, 4.5f}, 1, 2, {0, 1, 2, 3, 4, 5, 6, 6});
}

TEST_CASE("rtn equals GPTQ's quantizer bit for bit") {
    std::ifstream file(BITLENS_TEST_DATA "/quantizers/rtn.txt");
    std::size_t blocks = 0;
    for (nf4_golden const& matrix : nf4_goldens()) {
        if (matrix.name == "subnormal") continue;
        for (int k = 0; k < 6; ++k, ++blocks) {
            std::string name;
            int bits = 0, group_size = 0, is_symmetric = 0;
            file >> name >> bits >> group_size >> is_symmetric;
            CAPTURE(name);
            CAPTURE(bits);
            CAPTURE(is_symmetric);
            REQUIRE(name == matrix.name);
            if (bits == 2) check_golden<uniform<2, 32>>(file, matrix.view());
            if (bits == 3 && !is_symmetric) check_golden<uniform<3, 64>>(file, matrix.view());
            if (bits == 3 && is_symmetric) check_golden<uniform<3, 32, symmetric>>(file, matrix.view());
            if (bits == 4 && !is_symmetric) check_golden<uniform<4, 96>>(file, matrix.view()); // a short last group
            if (bits == 4 && is_symmetric) check_golden<uniform<4, 64, symmetric>>(file, matrix.view());
            if (bits == 8) check_golden<uniform<8, 64>>(file, matrix.view());
        }
    }
    CHECK(blocks == 30);
}

TEST_CASE("no weight moves by more than half a step") {
    random_generator random(7);
    matrix<float> w(5, 150); // short last groups everywhere
    for (float& v : w.span()) v = static_cast<float>(random.normal());
    check_error_bound<uniform<2, 32>>(w);
    check_error_bound<uniform<3, 16>>(w);
    check_error_bound<uniform<6, 16, symmetric>>(w);
    check_error_bound<uniform<3, 64>>(w);
    check_error_bound<uniform<5, 128>>(w);
    check_error_bound<uniform<6, 0>>(w);
    check_error_bound<uniform<7, 32>>(w);
    check_error_bound<uniform<8, 0>>(w);
}

TEST_CASE("the result does not depend on threads") {
    random_generator random(8);
    matrix<float> w(300, 1000);
    for (float& v : w.span()) v = static_cast<float>(random.normal());
    const thread_limit one(1);
    const auto alone = rtn<uniform<3, 64>>{}(w);
    const thread_limit four(4);
    const auto together = rtn<uniform<3, 64>>{}(w);
    for (std::size_t r = 0; r < w.rows(); ++r) REQUIRE(row_codes(alone, r) == row_codes(together, r));
}

TEST_CASE("groups without a range") {
    const std::vector<float> zeros(40, 0.0f), tiny(40, 1e-45f), negative(40, -3.0f);
    const auto of_zeros = rtn<uniform<3, 32>>{}({zeros.data(), 1, 40});
    CHECK(of_zeros.scale(0, 1) == 2.0f / 7);                          // the range −1 … 1
    CHECK(of_zeros.zero(0, 1) == 3);                                  // 1/fl32(2/7) is just below 3.5
    const auto of_tiny = rtn<uniform<8, 32>>{}({tiny.data(), 1, 40}); // 1e-45/255 is no float
    const auto of_tiny_symmetric = rtn<uniform<8, 0, symmetric>>{}({tiny.data(), 1, 40});
    const auto of_negative = rtn<uniform<3, 32>>{}({negative.data(), 1, 40});
    for (std::size_t c = 0; c < 40; ++c) {
        REQUIRE(of_zeros.value(0, c) == 0);
        REQUIRE(of_tiny.value(0, c) == 0);
        REQUIRE(of_tiny_symmetric.value(0, c) == 0);
        REQUIRE(of_negative.value(0, c) == doctest::Approx(-3));
    }
}

TEST_CASE("subnormal scales keep codes and zeros in range") {
    for (int units = 1; units < 40; ++units) { // ranges of a few units of the smallest float
        std::vector<float> x{-static_cast<float>(units) * 1e-45f, 0, static_cast<float>(units / 3) * 1e-45f};
        const auto m = rtn<uniform<3, 32>>{}({x.data(), 1, 3});
        CHECK(m.zero(0, 0) <= 7);
        const auto s = rtn<uniform<3, 32, symmetric>>{}({x.data(), 1, 3});
        CHECK(s.code(0, 0) <= 4);
    }
}

TEST_CASE("weights that are not finite are named") {
    matrix<float> w(3, 70);
    w(2, 66) = std::nanf("");
    CHECK_THROWS_WITH_AS((void)(rtn<uniform<3, 64>>{}(w)),
                         "rtn: the weight at row 2, column 66 is nan; a finite number is expected", format_error);
    for (const float broken : {std::nanf(""), -std::nanf(""), std::numeric_limits<float>::infinity(),
                               -std::numeric_limits<float>::infinity()}) {
        w(2, 66) = broken;
        CHECK_THROWS_AS((void)(rtn<uniform<3, 64>>{}(w)), format_error);
        CHECK_THROWS_AS((void)(rtn<uniform<4, 0, symmetric>>{}(w)), format_error);
    }
    w(2, 66) = 3e38f;
    w(2, 67) = -3e38f;
    CHECK_THROWS_WITH_AS((void)(rtn<uniform<3, 64>>{}(w)),
                         "rtn: the weights of row 2, columns 64 to 69, span more than float32 can hold", format_error);
    CHECK_THROWS_AS((void)(rtn<uniform<3, 64, symmetric>>{}(w)), format_error);
}

TEST_CASE("matrices without weights") {
    CHECK((rtn<uniform<3, 64>>{}({nullptr, 0, 64})).rows() == 0);
    CHECK((rtn<uniform<3, 64>>{}({nullptr, 4, 0, 0})).groups() == 0);
    CHECK((rtn<uniform<3, 0>>{}({nullptr, 4, 0, 0})).groups() == 0);
}
