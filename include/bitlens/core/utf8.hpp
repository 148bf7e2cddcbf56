#pragma once
/// UTF-8: characters of text that came from outside, and how an error message may show it.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitlens {

/// One character of UTF-8 text and the number of bytes that it takes there. A byte that belongs to none is U+FFFD of
/// size 1.
struct character {
    char32_t code;
    std::size_t size;

    constexpr bool valid() const noexcept { return code != U'\uFFFD' || size == 3; }
};

/// The character that begins at byte `at` < text.size(). Overlong forms, surrogates and values above U+10FFFF are none.
/// Source: Unicode 15, table 3-7.
constexpr character decode_utf8(std::string_view text, std::size_t at = 0) noexcept {
    constexpr character invalid{U'\uFFFD', 1};
    const auto byte = [&](std::size_t i) { return char32_t{static_cast<std::uint8_t>(text[at + i])}; };
    const char32_t lead = byte(0);
    if (lead < 0x80) return {lead, 1};
    const std::size_t size = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    if (size == 0 || text.size() - at < size) return invalid;
    constexpr std::array<char32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
    char32_t code = lead & (0x7Fu >> size);
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return invalid;
        code = code << 6 | (byte(i) & 0x3F);
    }
    if (code < smallest[size] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return invalid;
    return {code, size};
}

/// Whether all bytes are below 128.
constexpr bool is_ascii(std::string_view text) noexcept {
    return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

/// Bytes of the longest valid UTF-8 prefix; equal to text.size() if all of it is valid.
constexpr std::size_t valid_utf8_length(std::string_view text) noexcept {
    std::size_t i = 0;
    while (i < text.size()) {
        const character c = decode_utf8(text, i);
        if (!c.valid()) break;
        i += c.size;
    }
    return i;
}

constexpr bool is_utf8(std::string_view text) noexcept { return valid_utf8_length(text) == text.size(); }

/// Appends one character as UTF-8. `code` must be a scalar value: no surrogate, at most U+10FFFF.
inline void append_utf8(std::string& text, char32_t code) {
    const auto put = [&](char32_t bits) { text.push_back(static_cast<char>(static_cast<unsigned char>(bits))); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | code >> 6), put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | code >> 12), put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | code >> 18), put(0x80 | (code >> 12 & 0x3F)), put(0x80 | (code >> 6 & 0x3F)),
            put(0x80 | (code & 0x3F));
    }
}

namespace detail {

/// "\\xNN": a byte that cannot be shown as it is.
inline std::array<char, 4> hex_escape(char c) noexcept {
    constexpr char digits[] = "0123456789abcdef";
    const auto byte = static_cast<std::uint8_t>(c);
    return {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
}

} // namespace detail

/// A name from a file as an error message shows it: in double quotes, at most 100 bytes of it, everything but printable
/// ASCII as `\xNN`.
inline std::string in_quotes(std::string_view text) {
    constexpr std::size_t longest = 100;
    std::string shown = "\"";
    for (const char c : text.substr(0, longest)) {
        if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\')
            shown += c;
        else
            for (const char sign : detail::hex_escape(c)) shown += sign;
    }
    shown += text.size() > longest ? "…\"" : "\"";
    return shown;
}

} // namespace bitlens
