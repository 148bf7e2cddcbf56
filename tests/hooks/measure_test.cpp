#include "bitlens/hooks/measure.hpp"

#include <doctest/doctest.h>

using namespace bitlens;

namespace {

/// Three positions: a large one, as the attention sink is, then lengths 5 and 10.
matrix<float> three_positions() {
    matrix<float> a(3, 2);
    a(0, 0) = 3000, a(0, 1) = 4000;
    a(1, 0) = 3, a(1, 1) = 4;
    a(2, 0) = -6, a(2, 1) = 8;
    return a;
}

} // namespace

TEST_CASE("norms leave out position 0 unless asked for it") {
    auto a = three_positions();
    residual_norms<hook::resid_mid> from_one(2), from_zero(2, every_position);
    emit<hook::resid_mid>(from_one, {1}, a.view());
    emit<hook::resid_mid>(from_zero, {1}, a.view());
    CHECK(from_one.per_layer == std::vector<double>{0, 7.5});
    CHECK(from_zero.per_layer == std::vector<double>{0, 5015.0 / 3});
}

TEST_CASE("measures take the positions of a range, whose end may lie beyond the document's") {
    auto a = three_positions(), b = three_positions();
    b(0, 0) = 0, b(0, 1) = 0;
    b(1, 0) = 6, b(1, 1) = 8;
    const auto norm = [&](position_range positions) {
        residual_norms<hook::resid_mid> p(1, positions);
        emit<hook::resid_mid>(p, {0}, a.view());
        return p.per_layer[0];
    };
    CHECK(norm({0, 1}) == 5000);
    CHECK(norm({1, 2}) == 5);
    CHECK(norm({0, 2}) == 2502.5);
    CHECK(norm({1, 99}) == 7.5);
    CHECK_THROWS_WITH_AS(norm({2, 2}), "position_range: 3 positions leave none from position 2 to below 2",
                         shape_error);
    CHECK_THROWS_WITH_AS(norm({3, 9}), "position_range: 3 positions leave none from position 3 on", shape_error);

    token_kurtosis<hook::resid_mid> kurtosis(1, {0, 2});
    matrix<float> one_spike(3, 4);
    one_spike(0, 0) = one_spike(1, 3) = 1;
    emit<hook::resid_mid>(kurtosis, {0}, one_spike.view());    // position 2, of equal numbers, would leave none
    CHECK(*kurtosis.per_layer[0] == doctest::Approx(7.0 / 3)); // of 0.75 and three times −0.25
    top_share<hook::resid_mid> share(1, 1, {2, 3});
    emit<hook::resid_mid>(share, {0}, a.view());
    CHECK(share.per_layer[0] == doctest::Approx(0.64)); // 64 of 100

    latest<hook::mlp_out> before({1, 2});
    difference<hook::mlp_out> d(1, before);
    emit<hook::mlp_out>(before, {0}, a.view());
    emit<hook::mlp_out>(d, {0}, b.view());
    CHECK(before.of_layer(0).rows == 1);
    CHECK(d.squared == std::vector<double>{12.5}); // (3, 4) more
    CHECK(d.relative == std::vector<double>{1});
}

TEST_CASE("kurtosis of two numbers is 1, and of equal ones none") {
    auto a = three_positions();
    token_kurtosis<hook::mlp_in> k(2);
    emit<hook::mlp_in>(k, {0}, a.view());
    CHECK(k.per_layer[0] == 1.0);
    a(2, 1) = a(2, 0);
    emit<hook::mlp_in>(k, {1}, a.view());
    CHECK(!k.per_layer[1]);
}

TEST_CASE("a document without positions to measure is an error") {
    matrix<float> a(1, 2);
    residual_norms<hook::resid_mid> p(1);
    CHECK_THROWS_WITH_AS(emit<hook::resid_mid>(p, {0}, a.view()),
                         "position_range: 1 positions leave none from position 1 on", shape_error);
}

TEST_CASE("a run of more layers than there is room for is an error") {
    matrix<float> a(2, 4);
    residual_norms<hook::resid_mid> norms(1);
    CHECK_THROWS_WITH_AS(emit<hook::resid_mid>(norms, {1}, a.view()),
                         "measure: resid_mid of layer 1, room for 1 layers", shape_error);
    token_kurtosis<hook::mlp_in> kurtosis(0);
    CHECK_THROWS_WITH_AS(emit<hook::mlp_in>(kurtosis, {0}, a.view()), "measure: mlp_in of layer 0, room for 0 layers",
                         shape_error);
}

TEST_CASE("a run is compared with the one before it, layer by layer") {
    auto a = three_positions(), b = three_positions();
    b(1, 0) = 6, b(1, 1) = 8;   // twice as long: (3, 4) more
    b(2, 0) = -6, b(2, 1) = 18; // (0, 10) more, as long as (-6, 8)
    latest<hook::mlp_out> before;
    difference<hook::mlp_out> d(2, before);
    for (std::size_t k = 0; k < 2; ++k) {
        emit<hook::mlp_out>(before, {k}, a.view());
        emit<hook::mlp_out>(d, {k}, k == 0 ? b.view() : a.view());
    }
    CHECK(d.squared == std::vector<double>{(9.0 + 16 + 0 + 100) / 4, 0});
    CHECK(d.relative == std::vector<double>{1.0, 0});
    CHECK_THROWS_WITH_AS(
        emit<hook::mlp_out>(d, {0}, b.view()),
        "measure: mlp_out of layer 0 has nothing to be compared with; the run that comes first must be there",
        shape_error);
}

TEST_CASE("the share of the largest dimension") {
    auto a = three_positions();
    top_share<hook::resid_mid> one(1, 1), both(1, 8);
    emit<hook::resid_mid>(one, {0}, a.view());
    emit<hook::resid_mid>(both, {0}, a.view());
    CHECK(one.per_layer[0] == doctest::Approx(0.64)); // 16 of 25, 64 of 100
    CHECK(both.per_layer[0] == 1.0);
}

TEST_CASE("magnitudes of dimensions leave out position 0 unless asked for it") {
    auto a = three_positions();
    dimension_magnitudes<hook::resid_mid> from_one(2), from_zero(2, every_position);
    emit<hook::resid_mid>(from_one, {1}, a.view());
    emit<hook::resid_mid>(from_zero, {1}, a.view());
    CHECK(from_one.per_layer[1] == std::vector<double>{4.5, 6});
    CHECK(from_zero.per_layer[1] == std::vector<double>{1003, 4012.0 / 3});
    CHECK(from_one.per_layer[0].empty());
    CHECK_THROWS_AS(emit<hook::resid_mid>(from_one, {2}, a.view()), shape_error);
}
