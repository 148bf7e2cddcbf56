#pragma once
/// Element-wise work on rows of floats, a register at a time.

#include "bitlens/simd/batch.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace bitlens::detail {

/// Floats side by side in one register, for the element-wise parts of a layer.
template <class Arch>
struct float_lanes {
    using type = simd::batch<float, Arch>;
    static constexpr std::size_t count = type::size;

    static type load(float const* p) noexcept { return type::load_unaligned(p); }
    static void store(float* p, type v) noexcept { v.store_unaligned(p); }
    static type fma(type a, type b, type c) noexcept { return simd::fma(a, b, c); }
    static type max(type a, type b) noexcept { return xsimd::max(a, b); }
    static type exp(type a) noexcept { return xsimd::exp(a); }
};

template <>
struct float_lanes<simd::scalar> {
    using type = float;
    static constexpr std::size_t count = 1;

    static type load(float const* p) noexcept { return *p; }
    static void store(float* p, type v) noexcept { *p = v; }
    static type fma(type a, type b, type c) noexcept {
        using one = simd::scalar_batch<float>;
        return simd::fma(one(a), one(b), one(c)).value;
    }
    static type max(type a, type b) noexcept { return std::max(a, b); }
    static type exp(type a) noexcept { return std::exp(a); }
};

/// combine(… combine(v_0, v_1) …, v_n) of the lanes, in order.
template <class Arch, class F>
float fold_lanes(typename float_lanes<Arch>::type v, F const& combine) noexcept {
    std::array<float, float_lanes<Arch>::count> each;
    float_lanes<Arch>::store(each.data(), v);
    float result = each[0];
    for (std::size_t i = 1; i < each.size(); ++i) result = combine(result, each[i]);
    return result;
}

/// y_i = f(x_i …) for i < n. Inputs and y may be the same numbers. A short tail goes through f in a padded register, so
/// that a number's bits do not depend on where it stands.
template <class Arch, class F, class... In>
void map_lanes(std::size_t n, F const& f, float* y, In const*... x) noexcept {
    using vec = float_lanes<Arch>;
    std::size_t i = 0;
    for (; i + vec::count <= n; i += vec::count) vec::store(y + i, f(vec::load(x + i)...));
    if (i == n) return;
    const auto padded = [&](float const* p) {
        std::array<float, vec::count> buffer{};
        std::copy(p + i, p + n, buffer.begin());
        return vec::load(buffer.data());
    };
    std::array<float, vec::count> tail;
    vec::store(tail.data(), f(padded(x)...));
    std::copy(tail.begin(), tail.begin() + static_cast<std::ptrdiff_t>(n - i), y + i);
}

} // namespace bitlens::detail
