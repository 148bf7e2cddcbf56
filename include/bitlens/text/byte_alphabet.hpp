#pragma once
/// The alphabet in which byte-level tokenizers write bytes: a printable character for each of the 256.

#include "bitlens/core/utf8.hpp"
#include "bitlens/text/unicode.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitlens {

/// GPT-2's alphabet: printable Latin-1 stands for itself, the other 68 bytes are U+0100, U+0101, … in rising order (so
/// a space is U+0120).
inline constexpr std::array<char32_t, 256> byte_alphabet = [] {
    std::array<char32_t, 256> table{};
    char32_t next = 0x100;
    for (char32_t b = 0; b < 256; ++b) {
        const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD);
        table[b] = printable ? b : next++;
    }
    return table;
}();
static_assert(byte_alphabet[' '] == 0x120 && byte_alphabet[0xAD] == 0x143 && byte_alphabet['a'] == 'a');

/// The character of one byte, as UTF-8.
inline std::string in_byte_alphabet(unsigned char byte) {
    std::string text;
    append_utf8(text, byte_alphabet[byte]);
    return text;
}

/// The bytes that a token's text stands for, or nothing where it has a character outside the alphabet or is not UTF-8.
inline std::optional<std::string> bytes_of_alphabet(std::string_view text) {
    static constexpr auto byte_of = [] {
        std::array<std::int16_t, 0x144> table{};
        table.fill(-1);
        for (std::size_t b = 0; b < 256; ++b) table[byte_alphabet[b]] = static_cast<std::int16_t>(b);
        return table;
    }();
    if (!is_utf8(text)) return std::nullopt;
    std::string bytes;
    for (std::size_t at = 0; at < text.size();) {
        const character c = decode_utf8(text, at);
        if (c.code >= byte_of.size() || byte_of[c.code] < 0) return std::nullopt;
        bytes.push_back(static_cast<char>(byte_of[c.code]));
        at += c.size;
    }
    return bytes;
}

} // namespace bitlens
