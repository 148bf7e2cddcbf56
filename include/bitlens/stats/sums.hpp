#pragma once
/// The one summation that the statistics share: double, in an order that depends on nothing but the number of terms.

#include <array>
#include <cstddef>

namespace bitlens::detail {

/// Σ_{i<n} term(i) in double. Term i goes to partial sum i mod 8, and the eight are added in pairs at the end: an
/// order that vector units can follow, whatever their width, and that no number of threads changes.
template <class Term>
double sum_of(std::size_t n, Term const& term) noexcept {
    constexpr std::size_t lanes = 8;
    std::array<double, lanes> part{};
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes)
        for (std::size_t k = 0; k < lanes; ++k) part[k] += term(i + k);
    for (std::size_t k = 0; i < n; ++i, ++k) part[k] += term(i);
    return ((part[0] + part[4]) + (part[1] + part[5])) + ((part[2] + part[6]) + (part[3] + part[7]));
}

} // namespace bitlens::detail
