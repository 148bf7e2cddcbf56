#pragma once
/// Element-wise work on rows of floats, a register at a time.

#include "bitlens/simd/batch.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace bitlens::simd {

/// combine(… combine(v_0, v_1) …, v_n) of the lanes, in order.
template <class Vec, class F>
float fold(Vec const& v, F const& combine) noexcept {
    std::array<float, Vec::size> each;
    v.store_unaligned(each.data());
    float result = each[0];
    for (std::size_t i = 1; i < each.size(); ++i) result = combine(result, each[i]);
    return result;
}

/// y_i = f(x_i …) for i < n. Inputs and y may be the same numbers. A short tail goes through f in a padded register, so
/// that a number's bits do not depend on where it stands.
template <class Arch, class F, class... In>
void map(std::size_t n, F const& f, float* y, In const*... x) noexcept {
    using vec = batch<float, Arch>;
    std::size_t i = 0;
    for (; i + vec::size <= n; i += vec::size) f(vec::load_unaligned(x + i)...).store_unaligned(y + i);
    if (i == n) return;
    const auto padded = [&](float const* p) {
        std::array<float, vec::size> buffer{};
        std::copy(p + i, p + n, buffer.begin());
        return vec::load_unaligned(buffer.data());
    };
    std::array<float, vec::size> tail;
    f(padded(x)...).store_unaligned(tail.data());
    std::copy(tail.begin(), tail.begin() + static_cast<std::ptrdiff_t>(n - i), y + i);
}

} // namespace bitlens::simd
