#pragma once
/// Numbers that statistics must not swallow.

#include <limits>

namespace bitlens::test {

inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
inline constexpr double infinity = std::numeric_limits<double>::infinity();

} // namespace bitlens::test
