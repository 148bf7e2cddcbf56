#include "bitlens/quantizers/dynamic_map.hpp"

#include <doctest/doctest.h>

#include <cstdint>

using namespace bitlens;

TEST_CASE("dynamic map: known levels (spec/quantization.md §2.4)") {
    const auto map = dynamic_map();
    CHECK(std::is_sorted(map.begin(), map.end()));
    CHECK(map[127] == 0);
    CHECK(map[128] == 5.5e-7f);
    CHECK(map[192] == 0.12109375f);
    CHECK(map[254] == 0.99296875f);
    CHECK(map[255] == 1);
    CHECK(map[0] == -0.99296875f);
}

TEST_CASE("KAT-N: nested quantization of 300 scales") {
    std::vector<float> scales(300);
    for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = 0.5f + static_cast<float>(29 * i % 64) / 128;
    nest_scales(scales);
    // offset 0.74609375, largest 0.24609375 in both blocks, and these codes
    const auto map = dynamic_map();
    const auto decoded = [&](std::size_t code) { return map[code] * 0.24609375f + 0.74609375f; };
    const std::vector<std::size_t> first{0, 71, 243, 51, 230, 38, 216, 24}, border{13, 191, 0, 71, 243, 51};
    for (std::size_t i = 0; i < first.size(); ++i) CHECK(scales[i] == doctest::Approx(decoded(first[i])).epsilon(1e-7));
    for (std::size_t i = 0; i < border.size(); ++i)
        CHECK(scales[254 + i] == doctest::Approx(decoded(border[i])).epsilon(1e-7));
    CHECK(scales[0] == 0.50173032f);
    CHECK(scales[1] == 0.72667539f);
    CHECK(scales[2] == 0.95238954f);
    CHECK(scales[3] == 0.67822570f);
}

TEST_CASE("edges of nested quantization") {
    std::vector<float> none, one{0.3f}, equal(300, 0.1f), zeros(5, 0.0f);
    nest_scales(none);
    nest_scales(one);
    nest_scales(equal);
    nest_scales(zeros);
    CHECK(none.empty());
    CHECK(one[0] == 0.3f); // the offset alone
    CHECK(equal == std::vector<float>(300, 0.1f));
    CHECK(zeros == std::vector<float>(5, 0.0f));
}

TEST_CASE("between two levels a tie goes to the lower one") {
    const float step = dynamic_map()[128]; // the level above 0
    std::vector<float> scales{1, -1, step / 2, -step / 2};
    nest_scales(scales); // the mean is 0 and the largest 1, so that the scales meet the levels as they are
    CHECK(scales[0] == 1);
    CHECK(scales[2] == 0);
    CHECK(scales[3] == -step);
}
