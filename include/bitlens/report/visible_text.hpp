#pragma once
/// Anybody's bytes as text that can be shown: valid UTF-8 in which nothing hides and nothing moves its neighbours.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <string>
#include <string_view>

namespace bitlens {

namespace detail {

/// Characters that reorder the text around them: marks, embeddings, overrides and isolates.
constexpr bool reorders_text(char32_t c) noexcept {
    return c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/// Controls but tab and line feed, noncharacters.
constexpr bool is_unseen(char32_t c) noexcept {
    return (c < 0x20 && c != '\t' && c != '\n') || (c >= 0x7F && c < 0xA0) || (c & 0xFFFE) == 0xFFFE ||
           (c >= 0xFDD0 && c <= 0xFDEF);
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
        if (detail::is_unseen(c))
            append_utf8(out, c < 0x20 ? 0x2400 + c : c == 0x7F ? char32_t{0x2421} : char32_t{0xFFFD});
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

/// Gives `put` the pieces of visible_line(text), and allocates nothing itself.
template <class Put>
void put_visible_line(std::string_view text, Put const& put) {
    std::size_t from = 0; // of what is shown as it is
    for (std::size_t at = 0; at < text.size();) {
        const character one = decode_utf8(text, at);
        const std::size_t next = at + one.size;
        if (!one.valid() || one.code == '\t' || one.code == '\n' || detail::is_unseen(one.code) ||
            detail::reorders_text(one.code)) {
            put(text.substr(from, at - from));
            for (; at < next; ++at) {
                const auto escape = detail::hex_escape(text[at]);
                put(std::string_view(escape.data(), escape.size()));
            }
            from = next;
        }
        at = next;
    }
    put(text.substr(from));
}

/// Anybody's bytes, such as the name of a file or a message that has one in it, on one line of text that can be shown:
/// what visible_text would change, tab, line feed and bytes that are not UTF-8 are `\xNN`, each byte of it; the rest is
/// as it was. Errors: none, whatever the bytes.
inline std::string visible_line(std::string_view text) {
    std::string out;
    put_visible_line(text, [&](std::string_view piece) { out += piece; });
    return out;
}

/// Gives `put` the pieces of what an error says: its text on one line, then the lines of what exists, each as
/// visible_line. Allocates nothing itself.
template <class Put>
void put_visible_error(std::exception const& e, Put const& put) {
    auto const* const option = dynamic_cast<option_error const*>(&e);
    put_visible_line(option == nullptr ? std::string_view(e.what()) : option->text(), put);
    for (std::string_view lines = option == nullptr ? "" : option->lines(); !lines.empty();) {
        const std::size_t end = std::min(lines.find('\n'), lines.size());
        put("\n");
        put_visible_line(lines.substr(0, end), put);
        lines.remove_prefix(std::min(end + 1, lines.size()));
    }
}

} // namespace bitlens
