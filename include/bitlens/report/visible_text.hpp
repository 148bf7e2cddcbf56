#pragma once
/// Anybody's bytes as text that can be shown: valid UTF-8 in which nothing hides and nothing moves its neighbours.

#include "bitlens/core/utf8.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace bitlens {

namespace detail {

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
        const auto [c, size] = decode_utf8(text);
        if (c < 0x20 && c != '\t' && c != '\n')
            append_utf8(out, 0x2400 + c);
        else if (c == 0x7F)
            append_utf8(out, 0x2421);
        else if ((c >= 0x80 && c < 0xA0) || (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF))
            append_utf8(out, 0xFFFD);
        else if (detail::reorders_text(c)) {
            constexpr std::string_view digits = "0123456789ABCDEF";
            out += "[U+";
            for (int shift = 12; shift >= 0; shift -= 4) out += digits[static_cast<std::size_t>(c >> shift & 0xF)];
            out += ']';
        } else
            append_utf8(out, c); // U+FFFD too, for bytes that are not UTF-8
        text.remove_prefix(size);
    }
    return out;
}

} // namespace bitlens
