#include "bitlens/analysis/size_study.hpp"

#include "run_for_test.hpp"

#include <doctest/doctest.h>

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace bitlens;

namespace {

constexpr std::size_t study_documents = 40;

double from_one(std::size_t i) { return static_cast<double>(i + 1); }

/// A model of so many parameters, half of them in blocks. Its norms rise from document to document, those of h fall;
/// so do errors under `a`, and those under `b` rise.
run_results model_run(std::uint64_t parameters) {
    run_results run = test::made_up_run(
        study_documents, {"a", "b"}, [](std::size_t i, std::size_t m) { return m == 0 ? -from_one(i) : from_one(i); },
        from_one);
    run.manifest.setting["parameters"] = {{"all", parameters}, {"blocks", parameters / 2}};
    for (stored_column& c : run.table.columns())
        if (c.name == "norm_h")
            for (double& x : c.numbers) x = 100 - x;
    return run;
}

named_study model_study(
    std::string name, std::uint64_t parameters, std::function<void(run_results&)> const& change = [](run_results&) {}) {
    run_results run = model_run(parameters);
    change(run);
    return {std::move(name), make_study(std::move(run))};
}

template <class F>
std::optional<std::string> refusal_of_sizes(F const& f) {
    try {
        f();
    } catch (error const& e) {
        return e.what();
    }
    return std::nullopt;
}

} // namespace

TEST_CASE("models by rising parameters, each with its correlations, reversal, growth and overlaps") {
    const std::array studies{model_study("large", 2000), model_study("small", 600)};
    const auto s = make_size_study(studies);
    CHECK(s.documents == study_documents);
    CHECK(s.tokens == 3u);
    REQUIRE(s.models.size() == 2);
    CHECK((s.models[0].name == "small" && s.models[1].name == "large"));
    auto const& m = s.models[0];
    CHECK((m.parameters == 600 && m.in_blocks == 300 && m.layers == 2));
    CHECK(*m.growth.value == doctest::Approx(20.5)); // of 1 to 40
    CHECK((*m.growth.within.lo < 20.5 && *m.growth.within.hi > 20.5));
    REQUIRE(m.methods.size() == 2);
    auto const &a = m.methods[0], &b = m.methods[1];
    CHECK(*a.mean_error == doctest::Approx(-20.5));
    CHECK(*a.r.value == doctest::Approx(-1));
    CHECK(*a.h.value == doctest::Approx(1));
    CHECK((*a.r.within.lo == doctest::Approx(-1) && *a.r.within.hi == doctest::Approx(-1)));
    CHECK((*b.r.value == doctest::Approx(1) && *b.h.value == doctest::Approx(-1)));
    // The norm turns the order round where the errors are large and the residuals small.
    CHECK((a.reversed.holds == 2 && a.reversed.of == 2));
    CHECK((b.reversed.holds == 0 && b.reversed.of == 2));
    CHECK((*m.overlap == 0 && *m.overlap_large == 0)); // the worst of one method are the best of the other
    CHECK(*m.chance == doctest::Approx(0.4 / 7.6));    // 4·4/40 common of 4 + 4

    REQUIRE(s.pairs.size() == 2);
    for (auto const& p : s.pairs) {
        CHECK((p.first == 0 && p.second == 1));
        CHECK(*p.error.value == doctest::Approx(1));
        CHECK((*p.overlap == 1 && *p.overlap_large == 1));
        CHECK(*p.chance == doctest::Approx(0.4 / 7.6)); // 4·4/40 common of 4 + 4
    }
    CHECK((s.pairs[0].method == "a" && s.pairs[1].method == "b"));
}

TEST_CASE("numbers of a size study are those of each run's own tables") {
    auto run = read_run(test::golden_run());
    run.manifest.setting["parameters"] = {{"all", 9}, {"blocks", 4}};
    const named_study only{"golden", make_study(std::move(run))};
    const auto s = make_size_study({&only, 1});
    auto const& study = only.study;
    const auto pairs = method_pairs(study);
    CHECK(s.pairs.empty());
    for (std::size_t v = 0; v < study.methods.size(); ++v) {
        const auto rho = correlation(study.norm_h.row(study.layers() - 1), study.methods[v].error);
        const auto within =
            correlation_interval(study.norm_r.row(study.layers() - 1), study.methods[v].error, study.seed);
        auto const& m = s.models[0].methods[v];
        CHECK(*m.h.value == *rho);
        CHECK((*m.r.within.lo == *within.lo && *m.r.within.hi == *within.hi));
    }
    REQUIRE(pairs.size() == 3);
    double sum = 0;
    for (auto const& p : pairs) sum += *p.overlap;
    CHECK(*s.models[0].overlap == doctest::Approx(sum / 3));
}

TEST_CASE("one method has no other to overlap with") {
    auto run = test::made_up_run(
        30, {"a"}, [](std::size_t i, std::size_t) { return from_one(i); }, from_one);
    run.manifest.setting["parameters"] = {{"all", 9}, {"blocks", 4}};
    const named_study only{"one", make_study(std::move(run))};
    CHECK(make_size_study({&only, 1}).models[0].overlap.reason() == "there is one method only");
}

TEST_CASE("a model without a norm before the MLP has a reason in place of its reversal") {
    const auto plain = model_study("plain", 10, [](run_results& run) {
        for (stored_column& c : run.table.columns())
            if (c.name == "norm_h")
                for (double& x : c.numbers) x = 100 - x; // as they were: those of r
    });
    const auto s = make_size_study({&plain, 1});
    auto const& m = s.models[0].methods[0];
    CHECK(m.reversed.of == 0);
    CHECK(!m.h.value);
    CHECK(m.h.value.reason() == "no norm stands before the MLP, which reads r itself");
    CHECK(m.h.within.lo.reason() == m.h.value.reason());
    CHECK(*m.r.value == doctest::Approx(-1));
}

TEST_CASE("runs of other documents, methods or settings are refused by name") {
    const auto one = [] {
        return model_study("one", 10, [](run_results& run) {
            run.manifest.setting["data"] = {{"name", "d.jsonl"}, {"sha256", "aa"}};
            run.manifest.setting["bos"] = true;
        });
    };
    const auto with = [&](std::function<void(run_results&)> const& change) {
        const std::array both{one(), model_study("two", 20, [&](run_results& run) {
                                  run.manifest.setting["data"] = {{"name", "copy.jsonl"}, {"sha256", "aa"}};
                                  run.manifest.setting["bos"] = false; // the tokenizer's, as its name
                                  run.manifest.setting["model"] = {{"architecture", "other"}};
                                  change(run);
                              })};
        return refusal_of_sizes([&] { make_size_study(both); });
    };
    CHECK(!with([](run_results&) {}));
    const std::string setting = "a size study compares models under the same settings: ";
    CHECK(with([](run_results& run) { run.manifest.setting["data"]["sha256"] = "bb"; }) ==
          setting + "data.sha256: \"aa\" in one, \"bb\" in two");
    CHECK(with([](run_results& run) { run.manifest.setting["seed"] = 7; }) == setting + "seed: 0 in one, 7 in two");
    CHECK(with([](run_results& run) { run.manifest.setting["overrides"] = "rules"; }) ==
          setting + "overrides: nothing in one, \"rules\" in two");
    const std::string documents_rule = "a size study compares models on the same documents: ";
    CHECK(with([](run_results& run) { run.documents.rows[3] = 44; }) ==
          documents_rule + "document 3 in one, document 44 in two");
    CHECK(with([](run_results& run) { run.documents.names[0] = "x"; }) ==
          documents_rule + "document 0 in one, document 0 (x) in two");
    const std::string methods_rule = "a size study compares models under the same methods: ";
    CHECK(with([](run_results& run) { run.manifest.methods[1].spec = "nf3-g32"; }) ==
          methods_rule + "b is b in one, nf3-g32 in two");

    const std::array twice{one(), one()};
    CHECK(refusal_of_sizes([&] { make_size_study(twice); }) == "two models of a size study are called one");
    CHECK(refusal_of_sizes([] { make_size_study({}); }) == "a size study of no models");
}

TEST_CASE("another number of documents, or of methods, is refused") {
    const auto study_of = [](std::string name, std::size_t count, std::vector<std::string> const& methods) {
        auto run = test::made_up_run(
            count, methods, [](std::size_t i, std::size_t) { return from_one(i); }, from_one);
        run.manifest.setting["parameters"] = {{"all", 9}, {"blocks", 4}};
        return named_study{std::move(name), make_study(std::move(run))};
    };
    const std::array fewer{study_of("one", 12, {"a"}), study_of("two", 11, {"a"})};
    CHECK(refusal_of_sizes([&] { make_size_study(fewer); }) ==
          "a size study compares models on the same documents: 12 in one, 11 in two");
    for (bool swapped : {false, true}) {
        std::array more{study_of("one", 12, {"a"}), study_of("two", 12, {"a", "b"})};
        if (swapped) std::swap(more[0], more[1]);
        CHECK(refusal_of_sizes([&] { make_size_study(more); }) ==
              "a size study compares models under the same methods: b of two is missing in one");
    }
}

TEST_CASE("a run that does not say how many parameters its model has is refused") {
    const auto without = [](std::function<void(json&)> const& change) {
        const auto s = model_study("one", 10, [&](run_results& run) { change(run.manifest.setting); });
        return *refusal_of_sizes([&] { make_size_study({&s, 1}); });
    };
    for (auto const& said : {without([](json& setting) { setting.erase("parameters"); }),
                             without([](json& setting) { setting["parameters"].erase("all"); }),
                             without([](json& setting) { setting["parameters"]["blocks"] = "many"; }),
                             without([](json& setting) { setting["parameters"]["all"] = 0; })}) {
        CHECK_MESSAGE(said.starts_with("one: manifest.json: "), said);
        CHECK_MESSAGE(said.find("parameters") != std::string::npos, said);
    }
}
