#include "bitlens/page/figures.hpp"

#include "study_for_test.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <span>
#include <string>
#include <vector>

using namespace bitlens;
using test::scattered, test::study_of;

namespace {

finished_study scattered_study(std::size_t documents) {
    return study_of(documents, {"a", "b"}, scattered, [](std::size_t i) { return 1 + scattered(i, 3); });
}

std::vector<figure> all_figures(finished_study const& s) {
    resampler draws(s.seed);
    std::vector<figure> all{correlation_r_figure(s, draws), correlation_z_h_figure(s, draws), mse_figure(s, draws),
                            error_figure(s), long_tail_figure(s, s.nll_full, "loss")};
    for (std::size_t v = 0; v < s.methods.size(); ++v)
        for (auto const& sets = figures_of_sets(s, v, draws);
             auto const& f : {sets.curves, sets.density_r, sets.density_h, sets.kurtosis})
            all.push_back(f);
    return all;
}

} // namespace

TEST_CASE("every panel says of how many documents it is") {
    for (const std::size_t documents : {0u, 9u, 40u, 200u}) {
        const auto s = scattered_study(documents);
        const std::string large = std::to_string(s.sets[0].large.size());
        CHECK(large == std::to_string(documents / 10));
        for (auto const& f : all_figures(s))
            for (auto const& c : f.charts) {
                CAPTURE(f.name);
                const bool of_sets = f.name.starts_with("figure_01") || f.name.starts_with("figure_06");
                const std::string expected = of_sets ? "n = " + large + " in D_large, " + large + " in D_ctrl"
                                                     : "n = " + std::to_string(documents) + " documents";
                CHECK(c.note.substr(0, expected.size()) == expected);
                CHECK(to_svg(std::vector{c}, 2, svg_use::file).find(">" + c.note + "</text>") != std::string::npos);
            }
    }
    const auto gap = study_of(
        40, {"a", "b"}, [](std::size_t i, std::size_t v) { return i == 7 && v == 1 ? std::nan("") : scattered(i, v); },
        [](std::size_t i) { return scattered(i, 3); });
    resampler draws(1);
    CHECK(correlation_r_figure(gap, draws).charts[0].note == "n = 39 to 40 documents");
    CHECK(error_figure(gap).charts[0].note.starts_with("n = 39 documents, "));
}

TEST_CASE("fewer than twenty documents are dots, each by its number; twenty have a density") {
    const auto few = scattered_study(199);
    for (auto const& c : norm_r_density_figure(few, 0).charts) {
        CHECK_FALSE(c.y.numbered);
        REQUIRE(c.series.size() == 2);
        for (std::size_t k = 0; k < 2; ++k) {
            auto const& set = k == 0 ? few.sets[0].large : few.sets[0].ctrl;
            CHECK(c.series[k].mark == mark::dots);
            REQUIRE(c.series[k].points.size() == 19);
            for (std::size_t i = 0; i < set.size(); ++i) {
                auto const& p = c.series[k].points[i];
                CHECK(p.label == "document " + std::to_string(set[i]));
                CHECK(p.x == few.norm_r.row(0)[set[i]]);
                CHECK(std::abs(*p.y - (k == 0 ? 1 : 0)) <= 0.3); // strips that do not touch
            }
            CHECK(*c.series[k].points[0].y != *c.series[k].points[1].y);
        }
    }
    for (auto const& c : norm_h_density_figure(scattered_study(200), 0).charts) {
        CHECK(c.y.numbered);
        for (auto const& curve : c.series) {
            CHECK(curve.mark == mark::area);
            CHECK(curve.points.size() == 200);
        }
    }
}

TEST_CASE("curves carry the intervals that resamples give, from the run's seed") {
    const auto s = scattered_study(300);
    resampler draws(s.seed), again(s.seed);
    const chart c = correlation_r_figure(s, draws).charts.at(0);
    REQUIRE(c.series.size() == 2);
    for (std::size_t v = 0; v < 2; ++v)
        for (std::size_t k = 0; k < s.layers(); ++k) {
            auto const& p = c.series[v].points[k];
            const auto expected = correlation_interval(s.norm_r.row(k), s.methods[v].error, s.seed);
            CHECK(*p.y == *correlation(s.norm_r.row(k), s.methods[v].error));
            CHECK(*p.low == doctest::Approx(*expected.lo).epsilon(1e-9));
            CHECK(*p.high == doctest::Approx(*expected.hi).epsilon(1e-9));
        }

    const auto f = norm_curves_figure(s, 0, draws);
    REQUIRE(f.charts.size() == 2);
    auto const &large = f.charts[0].series.at(0), &ctrl = f.charts[0].series.at(1);
    auto const& difference = f.charts[1].series.at(0);
    CHECK(f.charts[1].zero_line);
    REQUIRE(difference.points.size() == s.layers() - upper_half(s.layers()));
    for (std::size_t i = 0; i < difference.points.size(); ++i) {
        CHECK(*difference.points[i].y == doctest::Approx(*large.points[i].y / *ctrl.points[i].y - 1));
        for (auto const* p : {&large.points[i], &ctrl.points[i], &difference.points[i]}) {
            CHECK(*p->low < *p->y);
            CHECK(*p->y < *p->high);
        }
    }
    CHECK(to_csv(norm_curves_figure(s, 0, again).charts) == to_csv(f.charts));
    for (auto const& panel : kurtosis_figure(s, 1, draws).charts)
        for (auto const& curve : panel.series) CHECK(curve.points[0].low);

    const auto few = scattered_study(199); // 19 in each set
    resampler none(few.seed);
    for (auto const& panel : norm_curves_figure(few, 0, none).charts)
        for (auto const& p : panel.series[0].points) {
            CHECK(p.y);
            CHECK_FALSE(p.low);
        }
}

TEST_CASE("errors of two methods: D_large apart, the identity, both correlations, and the three farthest by number") {
    // b is three times a but for two documents.
    const auto error = [](std::size_t i, std::size_t v) {
        if (i == 31) return v == 0 ? 1.5 : 40.0;
        if (i == 12) return v == 0 ? 30.0 : 4.5;
        return (1 + scattered(i, 0)) * (v == 0 ? 1 : 3);
    };
    const auto s = study_of(60, {"a", "b", "c"}, error, [](std::size_t i) { return scattered(i, 3); });
    const auto f = error_figure(s);
    REQUIRE(f.charts.size() == 2);
    auto const& c = f.charts[0];
    CHECK(c.identity_line);
    REQUIRE(c.series.size() == 2);
    CHECK(c.series[0].name == "D_large of a");
    CHECK(c.series[0].points.size() == s.sets[0].large.size());
    CHECK(c.series[0].points.size() + c.series[1].points.size() == 60);
    for (auto const& p : c.series[0].points) {
        const auto row = static_cast<std::size_t>(std::stoul(p.label.substr(9)));
        CHECK(std::ranges::count(s.sets[0].large, row) == 1);
        CHECK(p.x == s.methods[0].error[row]);
        CHECK(*p.y == s.methods[1].error[row]);
    }
    REQUIRE(c.named.size() == 3);
    CHECK(
        ((c.named[0].text == "12" && c.named[1].text == "31") || (c.named[0].text == "31" && c.named[1].text == "12")));
    CHECK(c.named[0].x == s.methods[0].error[std::stoul(c.named[0].text)]);
    const auto rounded = [](measured const& m) { return with_minus_sign(rounded_text(*m, 2)); };
    CHECK(c.note == "n = 60 documents, Pearson " + rounded(correlation(s.methods[0].error, s.methods[1].error)) +
                        ", Spearman " + rounded(rank_correlation(s.methods[0].error, s.methods[1].error)));

    const auto equal = study_of(
        12, {"a", "b"}, [](std::size_t, std::size_t) { return 0.25; }, [](std::size_t) { return 1.0; });
    CHECK(error_figure(equal).charts[0].named.empty()); // none is farther than the others
    CHECK(error_figure(equal).charts[0].note == "n = 12 documents, Pearson not defined, Spearman not defined");
}

TEST_CASE("losses before against errors: a dot for each document that has both, and the means of both tails") {
    auto s = study_of(
        100, {"a", "b"},
        [](std::size_t i, std::size_t v) {
            return i == 3 && v == 1 ? std::nan("") : scattered(i, v) + (i < 40 ? 1 : 0);
        },
        [](std::size_t i) { return scattered(i, 3); });
    std::vector<double> before(100); // 40 easy ones, then 35 between, then 25 hard
    for (std::size_t i = 0; i < 100; ++i)
        before[i] = i < 40 ? 0.5 + scattered(i, 4) / 2 : i < 75 ? 2 : 4 + scattered(i, 4);
    before[99] = undefined_number; // the other run lacks it
    const auto f = long_tail_figure(s, before, "loss of another model");
    REQUIRE(f.charts.size() == 2);
    for (std::size_t v = 0; v < 2; ++v) {
        auto const& c = f.charts[v];
        CHECK(c.name == s.methods[v].name);
        CHECK(c.x.title == "loss of another model, nats per token");
        CHECK(c.zero_line);
        REQUIRE(c.series.size() == 3);
        CHECK(c.series[2].points.size() == (v == 0 ? 99 : 98));
        for (auto const& p : c.series[2].points) {
            const auto row = static_cast<std::size_t>(std::stoul(p.label.substr(9)));
            CHECK(p.x == before[row]);
            CHECK(*p.y == s.methods[v].error[row]);
        }
        const auto tails = long_tail_of(before, s.methods[v].error, s.seed);
        for (std::size_t k = 0; k < 2; ++k) {
            auto const& line = c.series[k];
            auto const& of = k == 0 ? tails.easy : tails.hard;
            CHECK(line.mark == mark::band);
            REQUIRE(line.points.size() == 2);
            for (auto const& p : line.points) {
                CHECK(*p.y == *of.mean);
                CHECK(*p.low == *of.within.lo);
                CHECK(*p.high == *of.within.hi);
            }
        }
        CHECK(c.series[0].points[0].x == *std::ranges::min_element(std::span(before).first(99)));
        CHECK(c.series[0].points[1].x == 1);
        CHECK(c.series[1].points[0].x == 4);
        CHECK(c.series[1].points[1].x == *std::ranges::max_element(std::span(before).first(99)));
    }
    CHECK(f.charts[0].note == "n = 99 documents, 40 of them easy, 24 hard");
    // The full model's loss is 2 everywhere: there is neither tail, and no line.
    for (auto const& c : long_tail_figure(s, s.nll_full, "loss").charts) {
        CHECK(c.series[0].points.empty());
        CHECK(c.series[1].points.empty());
    }
}
