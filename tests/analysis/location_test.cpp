#include "bitlens/analysis/location.hpp"

#include "bitlens/stats/resamples.hpp"

#include "located_for_test.hpp"
#include "run_for_test.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <set>
#include <string>
#include <vector>

using namespace bitlens;
using test::located_columns;

namespace {

constexpr std::size_t located_rows = 240, located_layers = 6;

/// Errors of the first method: i / 100, so that D_large is documents 216 to 239, with a mean error of 2.275. Those of
/// the second: 1 and −1 in turn, which have no mean.
double error_of(std::size_t i, std::size_t method) {
    return method == 0 ? static_cast<double>(i) / 100 : i % 2 == 0 ? 1.0 : -1.0;
}
double error_of(std::size_t i) { return error_of(i, 0); }

finished_study study_of(std::vector<std::string> const& methods) {
    return make_study(test::made_up_run(
        located_rows, methods, [](std::size_t i, std::size_t v) { return error_of(i, v); },
        [](std::size_t) { return 1.0; }, located_layers));
}

located_variant const& of(location const& l, std::string const& name) {
    for (auto const& m : l.methods)
        for (auto const& v : m.variants)
            if (v.name == name) return v;
    throw error("no variant " + name);
}

bool has(location const& l, std::string const& name) {
    return std::ranges::any_of(l.methods, [&](located_method const& m) {
        return std::ranges::find(m.variants, name, &located_variant::name) != m.variants.end();
    });
}

void check_estimate(estimate const& e, double value) {
    CHECK(*e.value == doctest::Approx(value).epsilon(1e-12));
    CHECK(*e.within.lo == doctest::Approx(value).epsilon(1e-12));
    CHECK(*e.within.hi == doctest::Approx(value).epsilon(1e-12));
}

} // namespace

TEST_CASE("variants are called as their files say") {
    CHECK(location_names::patch("rtn3-g64", "mlp_gate_in") == "rtn3-g64_patch_mlp_gate_in");
    CHECK(location_names::patch_from("m", "mlp_out", 12) == "m_patch_mlp_out_from_l12");
    CHECK(location_names::restore_late("m") == "m_restore_late");
    CHECK(location_names::restore_from("m", 3) == "m_restore_from_l3");
    CHECK(location_names::restore_layer("m", 3) == "m_restore_l3");
    CHECK(location_names::only_layer("m", 0) == "m_only_l0");
    CHECK(location_names::restore_projection("m", projection::gate) == "m_restore_gate");
    CHECK(location_names::only_projection("m", projection::q) == "m_only_q");
    CHECK(location_names::exit_column(location_names::early_exit(exit_state::r, exit_scale::fresh, "full", 3)) ==
          "exit_r_full_l3");
    CHECK(location_names::early_exit(exit_state::z, exit_scale::frozen, "m", 0) == "z_frozen_m_l0");
    CHECK(location_names::nll_column(location_names::patch("rtn3-g64", "mlp_gate")) == "nll_rtn3-g64_patch_mlp_gate");
}

TEST_CASE("the late layers are the last 18 %, and one at least") {
    CHECK(first_late_layer(40) == 33); // the paper's 33 … 39
    CHECK(first_late_layer(30) == 25);
    CHECK(first_late_layer(50) == 41);
    CHECK(first_late_layer(6) == 5);
    CHECK(first_late_layer(5) == 4);
    CHECK(first_late_layer(1) == 0);
    CHECK(first_late_layer(0) == 0);
}

TEST_CASE("methods whose variants could not be told apart are refused by name") {
    const auto check = [](std::vector<std::string> methods) { check_location_names(methods, located_layers); };
    CHECK_NOTHROW(check({}));
    CHECK_NOTHROW(check({"a", "a_restore", "a_b", "a_patch", "frozen", "r_full", "from_l3"}));
    CHECK_THROWS_WITH_AS(check({"a", "frozen_a"}),
                         "two variants would be called r_frozen_a_l0, one of them of method frozen_a; a study with a "
                         "method of another name keeps both",
                         option_error);
    CHECK_THROWS_AS(check({"frozen_full"}), option_error);
    CHECK_THROWS_AS(check({"a", "a_patch_mlp_up"}), option_error);
    CHECK_THROWS_AS(check({"a_restore_l3", "a"}), option_error);
    CHECK_THROWS_AS(check({"z_full_l2"}), option_error);
    CHECK_NOTHROW(check({"z_full_l6"})); // there is no such layer
    CHECK_THROWS_AS(check({"full"}), option_error);

    std::set<std::string> all; // what can be asked for is what is refused as a method's name
    for (auto const& name : location_names::all_of_method("m", located_layers)) CHECK(all.insert(name).second);
    CHECK(all.erase(location_names::scaled_full("m")) == 1); // what parts of "m" are exchanged with is no change of it
    for (auto const& change : all_changes(located_layers)) CHECK(all.erase(variant_name("m", change)) == 1);
    CHECK(all.empty());
}

TEST_CASE("each change gives its share of the damage back, over D_large, D_ctrl and all that was run") {
    const auto s = study_of({"a", "b"});
    located_columns c(located_rows);
    c.run("a_patch_mlp_out", [](std::size_t i) { return 2 + error_of(i) / 4; });
    c.run("a_patch_mlp_up", [](std::size_t i) { return 2 + 1.5 * error_of(i); });
    c.run("a_patch_mlp_gate", [](std::size_t i) { return 2 - 0.5 * error_of(i); }); // better than the full model
    c.run("a_patch_attn_out", [](std::size_t i) { return 2 + error_of(i); });       // no change
    c.run("a_restore_late", [](std::size_t i) { return 2 + error_of(i) - 0.1; });
    c.run("a_only_gate", [](std::size_t i) { return 2 + 0.125 * error_of(i); });
    c.run("b_patch_mlp_out", [](std::size_t) { return 2.5; });
    const auto table = c.table();
    const auto l = make_location(s, table, 0);
    REQUIRE(l.methods.size() == 2);
    CHECK(l.sets_of == 0);
    CHECK(l.rows(located_set::large).size() == 24);
    CHECK(l.rows(located_set::ctrl).size() == 24);
    CHECK(l.rows(located_set::all).size() == located_rows);
    CHECK(l.has_others());
    CHECK(l.exits.empty());
    for (const auto set : {located_set::large, located_set::ctrl, located_set::all}) {
        check_estimate(of(l, "a_patch_mlp_out").on(set).share_back, 0.75);
        check_estimate(of(l, "a_patch_mlp_out").on(set).share_made, 0.25);
        check_estimate(of(l, "a_patch_mlp_up").on(set).share_back, -0.5);
        check_estimate(of(l, "a_patch_mlp_gate").on(set).share_back, 1.5);
        check_estimate(of(l, "a_patch_attn_out").on(set).share_back, 0);
        check_estimate(of(l, "a_patch_attn_out").on(set).given_back, 0);
        check_estimate(of(l, "a_only_gate").on(set).share_made, 0.125);
        check_estimate(of(l, "a_restore_late").on(set).given_back, 0.1);
        check_estimate(l.methods[0].full_on(set).perplexity, std::exp(2));
        check_estimate(l.methods[0].full_on(set).share_back, 1);
        check_estimate(l.methods[0].itself_on(set).share_back, 0);
    }
    auto const& large = of(l, "a_restore_late").on(located_set::large);
    CHECK(large.documents == 24);
    CHECK(*large.nll.value == doctest::Approx(4.175)); // 2 + 2.275 − 0.1
    CHECK(*large.perplexity.value == doctest::Approx(std::exp(4.175)));
    CHECK(*large.error.value == doctest::Approx(2.175));
    CHECK(*large.share_back.value == doctest::Approx(0.1 / 2.275));
    CHECK(*large.perplexity.within.lo == std::exp(*large.nll.within.lo));

    // b's errors on the D_large of a are 1 and −1: their mean is nothing that could be shared out.
    auto const& none = of(l, "b_patch_mlp_out").on(located_set::large);
    CHECK(*none.error.value == 0.5);
    CHECK(none.share_back.value.reason().find("two standard errors") != std::string::npos);
    CHECK_FALSE(none.share_back.within.lo);
    CHECK_FALSE(none.share_made.value);
}

TEST_CASE("an interval is that of the ratio over the same resamples of the documents") {
    const auto s = study_of({"a"});
    const auto nll = [](std::size_t i) {
        return 2 + error_of(i) * (0.2 + std::fmod(static_cast<double>(i) * 0.618, 1));
    };
    located_columns c(located_rows);
    c.run("a_patch_mlp_out", nll);
    const auto table = c.table();
    const auto l = make_location(s, table, 0);
    std::vector<std::vector<double>> found(3);
    std::uint64_t seeds[] = {s.seed, s.seed + 1, s.seed};
    for (std::size_t k = 0; k < 3; ++k) {
        auto const& rows = l.sets[k];
        for_each_resample(rows.size(), bootstrap_resamples, seeds[k], [&](std::span<const std::uint32_t> times) {
            double above = 0, below = 0;
            for (std::size_t i = 0; i < rows.size(); ++i) {
                above += times[i] * (2 + error_of(rows[i]) - nll(rows[i]));
                below += times[i] * error_of(rows[i]);
            }
            found[k].push_back(above / below);
        });
        std::ranges::sort(found[k]);
        auto const& share = of(l, "a_patch_mlp_out").sets[k].share_back;
        CHECK(*share.within.lo == doctest::Approx(quantile(found[k], 0.025)).epsilon(1e-9));
        CHECK(*share.within.hi == doctest::Approx(quantile(found[k], 0.975)).epsilon(1e-9));
        CHECK(*share.within.lo < *share.value);
        CHECK(*share.within.hi > *share.value);
    }
}

TEST_CASE("documents without a number under one of the models count under none; few have no interval") {
    const auto s = study_of({"a"});
    located_columns c(located_rows);
    // Of D_large, documents 236 to 239 were run: their errors are 2.36 … 2.39. Of the others those below 30.
    const auto was_run = [](std::size_t i) { return i >= 236 || i < 30; };
    c.run("a_patch_mlp_out", [&](std::size_t i) { return was_run(i) ? 2 + error_of(i) / 2 : undefined_number; });
    c.run("a_patch_mlp_up", [&](std::size_t i) { return was_run(i) && i != 239 ? 2.0 : undefined_number; });
    c.run("a_patch_attn_out", [&](std::size_t i) { return i < 30 ? 2.0 : undefined_number; });
    const auto table = c.table();
    const auto l = make_location(s, table, 0);
    CHECK(l.rows(located_set::large).size() == 4);
    CHECK(l.rows(located_set::all).size() == 34);
    auto const& m = l.methods[0];
    CHECK(m.itself_on(located_set::large).documents == 4);
    CHECK(*m.itself_on(located_set::large).error.value == doctest::Approx(2.375));
    auto const& half = of(l, "a_patch_mlp_out").on(located_set::large);
    CHECK(half.documents == 4);
    CHECK(*half.share_back.value == doctest::Approx(0.5));
    CHECK(half.share_back.within.lo.reason() == too_few_documents().reason);
    CHECK(of(l, "a_patch_mlp_out").on(located_set::all).share_back.within.lo);
    auto const& up = of(l, "a_patch_mlp_up").on(located_set::large);
    CHECK(up.documents == 3);
    CHECK(*up.given_back.value == doctest::Approx(2.37)); // against the method on the same three
    auto const& attention = of(l, "a_patch_attn_out").on(located_set::large);
    CHECK(attention.documents == 0);
    CHECK(attention.nll.value.reason() == "no document of the set was run");
    CHECK(attention.share_back.value.reason() == "no document of the set was run");
    CHECK(*of(l, "a_patch_attn_out").on(located_set::all).given_back.value == doctest::Approx(0.145));
}

TEST_CASE("the table's own losses of a model stand for the study's") {
    const auto s = study_of({"a"});
    located_columns c(located_rows);
    c.run("full", [](std::size_t i) { return i < 100 ? 1.0 : undefined_number; });
    c.run("a", [](std::size_t i) { return i < 100 ? 3.0 : undefined_number; });
    c.run("a_patch_mlp_out", [](std::size_t i) { return i < 100 ? 1.5 : undefined_number; });
    const auto table = c.table();
    const auto l = make_location(s, table, 0);
    CHECK(*l.methods[0].full_on(located_set::all).nll.value == 1);
    CHECK(*of(l, "a_patch_mlp_out").on(located_set::all).share_back.value == 0.75);
}

TEST_CASE("methods that begin alike keep their variants apart") {
    const auto s = study_of({"a", "a_patch_mlp_up", "a_restore"});
    located_columns c(located_rows);
    c.run("a_patch_mlp_up", [](std::size_t i) { return 2 + error_of(i, 1); });           // the second method
    c.run("a_patch_mlp_up_patch_mlp_up", [](std::size_t) { return 2.25; });              // of the second method
    c.run("a_restore_l3", [](std::size_t i) { return 2 + error_of(i) / 2; });            // of the first
    c.run("a_restore_restore_l3", [](std::size_t i) { return 2 + error_of(i, 1) / 2; }); // of the third
    c.exit("r_a_restore_l3", [](std::size_t) { return 7.0; });                           // of the third
    c.exit("r_a_l3", [](std::size_t) { return 8.0; });
    const auto table = c.table();
    const auto l = make_location(s, table, 0);
    REQUIRE(l.methods.size() == 3);
    CHECK(l.methods[0].method == 0);
    REQUIRE(l.methods[0].variants.size() == 1);
    CHECK(l.methods[0].variants[0].change.kind == change_kind::restore_layer);
    CHECK(l.methods[0].variants[0].change.layer == 3);
    REQUIRE(l.methods[1].variants.size() == 1);
    CHECK(l.methods[1].variants[0].name == "a_patch_mlp_up_patch_mlp_up");
    CHECK(l.methods[2].variants[0].name == "a_restore_restore_l3");
    CHECK(*l.find_exit(exit_state::r, exit_scale::fresh, 2)->on(located_set::large)[0].value == 7);
    CHECK(*l.find_exit(exit_state::r, exit_scale::fresh, 0)->on(located_set::large)[0].value == 8);
    CHECK(l.find_exit(exit_state::r, exit_scale::fresh, 1) == nullptr);
}

TEST_CASE("curves hold the layers that were run, in their order") {
    const auto s = study_of({"a"});
    located_columns c(located_rows);
    for (const std::size_t k : {5u, 1u, 3u}) {
        c.run(location_names::restore_from("a", k),
              [k](std::size_t i) { return 2 + error_of(i) * static_cast<double>(k) / 6; });
        c.run(location_names::patch_from("a", "mlp_out", k), [](std::size_t i) { return 2 + error_of(i) / 3; });
        c.run(location_names::patch_from("a", "mlp_up", k), [](std::size_t i) { return 2 + error_of(i); });
    }
    c.exit("r_full_l4", [](std::size_t i) { return 6 + error_of(i); });
    c.exit("r_full_l2", [](std::size_t i) { return i == 239 ? undefined_number : 9.0; });
    c.exit("z_frozen_a_l5", [](std::size_t) { return 4.0; });
    const auto table = c.table();
    const auto l = make_location(s, table, 0);
    const auto curve = l.methods[0].all_of(change_kind::restore_from);
    REQUIRE(curve.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(curve[i]->change.layer == 2 * i + 1);
        check_estimate(curve[i]->on(located_set::large).share_back, 1 - static_cast<double>(2 * i + 1) / 6);
    }
    CHECK(l.methods[0].all_of(change_kind::patch_from, "mlp_out").size() == 3);
    CHECK(l.methods[0].all_of(change_kind::patch_from, "mlp_gate").empty());
    CHECK_FALSE(has(l, "a_patch_mlp_out_from_l0"));

    REQUIRE(l.exits.size() == 2);
    auto const* const full = l.find_exit(exit_state::r, exit_scale::fresh, std::nullopt);
    REQUIRE(full != nullptr);
    CHECK(full->layers == std::vector<std::size_t>{2, 4});
    CHECK(*full->on(located_set::large)[1].value == doctest::Approx(8.275)); // 6 + 2.275
    CHECK(*full->on(located_set::large)[1].within.lo < 8.275);
    check_estimate(full->on(located_set::large)[0], 9); // of 23 documents
    CHECK(l.find_exit(exit_state::r, exit_scale::frozen, std::nullopt) == nullptr);
    check_estimate(l.find_exit(exit_state::z, exit_scale::frozen, 0)->on(located_set::ctrl)[0], 4);
}

TEST_CASE("a table of other documents, and sets of no method, are refused") {
    const auto s = study_of({"a"});
    CHECK_THROWS_AS(make_location(s, located_columns(located_rows - 1).table(), 0), shape_error);
    CHECK_THROWS_AS(make_location(s, located_columns(located_rows).table(), 1), shape_error);
    CHECK(make_location(s, located_columns(located_rows).table(), 0).empty());
}

TEST_CASE("a study without a worst tenth has no sets, but all documents") {
    const auto s = make_study(test::made_up_run(
        5, {"a"}, [](std::size_t i, std::size_t) { return static_cast<double>(i); }, [](std::size_t) { return 1.0; }));
    located_columns c(5);
    c.run("a_patch_mlp_out", [](std::size_t i) { return 2 + static_cast<double>(i) / 2; });
    const auto table = c.table();
    const auto l = make_location(s, table, 0);
    CHECK(l.rows(located_set::large).empty());
    CHECK_FALSE(of(l, "a_patch_mlp_out").on(located_set::large).share_back.value);
    CHECK(*of(l, "a_patch_mlp_out").on(located_set::all).share_back.value == doctest::Approx(0.5));
}
