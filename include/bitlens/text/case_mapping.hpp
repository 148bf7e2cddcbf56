#pragma once
/// Small and capital letters of texts, as Python's str.lower and str.capitalize have them.
///
/// Both are the full mappings of Unicode (UnicodeData.txt and SpecialCasing.txt) but for those of single languages:
/// one letter may become several, as ß at the beginning becomes Ss, and Σ at the end of a word becomes ς. utf8proc has
/// the mappings of one letter to one; the others are tables here. Letters that are newer than utf8proc stay as they
/// are.

#include "bitlens/core/utf8.hpp"
#include "bitlens/text/unicode.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <utf8proc.h>

namespace bitlens {

namespace detail {

struct letter_in_several {
    char32_t code;
    std::array<char32_t, 3> title; // 0 after the last
};

/// Letters that become several where a word begins with a capital.   Source: SpecialCasing.txt of Unicode 14.
inline constexpr letter_in_several titles_of_several[] = {
    {0xDF, {0x53, 0x73}},
    {0x149, {0x2BC, 0x4E}},
    {0x1F0, {0x4A, 0x30C}},
    {0x390, {0x399, 0x308, 0x301}},
    {0x3B0, {0x3A5, 0x308, 0x301}},
    {0x587, {0x535, 0x582}},
    {0x1E96, {0x48, 0x331}},
    {0x1E97, {0x54, 0x308}},
    {0x1E98, {0x57, 0x30A}},
    {0x1E99, {0x59, 0x30A}},
    {0x1E9A, {0x41, 0x2BE}},
    {0x1F50, {0x3A5, 0x313}},
    {0x1F52, {0x3A5, 0x313, 0x300}},
    {0x1F54, {0x3A5, 0x313, 0x301}},
    {0x1F56, {0x3A5, 0x313, 0x342}},
    {0x1FB2, {0x1FBA, 0x345}},
    {0x1FB4, {0x386, 0x345}},
    {0x1FB6, {0x391, 0x342}},
    {0x1FB7, {0x391, 0x342, 0x345}},
    {0x1FC2, {0x1FCA, 0x345}},
    {0x1FC4, {0x389, 0x345}},
    {0x1FC6, {0x397, 0x342}},
    {0x1FC7, {0x397, 0x342, 0x345}},
    {0x1FD2, {0x399, 0x308, 0x300}},
    {0x1FD3, {0x399, 0x308, 0x301}},
    {0x1FD6, {0x399, 0x342}},
    {0x1FD7, {0x399, 0x308, 0x342}},
    {0x1FE2, {0x3A5, 0x308, 0x300}},
    {0x1FE3, {0x3A5, 0x308, 0x301}},
    {0x1FE4, {0x3A1, 0x313}},
    {0x1FE6, {0x3A5, 0x342}},
    {0x1FE7, {0x3A5, 0x308, 0x342}},
    {0x1FF2, {0x1FFA, 0x345}},
    {0x1FF4, {0x38F, 0x345}},
    {0x1FF6, {0x3A9, 0x342}},
    {0x1FF7, {0x3A9, 0x342, 0x345}},
    {0xFB00, {0x46, 0x66}},
    {0xFB01, {0x46, 0x69}},
    {0xFB02, {0x46, 0x6C}},
    {0xFB03, {0x46, 0x66, 0x69}},
    {0xFB04, {0x46, 0x66, 0x6C}},
    {0xFB05, {0x53, 0x74}},
    {0xFB06, {0x53, 0x74}},
    {0xFB13, {0x544, 0x576}},
    {0xFB14, {0x544, 0x565}},
    {0xFB15, {0x544, 0x56B}},
    {0xFB16, {0x54E, 0x576}},
    {0xFB17, {0x544, 0x56D}},
};

/// Of Case_Ignorable, what is neither a mark, a modifier nor a format character.
inline constexpr std::array<code_range, 16> points_within_words{{{0x27, 0x27},
                                                                 {0x2E, 0x2E},
                                                                 {0x3A, 0x3A},
                                                                 {0xB7, 0xB7},
                                                                 {0x387, 0x387},
                                                                 {0x55F, 0x55F},
                                                                 {0x5F4, 0x5F4},
                                                                 {0x2018, 0x2019},
                                                                 {0x2024, 0x2024},
                                                                 {0x2027, 0x2027},
                                                                 {0xFE13, 0xFE13},
                                                                 {0xFE52, 0xFE52},
                                                                 {0xFE55, 0xFE55},
                                                                 {0xFF07, 0xFF07},
                                                                 {0xFF0E, 0xFF0E},
                                                                 {0xFF1A, 0xFF1A}}};

/// Of Cased, what is no letter with case by its category and not in Case_Ignorable.
inline constexpr std::array<code_range, 7> other_cased{{{0xAA, 0xAA},
                                                        {0xBA, 0xBA},
                                                        {0x2160, 0x217F},
                                                        {0x24B6, 0x24E9},
                                                        {0x1F130, 0x1F149},
                                                        {0x1F150, 0x1F169},
                                                        {0x1F170, 0x1F189}}};

/// Whether a character stands between letters without ending their word (Case_Ignorable).
inline bool is_passed_over(char32_t code) noexcept {
    switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        return in_ranges(points_within_words, code);
    }
}

/// Whether a character that is not passed over has case (Cased).
inline bool has_case(char32_t code) noexcept {
    const letter_case kind = case_of(code);
    return kind == letter_case::upper || kind == letter_case::lower || in_ranges(other_cased, code);
}

/// Appends text from byte `at` on in small letters. What stands before `at` counts for the ends of words. Linear: no
/// character is passed over for more than the two Σ at its sides.
class lower_case_writer {
public:
    lower_case_writer(std::string_view text, std::string& out) : text_(text), out_(out) {}

    void pass(char32_t code) noexcept {
        if (!is_passed_over(code)) is_after_case_ = has_case(code);
    }
    void write(std::size_t at) {
        for (character c{}; at < text_.size(); at += c.size) {
            c = decode_utf8(text_, at);
            if (c.code == U'\u0130')
                out_ += "i\u0307";
            else if (c.code == U'\u03A3')
                out_ += is_after_case_ && ends_word(at + c.size) ? "\u03C2" : "\u03C3";
            else if (const auto small = static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.code)));
                     small != c.code)
                append_utf8(out_, small);
            else
                out_.append(text_, at, c.size); // also a byte that is no character
            pass(c.code);
        }
    }

private:
    bool ends_word(std::size_t at) const noexcept {
        while (at < text_.size()) {
            const character c = decode_utf8(text_, at);
            if (!is_passed_over(c.code)) return !has_case(c.code);
            at += c.size;
        }
        return true;
    }

    std::string_view text_;
    std::string& out_;
    bool is_after_case_ = false;
};

} // namespace detail

/// The text in small letters: İ becomes i̇ (two characters), Σ becomes ς at the end of a word and σ elsewhere.
inline std::string lower_case(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    detail::lower_case_writer(text, out).write(0);
    return out;
}

/// The first character as a word's capital (ß becomes Ss, ﬁ Fi, ǆ ǅ), the rest in small letters.
inline std::string capitalized(std::string_view text) {
    std::string out;
    if (text.empty()) return out;
    out.reserve(text.size());
    const character first = decode_utf8(text);
    auto const& all = detail::titles_of_several;
    auto const* const several = std::ranges::lower_bound(all, first.code, {}, &detail::letter_in_several::code);
    if (several != std::end(all) && several->code == first.code) {
        for (const char32_t code : several->title)
            if (code != 0) append_utf8(out, code);
    } else if (first.valid()) {
        append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(first.code))));
    } else {
        out += text[0];
    }
    detail::lower_case_writer rest(text, out);
    rest.pass(first.code);
    rest.write(first.size);
    return out;
}

} // namespace bitlens
