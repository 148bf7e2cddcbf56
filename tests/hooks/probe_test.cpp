#include "bitlens/hooks/patch.hpp"
#include "bitlens/hooks/probe.hpp"
#include "bitlens/hooks/record.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <any>
#include <concepts>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

using namespace bitlens;

static_assert(probe<no_probe> && !probe<int>);
static_assert(!listens<no_probe, hook::resid_mid>);
static_assert(listens<record<hook::mlp_up, hook::logits>, hook::logits>);
static_assert(!listens<record<hook::mlp_up, hook::logits>, hook::mlp_gate>);
static_assert(listens_to_any<record<hook::mlp_up>&, hook::mlp_gate, hook::mlp_up>);
static_assert(hook::point<hook::resid_pre> && hook::point<hook::logits> && !hook::point<int>);
static_assert(hook::per_layer<hook::resid_post> && !hook::per_layer<hook::final_norm>);
static_assert(hook::name<hook::resid_pre> == "resid_pre" && hook::name<hook::resid_post> == "resid_post");
static_assert(hook::name<hook::mlp_gate_in> == "mlp_gate_in" && hook::name<hook::logits> == "logits");
static_assert(sizeof(no_probe) == 1);
static_assert(hook::named("mlp_up") == hook::id_of<hook::mlp_up>);
static_assert(hook::id_of<hook::resid_pre> == point_id(hook::resid_pre{}));
static_assert(hook::id_of<hook::resid_pre>.index() == 0 && hook::id_of<hook::mlp_up> != hook::id_of<hook::mlp_act>);
static_assert(!hook::named("") && !hook::named("resid") && !hook::named("RESID_MID"));

namespace {

struct add_one {
    using points = hook::set<hook::resid_mid>;
    int calls = 0;
    void on(hook::resid_mid, site, matrix_view<float> a) {
        ++calls;
        for (std::size_t t = 0; t < a.rows; ++t)
            for (float& v : a.row(t)) v += 1;
    }
};

struct times_ten {
    using points = hook::set<hook::resid_mid, hook::mlp_in>;
    void on(hook::resid_mid, site, matrix_view<float> a) { a(0, 0) *= 10; }
    void on(hook::mlp_in, site, matrix_view<float> a) { a(0, 0) *= 100; }
};

struct reader { // a probe that only reads may say so in its signature
    using points = hook::set<hook::resid_mid>;
    std::vector<std::size_t> layers;
    float seen = 0;
    void on(hook::resid_mid, site at, matrix_view<const float> a) {
        layers.push_back(at.layer);
        seen = a(0, 0);
    }
};

} // namespace

TEST_CASE("a probe hears its own points only") {
    matrix<float> a(1, 1);
    reader p;
    emit<hook::resid_mid>(p, {3}, a.view());
    emit<hook::resid_pre>(p, {4}, a.view());
    CHECK(p.layers == std::vector<std::size_t>{3});
}

TEST_CASE("the probes of a chain speak in the order given") {
    matrix<float> a(1, 1);
    a(0, 0) = 1;
    add_one plus;
    reader after;
    chain one_then_ten(plus, times_ten{}, after);
    static_assert(listens<decltype(one_then_ten), hook::mlp_in> && !listens<decltype(one_then_ten), hook::mlp_out>);
    emit<hook::resid_mid>(one_then_ten, {0}, a.view());
    CHECK(a(0, 0) == 20);
    CHECK(after.seen == 20);
    CHECK(plus.calls == 1); // a named probe is referred to, not copied
    emit<hook::mlp_in>(one_then_ten, {0}, a.view());
    CHECK(a(0, 0) == 2000);
    CHECK(plus.calls == 1);

    a(0, 0) = 1;
    chain ten_then_one(times_ten{}, chain(plus));
    emit<hook::resid_mid>(ten_then_one, {0}, a.view());
    CHECK(a(0, 0) == 11);
}

TEST_CASE("a record copies: later writing does not reach it") {
    matrix<float> wide(2, 5);
    const auto a = wide.view().middle_cols(1, 3); // rows that are not back to back
    for (std::size_t t = 0; t < 2; ++t)
        for (std::size_t c = 0; c < 3; ++c) a(t, c) = static_cast<float>(10 * t + c);
    record<hook::mlp_in, hook::logits> r;
    emit<hook::mlp_in>(r, {1}, a);
    emit<hook::logits>(r, {7}, a);
    a(1, 2) = -1;
    CHECK(r.get<hook::mlp_in>(1).rows == 2);
    CHECK(r.get<hook::mlp_in>(1)(1, 2) == 12);
    CHECK(r.get<hook::logits>()(1, 1) == 11);
    CHECK_THROWS_WITH_AS(r.get<hook::mlp_in>(0), "record of mlp_in: nothing was recorded at layer 0", shape_error);
    CHECK_THROWS_AS(r.get<hook::mlp_in>(2), shape_error);
    emit<hook::mlp_in>(r, {1}, a);
    CHECK(r.get<hook::mlp_in>(1)(1, 2) == -1);
}

TEST_CASE("a patch overwrites the layers it was given, and no others") {
    matrix<float> full(2, 2), run(2, 2), narrow(2, 1);
    for (float& v : full.span()) v = 5;
    record<hook::mlp_out, hook::mlp_up> r;
    for (std::size_t k = 0; k < 4; ++k) emit<hook::mlp_out>(r, {k}, full.view());
    patch<hook::mlp_out> p(r, 1, 3);
    for (std::size_t k = 0; k < 4; ++k) {
        for (float& v : run.span()) v = 0;
        emit<hook::mlp_out>(p, {k}, run.view());
        for (float v : run.span()) CHECK(v == (k == 1 || k == 2 ? 5 : 0));
    }
    CHECK_THROWS_WITH_AS(emit<hook::mlp_out>(p, {1}, narrow.view()),
                         "patch of mlp_out at layer 1: the record has shape 2 × 2, the run 2 × 1", shape_error);
    patch<hook::mlp_up> unheard(r);
    CHECK_THROWS_AS(emit<hook::mlp_up>(unheard, {0}, run.view()), shape_error);
}

TEST_CASE("points of the whole run are patched whatever the layers") {
    matrix<float> a(1, 1), b(1, 1);
    a(0, 0) = 3;
    record<hook::final_norm> r;
    emit<hook::final_norm>(r, {30}, a.view());
    patch<hook::final_norm> p(r, 15, 20);
    emit<hook::final_norm>(p, {12}, b.view());
    CHECK(b(0, 0) == 3);
}

TEST_CASE("a patch overwrites the positions it was given, and counts the values") {
    matrix<float> fives(4, 3);
    for (float& v : fives.span()) v = 5;
    record<hook::mlp_out, hook::resid_post, hook::logits> r;
    for (std::size_t k = 0; k < 3; ++k) emit<hook::mlp_out>(r, {k}, fives.view());
    emit<hook::resid_post>(r, {1}, fives.view());
    emit<hook::logits>(r, {3}, fives.view());
    const auto changed = [](auto& p, auto point, std::size_t layer) { // by row
        matrix<float> run(4, 3);
        emit<decltype(point)>(p, {layer}, run.view());
        std::vector<bool> rows;
        for (std::size_t t = 0; t < 4; ++t) {
            CHECK(std::ranges::count(run.row(t), run(t, 0)) == 3);
            rows.push_back(run(t, 0) == 5);
        }
        return rows;
    };
    using by_row = std::vector<bool>;
    constexpr hook::mlp_out out{};
    patch<hook::mlp_out> everywhere(r), all_but_first(r, 0, 3, {1}), one(r, 0, 3, {2, 3}), from_two(r, 0, 3, {2, 99});
    CHECK(changed(everywhere, out, 0) == by_row{true, true, true, true});
    CHECK(changed(all_but_first, out, 0) == by_row{false, true, true, true});
    CHECK(changed(one, out, 0) == by_row{false, false, true, false});
    CHECK(changed(from_two, out, 0) == by_row{false, false, true, true});
    CHECK(everywhere.replaced() == 12);
    CHECK(all_but_first.replaced() == 9);
    CHECK(one.replaced() == 3);
    CHECK(from_two.replaced() == 6);

    // Layers and positions together, of all points and calls.
    patch<hook::mlp_out, hook::resid_post, hook::logits> several(r, 1, 2, {0, 2});
    CHECK(several.replaced() == 0);
    CHECK(changed(several, out, 0) == by_row(4));
    CHECK(changed(several, out, 1) == by_row{true, true, false, false});
    CHECK(changed(several, hook::resid_post{}, 1) == by_row{true, true, false, false});
    CHECK(changed(several, hook::logits{}, 3) == by_row{true, true, false, false});
    CHECK(changed(several, out, 2) == by_row(4));
    CHECK(several.replaced() == 18);
    changed(several, out, 1);
    CHECK(several.replaced() == 24);
}

TEST_CASE("a patch whose positions a document lacks is an error") {
    matrix<float> a(4, 3), longer(5, 3);
    record<hook::mlp_out> r;
    emit<hook::mlp_out>(r, {0}, a.view());
    const auto refused = [&](position_range positions, const char* what) {
        patch<hook::mlp_out> p(r, 0, 1, positions);
        CHECK_THROWS_WITH_AS(emit<hook::mlp_out>(p, {0}, a.view()), what, shape_error);
        CHECK(p.replaced() == 0);
        emit<hook::mlp_out>(p, {1}, a.view()); // not one of its layers
    };
    refused({4}, "patch of mlp_out at layer 0: 4 positions leave none from position 4 on");
    refused({7, 9}, "patch of mlp_out at layer 0: 4 positions leave none from position 7 on");
    refused({2, 2}, "patch of mlp_out at layer 0: 4 positions leave none from position 2 to below 2");
    refused({3, 1}, "patch of mlp_out at layer 0: 4 positions leave none from position 3 to below 1");
    patch<hook::mlp_out> p(r, 0, 1, {0, 2}); // which both have, but the record is of another document
    CHECK_THROWS_WITH_AS(emit<hook::mlp_out>(p, {0}, longer.view()),
                         "patch of mlp_out at layer 0: the record has shape 4 × 3, the run 5 × 3", shape_error);
}

TEST_CASE_TEMPLATE_DEFINE("every point has a name of its own", Point, every_point) {
    CHECK(!hook::name<Point>.empty());
    CHECK(std::ranges::count(hook::detail::names, hook::name<Point>) == 1);
    if constexpr (hook::per_layer<Point>) {
        CHECK(hook::named(hook::name<Point>) == hook::id_of<Point>);
        CHECK(name(hook::id_of<Point>) == hook::name<Point>);
    } else {
        CHECK(!hook::named(hook::name<Point>));
    }
}
TEST_CASE_TEMPLATE_APPLY(every_point, hook::all);
TEST_CASE_TEMPLATE_APPLY(every_point, hook::once);

TEST_CASE("a patch of layers that end before they begin is refused") {
    const record<hook::mlp_out> r;
    CHECK_THROWS_WITH_AS(patch<hook::mlp_out>(r, 3, 2),
                         "patch: layers 3 to below 2, expected an end that is not before the first", shape_error);
}

namespace {

// What stays legal: an `on` that takes any point, one that does not compile for points that never come, a std::any.
struct takes_any {
    using points = hook::set<hook::mlp_out>;
    int calls = 0;
    void on(auto, site, matrix_view<float>) { ++calls; }
};
struct compiles_for_its_own {
    using points = hook::set<hook::mlp_out>;
    auto on(auto point, site, matrix_view<float>) { static_assert(std::same_as<decltype(point), hook::mlp_out>); }
};
struct takes_points {
    using points = hook::set<hook::mlp_out>;
    template <hook::point Point>
    void on(Point, site, matrix_view<const float>) const {}
};
struct takes_std_any {
    using points = hook::set<hook::mlp_out>;
    void on(std::any, site, matrix_view<float>) const {}
};

} // namespace

TEST_CASE("an on for any point is heard for the points of its set only") {
    matrix<float> a(1, 1);
    takes_any any;
    const takes_points templated;
    compiles_for_its_own own;
    const takes_std_any opaque;
    chain all(any, templated, own, opaque, takes_any{});
    emit<hook::mlp_out>(all, {0}, a.view());
    emit<hook::mlp_up>(all, {0}, a.view());
    CHECK(any.calls == 1);
}
