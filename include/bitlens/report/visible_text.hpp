#pragma once
/// Anybody's bytes as text that can be shown: valid UTF-8 in which nothing hides and nothing moves its neighbours.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitlens {

namespace detail {

struct shown_character {
    char32_t value;     // U+FFFD where the bytes are not UTF-8
    std::size_t length; // bytes it takes up, at least 1
};

/// The first character of `text` (not empty). Overlong forms, surrogates and values above U+10FFFF are not UTF-8.
inline shown_character first_character(std::string_view text) noexcept {
    constexpr shown_character invalid{U'\uFFFD', 1};
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
    const std::uint8_t first = byte(0);
    if (first < 0x80) return {first, 1};
    const std::size_t length = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    if (length == 0 || text.size() < length) return invalid;
    constexpr std::array<char32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
    char32_t value = first & (0x7Fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0u) != 0x80u) return invalid;
        value = value << 6 | (byte(i) & 0x3Fu);
    }
    if (value < smallest[length] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return invalid;
    return {value, length};
}

inline void append_character(std::string& out, char32_t value) {
    const auto add = [&](char32_t byte) { out += static_cast<char>(static_cast<std::uint8_t>(byte)); };
    if (value < 0x80) {
        add(value);
    } else if (value < 0x800) {
        add(0xC0 | value >> 6);
        add(0x80 | (value & 0x3F));
    } else if (value < 0x10000) {
        add(0xE0 | value >> 12);
        add(0x80 | (value >> 6 & 0x3F));
        add(0x80 | (value & 0x3F));
    } else {
        add(0xF0 | value >> 18);
        add(0x80 | (value >> 12 & 0x3F));
        add(0x80 | (value >> 6 & 0x3F));
        add(0x80 | (value & 0x3F));
    }
}

/// Characters that reorder the text around them: marks, embeddings, overrides and isolates.
constexpr bool reorders_text(char32_t c) noexcept {
    return c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

} // namespace detail

/// What would not be seen, or would change how its neighbours look, becomes a visible sign: C0 controls and DEL their
/// symbols (␀ … ␡), characters that reorder text "[U+202E]", C1 controls, noncharacters and bytes that are not UTF-8 �.
/// Tab and line feed stay. So a terminal, an XML parser and a browser may all read it. Errors: none, whatever the
/// bytes.
inline std::string visible_text(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const auto [c, length] = detail::first_character(text);
        if (c < 0x20 && c != '\t' && c != '\n')
            detail::append_character(out, 0x2400 + c);
        else if (c == 0x7F)
            detail::append_character(out, 0x2421);
        else if ((c >= 0x80 && c < 0xA0) || (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF))
            detail::append_character(out, 0xFFFD);
        else if (detail::reorders_text(c)) {
            constexpr std::string_view digits = "0123456789ABCDEF";
            out += "[U+";
            for (int shift = 12; shift >= 0; shift -= 4) out += digits[static_cast<std::size_t>(c >> shift & 0xF)];
            out += ']';
        } else
            detail::append_character(out, c); // U+FFFD too, for bytes that are not UTF-8
        text.remove_prefix(length);
    }
    return out;
}

} // namespace bitlens
