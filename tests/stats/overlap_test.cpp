#include "bitlens/stats/overlap.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace bitlens;
using set = std::vector<std::size_t>;

TEST_CASE("jaccard") {
    CHECK(jaccard(set{1, 2, 3}, set{4, 3, 2}).value() == 0.5);
    CHECK(jaccard(set{1, 2}, set{2, 1}).value() == 1);
    CHECK(jaccard(set{1, 2}, set{3}).value() == 0);
    CHECK(jaccard(set{5, 5, 6}, set{6, 6}).value() == 0.5); // listed twice, counted once
    CHECK(jaccard(set{}, set{1}).value() == 0);
    CHECK_FALSE(jaccard(set{}, set{}));
}
