#pragma once
/// Tokens of a document as short text of one line: its first words, one token, what came before it.

#include "bitlens/core/utf8.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/sweep/run_results.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace bitlens {

namespace detail {

/// The bytes of tokens first … last − 1 of a row.
inline std::string bytes_of_tokens(run_results const& run, std::size_t row, std::size_t first, std::size_t last) {
    std::string bytes;
    for (std::size_t t = first; t < last; ++t) bytes += run.texts[run.documents.ids(row, t)];
    return bytes;
}

/// Without the rest of a character whose first bytes are cut off.
inline std::string_view from_whole_character(std::string_view bytes) {
    const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) == 0x80u; };
    std::size_t cut = 0;
    while (cut < std::min<std::size_t>(bytes.size(), 3) && continues(bytes[cut])) ++cut;
    return bytes.substr(cut);
}

/// Spaces of any width, and what else breaks or moves a line.
constexpr bool is_white(char32_t c) noexcept {
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xA0 || (c >= 0x2000 && c <= 0x200B) ||
           c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x3000 || c == 0xFEFF;
}

/// White space as single spaces, none at the ends.
inline std::string with_single_spaces(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const character one = decode_utf8(text);
        if (!is_white(one.code))
            out += text.substr(0, one.size);
        else if (!out.empty() && out.back() != ' ')
            out += ' ';
        text.remove_prefix(one.size);
    }
    if (out.ends_with(' ')) out.pop_back();
    return out;
}

} // namespace detail

/// Whether all documents begin with the same token, as where a beginning-of-text is put in front of each.
inline bool have_common_start(document_rows const& documents) {
    for (std::size_t n = 0; n < documents.size(); ++n)
        if (documents.ids(n, 0) != documents.ids(0, 0)) return false;
    return documents.size() > 1;
}

/// About the first `length` bytes of a document from token `first` on, with "…" where it goes on.
inline std::string first_words(run_results const& run, std::size_t row, std::size_t first, std::size_t length = 72) {
    const std::size_t tokens = run.documents.ids.tokens(row);
    std::string bytes, words;
    std::size_t t = first;
    for (; t < tokens && words.size() <= length && bytes.size() < 16 * length; ++t) { // it may be all white space
        bytes += run.texts[run.documents.ids(row, t)];
        if (bytes.size() > length) words = detail::with_single_spaces(bytes);
    }
    if (words.size() <= length)
        return visible_text(words = detail::with_single_spaces(bytes)) + (t < tokens ? "…" : "");
    std::size_t end = length;
    while (end > 0 && (static_cast<unsigned char>(words[end]) & 0xC0u) == 0x80u) --end;
    if (const auto space = words.rfind(' ', end); space != std::string::npos && space > length / 2) end = space;
    return visible_text(words.substr(0, end)) + "…";
}

/// Text of which line feeds and tabs can be seen.
inline std::string words_of_one_line(std::string_view bytes) {
    std::string out;
    for (const char c : visible_text(bytes)) {
        if (c == '\n')
            out += "↵";
        else if (c == '\t')
            out += "⇥";
        else
            out += c;
    }
    return out;
}

/// A token of which all white space can be seen: "␣the" is another one than "the".
inline std::string token_words(std::string_view bytes) {
    const bool begins = bytes.starts_with(' '), ends = bytes.size() > 1 && bytes.ends_with(' ');
    if (begins) bytes.remove_prefix(1);
    if (ends) bytes.remove_suffix(1);
    return (begins ? "␣" : "") + words_of_one_line(bytes) + (ends ? "␣" : "");
}

/// The text of up to `count` tokens before token t.
inline std::string words_before(run_results const& run, std::size_t row, std::size_t t, std::size_t count = 10) {
    const std::size_t first = t - std::min(t, count);
    const auto bytes = detail::bytes_of_tokens(run, row, first, t);
    return (first > 0 ? "…" : "") + words_of_one_line(first > 0 ? detail::from_whole_character(bytes) : bytes);
}

} // namespace bitlens
