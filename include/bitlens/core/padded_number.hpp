#pragma once
/// padded_number: numbers in the names of files that are to sort.

#include <algorithm>
#include <cstddef>
#include <string>

namespace bitlens {

/// "00012" for 12 and 5 digits; a longer number has its own.
inline std::string padded_number(std::size_t n, std::size_t digits) {
    const std::string text = std::to_string(n);
    return std::string(digits - std::min(digits, text.size()), '0') + text;
}

} // namespace bitlens
