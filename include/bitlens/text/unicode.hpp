#pragma once
/// What tokenizers know of Unicode: the classes that split patterns speak of, and composition (NFC).
///
/// The measure is what Hugging Face `tokenizers` 0.23 does, and its three parts follow three versions of Unicode: the
/// classes `\p{L}`, `\p{N}` and `\s` version 16, the step `Digits` version 17, NFC version 9. utf8proc is Unicode 15 in
/// Debian 12 and newer elsewhere, so the differences are tables here.

#include "bitlens/core/utf8.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utf8proc.h>
#include <vector>

namespace bitlens {

namespace detail {

struct code_range {
    char32_t first, last;
};

inline bool in_ranges(std::span<const code_range> sorted, char32_t code) noexcept {
    const auto after =
        std::upper_bound(sorted.begin(), sorted.end(), code, [](char32_t c, code_range r) { return c < r.first; });
    return after != sorted.begin() && code <= std::prev(after)->last;
}

/// White_Space of Unicode, which is what \s means.
inline constexpr std::array<code_range, 10> spaces{{{0x09, 0x0D},
                                                    {0x20, 0x20},
                                                    {0x85, 0x85},
                                                    {0xA0, 0xA0},
                                                    {0x1680, 0x1680},
                                                    {0x2000, 0x200A},
                                                    {0x2028, 0x2029},
                                                    {0x202F, 0x202F},
                                                    {0x205F, 0x205F},
                                                    {0x3000, 0x3000}}};

/// Letters that came with Unicode 15.1 and 16.
inline constexpr std::array<code_range, 22> letters_since_15{
    {{0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3}, {0x10D4A, 0x10D65},
     {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E},
     {0x11390, 0x113B5}, {0x113B7, 0x113B7}, {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0},
     {0x13460, 0x143FA}, {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED},
     {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D}}};

/// Of those, the capital ones and the small ones; the rest have no case.
inline constexpr std::array<code_range, 5> capitals_since_15{
    {{0x1C89, 0x1C89}, {0xA7CB, 0xA7CC}, {0xA7DA, 0xA7DA}, {0xA7DC, 0xA7DC}, {0x10D50, 0x10D65}}};
inline constexpr std::array<code_range, 4> small_since_15{
    {{0x1C8A, 0x1C8A}, {0xA7CD, 0xA7CD}, {0xA7DB, 0xA7DB}, {0x10D70, 0x10D85}}};

/// Marks that came with Unicode 16.
inline constexpr std::array<code_range, 13> marks_since_15{{{0x897, 0x897},
                                                            {0x10D69, 0x10D6D},
                                                            {0x10EFC, 0x10EFC},
                                                            {0x113B8, 0x113C0},
                                                            {0x113C2, 0x113C2},
                                                            {0x113C5, 0x113C5},
                                                            {0x113C7, 0x113CA},
                                                            {0x113CC, 0x113D0},
                                                            {0x113D2, 0x113D2},
                                                            {0x113E1, 0x113E2},
                                                            {0x11F5A, 0x11F5A},
                                                            {0x1611E, 0x1612F},
                                                            {0x1E5EE, 0x1E5EF}}};

/// Numbers that came with Unicode 16.
inline constexpr std::array<code_range, 7> numbers_since_15{{{0x10D40, 0x10D49},
                                                             {0x116D0, 0x116E3},
                                                             {0x11BF0, 0x11BF9},
                                                             {0x16130, 0x16139},
                                                             {0x16D70, 0x16D79},
                                                             {0x1CCF0, 0x1CCF9},
                                                             {0x1E5F1, 0x1E5FA}}};

/// Numbers that came with Unicode 17.
inline constexpr std::array<code_range, 2> numbers_since_16{{{0x11DE0, 0x11DE9}, {0x16FF4, 0x16FF6}}};

/// Zero-width joiners and circled letters, which are of words though neither letters nor numbers.
inline constexpr std::array<code_range, 5> others_of_words{
    {{0x200C, 0x200D}, {0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}}};

/// Characters that stay where they are, though utf8proc would reorder or join them: those that came after Unicode 9,
/// and U+11A7, which utf8proc 2.8 takes for a trailing consonant of Hangul and lets disappear.
inline constexpr std::array<code_range, 48> never_composed{
    {{0x7FD, 0x7FD},     {0x897, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x11A7, 0x11A7},   {0x1715, 0x1715},   {0x1ABF, 0x1AFF},
     {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x105C0, 0x105F3}, {0x10D24, 0x10D27}, {0x10D69, 0x10D6D},
     {0x10EAB, 0x10EAC}, {0x10EFA, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070},
     {0x1133B, 0x1133B}, {0x11380, 0x113E2}, {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11938},
     {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47},
     {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42},
     {0x16100, 0x1612F}, {0x16D40, 0x16D6C}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136},
     {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1E5EE, 0x1E5EF}, {0x1E6E3, 0x1E6E3},
     {0x1E6E6, 0x1E6E6}, {0x1E6EE, 0x1E6EF}, {0x1E6F5, 0x1E6F5}}};

} // namespace detail

/// What a split pattern can ask of a character.
enum class character_class : std::uint8_t { letter, number, space, other };

namespace detail {

inline character_class look_up_class(char32_t code) noexcept {
    if (in_ranges(spaces, code)) return character_class::space;
    const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
    if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) return character_class::letter;
    if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) return character_class::number;
    if (category == UTF8PROC_CATEGORY_CN) {
        if (in_ranges(letters_since_15, code)) return character_class::letter;
        if (in_ranges(numbers_since_15, code)) return character_class::number;
    }
    return character_class::other;
}

/// The classes of ASCII, where nearly all text lives.
inline constexpr std::array<character_class, 128> ascii_class = [] {
    std::array<character_class, 128> table{};
    for (std::size_t c = 0; c < table.size(); ++c) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        const bool space = c == ' ' || (c >= 0x09 && c <= 0x0D);
        table[c] = letter                   ? character_class::letter
                   : (c >= '0' && c <= '9') ? character_class::number
                   : space                  ? character_class::space
                                            : character_class::other;
    }
    return table;
}();

} // namespace detail

/// `\p{L}` → letter, `\p{N}` → number, `\s` → space, the rest → other.
inline character_class class_of(char32_t code) noexcept {
    return code < 0x80 ? detail::ascii_class[code] : detail::look_up_class(code);
}

/// The text without white space at both ends.   text: UTF-8.
inline std::string_view without_outer_space(std::string_view text) {
    std::size_t begin = text.size(), end = 0;
    for (std::size_t at = 0; at < text.size();) {
        const character c = decode_utf8(text, at);
        if (class_of(c.code) != character_class::space) {
            begin = std::min(begin, at);
            end = at + c.size;
        }
        at += c.size;
    }
    return begin < end ? text.substr(begin, end - begin) : std::string_view();
}

/// The sides on which a letter or a mark can stand where a pattern asks for capitals and then small letters.
enum class letter_case : std::uint8_t {
    upper,  // `[\p{Lu}\p{Lt}]`
    lower,  // `\p{Ll}`
    either, // `[\p{Lm}\p{Lo}\p{M}]`
    none
};

inline letter_case case_of(char32_t code) noexcept {
    if (code < 0x80)
        return detail::ascii_class[code] != character_class::letter ? letter_case::none
               : code >= 'a'                                        ? letter_case::lower
                                                                    : letter_case::upper;
    switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT:
        return letter_case::upper;
    case UTF8PROC_CATEGORY_LL:
        return letter_case::lower;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return letter_case::either;
    case UTF8PROC_CATEGORY_CN:
        if (detail::in_ranges(detail::capitals_since_15, code)) return letter_case::upper;
        if (detail::in_ranges(detail::small_since_15, code)) return letter_case::lower;
        if (detail::in_ranges(detail::letters_since_15, code) || detail::in_ranges(detail::marks_since_15, code))
            return letter_case::either;
        return letter_case::none;
    default:
        return letter_case::none;
    }
}

/// `\w`: letters, marks, decimal and letter-like numbers, circled letters, what joins words.
inline bool is_of_word(char32_t code) noexcept {
    if (code < 0x80) return code == U'_' || detail::ascii_class[code] <= character_class::number;
    if (case_of(code) != letter_case::none) return true;
    const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
    if (category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_PC)
        return true;
    return detail::in_ranges(detail::others_of_words, code) ||
           (category == UTF8PROC_CATEGORY_CN && detail::in_ranges(detail::numbers_since_15, code));
}

/// What the step `Digits` splits off: `\p{N}`, and the numbers of Unicode 17.
inline bool is_numeric(char32_t code) noexcept {
    return class_of(code) == character_class::number || detail::in_ranges(detail::numbers_since_16, code);
}

namespace detail {

/// Joins a stretch of characters, none of them in `never_composed`, and appends it to `out`. Linear but for the sort of
/// long runs of combining marks (utf8proc's own is quadratic there, which is why it is done here).
class composer {
public:
    void operator()(std::string_view text, std::string& out) {
        points_.clear();
        for (std::size_t at = 0; at < text.size();) {
            const character c = decode_utf8(text, at);
            append_parts(c.code);
            at += c.size;
        }
        order_marks();
        const auto size = static_cast<utf8proc_ssize_t>(points_.size());
        const utf8proc_ssize_t joined = utf8proc_normalize_utf32(points_.data(), size, options());
        for (utf8proc_ssize_t i = 0; i < joined; ++i)
            append_utf8(out, static_cast<char32_t>(points_[static_cast<std::size_t>(i)]));
    }

private:
    static utf8proc_option_t options() noexcept {
        return static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    }
    static int rank(utf8proc_int32_t code) noexcept { return utf8proc_get_property(code)->combining_class; }

    void append_parts(char32_t code) {
        std::array<utf8proc_int32_t, 8> parts; // the longest canonical decomposition has four
        int boundary = 0;
        const utf8proc_ssize_t count =
            utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), parts.data(),
                                    static_cast<utf8proc_ssize_t>(parts.size()), options(), &boundary);
        points_.insert(points_.end(), parts.begin(), parts.begin() + count);
    }

    /// Sorts each run of marks by its combining class and keeps the order of equal ones.
    void order_marks() {
        const auto is_mark = [](utf8proc_int32_t c) { return rank(c) != 0; };
        for (auto first = points_.begin();;) {
            first = std::find_if(first, points_.end(), is_mark);
            if (first == points_.end()) return;
            const auto last = std::find_if_not(first, points_.end(), is_mark);
            order_.clear(); // class, place, mark
            for (auto mark = first; mark != last; ++mark)
                order_.push_back(static_cast<std::uint64_t>(rank(*mark)) << 56 |
                                 static_cast<std::uint64_t>(mark - first) << 21 | static_cast<std::uint64_t>(*mark));
            std::sort(order_.begin(), order_.end());
            for (std::uint64_t key : order_) *first++ = static_cast<utf8proc_int32_t>(key & 0x1F'FFFF);
        }
    }

    std::vector<utf8proc_int32_t> points_;
    std::vector<std::uint64_t> order_; // of the marks of a run
};

} // namespace detail

/// NFC(text), with the tables of Unicode 9 (see above). The text must be valid UTF-8.
inline std::string compose_nfc(std::string_view text) {
    constexpr unsigned char lead_of_u0300 = 0xCC; // what lies below U+0300 neither combines nor changes
    if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < lead_of_u0300; }))
        return std::string(text);
    std::string out;
    out.reserve(text.size());
    detail::composer compose;
    std::size_t begin = 0; // of the stretch not written yet
    for (std::size_t at = 0; at < text.size();) {
        const character c = decode_utf8(text, at);
        if (detail::in_ranges(detail::never_composed, c.code)) {
            compose(text.substr(begin, at - begin), out);
            out.append(text, at, c.size);
            begin = at + c.size;
        }
        at += c.size;
    }
    compose(text.substr(begin), out);
    return out;
}

} // namespace bitlens
