#include "bitlens/analysis/document_measurement.hpp"

#include "bitlens/core/random.hpp"

#include <cmath>
#include <doctest/doctest.h>

using namespace bitlens;

namespace {

constexpr std::size_t few_layers = 2, few_tokens = 5, width = 4;

/// Row t of a state is (t + 1, 0, 0, 0) · factor: norms known, position 0 recognisable.
matrix<float> state(float factor) {
    matrix<float> x(few_tokens, width);
    for (std::size_t t = 0; t < few_tokens; ++t) x(t, 0) = factor * static_cast<float>(t + 1);
    return x;
}

/// What a sweep of the full model and one method would leave of one document.
results_table measure(position_range positions) {
    document_statistics kind{positions};
    document_measurement m = kind.make({2, few_layers, few_tokens, width}, 0);
    for (std::size_t k = 0; k < few_layers; ++k)
        for (std::size_t v = 0; v < 2; ++v)
            m.with_probe(v, [&](auto& probe) {
                auto r = state(v == 0 ? 1.0f : 1.5f), z = state(2), h = state(3), o = state(v == 0 ? 4.0f : 5.0f);
                emit<hook::attn_out>(probe, site{k}, z.view());
                emit<hook::resid_mid>(probe, site{k}, r.view());
                emit<hook::mlp_in>(probe, site{k}, h.view());
                emit<hook::mlp_out>(probe, site{k}, o.view());
                emit<hook::resid_post>(probe, site{k}, z.view());
            });
    for (std::size_t v = 0; v < 2; ++v)
        for (std::size_t t = 0; t + 1 < few_tokens; ++t) {
            token_scores const& s = m.scores()[v];
            s.nll[t] = static_cast<double>(t + v);
            s.entropy[t] = 0.5 * static_cast<double>(t);
            if (v == 1) s.kl[t] = static_cast<double>(t + 2);
            s.top[t] = static_cast<std::int32_t>(t % (v + 2)); // full 0 1 0 1, method 0 1 2 0
            s.margin[t] = 1.0f;
        }
    results_table table(kind.columns(), {"full", "m"}, {1, few_layers, few_tokens - 1});
    for (std::size_t v = 0; v < 2; ++v) {
        results_row row(table, v, 0);
        m.write(v, row);
        row.finish();
    }
    return table;
}

} // namespace

TEST_CASE("means leave position 0 out unless it is asked for") {
    const auto without = measure({}), with = measure(every_position);
    CHECK(without.of_layers("norm_r")(0, 0) == 3.5); // (2 + 3 + 4 + 5) / 4
    CHECK(with.of_layers("norm_r")(0, 0) == 3.0);
    CHECK(without.of_layers("norm_z")(1, 0) == 7.0);
    CHECK(without.of_layers("norm_h")(1, 0) == 10.5);
    CHECK(without.of_layers("kurtosis_r")(1, 0) == doctest::Approx(7.0 / 3)); // of (a, 0, 0, 0)
    CHECK(without.of_layers("mse_m")(0, 0) == doctest::Approx((4.0 + 9 + 16 + 25) / 16));
    CHECK(with.of_layers("mse_m")(0, 0) == doctest::Approx((1.0 + 4 + 9 + 16 + 25) / 20));
    CHECK(without.of_layers("diff_r_m")(0, 0) == doctest::Approx(0.5));
    CHECK(without.of_layers("diff_attn_m")(1, 0) == 0.0);
    CHECK(without.of_layers("diff_mlp_m")(1, 0) == doctest::Approx(0.25));
    CHECK(without.of_layers("top8_r")(0, 0) == 1.0);
    CHECK(without.of_documents("growth_r")[0] == 1.0);
}

TEST_CASE("scores of positions and their means") {
    const auto t = measure({});
    CHECK(t.of_documents("nll_full")[0] == 1.5);
    CHECK(t.of_documents("nll_m")[0] == 2.5);
    CHECK(t.of_documents("error_m")[0] == 1.0);
    CHECK(t.of_documents("kl_m")[0] == 3.5);
    CHECK(t.of_documents("same_top_m")[0] == 0.5);
    CHECK(t.of_documents("entropy_full")[0] == 0.75);
    CHECK(t.of_positions("kl_m")(0, 3) == 5.0f);
    CHECK(t.ids_of_positions("top_m")(0, 2) == 2);
}

TEST_CASE("a kurtosis that is not defined is undefined in the table") {
    document_statistics kind;
    document_measurement m = kind.make({1, 1, 2, 3}, 0);
    m.with_probe(0, [&](auto& probe) {
        matrix<float> zeros(2, 3);
        emit<hook::resid_mid>(probe, site{0}, zeros.view());
    });
    results_table table(kind.columns(), {"full"}, {1, 1, 1});
    results_row row(table, 0, 0);
    m.write(0, row);
    row.finish();
    CHECK(std::isnan(table.of_layers("kurtosis_r")(0, 0)));
    CHECK(std::isnan(table.of_layers("top8_r")(0, 0)));
    CHECK(table.of_layers("norm_r")(0, 0) == 0);
}
