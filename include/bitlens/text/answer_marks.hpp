#pragma once
/// Whether a generated text answers a question: the two marks, containment and equality after normalisation.

#include "bitlens/core/utf8.hpp"
#include "bitlens/text/case_mapping.hpp"
#include "bitlens/text/unicode.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace bitlens {

/// What counts of a generated text: its first line without the line feed. Two line feeds at its start are taken away
/// first; of a text that begins with one alone nothing counts. White space stays.
/// Source: run_model.py of Mallen et al. 2023 (PopQA).
inline std::string_view first_line(std::string_view generated) {
    if (generated.starts_with("\n\n")) generated.remove_prefix(2);
    return generated.substr(0, generated.find('\n'));
}

/// Whether more of a text that is still generated would leave its first line as it is.
inline bool has_first_line(std::string_view generated) noexcept {
    if (generated == "\n") return false; // a second one would be taken away with it
    if (generated.starts_with("\n\n")) generated.remove_prefix(2);
    return generated.find('\n') != generated.npos;
}

/// Whether one of the answers, or it in small letters, or with a capital and then small letters, stands anywhere in the
/// text, even within a word. The text is taken as it was generated.
/// Source: the same, where it is called exact match; Python's str.lower and str.capitalize, see case_mapping.hpp.
inline bool contains_answer(std::string_view text, std::span<const std::string> answers) {
    const auto holds = [&](std::string_view answer) { return text.find(answer) != text.npos; };
    return std::ranges::any_of(answers, [&](std::string const& answer) {
        return holds(answer) || holds(lower_case(answer)) || holds(capitalized(answer));
    });
}

namespace detail {

/// Without the 32 signs of ASCII that Python calls punctuation.
inline std::string without_punctuation(std::string text) {
    std::erase_if(text, [](char c) {
        return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
    });
    return text;
}

/// What Python's str.split() splits at: white space of Unicode, and the separators U+001C to U+001F.
inline bool splits_words(char32_t code) noexcept {
    return class_of(code) == character_class::space || (code >= 0x1C && code <= 0x1F);
}

/// Words with one space between them; with `drops_articles` without those that are a, an or the. A word ends at white
/// space, an article at whatever is neither letter nor number.
inline std::string collapsed(std::string_view text, bool drops_articles) {
    std::string out;
    bool is_space_due = false;
    const auto put = [&](std::string_view part) {
        if (is_space_due && !out.empty()) out += ' ';
        is_space_due = false;
        out += part;
    };
    for (std::size_t at = 0; at < text.size();) {
        std::size_t end = at;
        character c{};
        const auto is_of_run = [&] {
            c = decode_utf8(text, end);
            return class_of(c.code) == character_class::letter || class_of(c.code) == character_class::number;
        };
        while (end < text.size() && is_of_run()) end += c.size;
        const std::string_view run = text.substr(at, end - at);
        if (drops_articles && (run == "a" || run == "an" || run == "the"))
            is_space_due = true;
        else if (!run.empty())
            put(run);
        if (end < text.size()) {
            if (splits_words(c.code))
                is_space_due = true;
            else
                put(text.substr(end, c.size));
            end += c.size;
        }
        at = end;
    }
    return out;
}

} // namespace detail

/// The text as SQuAD compares it: in small letters, without punctuation of ASCII, without the articles a, an and the,
/// with one space between words.   Source: evaluate-v1.1.py of Rajpurkar et al. 2016, normalize_answer.
inline std::string normalized_answer(std::string_view text) {
    return detail::collapsed(detail::without_punctuation(lower_case(text)), true);
}

/// Whether the text and one of the answers are equal once both are normalised. Of an answer that is then empty ("The
/// The", "!!!") only case and white space are set aside, so that a text of nothing does not match it.
inline bool matches_answer(std::string_view text, std::span<const std::string> answers) {
    const std::string found = normalized_answer(text);
    const auto as_written = [](std::string_view t) { return detail::collapsed(lower_case(t), false); };
    return std::ranges::any_of(answers, [&](std::string const& answer) {
        const std::string expected = normalized_answer(answer);
        return expected.empty() ? as_written(text) == as_written(answer) : found == expected;
    });
}

} // namespace bitlens
