#include "bitlens/analysis/study_results.hpp"

#include "bitlens/analysis/run_results.hpp"
#include "bitlens/analysis/run_tokens.hpp"
#include "bitlens/analysis/study.hpp"
#include "bitlens/core/random.hpp"

#include "temporary_folder.hpp"

#include <cmath>
#include <filesystem>

#include <doctest/doctest.h>

using namespace bitlens;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t few_layers = 2, few_tokens = 5, width = 4, few_examples = 3;

/// Row t of a state is (t + 1, 0, 0, 0) · factor: norms known, position 0 recognisable.
matrix<float> state(float factor) {
    matrix<float> x(few_tokens, width);
    for (std::size_t t = 0; t < few_tokens; ++t) x(t, 0) = factor * static_cast<float>(t + 1);
    return x;
}

/// What a sweep of the full model and one method would leave of example n.
document_measurement measure(std::size_t n, bool first_position) {
    document_measurement m(2, few_layers, few_tokens, width, first_position);
    for (std::size_t k = 0; k < few_layers; ++k)
        for (std::size_t v = 0; v < 2; ++v)
            m.with_probe(v, [&](auto& probe) {
                auto r = state(1), z = state(2), h = state(3), o = state(v == 0 ? 4.0f : 5.0f);
                emit<hook::resid_mid>(probe, site{k}, r.view());
                emit<hook::mlp_in>(probe, site{k}, h.view());
                emit<hook::mlp_out>(probe, site{k}, o.view());
                emit<hook::resid_post>(probe, site{k}, z.view());
            });
    random_generator random(n);
    for (std::size_t v = 0; v < 2; ++v)
        for (std::size_t t = 0; t + 1 < few_tokens; ++t) {
            token_scores const& s = m.scores()[v];
            s.nll[t] = random.uniform();
            if (v == 1) s.kl[t] = random.uniform();
            s.top[t] = static_cast<std::int32_t>(t % (v + 2)); // full 0 1 0 1, method 0 1 2 0
            s.margin[t] = static_cast<float>(random.uniform());
        }
    return m;
}

study_documents documents() {
    study_documents d{
        matrix<std::int32_t>(few_examples, few_tokens), {0, 4, 7}, {"a", "", "=1+1"}, {"News, old", "", "x"}};
    for (std::size_t i = 0; i < few_examples * few_tokens; ++i) d.ids.data()[i] = static_cast<std::int32_t>(i);
    return d;
}

std::vector<variant_results> measured_variants(bool first_position = false) {
    std::vector<variant_results> all;
    all.push_back(make_variant_results("full", few_examples, few_tokens - 1, few_layers));
    all.push_back(make_variant_results("m", few_examples, few_tokens - 1, few_layers));
    for (std::size_t n = 0; n < few_examples; ++n)
        for (std::size_t v = 0; v < 2; ++v) take_measurement(all[v], n, measure(n, first_position), v);
    return all;
}

void write_complete_run(run_folder const& folder) {
    folder.write_manifest({{"seed", 1},
                           {"first_position", false},
                           {"full", "made up"},
                           {"methods", json::array({{{"name", "m"}, {"spec", "rtn3-g64"}}})}});
    write_study_tables(folder, documents(), measured_variants(),
                       [](std::int32_t id) { return "<" + std::to_string(id) + ">"; });
}

void check_equal(variant_results const& a, variant_results const& b) {
    CHECK(a.columns == b.columns);
    CHECK(std::ranges::equal(a.nll.span(), b.nll.span()));
    CHECK(std::ranges::equal(a.kl.span(), b.kl.span()));
    CHECK(std::ranges::equal(a.top.span(), b.top.span()));
    CHECK(std::ranges::equal(a.margin.span(), b.margin.span()));
    for (std::size_t i = 0; i < a.values.span().size(); ++i) {
        const double x = a.values.data()[i], y = b.values.data()[i];
        CHECK((x == y || (std::isnan(x) && std::isnan(y))));
    }
}

} // namespace

TEST_CASE("means leave position 0 out unless it is asked for") {
    const auto without = measured_variants(), with = measured_variants(true);
    const auto value = [](variant_results const& v, std::string const& column) {
        return v.values(0, static_cast<std::size_t>(std::ranges::find(v.columns, column) - v.columns.begin()));
    };
    CHECK(value(without[0], "norm_r_l0") == 3.5); // (2 + 3 + 4 + 5) / 4
    CHECK(value(with[0], "norm_r_l0") == 3.0);
    CHECK(value(without[0], "norm_z_l1") == 7.0);
    CHECK(value(without[0], "norm_h_l1") == 10.5);
    CHECK(value(without[0], "kurtosis_r_l1") == doctest::Approx(7.0 / 3)); // of (a, 0, 0, 0)
    CHECK(value(without[1], "mse_m_l0") == doctest::Approx((4.0 + 9 + 16 + 25) / 16));
    CHECK(value(with[1], "mse_m_l0") == doctest::Approx((1.0 + 4 + 9 + 16 + 25) / 20));
    CHECK(value(without[1], "same_top_m") == 0.5);
}

TEST_CASE("a kurtosis that is not defined is an empty cell and comes back as one") {
    document_measurement m(1, 1, 2, 3, false);
    m.with_probe(0, [&](auto& probe) {
        matrix<float> zeros(2, 3);
        emit<hook::resid_mid>(probe, site{0}, zeros.view());
    });
    CHECK_FALSE(m.layers().kurtosis_r[0]);
    auto full = make_variant_results("full", 1, 1, 1);
    take_measurement(full, 0, m, 0);
    const test::temporary_folder parent;
    const run_folder folder(parent.path());
    study_documents one{matrix<std::int32_t>(1, 2), {0}, {""}, {""}};
    write_study_tables(folder, one, std::span(&full, 1), [](std::int32_t) { return std::string("x"); });
    auto again = make_variant_results("full", 1, 1, 1);
    read_finished(folder, std::span(&again, 1));
    CHECK(again.complete());
    check_equal(full, again);
}

TEST_CASE("parts bring back exactly the rows they hold") {
    const test::temporary_folder parent;
    const run_folder folder(parent.path());
    folder.write_manifest({});
    const auto all = measured_variants();
    for (auto const& v : all) {
        write_part(folder, v, 0, 2);
        auto again = make_variant_results(v.name, few_examples, few_tokens - 1, few_layers);
        read_finished(folder, std::span(&again, 1));
        CHECK(again.finished == std::vector{true, true, false});
        write_part(folder, v, 2, 1);
        read_finished(folder, std::span(&again, 1));
        CHECK(again.complete());
        check_equal(v, again);
    }
}

TEST_CASE("a part of another run is refused by name") {
    const test::temporary_folder parent;
    const run_folder folder(parent.path());
    folder.write_manifest({});
    write_part(folder, measured_variants()[0], 0, 3);
    auto fewer_rows = make_variant_results("full", 2, few_tokens - 1, few_layers);
    CHECK_THROWS_WITH_AS(read_finished(folder, std::span(&fewer_rows, 1)), doctest::Contains("full-0-3.npz"),
                         format_error);
    auto other_model = make_variant_results("full", few_examples, few_tokens - 1, few_layers + 1);
    CHECK_THROWS_WITH_AS(read_finished(folder, std::span(&other_model, 1)), doctest::Contains("values"), format_error);
}

TEST_CASE("the tables of a complete run bring back every bit, and a report can read them") {
    const test::temporary_folder parent;
    const run_folder folder(parent.path());
    write_complete_run(folder);
    for (auto const& v : measured_variants()) {
        auto again = make_variant_results(v.name, few_examples, few_tokens - 1, few_layers);
        read_finished(folder, std::span(&again, 1));
        CHECK(again.complete());
        check_equal(v, again);
    }
    const run_results run = read_run(folder.path());
    CHECK(run.example == std::vector<std::uint64_t>{0, 4, 7});
    CHECK(run.id == std::vector<std::string>{"a", "", "=1+1"});
    CHECK(run.topic[0] == "News, old");
    CHECK(run.methods.at(0).error[1] == run.methods[0].nll[1] - run.nll_full[1]);
    CHECK_NOTHROW(run_tokens(folder.path() / "tokens.npz", run));
}

TEST_CASE("what is left to do comes in pieces that lack the same variants") {
    std::vector<variant_results> results(3);
    const std::vector<std::vector<bool>> finished{{1, 1, 0, 0, 1, 1}, {1, 0, 0, 0, 1, 1}, {1, 0, 0, 0, 0, 1}};
    for (std::size_t v = 0; v < 3; ++v) results[v].finished = finished[v];
    const auto pieces = rows_to_do(results);
    REQUIRE(pieces.size() == 3);
    CHECK((pieces[0].first == 1 && pieces[0].count == 1 && pieces[0].variants == std::vector<std::size_t>{1, 2}));
    CHECK((pieces[1].first == 2 && pieces[1].count == 2 && pieces[1].variants == std::vector<std::size_t>{0, 1, 2}));
    CHECK((pieces[2].first == 4 && pieces[2].count == 1 && pieces[2].variants == std::vector<std::size_t>{2}));
}
