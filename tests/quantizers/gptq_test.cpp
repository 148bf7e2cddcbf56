#include "bitlens/quantizers/gptq.hpp"

#include "bitlens/core/random.hpp"
#include "bitlens/quantizers/rtn.hpp"
#include "goldens.hpp"
#include "plain_factor.hpp"
#include "same_bits.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

constexpr auto sym = zero_kind::symmetric, asym = zero_kind::asymmetric;

matrix<float> known_weights() {
    matrix<float> w(2, 8);
    for (int r = 0; r < 2; ++r)
        for (int c = 0; c < 8; ++c)
            w(static_cast<std::size_t>(r), static_cast<std::size_t>(c)) =
                static_cast<float>((53 * r + 29 * c + 7) % 61 - 30) / 32;
    return w;
}

input_hessian known_inputs() {
    matrix<float> x(12, 8);
    for (int t = 0; t < 12; ++t)
        for (int c = 0; c < 8; ++c)
            x(static_cast<std::size_t>(t), static_cast<std::size_t>(c)) =
                static_cast<float>((17 * t + 41 * c + 5 * t * c + 3) % 37 - 18) / 8 * static_cast<float>(1 + c % 3);
    input_hessian h(8);
    const matrix_view<const float> document = x;
    h.add({&document, 1}, 1);
    return h;
}

/// Knobs of plain GPTQ: columns as they stand.
gptq_options unsorted() {
    gptq_options o;
    o.act_order = false;
    return o;
}
gptq_options with_static_groups() {
    gptq_options o;
    o.static_groups = true;
    return o;
}
gptq_options group_aware() {
    gptq_options o = unsorted();
    o.group_aware = true;
    return o;
}

/// The place of each column in a result, and its group.
std::size_t place_of(gptq_result const& q, std::size_t c) {
    if (q.order.empty()) return c;
    return static_cast<std::size_t>(std::find(q.order.begin(), q.order.end(), c) - q.order.begin());
}
std::vector<unsigned> codes_of(gptq_result const& q, std::size_t r) {
    std::vector<unsigned> codes;
    for (std::size_t c = 0; c < q.codes.cols(); ++c) codes.push_back(q.codes(r, place_of(q, c)));
    return codes;
}
double value_of(gptq_result const& q, std::size_t r, std::size_t c) {
    const std::size_t k = place_of(q, c), g = k / q.group_columns;
    return double{q.scales(r, g) * (static_cast<float>(q.codes(r, k)) - static_cast<float>(q.zeros(r, g)))};
}

/// ½ · tr(Δ·H·Δᵀ), Δ = w − ŵ, H with the damp that was used: what GPTQ keeps small, and what its loss is.
double objective(matrix_view<const float> w, gptq_result const& q, input_hessian const& h, gptq_log const& log) {
    const double scale = 2 / static_cast<double>(h.tokens());
    double mean = 0, sum = 0;
    const auto diagonal = [&](std::size_t c) { return h.sum(c, c) == 0 ? 1 : scale * h.sum(c, c); };
    for (std::size_t c = 0; c < w.cols; ++c) mean += diagonal(c) / static_cast<double>(w.cols);
    std::vector<double> difference(w.cols);
    for (std::size_t r = 0; r < w.rows; ++r) {
        for (std::size_t c = 0; c < w.cols; ++c)
            difference[c] = (h.sum(c, c) == 0 ? 0 : double{w(r, c)}) - value_of(q, r, c);
        for (std::size_t i = 0; i < w.cols; ++i)
            for (std::size_t j = 0; j < w.cols; ++j)
                sum += difference[i] * difference[j] *
                       (i == j ? diagonal(i) + log.damp_used * mean + log.floor_used : scale * h.sum(i, j));
    }
    return sum / 2;
}

/// GPTQ by the book, column by column and in double, for a matrix whose inputs all live.
struct plain_gptq {
    matrix<unsigned> codes;        // columns as they stand
    matrix<double> scales, margin; // margin: how far w/scale is from the middle between two levels, by step
    std::vector<std::size_t> order, group;
    double loss = 0;

    plain_gptq(matrix_view<const float> w, input_hessian const& inputs, gptq_options const& o, uniform_rule kind)
        : codes(w.rows, w.cols), margin(w.rows, w.cols), order(w.cols), group(w.cols) {
        const std::size_t n = w.cols, size = kind.group_size == 0 ? n : kind.group_size, groups = (n + size - 1) / size;
        scales = matrix<double>(w.rows, groups);
        matrix<double> zeros(w.rows, groups), h(n, n), v(w.rows, n);
        for (std::size_t c = 0; c < n; ++c) order[c] = c;
        const auto falling = [&](std::size_t a, std::size_t b) { return inputs.sum(a, a) > inputs.sum(b, b); };
        if (o.act_order) std::stable_sort(order.begin(), order.end(), falling);
        if (o.group_aware) {
            std::vector<std::size_t> whole;
            for (std::size_t g = 0; g < n / size; ++g) {
                whole.push_back(g);
                std::stable_sort(&order[g * size], &order[g * size] + size, falling);
            }
            const auto old = order;
            std::stable_sort(whole.begin(), whole.end(),
                             [&](std::size_t a, std::size_t b) { return falling(old[a * size], old[b * size]); });
            for (std::size_t k = 0; k < n / size * size; ++k) order[k] = old[whole[k / size] * size + k % size];
        }
        double mean = 0;
        const double scale = 2 / static_cast<double>(inputs.tokens());
        for (std::size_t c = 0; c < n; ++c) mean += scale * inputs.sum(c, c) / static_cast<double>(n);
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = 0; j < n; ++j)
                h(i, j) = scale * inputs.sum(order[i], order[j]) + (i == j ? o.damp * mean : 0);
        const auto u = test::upper_factor_of_inverse(h);
        REQUIRE(u.has_value());
        const bool by_step = o.act_order && !o.static_groups;
        for (std::size_t k = 0; k < n; ++k) group[order[k]] = (by_step ? k : order[k]) / size;
        for (std::size_t r = 0; r < w.rows; ++r)
            for (std::size_t k = 0; k < n; ++k) v(r, k) = double{w(r, order[k])};
        const auto lay = [&](std::size_t r, std::size_t g, std::vector<float> const& weights) {
            const affine_grid grid = min_max_grid(weights, kind.codes()); // rtn's tests look at it
            scales(r, g) = double{grid.scale};
            zeros(r, g) = double{grid.zero};
        };
        if (o.static_groups || kind.group_size == 0)
            for (std::size_t r = 0; r < w.rows; ++r)
                for (std::size_t g = 0; g < groups; ++g)
                    lay(r, g, {&w(r, g * size), &w(r, g * size) + std::min(size, n - g * size)});
        auto seen = std::vector<double>(v.span().begin(), v.span().end()); // what grids are laid over
        for (std::size_t k = 0; k < n; ++k) {
            if (k % o.block == 0 || o.fresh_groups) seen.assign(v.span().begin(), v.span().end());
            const std::size_t g = group[order[k]];
            for (std::size_t r = 0; r < w.rows; ++r) {
                if (!o.static_groups && kind.group_size != 0 && k % size == 0) {
                    const auto* first = &seen[r * n + k];
                    lay(r, g, std::vector<float>(first, first + std::min(size, n - k)));
                }
                const double s = scales(r, g), z = zeros(r, g);
                const double q = std::clamp(std::nearbyint(v(r, k) / s) + z, 0.0, double{kind.codes().largest});
                const double e = (v(r, k) - s * (q - z)) / (*u)(k, k);
                codes(r, order[k]) = static_cast<unsigned>(q);
                margin(r, k) = std::abs(v(r, k) / s - std::floor(v(r, k) / s) - 0.5);
                loss += e * e / 2;
                for (std::size_t j = k + 1; j < n; ++j) v(r, j) -= e * (*u)(k, j);
            }
        }
    }
};

matrix<float> random_weights(std::size_t rows, std::size_t cols, std::uint64_t seed = 1) {
    random_generator random(seed);
    matrix<float> w(rows, cols);
    for (float& v : w.span()) v = static_cast<float>(random.normal()) * 0.02f;
    return w;
}

/// Columns that go together and differ in size.
input_hessian random_inputs(std::size_t cols, std::size_t tokens, std::uint64_t seed = 1) {
    random_generator random(seed);
    std::vector<float> size(cols);
    for (float& s : size) s = static_cast<float>(std::exp(random.normal()));
    matrix<float> x(tokens, cols);
    for (std::size_t t = 0; t < tokens; ++t) {
        float before = 0;
        for (std::size_t c = 0; c < cols; ++c) {
            before = 0.6f * before + static_cast<float>(random.normal());
            x(t, c) = before * size[c];
        }
    }
    input_hessian h(cols);
    const matrix_view<const float> document = x;
    h.add({&document, 1}, 1);
    return h;
}

/// Where float32 and double round to other levels, the weight stands in the middle between them; what comes after it in
/// its row follows.
void check_like_plain(matrix_view<const float> w, input_hessian const& h, gptq_options const& o, uniform_rule kind) {
    CAPTURE(kind.bits);
    CAPTURE(kind.group_size);
    CAPTURE(o.act_order);
    CAPTURE(o.static_groups);
    CAPTURE(o.group_aware);
    CAPTURE(o.fresh_groups);
    CAPTURE(o.block);
    gptq_log log;
    const auto q = quantize_gptq(w, gptq_inputs(h, o, kind.group_size), kind, &log);
    const plain_gptq plain(w, h, o, kind);
    std::size_t different_rows = 0;
    for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t k = 0; k < w.cols; ++k) {
            const std::size_t c = plain.order[k], place = place_of(q, c);
            REQUIRE(place / q.group_columns == plain.group[c]);
            if (q.codes(r, place) == plain.codes(r, c)) continue;
            REQUIRE(plain.margin(r, k) < 1e-3);
            ++different_rows;
            break;
        }
    CHECK(different_rows <= w.rows / 4); // a symmetric grid puts the least weight of its group in such a middle
    CHECK(log.loss == doctest::Approx(plain.loss).epsilon(1e-3));
    CHECK(log.loss == doctest::Approx(objective(w, q, h, log)).epsilon(1e-4));
    CHECK(log.damp_used == o.damp);
    CHECK(log.attempts == 1);
    CHECK(!log.fell_back_to_rtn);
}

template <quant_format F>
void check_packed(matrix_view<const float> w, input_hessian const& h, gptq_options const& o) {
    CAPTURE(format_name<F>());
    gptq<F> method;
    static_cast<gptq_options&>(method) = o;
    gptq_log log;
    const auto packed = method(w, h, &log);
    const auto q = quantize_gptq(w, gptq_inputs(h, o, F::group_size), rule_of<F>);
    REQUIRE(packed.groups() == q.groups());
    for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t c = 0; c < w.cols; ++c) {
            REQUIRE(packed.code(r, c) == q.codes(r, place_of(q, c)));
            REQUIRE(double{packed.value(r, c)} == value_of(q, r, c));
        }
    CHECK(packed.order().size() == q.order.size());
    CHECK(log.loss == doctest::Approx(objective(w, q, h, log)).epsilon(1e-4));
}

/// Σ of 2 × 2 inputs: ones on the diagonal, `a` beside it; H is the same.
input_hessian two_inputs(double a) {
    matrix<double> sums(2, 2);
    sums(0, 0) = sums(1, 1) = 1;
    sums(0, 1) = sums(1, 0) = a;
    return input_hessian::of_sums(sums, 2);
}

input_hessian diagonal_inputs(std::vector<double> const& diagonal) {
    matrix<double> sums(diagonal.size(), diagonal.size());
    for (std::size_t c = 0; c < diagonal.size(); ++c) sums(c, c) = diagonal[c];
    return input_hessian::of_sums(sums, 2);
}

std::vector<std::uint32_t> order_of(std::vector<double> const& diagonal, gptq_options const& o, std::size_t group) {
    const gptq_inputs inputs(diagonal_inputs(diagonal), o, group);
    return {inputs.order().begin(), inputs.order().end()};
}

/// The numbers of make_gptq_goldens.py: −0.5 … 0.5.
matrix<float> noise(std::uint32_t first, std::size_t rows, std::size_t cols) {
    matrix<float> m(rows, cols);
    for (float& v : m.span()) {
        std::uint32_t x = first++ * 2654435761u;
        x ^= x >> 16;
        x *= 2246822519u;
        x ^= x >> 13;
        v = static_cast<float>(x >> 8) / 16777216.0f - 0.5f;
    }
    return m;
}

} // namespace

TEST_CASE("as GPTQModel has it") {
    constexpr std::size_t rows = 8, cols = 160;
    auto w = noise(0, rows, cols);
    for (float& v : w.span()) v *= 0.125f;
    input_hessian h(cols);
    std::uint32_t first = 0;
    for (const std::size_t tokens : {50u, 90u, 1u, 200u}) {
        auto x = noise(first += 1'000'000, tokens, cols);
        for (std::size_t t = 0; t < tokens; ++t) {
            for (std::size_t c = cols - 1; c > 0; --c) x(t, c) += x(t, c - 1);
            for (std::size_t c = 0; c < cols; ++c) x(t, c) *= static_cast<float>(1 << c % 5);
            x(t, 11) = 0;
        }
        const matrix_view<const float> document = x;
        h.add({&document, 1}, 1);
    }
    std::ifstream file(BITLENS_TEST_DATA "/quantizers/gptq.txt");
    std::size_t count = 0;
    int bits = 0, is_symmetric = 0;
    std::size_t group = 0;
    for (std::string knobs; file >> bits >> group >> is_symmetric && std::getline(file, knobs); ++count) {
        CAPTURE(bits);
        CAPTURE(group);
        CAPTURE(knobs);
        const auto has = [&](const char* knob) { return knobs.find(knob) != std::string::npos; };
        gptq_options o;
        o.act_order = has("act_order");
        o.static_groups = has("static_groups");
        o.group_aware = has("group_aware");
        o.mse = has("mse") ? 2.4 : 0;
        gptq_log log;
        const auto q = quantize_gptq(w, gptq_inputs(h, o, group), {bits, group, is_symmetric != 0 ? sym : asym}, &log);
        const auto codes = read_codes(file, 2);
        const auto scales = read_floats(file, rows * q.groups());
        const auto zeros = read_codes(file, 2), g_idx = read_codes(file, 2);
        double loss = 0;
        file >> loss;
        REQUIRE(codes.size() == rows * cols);
        REQUIRE(zeros.size() == scales.size());
        for (std::size_t c = 0; c < cols; ++c) {
            const std::size_t k = place_of(q, c);
            REQUIRE(k / q.group_columns == g_idx[c]);
            for (std::size_t r = 0; r < rows; ++r) REQUIRE(q.codes(r, k) == codes[r * cols + c]);
        }
        for (std::size_t i = 0; i < scales.size(); ++i) {
            REQUIRE(q.scales.span()[i] == doctest::Approx(scales[i]).epsilon(1e-4));
            REQUIRE(q.zeros.span()[i] == zeros[i]);
        }
        CHECK(log.loss == doctest::Approx(loss).epsilon(1e-4));
        CHECK(log.dead_columns == 1);
    }
    CHECK(count == 10);
}

TEST_CASE("KAT-G") {
    struct answer {
        const char* name;
        int bits;
        std::size_t group;
        zero_kind zero;
        bool sorted, static_groups;
        std::size_t block;
        std::array<std::vector<unsigned>, 2> codes;
        std::vector<float> scales;
        std::vector<unsigned> zeros, g_idx;
        double loss; // or none is known
    };
    const std::vector<unsigned> halves{0, 0, 0, 0, 1, 1, 1, 1}, mixed{1, 0, 0, 1, 1, 0, 1, 0}, one(8, 0);
    const std::array<answer, 7> answers{{
        {"3b g4 sym",
         3,
         4,
         sym,
         false,
         false,
         128,
         {{{1, 5, 1, 5, 1, 4, 7, 3}, {7, 4, 7, 3, 7, 3, 7, 3}}},
         {.2321429f, .2589286f, .2678571f, .2142857f},
         {4, 4, 4, 4},
         halves,
         .547465},
        {"4b g4 sym",
         4,
         4,
         sym,
         false,
         false,
         128,
         {{{1, 10, 0, 9, 0, 8, 15, 8}, {15, 7, 15, 7, 15, 6, 15, 3}}},
         {.1083333f, .1208333f, .125f, .1f},
         {8, 8, 8, 8},
         halves,
         .092726},
        {"3b g4 sym act",
         3,
         4,
         sym,
         true,
         false,
         128,
         {{{1, 5, 0, 4, 0, 4, 7, 4}, {7, 4, 7, 3, 6, 3, 6, 3}}},
         {.2321429f, .2589286f, .2410714f, .2678571f},
         {4, 4, 4, 4},
         mixed,
         .349460},
        {"3b g4 sym act static",
         3,
         4,
         sym,
         true,
         true,
         128,
         {{{1, 5, 0, 4, 0, 4, 7, 4}, {7, 4, 7, 4, 7, 3, 7, 3}}},
         {.2321429f, .2589286f, .2678571f, .2142857f},
         {4, 4, 4, 4},
         halves,
         .278549},
        {"3b g8 sym act",
         3,
         8,
         sym,
         true,
         false,
         128,
         {{{1, 5, 1, 4, 0, 4, 7, 4}, {7, 4, 7, 3, 6, 3, 6, 3}}},
         {.2589286f, .2678571f},
         {4, 4},
         one,
         .233162},
        {"4b g4 asym act",
         4,
         4,
         asym,
         true,
         false,
         128,
         {{{2, 15, 0, 9, 0, 12, 15, 11}, {15, 3, 15, 0, 13, 1, 12, 0}}},
         {.0666667f, .1208333f, .0791667f, .0729167f},
         {12, 8, 4, 2},
         mixed,
         .052251},
        {"3b g4 sym, block 4",
         3,
         4,
         sym,
         false,
         false,
         4,
         {{{1, 5, 1, 5, 1, 4, 7, 4}, {7, 4, 7, 3, 7, 2, 7, 3}}},
         {.2321429f, .3015676f, .2678571f, .1796471f},
         {4, 4, 4, 4},
         halves,
         gptq_log::unknown},
    }};
    const auto w = known_weights();
    const auto h = known_inputs();
    const std::vector<double> diagonal{3.80729, 14.61458, 30.51563, 3.98177, 0.125, 37.45313, 3.46094, 14.07292};
    for (std::size_t c = 0; c < 8; ++c) CHECK(2.0 / 12 * h.sum(c, c) == doctest::Approx(diagonal[c]).epsilon(2e-6));
    for (auto const& a : answers) {
        CAPTURE(a.name);
        gptq_options o;
        o.act_order = a.sorted;
        o.static_groups = a.static_groups;
        o.block = a.block;
        const gptq_inputs inputs(h, o, a.group);
        const std::vector<std::uint32_t> order(inputs.order().begin(), inputs.order().end());
        CHECK(order == (a.sorted ? std::vector<std::uint32_t>{5, 2, 1, 7, 3, 0, 6, 4}
                                 : std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 7}));
        REQUIRE(inputs.factor().has_value());
        const std::array<double, 3> u =
            a.sorted ? std::array{.2429716, .0734316, .0572295} : std::array{.5542038, .0657775, .0185962};
        for (std::size_t j = 0; j < 3; ++j)
            CHECK(double{(*inputs.factor())(0, j)} == doctest::Approx(u[j]).epsilon(4e-6));
        gptq_log log;
        const auto q = quantize_gptq(w, inputs, {a.bits, a.group, a.zero}, &log);
        for (std::size_t r = 0; r < 2; ++r) CHECK(codes_of(q, r) == a.codes[r]);
        REQUIRE(q.scales.span().size() == a.scales.size());
        for (std::size_t i = 0; i < a.scales.size(); ++i) {
            CHECK(q.scales.span()[i] == doctest::Approx(a.scales[i]).epsilon(1e-6));
            CHECK(q.zeros.span()[i] == a.zeros[i]);
        }
        for (std::size_t c = 0; c < 8; ++c) CHECK(place_of(q, c) / q.group_columns == a.g_idx[c]);
        if (!std::isnan(a.loss)) CHECK(log.loss == doctest::Approx(a.loss).epsilon(5e-6));
    }
    // A whole row is one group: its columns lie as they stand.
    const auto row = quantize_gptq(w, gptq_inputs(h, {}, 0), {3, 0, sym});
    CHECK(row.order.empty());
    for (std::size_t r = 0; r < 2; ++r) CHECK(codes_of(row, r) == answers[4].codes[r]);
}

TEST_CASE("orders of columns") {
    using order = std::vector<std::uint32_t>;
    const std::vector<double> diagonal{1, 5, 2, 4, 9, 3, 8, 7};
    CHECK(order_of(diagonal, group_aware(), 4) == order{4, 6, 7, 5, 1, 3, 2, 0});
    CHECK(order_of({1, 5, 2, 4, 9, 3, 8, 7, 100, 200}, group_aware(), 4) == order{4, 6, 7, 5, 1, 3, 2, 0, 8, 9});
    CHECK(order_of({1, 2, 3}, group_aware(), 4) == order{0, 1, 2}); // no whole group
    CHECK(order_of(diagonal, group_aware(), 0) == order{4, 6, 7, 1, 3, 5, 2, 0});
    CHECK(order_of(diagonal, {}, 4) == order{4, 6, 7, 1, 3, 5, 2, 0});
    CHECK(order_of({2, 1, 2, 1, 2, 1}, {}, 4) == order{0, 2, 4, 1, 3, 5}); // equal ones as they stand
    CHECK(order_of({2, 1, 1, 2, 2, 2}, group_aware(), 2) == order{0, 1, 3, 2, 4, 5});
    CHECK(order_of({0.5, 0, 3, 0.9}, {}, 4) == order{2, 1, 3, 0}); // one without inputs counts as 1
    CHECK(order_of(diagonal, unsorted(), 4) == order{0, 1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("a group that lies elsewhere keeps its grid: group-aware, sorted and static") {
    const auto w = random_weights(40, 300);
    const auto h = random_inputs(300, 700);
    for (auto const& o : {group_aware(), with_static_groups(), unsorted()}) {
        const auto q = quantize_gptq(w, gptq_inputs(h, o, 64), {4, 64, asym});
        CHECK(q.order.empty());
        CHECK(q.groups() == 5);
    }
}

TEST_CASE("as a plain algorithm in double") {
    const auto w = random_weights(24, 200);
    const auto h = random_inputs(200, 600);
    gptq_options small_blocks = unsorted(), sorted, fresh = unsorted(), fresh_sorted;
    small_blocks.block = 40;
    fresh.fresh_groups = fresh_sorted.fresh_groups = true;
    for (auto const& o : {unsorted(), sorted, group_aware(), with_static_groups(), small_blocks, fresh, fresh_sorted})
        for (const std::size_t group : {32u, 64u, 96u, 128u, 160u, 0u}) {
            check_like_plain(w, h, o, {3, group, sym});
            check_like_plain(w, h, o, {4, group, asym});
        }
    for (const int bits : {2, 5, 6, 7, 8}) {
        check_like_plain(w, h, sorted, {bits, 64, sym});
        check_like_plain(w, h, unsorted(), {bits, 32, asym});
    }
    gptq_options damped;
    damped.damp = 0.3;
    check_like_plain(w, h, damped, {3, 64, asym});
}

TEST_CASE("every format packs the same codes") {
    const auto w = random_weights(33, 150, 2); // a tile and a row, a short last group
    const auto h = random_inputs(150, 400, 2);
    check_packed<uniform<2, 32>>(w, h, {});
    check_packed<uniform<3, 64>>(w, h, {});
    check_packed<uniform<3, 64, sym>>(w, h, group_aware());
    check_packed<uniform<4, 128, sym>>(w, h, {});
    check_packed<uniform<4, 0>>(w, h, {});
    check_packed<uniform<5, 32, sym>>(w, h, with_static_groups());
    check_packed<uniform<6, 64>>(w, h, unsorted());
    check_packed<uniform<7, 0, sym>>(w, h, unsorted());
    check_packed<uniform<8, 64>>(w, h, {});
}

TEST_CASE("matrices with the same inputs can share what is made of them") {
    const auto h = random_inputs(200, 300);
    const gptq<uniform<3, 64>> method;
    const auto inputs = method.prepare(h);
    for (const std::uint64_t seed : {1u, 2u}) {
        const auto w = random_weights(10, 200, seed);
        const auto alone = method(w, h), shared = method(w, inputs);
        for (std::size_t r = 0; r < 10; ++r)
            for (std::size_t c = 0; c < 200; ++c) REQUIRE(alone.value(r, c) == shared.value(r, c));
    }
    CHECK_THROWS_WITH_AS((void)(gptq<uniform<3, 32>>{}(random_weights(10, 200), inputs)),
                         "gptq: codes have groups of 32 columns, expected 64 as their inputs have", shape_error);
}

TEST_CASE("fresh groups: blocks end where groups do") {
    const auto w = random_weights(30, 256);
    const auto h = random_inputs(256, 500);
    gptq_options fresh = unsorted(), short_blocks = unsorted();
    fresh.fresh_groups = true;
    short_blocks.block = 32;
    const auto of = [&](gptq_options const& o) { return quantize_gptq(w, gptq_inputs(h, o, 32), {3, 32, sym}); };
    const auto a = of(fresh), b = of(short_blocks), stale = of(unsorted());
    CHECK(test::same_bits(a.scales, b.scales));
    CHECK(!test::same_bits(a.scales, stale.scales));
    CHECK(std::equal(a.codes.span().begin(), a.codes.span().end(), b.codes.span().begin()));
    const auto first_groups = [](gptq_result const& q) { return std::as_const(q.scales).view().middle_cols(0, 1); };
    CHECK(test::same_bits(first_groups(a), first_groups(stale)));
}

TEST_CASE("the search for a range makes grids that fit better") {
    gptq_options o = unsorted();
    o.mse = 2.4;
    const auto w = random_weights(16, 256);
    for (const auto kind : {sym, asym})
        for (const int bits : {2, 3, 4}) {
            const affine_codes codes = uniform_rule{bits, 64, kind}.codes();
            for (std::size_t r = 0; r < w.rows(); ++r) {
                const auto group = w.row(r).first(64);
                const auto error = [&](affine_grid grid) {
                    double sum = 0;
                    for (const float x : group) {
                        const double level = double{static_cast<float>(grid.code(x, codes.largest)) - grid.zero};
                        sum += std::pow(std::abs(double{grid.scale} * level - double{x}), 2.4);
                    }
                    return sum;
                };
                const affine_grid widest = min_max_grid(group, codes), found = searched_grid(group, codes, 2.4);
                REQUIRE(error(found) <= error(widest) * (1 + 1e-6));
                REQUIRE(found.scale <= widest.scale);
                REQUIRE(found.scale >= 0.2f * widest.scale);
                double best = error(widest); // 80 ranges, by the book
                for (int i = 1; i < 80; ++i) {
                    const float p = 1 - static_cast<float>(i) / 100;
                    const float lowest = std::min(0.0f, *std::min_element(group.begin(), group.end())) * p;
                    const float scale = widest.scale * p;
                    for (const float zero : {kind == sym ? widest.zero : std::nearbyint(-lowest / scale),
                                             kind == sym || bits > 2 ? widest.zero : std::floor(-lowest / scale),
                                             kind == sym || bits > 2 ? widest.zero : std::ceil(-lowest / scale)})
                        if (kind == sym || bits == 2 || zero == std::nearbyint(-lowest / scale))
                            best = std::min(best, error({scale, zero}));
                }
                REQUIRE(error(found) == doctest::Approx(best).epsilon(1e-3));
            }
        }
    gptq_log searched, widest;
    const auto h = random_inputs(256, 500);
    (void)quantize_gptq(w, gptq_inputs(h, o, 64), {3, 64, sym}, &searched);
    (void)quantize_gptq(w, gptq_inputs(h, unsorted(), 64), {3, 64, sym}, &widest);
    CHECK(searched.loss < widest.loss);
}

TEST_CASE("damp grows until there is a factor") {
    matrix<float> w(1, 2);
    w(0, 0) = 0.3f;
    w(0, 1) = -1;
    const auto log_of = [&](double a, gptq_options const& o) {
        gptq_log log;
        (void)quantize_gptq(w, gptq_inputs(two_inputs(a), o, 0), {3, 0, sym}, &log);
        return log;
    };
    const auto at_once = log_of(0.5, {});
    CHECK(at_once.damp_used == 0.01);
    CHECK(at_once.attempts == 1);
    CHECK(at_once.floor_used == 0);
    const auto sixth = log_of(1.055, {}); // 1 + damp > 1.055
    CHECK(sixth.damp_used == doctest::Approx(0.06));
    CHECK(sixth.attempts > 1);
    CHECK(std::isfinite(sixth.loss));
    gptq_options coarse;
    coarse.damp = 0.02;
    coarse.damp_increment = 0.3;
    CHECK(log_of(1.055, coarse).damp_used == doctest::Approx(0.32));
    CHECK(log_of(1.9, coarse).damp_used == doctest::Approx(0.92));
    CHECK(log_of(1.985, {}).damp_used == doctest::Approx(0.99));
    CHECK(log_of(1.985, {}).floor_used == 0);

    // The floors 1e-6 … 0.1 come after that, each with all damps: 1.1 · (1 + damp) > 2.1.
    const auto floored = log_of(2.1, {});
    CHECK(floored.floor_used == doctest::Approx(0.1));
    CHECK(floored.damp_used == doctest::Approx(0.91));
    CHECK(!floored.fell_back_to_rtn);
    const auto third = log_of(1.99007, {}); // 1.0001 · 1.99 is enough
    CHECK(third.floor_used == doctest::Approx(1e-4));
    CHECK(third.damp_used == doctest::Approx(0.99));
    gptq_options alone;
    alone.damp_increment = 0;
    const auto floor_alone = log_of(1.1, alone); // 1.1 · 1.01
    CHECK(floor_alone.floor_used == doctest::Approx(0.1));
    CHECK(floor_alone.damp_used == 0.01);
    CHECK(floor_alone.attempts == 7);
}

TEST_CASE("without a factor weights are rounded to the nearest") {
    const auto w = random_weights(5, 128);
    matrix<double> sums(128, 128);
    for (std::size_t c = 0; c < 128; ++c) sums(c, c) = 1 + static_cast<double>(c % 5);
    sums(3, 2) = sums(2, 3) = 50;
    const auto h = input_hessian::of_sums(sums, 2);
    gptq_log log;
    gptq<uniform<3, 32>> method;
    method.act_order = false;
    const auto q = method(w, h, &log), nearest = rtn<uniform<3, 32>>{}(w);
    CHECK(log.fell_back_to_rtn);
    CHECK(!log.saw_no_tokens);
    CHECK(log.attempts == 14);
    CHECK(log.damp_used == 0);
    CHECK(std::isnan(log.loss));
    CHECK(std::isnan(log.condition));
    for (std::size_t r = 0; r < 5; ++r)
        for (std::size_t c = 0; c < 128; ++c) REQUIRE(q.value(r, c) == nearest.value(r, c));

    // In the order of columns, where there is one.
    method.act_order = true;
    const auto sorted = method(w, h, &log);
    REQUIRE(sorted.order().size() == 128);
    CHECK(log.fell_back_to_rtn);
    matrix<float> in_order(5, 128);
    for (std::size_t r = 0; r < 5; ++r)
        for (std::size_t k = 0; k < 128; ++k) in_order(r, k) = w(r, sorted.order()[k]);
    const auto nearest_in_order = rtn<uniform<3, 32>>{}(in_order);
    for (std::size_t r = 0; r < 5; ++r)
        for (std::size_t k = 0; k < 128; ++k) REQUIRE(sorted.code_at(r, k) == nearest_in_order.code(r, k));
}

TEST_CASE("a layer that saw no tokens") {
    const auto w = random_weights(5, 100);
    gptq_log log;
    const auto q = gptq<uniform<4, 64, sym>>{}(w, input_hessian(100), &log);
    const auto nearest = rtn<uniform<4, 64, sym>>{}(w);
    CHECK(log.saw_no_tokens);
    CHECK(!log.fell_back_to_rtn);
    CHECK(log.attempts == 0);
    CHECK(log.dead_columns == 0);
    CHECK(std::isnan(log.loss));
    CHECK(q.order().empty());
    for (std::size_t r = 0; r < 5; ++r)
        for (std::size_t c = 0; c < 100; ++c) REQUIRE(q.value(r, c) == nearest.value(r, c));
}

TEST_CASE("weights of inputs that are always zero become zero") {
    auto w = random_weights(6, 96);
    for (std::size_t r = 0; r < 6; ++r) w(r, 40) = 5; // it would spoil the grid of its group
    random_generator random(5);
    matrix<float> x(200, 96);
    for (float& v : x.span()) v = static_cast<float>(random.normal());
    for (std::size_t t = 0; t < 200; ++t) x(t, 40) = x(t, 95) = 0;
    input_hessian h(96);
    const matrix_view<const float> document = x;
    h.add({&document, 1}, 1);
    for (auto const& o : {unsorted(), gptq_options{}, with_static_groups(), group_aware()}) {
        gptq_log log;
        const auto q = quantize_gptq(w, gptq_inputs(h, o, 32), {3, 32, asym}, &log);
        CHECK(log.dead_columns == 2);
        for (std::size_t r = 0; r < 6; ++r) {
            REQUIRE(value_of(q, r, 40) == 0);
            REQUIRE(value_of(q, r, 95) == 0);
            for (std::size_t g = 0; g < 3; ++g) REQUIRE(q.scales(r, g) < 0.1f);
        }
        CHECK(log.loss == doctest::Approx(objective(w, q, h, log)).epsilon(1e-4));
        const auto row = quantize_gptq(w, gptq_inputs(h, o, 0), {3, 0, asym}); // laid before, as in the original
        for (std::size_t r = 0; r < 6; ++r) {
            REQUIRE(row.scales(r, 0) > 5.0f / 7);
            REQUIRE(value_of(row, r, 40) == 0);
        }
    }
    // None alive at all.
    gptq_log log;
    const auto dead =
        quantize_gptq(w, gptq_inputs(diagonal_inputs(std::vector<double>(96)), {}, 32), {4, 32, sym}, &log);
    CHECK(log.dead_columns == 96);
    CHECK(log.loss == 0);
    CHECK(log.relative_loss == 0);
    for (std::size_t c = 0; c < 96; ++c) REQUIRE(value_of(dead, 3, c) == 0);
}

TEST_CASE("awkward matrices") {
    constexpr std::size_t rows = 20, cols = 192;
    struct awkward {
        const char* name;
        matrix<float> w, x;
    };
    const auto inputs = [&](std::size_t tokens, auto const& value) {
        random_generator random(9);
        matrix<float> x(tokens, cols);
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t c = 0; c < cols; ++c) x(t, c) = value(t, c, static_cast<float>(random.normal()));
        return x;
    };
    const auto usual = [](std::size_t, std::size_t, float v) { return v; };
    std::vector<awkward> all;
    all.push_back({"zero rows", random_weights(rows, cols), inputs(300, usual)});
    for (std::size_t c = 0; c < cols; ++c) all.back().w(0, c) = all.back().w(7, c) = 0;
    all.push_back({"one huge weight", random_weights(rows, cols), inputs(300, usual)});
    all.back().w(3, 50) = 1e6f;
    all.push_back({"one huge input", random_weights(rows, cols),
                   inputs(300, [](std::size_t t, std::size_t c, float v) { return c == 20 && t == 5 ? 1e4f : v; })});
    all.push_back({"constant columns", random_weights(rows, cols),
                   inputs(300, [](std::size_t, std::size_t c, float v) { return c % 2 == 0 ? 3.0f : v; })});
    all.push_back({"rank one", random_weights(rows, cols), inputs(300, [](std::size_t t, std::size_t c, float) {
                       return static_cast<float>(1 + t % 7) * (0.1f + static_cast<float>(c % 11));
                   })});
    all.push_back({"fewer tokens than columns", random_weights(rows, cols), inputs(10, usual)});
    all.push_back({"one token", random_weights(rows, cols), inputs(1, usual)});
    all.push_back({"equal weights", matrix<float>(rows, cols), inputs(300, usual)});
    std::fill(all.back().w.span().begin(), all.back().w.span().end(), 0.25f);
    all.push_back({"tiny numbers", random_weights(rows, cols),
                   inputs(300, [](std::size_t, std::size_t, float v) { return v * 1e-15f; })});
    for (float& v : all.back().w.span()) v *= 1e-30f;
    for (auto const& one : all) {
        CAPTURE(one.name);
        input_hessian h(cols);
        const matrix_view<const float> document = one.x;
        h.add({&document, 1}, 1);
        for (auto const& o : {unsorted(), gptq_options{}, with_static_groups(), group_aware()})
            for (const std::size_t group : {64u, 0u}) {
                const uniform_rule kind{3, group, asym};
                gptq_log log;
                const auto q = quantize_gptq(one.w, gptq_inputs(h, o, group), kind, &log);
                REQUIRE(!log.fell_back_to_rtn);
                CHECK(log.floor_used == 0);
                CHECK(log.loss == doctest::Approx(objective(one.w, q, h, log)).epsilon(1e-2));
                for (const float s : q.scales.span()) REQUIRE((std::isfinite(s) && s > 0));
                const auto nearest = quantize_gptq(one.w, gptq_inputs(input_hessian(cols), o, group), kind);
                CHECK(log.loss <= objective(one.w, nearest, h, log) * 1.001);
            }
    }
    CHECK(all.size() == 9);
}

TEST_CASE("the loss of correlated inputs falls well below that of rounding to the nearest") {
    const auto w = random_weights(64, 256);
    const auto h = random_inputs(256, 2000);
    gptq_log log;
    (void)quantize_gptq(w, gptq_inputs(h, {}, 64), {3, 64, asym}, &log);
    const auto nearest = quantize_gptq(w, gptq_inputs(input_hessian(256), {}, 64), {3, 64, asym});
    CHECK(log.loss < 0.7 * objective(w, nearest, h, log));
    CHECK(log.condition >= 1);
    double squares = 0;
    for (const float x : w.span()) squares += double{x} * double{x};
    CHECK(log.relative_loss == doctest::Approx(log.loss / squares));
}

TEST_CASE("the result does not depend on tasks") {
    const auto w = random_weights(150, 400);
    const auto h = random_inputs(400, 500);
    for (auto const& o : {unsorted(), gptq_options{}})
        for (const std::size_t group : {64u, 160u}) {
            gptq_log one_log, many_log;
            const auto one = quantize_gptq(w, gptq_inputs(h, o, group, 1), {3, group, asym}, &one_log, 1);
            const auto many = quantize_gptq(w, gptq_inputs(h, o, group, 5), {3, group, asym}, &many_log, 7);
            CHECK(test::same_bits(one.scales, many.scales));
            CHECK(std::equal(one.codes.span().begin(), one.codes.span().end(), many.codes.span().begin()));
            CHECK(one_log.loss == many_log.loss);
        }
}

TEST_CASE("what does not fit is refused") {
    auto w = random_weights(4, 70);
    const auto h = random_inputs(70, 100);
    const gptq<uniform<3, 64>> method;
    CHECK_THROWS_WITH_AS((void)method(random_weights(4, 69), h), "gptq: w is 4 × 69, expected 4 × 70", shape_error);
    w(2, 66) = std::nanf("");
    CHECK_THROWS_WITH_AS((void)method(w, h), "gptq: the weight at row 2, column 66 is nan; a finite number is expected",
                         format_error);
    w(2, 66) = -std::numeric_limits<float>::infinity();
    CHECK_THROWS_AS((void)method(w, h), format_error);
    w(2, 66) = 3e38f;
    w(2, 67) = -3e38f;
    gptq<uniform<3, 64>> in_place = method;
    in_place.act_order = false;
    CHECK_THROWS_AS((void)in_place(w, h), format_error);
    CHECK_THROWS_WITH_AS((void)in_place(w, input_hessian(70)),
                         "gptq: the weights of row 2, group 1, span more than float32 can hold", format_error);

    const auto check_option = [&](auto change, const char* message) {
        gptq_options o;
        change(o);
        CHECK_THROWS_WITH_AS(gptq_inputs(h, o, 64), message, option_error);
    };
    check_option([](auto& o) { o.damp = -1; }, "gptq: damp is -1.000000, expected a number from 0 on");
    check_option([](auto& o) { o.damp = std::nan(""); }, "gptq: damp is nan, expected a number from 0 on");
    check_option([](auto& o) { o.damp_increment = -0.5; },
                 "gptq: damp_increment is -0.500000, expected a number from 0 on");
    check_option([](auto& o) { o.mse = -2; }, "gptq: mse is -2.000000, expected 0 or a positive exponent");
    check_option([](auto& o) { o.block = 0; }, "gptq: block is 0.000000, expected at least one column");
    check_option([](auto& o) { o.group_aware = true; },
                 "gptq: act_order and group_aware are two orders of the columns, expected one of them");
}

TEST_CASE("matrices without weights") {
    const gptq<uniform<3, 64>> method;
    CHECK(method({nullptr, 0, 64}, random_inputs(64, 100)).rows() == 0);
    CHECK(method({nullptr, 4, 0, 0}, input_hessian(0)).groups() == 0);
    CHECK((gptq<uniform<3, 0>>{}({nullptr, 4, 0, 0}, input_hessian(0))).groups() == 0);
}
