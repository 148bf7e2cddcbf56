#pragma once
/// Numbers as text, the same in every locale: exact for files, rounded for people.

#include "bitlens/core/error.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitlens {

/// The shortest decimal text that reads back as the same double.
/// Errors: a number that is not finite has no place in a file of results; asserted.
inline std::string exact_text(double value) {
    BITLENS_ASSERT(std::isfinite(value));
    std::array<char, 32> buffer;
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
    return {buffer.data(), end};
}

/// `digits` figures after the point; never "-0.00".
inline std::string fixed_text(double value, int digits) {
    BITLENS_ASSERT(std::isfinite(value) && digits >= 0);
    std::array<char, 400> buffer; // 309 digits before the point of the largest double
    const auto end =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed, digits).ptr;
    std::string text(buffer.data(), end);
    if (text.front() == '-' && text.find_first_not_of("-0.") == std::string::npos) text.erase(0, 1);
    return text;
}

/// For people: `digits` figures after the point, or powers of ten ("3.20e-07") where these would show nothing or too
/// much: below half of the last figure, and from 10⁷ on.
inline std::string rounded_text(double value, int digits) {
    BITLENS_ASSERT(std::isfinite(value) && digits >= 0);
    const double size = std::abs(value);
    if (size == 0 || (size >= 0.5 * std::pow(10.0, -digits) && size < 1e7)) return fixed_text(value, digits);
    std::array<char, 32> buffer;
    const auto end =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific, 2).ptr;
    return {buffer.data(), end};
}

/// The same with the typographic minus, for pages and figures.
inline std::string with_minus_sign(std::string text) {
    std::string out;
    for (const char c : text) {
        if (c == '-')
            out += "\u2212";
        else
            out += c;
    }
    return out;
}

/// "1 document", "2 documents".
inline std::string counted(std::size_t count, std::string_view what) {
    return std::to_string(count) + ' ' + std::string(what) + (count == 1 ? "" : "s");
}

} // namespace bitlens
