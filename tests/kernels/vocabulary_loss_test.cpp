#include "any_format.hpp"
#include "bitlens/kernels/vocabulary_loss.hpp"

#include "bitlens/core/random.hpp"

#include "every_arithmetic.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace bitlens;

namespace {

/// Scores of some variants, owned.
struct scores {
    std::vector<std::vector<double>> nll, kl, entropy;
    std::vector<std::vector<std::int32_t>> top;
    std::vector<std::vector<float>> margin;
    std::vector<token_scores> out;

    scores(std::size_t variants, std::size_t positions)
        : nll(variants, std::vector<double>(positions)), kl(nll), entropy(nll),
          top(variants, std::vector<std::int32_t>(positions)), margin(variants, std::vector<float>(positions)) {
        for (std::size_t v = 0; v < variants; ++v)
            out.push_back(
                {nll[v], v == 0 ? std::span<double>() : std::span<double>(kl[v]), top[v], margin[v], entropy[v]});
    }
};

using head_matrix = packed_matrix<dense<float>>;

/// A head and states whose logits are multiples of 1/1024 below 2¹³: exact in float32 in any order of summation, so
/// that fast and reference see the same logits.
struct exact_case {
    head_matrix head;
    std::vector<matrix<float>> states;
    std::vector<std::int32_t> targets;

    exact_case(std::size_t vocabulary, std::size_t width, std::size_t positions, std::size_t variants, double range,
               std::uint64_t seed)
        : head(vocabulary, width) {
        random_generator random(seed);
        const auto grid = [&](double largest, double step) {
            return static_cast<float>(std::round((2 * random.uniform() - 1) * largest / step) * step);
        };
        for (std::size_t r = 0; r < vocabulary; ++r)
            for (float& w : head.writable_row(r)) w = grid(2, 1.0 / 64);
        for (std::size_t v = 0; v < variants; ++v) {
            states.emplace_back(positions, width);
            for (std::size_t i = 0; i < states[v].span().size(); ++i)
                states[v].span()[i] = v == 0 ? grid(range, 1.0 / 16) : states[0].span()[i] + grid(range / 8, 1.0 / 16);
        }
        for (std::size_t t = 0; t < positions; ++t)
            targets.push_back(static_cast<std::int32_t>(random.below(vocabulary)));
    }
    std::vector<matrix_view<const float>> views() const { return {states.begin(), states.end()}; }
};

template <weight_matrix W>
scores fast_scores(W const& head, std::vector<matrix_view<const float>> const& hidden,
                   std::vector<std::int32_t> const& targets, unsigned tasks = 1, float soft_cap = no_soft_cap,
                   arithmetic a = arithmetic::f32) {
    scores s(hidden.size(), targets.size());
    workspace scratch(vocabulary_loss_bytes(head.rows(), head.cols(), targets.size(), hidden.size(), tasks), tasks, a);
    vocabulary_loss(head, soft_cap, hidden, targets, s.out, scratch);
    return s;
}
template <weight_matrix W>
scores slow_scores(W const& head, std::vector<matrix_view<const float>> const& hidden,
                   std::vector<std::int32_t> const& targets, float soft_cap = no_soft_cap) {
    scores s(hidden.size(), targets.size());
    reference::vocabulary_loss(head, soft_cap, hidden, targets, s.out);
    return s;
}

/// e^x is right to 2.4e-7 and a float sum of 8 · 16 numbers to 7e-7 of what it sums (11 additions deep), so log Σ exp
/// is right to 1e-6, and Σ p₀·(l⁰ − l) to 1e-6 of the largest |l⁰ − l|, twice because p₀ is a quotient.
constexpr double rounding = 1e-6;

void check_exact(exact_case const& c, double largest_difference) {
    const auto fast = fast_scores(c.head, c.views(), c.targets), slow = slow_scores(c.head, c.views(), c.targets);
    for (std::size_t v = 0; v < c.states.size(); ++v)
        for (std::size_t t = 0; t < c.targets.size(); ++t) {
            CAPTURE(v);
            CAPTURE(t);
            REQUIRE(std::abs(fast.nll[v][t] - slow.nll[v][t]) <= rounding);
            REQUIRE(fast.top[v][t] == slow.top[v][t]);
            REQUIRE(fast.margin[v][t] == slow.margin[v][t]);
            // Σ p·|l − largest| is at most the entropy, which is at most log |V|.
            REQUIRE(std::abs(fast.entropy[v][t] - slow.entropy[v][t]) <=
                    2 * rounding * (1 + std::log(static_cast<double>(c.head.rows()))));
            if (v == 0) continue;
            REQUIRE(std::abs(fast.kl[v][t] - slow.kl[v][t]) <= 2 * rounding * (1 + largest_difference));
            REQUIRE(fast.kl[v][t] >= -2 * rounding * (1 + largest_difference));
        }
}

} // namespace

TEST_CASE("vocabulary_loss agrees with its reference") {
    // range · width · 2 bounds a logit; the variants differ from the reference by an eighth of that.
    for (const std::size_t vocabulary : {1u, 2u, 15u, 16u, 17u, 1023u, 1024u, 1025u, 2500u}) {
        CAPTURE(vocabulary);
        check_exact(exact_case(vocabulary, 8, 5, 3, 1.0, vocabulary), 2.0 * 8 / 8);
    }
    check_exact(exact_case(3000, 40, 3, 2, 2.0, 1), 2.0 * 2 * 40 / 8);
    check_exact(exact_case(300, 4, 1, 2, 4.0, 2), 2.0 * 4 * 4 / 8);   // T = 1
    check_exact(exact_case(70, 3, 1030, 2, 4.0, 3), 2.0 * 4 * 3 / 8); // more positions than one block
}

TEST_CASE("logits of ten thousand overflow nothing") {
    // 2 · 64 · 40 = 5120 on either side
    check_exact(exact_case(1500, 40, 4, 2, 64.0, 4), 2.0 * 64 * 40 / 8);
    head_matrix head(3, 1);
    head.writable_row(0)[0] = 1e4f;
    head.writable_row(1)[0] = -1e4f;
    matrix<float> up(1, 1), down(1, 1);
    up(0, 0) = 1;
    down(0, 0) = -1;
    const auto s = fast_scores(head, {up, down}, {1});
    CHECK(s.nll[0][0] == 2e4);
    CHECK(s.nll[1][0] == 0);
    CHECK(s.kl[1][0] == 2e4);
    CHECK(s.top[0][0] == 0);
    CHECK(s.top[1][0] == 1);
    CHECK(s.margin[0][0] == 1e4f);  // against the third, at 0
    CHECK(s.margin[1][0] == -2e4f); // the reference's top against this variant's
}

TEST_CASE("KL runs from the reference to the variant") {
    head_matrix head(2, 1);
    head.writable_row(1)[0] = 1;
    matrix<float> three_to_one(1, 1), even(1, 1);
    three_to_one(0, 0) = std::log(3.0f);                                       // p₀ = (1/4, 3/4)
    const double expected = std::log(1.0 / 2) / 4 + 3 * std::log(3.0 / 2) / 4; // 0.131; the other way round 0.144
    for (scores const& s :
         {fast_scores(head, {three_to_one, even}, {0}), slow_scores(head, {three_to_one, even}, {0})}) {
        CHECK(std::abs(s.kl[1][0] - expected) <= 2 * rounding * (1 + std::log(3.0)));
        CHECK(std::abs(s.nll[0][0] - std::log(4.0)) <= rounding);
        CHECK(std::abs(s.nll[1][0] - std::log(2.0)) <= rounding);
    }
}

TEST_CASE("KL(p‖p) is 0 exactly, and its scores are the reference's") {
    exact_case c(2100, 16, 9, 1, 1.7, 5);
    const auto s = fast_scores(c.head, {c.states[0], c.states[0], c.states[0]}, c.targets);
    for (std::size_t v = 1; v < 3; ++v) {
        for (const double kl : s.kl[v]) CHECK(kl == 0);
        CHECK(s.nll[v] == s.nll[0]);
        CHECK(s.top[v] == s.top[0]);
        CHECK(s.margin[v] == s.margin[0]);
    }
}

TEST_CASE("of equal logits the lowest id is on top") {
    head_matrix head(2049, 1); // three tiles, the last of one word
    for (const std::size_t r : {1500u, 1600u, 2048u}) head.writable_row(r)[0] = 3;
    matrix<float> one(1, 1), minus(1, 1);
    one(0, 0) = 1;
    minus(0, 0) = -1;
    const auto s = fast_scores(head, {one, minus}, {2048});
    CHECK(s.top[0][0] == 1500);
    CHECK(s.margin[0][0] == 0); // its equal
    CHECK(s.top[1][0] == 0);
    CHECK(s.margin[1][0] == -3);
}

TEST_CASE("bits depend neither on tasks nor on the other variants") {
    random_generator random(6);
    packed_matrix<dense<bf16>> head(1700, 70);
    for (std::size_t r = 0; r < head.rows(); ++r)
        for (bf16& w : head.writable_row(r)) w = bf16(static_cast<float>(random.normal()));
    std::vector<matrix<float>> states;
    for (int v = 0; v < 4; ++v) {
        states.emplace_back(37, 70);
        for (float& x : states.back().span()) x = static_cast<float>(random.normal());
    }
    std::vector<std::int32_t> targets;
    for (int t = 0; t < 37; ++t) targets.push_back(static_cast<std::int32_t>(random.below(1700)));
    const auto all = fast_scores(head, {states.begin(), states.end()}, targets);
    const auto tasks = fast_scores(head, {states.begin(), states.end()}, targets, 3);
    const auto pair = fast_scores(head, {states[0], states[3]}, targets);
    CHECK(tasks.nll == all.nll);
    CHECK(tasks.kl == all.kl);
    CHECK(tasks.margin == all.margin);
    CHECK(pair.nll[1] == all.nll[3]);
    CHECK(pair.kl[1] == all.kl[3]);
    CHECK(pair.margin[1] == all.margin[3]);

    // Random float weights: logits carry 70 roundings of numbers whose magnitudes sum to |l| ≲ 100.
    const auto slow = slow_scores(head, {states.begin(), states.end()}, targets);
    const double logit_error = 70 * 0x1p-24 * 100;
    for (std::size_t v = 0; v < 4; ++v)
        for (std::size_t t = 0; t < 37; ++t) {
            CHECK(std::abs(all.nll[v][t] - slow.nll[v][t]) <= 2 * logit_error + rounding);
            CHECK(std::abs(all.kl[v][t] - slow.kl[v][t]) <= (2 * logit_error + 2 * rounding) * 100);
        }
}

TEST_CASE("what is not asked for changes no bit of what is") {
    const exact_case c(2500, 24, 5, 3, 2, 9);
    const auto all = fast_scores(c.head, c.views(), c.targets);
    scores some(3, 5);
    for (auto& out : some.out) out.kl = {}, out.top = {}, out.margin = {}, out.entropy = {};
    some.out[2].kl = some.kl[2];
    workspace scratch(vocabulary_loss_bytes(2500, 24, 5, 3, 1));
    vocabulary_loss(c.head, no_soft_cap, c.views(), c.targets, some.out, scratch);
    CHECK(some.nll == all.nll);
    CHECK(some.kl[2] == all.kl[2]);
    CHECK(some.kl[1] == std::vector<double>(5));
}

TEST_CASE("no position, no work; a NaN stays visible") {
    exact_case c(40, 4, 2, 2, 1.0, 7);
    const std::vector<matrix_view<const float>> none{c.states[0].view().middle_rows(0, 0)};
    CHECK(fast_scores(c.head, none, {}).nll[0].empty());
    c.states[1](1, 2) = std::nanf("");
    const auto s = fast_scores(c.head, c.views(), c.targets);
    CHECK(std::isfinite(s.nll[1][0]));
    CHECK(std::isnan(s.nll[1][1]));
    CHECK(std::isnan(s.kl[1][1]));
}

TEST_CASE("equal logits have the largest entropy, a certain one none, and an impossible word takes no part") {
    head_matrix head(1500, 1);
    matrix<float> hidden(1, 1);
    hidden(0, 0) = 1;
    const auto entropy = [&] { return fast_scores(head, {hidden.view()}, {0}).entropy[0][0]; };
    CHECK(entropy() == doctest::Approx(std::log(1500.0)).epsilon(1e-6));
    for (std::size_t r = 0; r < 1500; ++r) head.writable_row(r)[0] = r == 1400 ? 200.0f : 0.0f;
    CHECK(std::abs(entropy()) < 1e-6);
    for (std::size_t r = 0; r < 1500; ++r)
        head.writable_row(r)[0] = r < 2 ? 1.0f : -std::numeric_limits<float>::infinity();
    CHECK(entropy() == doctest::Approx(std::log(2.0)).epsilon(1e-6));
}

TEST_CASE("a cap comes before everything that is scored") {
    head_matrix head(3, 1); // logits 100, 50 and -60 of the reference, 10, 5 and -6 of the variant
    head.writable_row(0)[0] = 100, head.writable_row(1)[0] = 50, head.writable_row(2)[0] = -60;
    matrix<float> one(1, 1), tenth(1, 1);
    one(0, 0) = 1, tenth(0, 0) = 0.1f;
    const auto p_of = [](std::vector<double> const& l) {
        double sum = 0;
        for (const double x : l) sum += std::exp(x);
        std::vector<double> p;
        for (const double x : l) p.push_back(std::exp(x) / sum);
        return p;
    };
    // transformers 5.24 in float32 for the reference's.
    const std::vector<double> full{29.9237404, 27.9332886, -28.9208279};
    const std::vector<double> other{9.64538288, 30 * std::tanh(5 / 30.0), 30 * std::tanh(-6 / 30.0)};
    const auto p0 = p_of(full), p = p_of(other);
    double kl = 0, entropy = 0;
    for (std::size_t i = 0; i < 3; ++i) {
        kl += p0[i] * std::log(p0[i] / p[i]);
        entropy -= p[i] * std::log(p[i]);
    }
    constexpr double logit_error = 30 * 7e-7;
    for (scores const& s :
         {fast_scores(head, {one, tenth}, {1}, 1, 30.0f), slow_scores(head, {one, tenth}, {1}, 30.0f)}) {
        CHECK(std::abs(s.nll[0][0] + std::log(p0[1])) <= 2 * logit_error);
        CHECK(std::abs(s.nll[1][0] + std::log(p[1])) <= 2 * logit_error);
        CHECK(std::abs(s.kl[1][0] - kl) <= 4 * logit_error);
        CHECK(std::abs(s.entropy[1][0] - entropy) <= 20 * logit_error); // l − largest is up to 16
        CHECK(std::abs(double{s.margin[0][0]} - (full[0] - full[1])) <= 2 * logit_error);
        CHECK(std::abs(double{s.margin[1][0]} - (other[0] - other[1])) <= 2 * logit_error);
        CHECK(s.top[1][0] == 0);
    }
}

TEST_CASE("capped scores agree with their reference, for any number of tiles and tasks") {
    constexpr float cap = 10;
    constexpr double logit_error = double{cap} * 5e-7; // a tanh right to 2.5e-7, and 3 roundings
    for (const std::size_t vocabulary : {1u, 15u, 17u, 1025u, 2500u}) {
        CAPTURE(vocabulary);
        const exact_case c(vocabulary, 8, 5, 3, 1.0, vocabulary);
        const auto fast = fast_scores(c.head, c.views(), c.targets, 1, cap);
        const auto slow = slow_scores(c.head, c.views(), c.targets, cap);
        for (std::size_t v = 0; v < 3; ++v)
            for (std::size_t t = 0; t < 5; ++t) {
                CHECK(std::abs(fast.nll[v][t] - slow.nll[v][t]) <= 2 * logit_error + rounding);
                CHECK(fast.top[v][t] == slow.top[v][t]);
                if (vocabulary > 1)
                    CHECK(std::abs(double{fast.margin[v][t]} - double{slow.margin[v][t]}) <= 2 * logit_error);
                CHECK(std::abs(fast.entropy[v][t] - slow.entropy[v][t]) <=
                      (2 * logit_error + 2 * rounding) * (1 + std::log(static_cast<double>(vocabulary))) * 2);
                if (v != 0)
                    CHECK(std::abs(fast.kl[v][t] - slow.kl[v][t]) <= 4 * logit_error + 2 * rounding * (1 + 2.0));
            }
        const auto tasks = fast_scores(c.head, c.views(), c.targets, 3, cap);
        CHECK(tasks.nll == fast.nll);
        CHECK(tasks.kl == fast.kl);
        const auto same = fast_scores(c.head, {c.states[0].view(), c.states[0].view()}, c.targets, 1, cap);
        for (const double kl : same.kl[1]) CHECK(kl == 0);
    }
}

TEST_CASE("scores are those of logits that were capped before, in every arithmetic") {
    // Logits that a head of the identity writes as they are, capped by hand.
    test::for_every_arithmetic([](arithmetic a) {
        constexpr std::size_t n = 40;
        head_matrix identity(n, n);
        matrix<float> logits(6, n), changed(6, n), capped(6, n), changed_capped(6, n);
        random_generator random(3);
        for (std::size_t r = 0; r < n; ++r) identity.writable_row(r)[r] = 1;
        for (std::size_t i = 0; i < logits.span().size(); ++i) {
            const float l = float{bf16(static_cast<float>(8 * random.normal()))};
            logits.span()[i] = l, changed.span()[i] = float{bf16(l + static_cast<float>(random.normal()))};
        }
        std::ranges::copy(logits.span(), capped.data());
        std::ranges::copy(changed.span(), changed_capped.data());
        soft_cap(5, capped);
        soft_cap(5, changed_capped);
        const std::vector<std::int32_t> targets{0, 7, 39, 12, 31, 2};
        const auto s = fast_scores(identity, {logits, changed}, targets, 1, 5.0f, a);
        const auto by_hand = fast_scores(identity, {capped, changed_capped}, targets);
        CHECK(s.nll == by_hand.nll);
        CHECK(s.kl == by_hand.kl);
        CHECK(s.top == by_hand.top);
        CHECK(s.margin == by_hand.margin);
        CHECK(s.entropy == by_hand.entropy);
    });
}

TEST_CASE("a head whose columns have an order scores like one whose columns lie where they belong, bit for bit") {
    test::for_every_arithmetic([](arithmetic a) {
        random_generator random(9);
        const auto head = test::random_ordered_matrix<uniform<4, 32>>(1100, 90, random);
        const auto in_order = test::laid_out_in_order(head);
        std::vector<matrix<float>> states;
        for (int v = 0; v < 2; ++v) {
            states.emplace_back(7, 90);
            for (float& x : states.back().span()) x = static_cast<float>(random.normal());
        }
        const std::vector<matrix_view<const float>> views(states.begin(), states.end());
        const std::vector<std::int32_t> targets{0, 5, 1099, 1024, 1023, 1, 7};
        const auto found = fast_scores(head, views, targets, 2, no_soft_cap, a);
        const auto expected = fast_scores(in_order, views, targets, 2, no_soft_cap, a);
        CHECK(found.nll == expected.nll);
        CHECK(found.kl == expected.kl);
        CHECK(found.top == expected.top);
        CHECK(found.margin == expected.margin);
        CHECK(found.entropy == expected.entropy);
    });
}
