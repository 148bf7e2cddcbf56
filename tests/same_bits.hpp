#pragma once
/// Whether two matrices are the same, bit for bit, for tests.

#include "bitlens/core/view.hpp"

#include <cstring>

namespace bitlens::test {

inline bool same_bits(matrix_view<const float> a, matrix_view<const float> b) {
    bool same = a.rows == b.rows && a.cols == b.cols;
    for (std::size_t t = 0; same && t < a.rows; ++t)
        same = std::memcmp(a.row(t).data(), b.row(t).data(), a.cols * sizeof(float)) == 0;
    return same;
}

} // namespace bitlens::test
