#pragma once
/// Binomial coefficients of any size, as logarithms.

#include <cmath>
#include <cstddef>

namespace bitlens::detail {

/// log(n over k), k ≤ n.
inline double log_choose(std::size_t n, std::size_t k) {
    const auto log_factorial = [](std::size_t m) { return std::lgamma(static_cast<double>(m) + 1); };
    return log_factorial(n) - log_factorial(k) - log_factorial(n - k);
}

} // namespace bitlens::detail
