#pragma once
/// Text that came from outside: is it UTF-8, and how an error message may show it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitlens {

/// Bytes of the longest valid UTF-8 prefix; equal to text.size() if all of it is valid. Overlong forms, surrogates and
/// code points above U+10FFFF are not valid.   Source: Unicode 15, table 3-7.
constexpr std::size_t valid_utf8_length(std::string_view text) noexcept {
    std::size_t i = 0;
    while (i < text.size()) {
        const auto lead = static_cast<std::uint8_t>(text[i]);
        std::size_t more = 0;                       // continuation bytes
        std::uint8_t lowest = 0x80, highest = 0xBF; // what the first of them may be
        if (lead < 0x80) {
            ++i;
            continue;
        } else if (lead >= 0xC2 && lead <= 0xDF) {
            more = 1;
        } else if (lead >= 0xE0 && lead <= 0xEF) {
            more = 2;
            if (lead == 0xE0) lowest = 0xA0;
            if (lead == 0xED) highest = 0x9F;
        } else if (lead >= 0xF0 && lead <= 0xF4) {
            more = 3;
            if (lead == 0xF0) lowest = 0x90;
            if (lead == 0xF4) highest = 0x8F;
        } else {
            return i;
        }
        if (more > text.size() - i - 1) return i;
        for (std::size_t k = 1; k <= more; ++k) {
            const auto byte = static_cast<std::uint8_t>(text[i + k]);
            if (byte < lowest || byte > highest) return i;
            lowest = 0x80;
            highest = 0xBF;
        }
        i += more + 1;
    }
    return i;
}

constexpr bool is_utf8(std::string_view text) noexcept { return valid_utf8_length(text) == text.size(); }

/// A name from a file as an error message shows it: in double quotes, at most 100 bytes of it, everything but printable
/// ASCII as \xNN.
inline std::string in_quotes(std::string_view text) {
    constexpr std::size_t longest = 100;
    constexpr char digits[] = "0123456789abcdef";
    std::string shown = "\"";
    for (const char c : text.substr(0, longest)) {
        const auto byte = static_cast<std::uint8_t>(c);
        if (byte >= 0x20 && byte < 0x7F && c != '"' && c != '\\') {
            shown += c;
        } else {
            shown += "\\x";
            shown += digits[byte >> 4];
            shown += digits[byte & 15];
        }
    }
    shown += text.size() > longest ? "…\"" : "\"";
    return shown;
}

} // namespace bitlens
