#include "bitlens/layers/attention.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/layers/reference.hpp"

#include "every_arithmetic.hpp"
#include "same_bits.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using namespace bitlens;
using test::same_bits;

namespace {

struct heads_case {
    std::size_t positions, heads, kv_heads, head_dim;
};
/// Around the tiles of 6, 8 and 32 queries and the blocks of 512 and 1536 keys, and head sizes around the panels of
/// every instruction set.
constexpr heads_case cases[] = {{1, 1, 1, 2},    {2, 2, 1, 6},    {5, 3, 3, 10},   {6, 2, 2, 16},  {7, 4, 2, 32},
                                {23, 6, 2, 34},  {24, 2, 1, 64},  {25, 3, 1, 66},  {49, 9, 3, 64}, {70, 2, 2, 128},
                                {33, 1, 1, 530}, {530, 2, 1, 20}, {5, 1, 1, 1540}, {1540, 1, 1, 6}};

struct inputs {
    matrix<float> q, k, v;
    explicit inputs(heads_case c)
        : q(c.positions, c.heads * c.head_dim), k(c.positions, c.kv_heads * c.head_dim),
          v(c.positions, c.kv_heads * c.head_dim) {
        random_generator random(7);
        for (auto* m : {&q, &k, &v})
            for (float& x : m->span()) x = static_cast<float>(random.normal());
    }
};

attention_rule plain(heads_case c) { return {.scale = attention_scale(c.head_dim)}; }

template <class Arch>
matrix<float> attend(heads_case c, inputs const& in, attention_rule const& rule, unsigned tasks,
                     arithmetic a = arithmetic::f32) {
    matrix<float> out(c.positions, c.heads * c.head_dim);
    workspace scratch(attention_bytes<Arch>(c.positions, c.kv_heads, c.head_dim, tasks), tasks, a);
    attention<Arch>(in.q, in.k, in.v, c.head_dim, rule, out, scratch);
    return out;
}

/// Windows around tiles of queries, panels of keys and blocks of values, every other one with a cap.
std::vector<attention_rule> rules_for(heads_case c) {
    constexpr std::size_t everything = attention_rule::everything;
    std::vector<attention_rule> rules;
    for (const auto& [window, cap] : std::initializer_list<std::pair<std::size_t, float>>{{everything, 0.8f},
                                                                                          {1, no_soft_cap},
                                                                                          {3, 0.8f},
                                                                                          {24, no_soft_cap},
                                                                                          {33, 0.8f},
                                                                                          {100, no_soft_cap},
                                                                                          {513, 0.8f},
                                                                                          {1100, no_soft_cap}})
        if (window == everything || (window < c.positions && window >= c.positions / 4)) // short ones in short texts
            rules.push_back({.scale = attention_scale(c.head_dim), .window = window, .soft_cap = cap});
    return rules;
}

double worst_difference(matrix_view<const float> a, matrix_view<const float> b) {
    double worst = 0;
    for (std::size_t t = 0; t < a.rows; ++t)
        for (std::size_t i = 0; i < a.cols; ++i) worst = std::max(worst, std::abs(double{a(t, i)} - double{b(t, i)}));
    return worst;
}

/// `count` rows of `from`, from `first` on, as a matrix of their own.
matrix<float> rows_of(matrix<float> const& from, std::size_t first, std::size_t count) {
    matrix<float> m(count, from.cols());
    for (std::size_t t = 0; t < count; ++t) std::ranges::copy(from.row(first + t), m.row(t).begin());
    return m;
}

/// Attention of the queries from rule.first on, the workspace as large as all keys ask for.
template <class Arch = simd::default_arch>
matrix<float> attend_later(heads_case c, inputs const& in, attention_rule const& rule, std::size_t queries,
                           arithmetic a = arithmetic::f32) {
    matrix<float> out(queries, c.heads * c.head_dim);
    workspace scratch(attention_bytes<Arch>(c.positions, c.kv_heads, c.head_dim, 1), 1, a);
    attention<Arch>(in.q.view().middle_rows(rule.first, queries), in.k, in.v, c.head_dim, rule, out, scratch);
    return out;
}

} // namespace

TEST_CASE_TEMPLATE("attention is what its formula says", Arch, simd::default_arch, simd::scalar) {
    for (const auto c : cases) {
        CAPTURE(c.positions);
        CAPTURE(c.head_dim);
        const inputs in(c);
        const auto out = attend<Arch>(c, in, plain(c), 1);
        matrix<float> truth(out.rows(), out.cols());
        reference::attention(in.q, in.k, in.v, c.head_dim, plain(c), truth);
        // A score q·k/√d sums d products of size ~1: it is off by less than d·ε·Σ|q_i k_i|/√d ~ d^1.5·ε, relatively the
        // probabilities as much; values are normal numbers, below 5 here.
        const double bound = 5 * std::pow(static_cast<double>(c.head_dim), 1.5) * 1.2e-7;
        double worst = 0;
        for (std::size_t i = 0; i < out.span().size(); ++i)
            worst = std::max(worst, std::abs(double{out.span()[i]} - double{truth.span()[i]}));
        CHECK(worst <= bound);
    }
}

TEST_CASE("attention in bf16 rounds its four operands and nothing else") {
    test::for_every_arithmetic([](arithmetic a) {
        if (a == arithmetic::f32) return; // it rounds none
        for (const auto c : cases) {
            CAPTURE(c.positions);
            CAPTURE(c.head_dim);
            inputs in(c);
            const auto out = attend<simd::default_arch>(c, in, plain(c), 1, a);
            for (auto* m : {&in.q, &in.k, &in.v})
                for (float& x : m->span()) x = float{bf16(x)};
            matrix<float> truth(out.rows(), out.cols());
            reference::attention(in.q, in.k, in.v, c.head_dim, plain(c), truth);
            // As above, and each probability is off by 2⁻⁹ of itself.
            const double bound = 5 * (std::pow(static_cast<double>(c.head_dim), 1.5) * 1.2e-7 + 0x1p-9);
            double worst = 0;
            for (std::size_t i = 0; i < out.span().size(); ++i)
                worst = std::max(worst, std::abs(double{out.span()[i]} - double{truth.span()[i]}));
            CHECK(worst <= bound);
        }
    });
}

TEST_CASE("attention in windows and with caps is what its formula says") {
    for (const auto c : cases) {
        CAPTURE(c.positions);
        CAPTURE(c.head_dim);
        const inputs in(c);
        for (attention_rule const& rule : rules_for(c)) {
            CAPTURE(rule.window);
            CAPTURE(rule.soft_cap);
            matrix<float> truth(c.positions, c.heads * c.head_dim);
            reference::attention(in.q, in.k, in.v, c.head_dim, rule, truth);
            // As without; a cap rounds scores below 1 four times more.
            const double bound = 5 * (std::pow(static_cast<double>(c.head_dim), 1.5) + 4) * 1.2e-7;
            CHECK(worst_difference(attend<simd::default_arch>(c, in, rule, 1), truth) <= bound);
            CHECK(worst_difference(attend<simd::scalar>(c, in, rule, 1), truth) <= bound);
        }
    }
}

TEST_CASE("a query sees the keys of its window, itself the last of them") {
    const auto mask = [](std::size_t window, std::size_t first, std::size_t queries) {
        const matrix<float> q(queries, 6), k(6, 6);
        matrix<float> v(6, 6), out(queries, 6), truth(queries, 6);
        for (std::size_t s = 0; s < 6; ++s) v(s, s) = 1; // what a query reads says which keys it sees
        const attention_rule rule{.scale = 1, .window = window, .first = first};
        workspace scratch(attention_bytes(6, 1, 6, 1));
        attention(q, k, v, 6, rule, out, scratch);
        reference::attention(q, k, v, 6, rule, truth);
        CHECK(worst_difference(out, truth) <= 1e-7);
        std::string rows;
        for (std::size_t t = 0; t < queries; ++t) {
            for (const float x : out.row(t)) rows += x > 0 ? '1' : '0';
            rows += t + 1 == queries ? "" : " ";
        }
        return rows;
    };
    CHECK(mask(3, 0, 6) == "100000 110000 111000 011100 001110 000111");
    CHECK(mask(1, 0, 6) == "100000 010000 001000 000100 000010 000001");
    for (const std::size_t window : {std::size_t{6}, std::size_t{7}, attention_rule::everything})
        CHECK(mask(window, 0, 6) == "100000 110000 111000 111100 111110 111111");
    CHECK(mask(5, 0, 6) == "100000 110000 111000 111100 111110 011111");
    CHECK(mask(3, 4, 2) == "001110 000111");
    CHECK(mask(attention_rule::everything, 2, 2) == "111000 111100");
}

TEST_CASE("a window that holds all keys of a query changes none of its bits") {
    test::for_every_arithmetic([](arithmetic a) {
        for (const auto c : cases) {
            CAPTURE(c.positions);
            const inputs in(c);
            for (const float cap : {no_soft_cap, 0.8f}) {
                attention_rule rule = plain(c);
                rule.soft_cap = cap;
                const auto whole = attend<simd::default_arch>(c, in, rule, 1, a);
                for (const std::size_t window : {c.positions, c.positions + 1, (c.positions + 1) / 2}) {
                    rule.window = window;
                    const auto out = attend<simd::default_arch>(c, in, rule, 1, a);
                    const std::size_t same = std::min(window, c.positions);
                    CHECK(same_bits(out.view().middle_rows(0, same), whole.view().middle_rows(0, same)));
                }
            }
        }
    });
}

TEST_CASE("queries that begin later have the bits that they have among all") {
    test::for_every_arithmetic([](arithmetic a) {
        for (const auto c : cases) {
            CAPTURE(c.positions);
            const inputs in(c);
            for (attention_rule rule : rules_for(c)) {
                CAPTURE(rule.window);
                CAPTURE(rule.soft_cap);
                const auto whole = attend<simd::default_arch>(c, in, rule, 1, a);
                for (const std::size_t first : {c.positions / 3, c.positions / 2, c.positions - 1}) {
                    rule.first = first;
                    for (const std::size_t queries : {std::size_t{1}, c.positions - first})
                        CHECK(
                            same_bits(attend_later(c, in, rule, queries, a), whole.view().middle_rows(first, queries)));
                }
                if (c.positions > 100) continue; // in double it takes long
                rule.first = c.positions / 3;
                const std::size_t queries = c.positions - rule.first;
                matrix<float> truth(queries, c.heads * c.head_dim);
                reference::attention(in.q.view().middle_rows(rule.first, queries), in.k, in.v, c.head_dim, rule, truth);
                const double rounded = a == arithmetic::f32 ? 0 : 0x1p-6; // scores of operands within 2⁻⁹, ~5 in size
                CHECK(worst_difference(attend_later(c, in, rule, queries, a), truth) <=
                      5 * ((std::pow(static_cast<double>(c.head_dim), 1.5) + 4) * 1.2e-7 + rounded));
            }
        }
    });
}

TEST_CASE("keys that no query sees are not read, and values far outside of a window take no time") {
    test::for_every_arithmetic([](arithmetic a) {
        const heads_case c{1600, 1, 1, 20};
        inputs in(c);
        attention_rule rule = plain(c);
        rule.window = 40, rule.first = 150;
        const auto out = attend_later(c, in, rule, 1400, a);
        constexpr float nan = std::numeric_limits<float>::quiet_NaN();
        for (std::size_t t = 1550; t < 1600; ++t) in.k(t, 0) = in.v(t, 0) = nan; // after the last query
        for (std::size_t t = 0; t <= 64; ++t) in.k(t, 0) = in.v(t, 0) = nan;     // 111 is the first that any sees
        CHECK(same_bits(attend_later(c, in, rule, 1400, a), out));

        // A value that is no number spoils every sum that it is part of, whatever its weight: from the first tile on
        // that begins a window and a unit after it, it is part of none.
        in = inputs(c);
        in.v(111, 0) = nan;
        const auto spoilt = attend_later(c, in, rule, 1400, a);
        for (std::size_t t = 0; t < 1400; ++t) {
            CAPTURE(t);
            if (t == 0) CHECK(std::isnan(spoilt(t, 0))); // position 150 sees it
            if (t >= 111 + 40 + 32 + 32 - rule.first) CHECK(spoilt(t, 0) == out(t, 0));
        }
    });
}

TEST_CASE("a cap stands between the scale and the softmax") {
    matrix<float> q(2, 1), k(2, 1), v(2, 1), out(2, 1), truth(2, 1);
    q(1, 0) = 3, k(0, 0) = 1, k(1, 0) = -5, v(0, 0) = 1;
    const attention_rule rule{.scale = 2, .soft_cap = 4};
    workspace scratch(attention_bytes(2, 1, 1, 1));
    attention(q, k, v, 1, rule, out, scratch);
    reference::attention(q, k, v, 1, rule, truth);
    const double near = std::exp(4 * std::tanh(2 * 3 * 1 / 4.0)), far = std::exp(4 * std::tanh(2 * 3 * -5 / 4.0));
    CHECK(double{out(1, 0)} == doctest::Approx(near / (near + far)).epsilon(1e-6));
    CHECK(double{truth(1, 0)} == doctest::Approx(near / (near + far)).epsilon(1e-7));
    CHECK(out(0, 0) == 1);

    q(1, 0) = 1e30f; // both at the cap, on either side
    attention(q, k, v, 1, rule, out, scratch);
    CHECK(double{out(1, 0)} == doctest::Approx(1 / (1 + std::exp(-8.0))).epsilon(1e-6));
}

TEST_CASE("attention has the same bits for any number of tasks and any length of the document") {
    test::for_every_arithmetic([](arithmetic a) {
        for (const auto c : cases) {
            CAPTURE(c.positions);
            const inputs in(c);
            const auto rules = rules_for(c);
            std::vector<matrix<float>> whole;
            for (attention_rule const& rule : rules) {
                whole.push_back(attend<simd::default_arch>(c, in, rule, 1, a));
                const bool is_first = whole.size() == 1;
                for (unsigned tasks : is_first ? std::vector{2u, 3u, 16u} : std::vector{3u})
                    CHECK(same_bits(attend<simd::default_arch>(c, in, rule, tasks, a), whole.back()));
            }

            heads_case shorter = c;
            shorter.positions = (c.positions + 1) / 2;
            inputs start(shorter);
            start.q = rows_of(in.q, 0, shorter.positions);
            start.k = rows_of(in.k, 0, shorter.positions);
            start.v = rows_of(in.v, 0, shorter.positions);
            for (std::size_t r = 0; r < rules.size(); ++r)
                CHECK(same_bits(attend<simd::default_arch>(shorter, start, rules[r], 1, a),
                                whole[r].view().middle_rows(0, shorter.positions)));
        }
    });
}

TEST_CASE("scores too large for an exponential are no trouble") {
    const heads_case c{3, 1, 1, 4};
    inputs in(c);
    for (std::size_t t = 0; t < 3; ++t)
        for (std::size_t i = 0; i < 4; ++i) in.q(t, i) = in.k(t, i) = 1000.0f * static_cast<float>(t + 1);
    const auto out = attend<simd::default_arch>(c, in, plain(c), 1);
    for (std::size_t t = 0; t < 3; ++t) // all the weight lies on the position itself
        for (std::size_t i = 0; i < 4; ++i) CHECK(out(t, i) == in.v(t, i));
}
