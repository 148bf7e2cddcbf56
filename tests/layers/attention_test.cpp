#include "bitlens/layers/attention.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/layers/reference.hpp"

#include "every_arithmetic.hpp"
#include "same_bits.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

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

TEST_CASE("attention has the same bits for any number of tasks and any length of the document") {
    test::for_every_arithmetic([](arithmetic a) {
        for (const auto c : cases) {
            CAPTURE(c.positions);
            const inputs in(c);
            const auto one = attend<simd::default_arch>(c, in, plain(c), 1, a);
            for (unsigned tasks : {2u, 3u, 16u})
                CHECK(same_bits(attend<simd::default_arch>(c, in, plain(c), tasks, a), one));

            heads_case shorter = c;
            shorter.positions = (c.positions + 1) / 2;
            inputs start(shorter);
            for (std::size_t t = 0; t < shorter.positions; ++t) {
                std::ranges::copy(in.q.row(t), start.q.row(t).begin());
                std::ranges::copy(in.k.row(t), start.k.row(t).begin());
                std::ranges::copy(in.v.row(t), start.v.row(t).begin());
            }
            const auto of_start = attend<simd::default_arch>(shorter, start, plain(c), 1, a);
            CHECK(same_bits(of_start, one.view().middle_rows(0, shorter.positions)));
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
