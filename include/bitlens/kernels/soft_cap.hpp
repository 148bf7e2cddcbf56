#pragma once
/// soft_cap: what keeps scores and logits below a number c, in models of the Gemma 2 family.

#include "bitlens/core/error.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/simd/rows.hpp"

#include <cmath>
#include <cstddef>
#include <span>
#include <string>

namespace bitlens {

/// The cap of a model that has none.
inline constexpr float no_soft_cap = 0;

namespace detail {

/// x ← c · tanh(x · scale/c).
template <class Arch>
void cap_row(std::span<float> x, float scale, float c) noexcept {
    using vec = simd::batch<float, Arch>;
    simd::map<Arch>(
        x.size(), [inverse = vec(scale / c), c = vec(c)](vec const& v) { return c * simd::tanh(v * inverse); },
        x.data(), x.data());
}

/// Errors: option_error unless c is a cap or none.
inline void check_soft_cap(const char* who, float c) {
    if (!(c >= 0) || !std::isfinite(c))
        throw option_error(std::string(who) + ": soft cap " + std::to_string(c) +
                           ", expected a positive number, or 0 for none");
}

} // namespace detail

/// x ← c · tanh(x/c), element by element; c = 0 leaves x as it is.   Errors: option_error for a c below 0, or infinite.
template <class Arch = simd::default_arch>
void soft_cap(float c, matrix_view<float> x) {
    detail::check_soft_cap("soft_cap", c);
    if (c == no_soft_cap) return;
    for (std::size_t t = 0; t < x.rows; ++t) detail::cap_row<Arch>(x.row(t), 1, c);
}

} // namespace bitlens
