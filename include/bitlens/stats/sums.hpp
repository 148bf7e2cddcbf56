#pragma once
/// The one summation that the statistics share: double, in an order that depends on nothing but the number of terms.

#include <array>
#include <cstddef>

namespace bitlens::detail {

/// Several sums over i < n in one pass: term(i) gives what each adds, in double. Term i goes to partial sum i mod 8,
/// and the eight are added in pairs at the end: an order that vector units can follow, whatever their width, and that
/// no number of threads changes, nor of sums.
template <std::size_t Count, class Term>
std::array<double, Count> sums_of(std::size_t n, Term const& term) noexcept {
    constexpr std::size_t lanes = 8;
    std::array<std::array<double, lanes>, Count> part{};
    const auto add = [&](std::size_t k, std::size_t i) {
        const std::array<double, Count> terms = term(i);
        for (std::size_t s = 0; s < Count; ++s) part[s][k] += terms[s];
    };
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes)
        for (std::size_t k = 0; k < lanes; ++k) add(k, i + k);
    for (std::size_t k = 0; k < n % lanes; ++k) add(k, i + k);
    std::array<double, Count> sums;
    for (std::size_t s = 0; s < Count; ++s)
        sums[s] = ((part[s][0] + part[s][4]) + (part[s][1] + part[s][5])) +
                  ((part[s][2] + part[s][6]) + (part[s][3] + part[s][7]));
    return sums;
}

/// Σ_{i<n} term(i), in that order.
template <class Term>
double sum_of(std::size_t n, Term const& term) noexcept {
    return sums_of<1>(n, [&](std::size_t i) { return std::array{static_cast<double>(term(i))}; })[0];
}

} // namespace bitlens::detail
