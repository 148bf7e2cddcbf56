#include "bitlens/quantizers/weight_grid.hpp"

#include "bitlens/core/half.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/formats/normal_float.hpp"
#include "bitlens/quantizers/absmax.hpp"
#include "bitlens/quantizers/rtn.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

using namespace bitlens;

namespace {

matrix<float> normal_weights(std::uint64_t seed) {
    matrix<float> w(256, 512);
    random_generator random(seed);
    for (float& x : w.span()) x = static_cast<float>(0.02 * random.normal());
    return w;
}
template <class T>
void round_to(matrix<float>& w) {
    for (float& x : w.span()) x = static_cast<float>(T(x));
}
template <class Packed>
matrix<float> values_of(Packed const& packed) {
    matrix<float> w(packed.rows(), packed.cols());
    for (std::size_t r = 0; r < w.rows(); ++r)
        for (std::size_t c = 0; c < w.cols(); ++c) w(r, c) = packed.value(r, c);
    return w;
}
/// As GGUF's Q4_1: 16 levels from the smallest to the largest of 32, step and smallest in 16 bits.
matrix<float> from_smallest(matrix<float> const& w, std::size_t group, float levels) {
    matrix<float> to(w.rows(), w.cols());
    for (std::size_t r = 0; r < w.rows(); ++r)
        for (std::size_t g = 0; g < w.cols(); g += group) {
            const auto part = w.row(r).subspan(g, group);
            const auto [low, high] = std::ranges::minmax(part);
            const float step = f16((high - low) / levels), least = f16(low);
            for (std::size_t c = 0; c < group; ++c)
                to(r, g + c) =
                    std::clamp(std::nearbyint((part[c] - low) / ((high - low) / levels)), 0.0f, levels) * step + least;
        }
    return to;
}

} // namespace

TEST_CASE("random weights lie on no grid, in any precision") {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        auto w = normal_weights(seed);
        CHECK(find_weight_grid(w, stored_precision::f32) == std::nullopt);
        round_to<f16>(w);
        CHECK(find_weight_grid(w, stored_precision::f16) == std::nullopt);
        w = normal_weights(seed);
        round_to<bf16>(w);
        CHECK(find_weight_grid(w, stored_precision::bf16) == std::nullopt);
    }
}

TEST_CASE("a grid is found by group and bits, through 16-bit storage too") {
    const auto w = normal_weights(4);
    const auto q4_1 = from_smallest(w, 32, 15);
    CHECK(find_weight_grid(q4_1, stored_precision::f32) == weight_grid{32, 4, true});
    auto stored = from_smallest(w, 32, 15);
    round_to<bf16>(stored);
    const auto found = find_weight_grid(stored, stored_precision::bf16);
    REQUIRE(found);
    CHECK(found->group == 32);
    CHECK(found->bits == 4);
    CHECK(find_weight_grid(from_smallest(w, 32, 255), stored_precision::f32) == weight_grid{32, 8, true});
    CHECK(find_weight_grid(from_smallest(w, 16, 63), stored_precision::f32) == weight_grid{16, 6, true});
    const auto rtn3 = find_weight_grid(values_of(rtn<uniform<3, 64>>{}(w)), stored_precision::f32);
    REQUIRE(rtn3);
    CHECK(rtn3->group == 64);
    CHECK(rtn3->bits == 3);
    const auto nf4 = find_weight_grid(values_of(absmax<normal_float<4, 64>>{}(w)), stored_precision::f32);
    REQUIRE(nf4);
    CHECK(nf4->group == 64);
    CHECK(nf4->bits == 4);
    CHECK_FALSE(nf4->is_even);
}

TEST_CASE("constant groups say nothing, and too few groups decide nothing") {
    CHECK(find_weight_grid(matrix<float>(256, 512), stored_precision::f32) == std::nullopt);
    const auto w = normal_weights(5);
    const auto small = from_smallest(w, 32, 15);
    CHECK(find_weight_grid(small.view().middle_rows(0, 4), stored_precision::f32) == std::nullopt);
    CHECK(find_weight_grid(small.view().middle_cols(0, 8), stored_precision::f32) == std::nullopt);
}
