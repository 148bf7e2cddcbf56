#pragma once
/// How a tokenizer cuts text into the words that are merged apart from each other: one hand-written scanner per
/// pattern.
///
/// A backtracking regular expression overflows its stack, or its patience, on ten million spaces. These scanners look
/// at each character at most a constant number of times.

#include "bitlens/core/error.hpp"
#include "bitlens/text/unicode.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitlens {

/// The rules that exist.
enum class split_rule : std::uint8_t {
    single_digits, // every numeric character is a piece; what lies between is one, too
    digit_runs,    // numeric characters side by side are a piece; what lies between is one, too
    gpt2,          // GPT-2, OLMo
    llama3,        // Llama 3, OLMo 2; cl100k
    qwen2,         // Qwen2 to Qwen3
    tekken,        // Mistral Nemo and later
    o200k
};

/// A rule as files write it.
struct split_pattern {
    split_rule rule;
    std::string_view name;  // for people
    std::string_view regex; // empty for digits, which files name as a step `Digits`
};

inline constexpr std::array<split_pattern, 7> split_patterns{{
    {split_rule::single_digits, "single digits", ""},
    {split_rule::digit_runs, "runs of digits", ""},
    {split_rule::gpt2, "gpt2", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
    {split_rule::llama3, "llama3",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {split_rule::qwen2, "qwen2",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {split_rule::tekken, "tekken",
     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {split_rule::o200k, "o200k",
     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
}};

inline std::string_view name(split_rule rule) noexcept { return split_patterns[static_cast<std::size_t>(rule)].name; }

/// The rule that a regular expression writes. Errors: option_error with the expression and those that are known.
inline split_rule find_split_rule(std::string_view regex) {
    std::string known;
    for (split_pattern const& p : split_patterns) {
        if (p.regex.empty()) continue;
        if (p.regex == regex) return p.rule;
        known += "\n  " + std::string(p.name) + ": " + std::string(p.regex);
    }
    constexpr std::size_t longest = 2000;
    throw option_error("the pattern\n  " + std::string(regex.substr(0, longest)) +
                       "\nis not known; known are:" + known);
}

namespace detail {

/// One piece of valid UTF-8 text under a rule. Every `…_end` takes the start of something and returns where it ends.
class piece_scanner {
public:
    explicit piece_scanner(std::string_view text) noexcept : text_(text) {}

    /// End of the piece that begins at `at` < text size. Greater than `at`.
    std::size_t piece_end(split_rule rule, std::size_t at) const noexcept {
        switch (rule) {
        case split_rule::single_digits:
            if (const character first = decode_utf8(text_, at); is_numeric(first.code)) return at + first.size;
            return numeric_run_end(at, false);
        case split_rule::digit_runs:
            return numeric_run_end(at, is_numeric(decode_utf8(text_, at).code));
        case split_rule::gpt2:
            return gpt2_end(at);
        case split_rule::llama3:
            return letters_in_any_case_end(at, 3);
        case split_rule::qwen2:
            return letters_in_any_case_end(at, 1);
        case split_rule::tekken:
            return letters_by_case_end(at, 1, false);
        case split_rule::o200k:
            return letters_by_case_end(at, 3, true);
        }
        return text_.size();
    }

private:
    std::size_t numeric_run_end(std::size_t at, bool numeric) const noexcept {
        while (at < text_.size()) {
            const character c = decode_utf8(text_, at);
            if (is_numeric(c.code) != numeric) break;
            at += c.size;
        }
        return at;
    }

    std::size_t gpt2_end(std::size_t at) const noexcept {
        if (const std::size_t end = contraction_end(at, false); end != at) return end;
        const std::size_t body = after_one_space(at);
        if (body < text_.size()) {
            const character_class kind = class_at(body);
            if (kind != character_class::space) return run_end(kind, body);
        }
        return spaces_end(at);
    }

    /// llama3 and qwen2: a contraction, or letters with any one character but a line end before them, or what follows.
    std::size_t letters_in_any_case_end(std::size_t at, std::size_t most_numbers) const noexcept {
        if (const std::size_t end = contraction_end(at, true); end != at) return end;
        const character first = decode_utf8(text_, at);
        const character_class kind = class_of(first.code);
        if (kind == character_class::letter) return run_end(kind, at);
        if (kind == character_class::number) return numbers_end(at, most_numbers);
        const std::size_t second = at + first.size;
        if (!is_line_end(text_[at]) && second < text_.size() && class_at(second) == character_class::letter)
            return run_end(character_class::letter, second);
        return signs_or_spaces_end(at, false);
    }

    /// tekken and o200k: capitals and then small letters, where letters without case and marks are both; the same
    /// character may lead; a contraction may follow.
    std::size_t letters_by_case_end(std::size_t at, std::size_t most_numbers, bool contractions) const noexcept {
        const character first = decode_utf8(text_, at);
        const character_class kind = class_of(first.code);
        if (kind == character_class::number) return numbers_end(at, most_numbers);
        const bool may_lead = kind != character_class::letter && !is_line_end(text_[at]);
        const std::size_t end = cased_run_end(at, may_lead ? at + first.size : at);
        if (end != at) return contractions ? contraction_end(end, true) : end;
        return signs_or_spaces_end(at, true);
    }

    /// End of the capitals and small letters that begin at `begin`, or at `at` before it where that is a mark; `at`
    /// where there are none. As a regular expression backtracks: first all that may be capitals, then at least one that
    /// may be small; to have one, capitals are given back; if none of them may be small, capitals alone will do.
    std::size_t cased_run_end(std::size_t at, std::size_t begin) const noexcept {
        std::size_t end = begin, last_either = begin; // end of the last character that may be both
        letter_case kind = letter_case::none;
        while (end < text_.size()) {
            const character c = decode_utf8(text_, end);
            kind = case_of(c.code);
            if (kind != letter_case::upper && kind != letter_case::either) break;
            end += c.size;
            if (kind == letter_case::either) last_either = end;
        }
        if (end < text_.size() && kind == letter_case::lower) return small_letters_end(end);
        if (last_either > begin) return last_either;
        if (begin > at && case_of(decode_utf8(text_, at).code) == letter_case::either) return begin;
        return end > begin ? end : at;
    }

    std::size_t small_letters_end(std::size_t at) const noexcept {
        while (at < text_.size()) {
            const character c = decode_utf8(text_, at);
            const letter_case kind = case_of(c.code);
            if (kind != letter_case::lower && kind != letter_case::either) break;
            at += c.size;
        }
        return at;
    }

    std::size_t numbers_end(std::size_t at, std::size_t most) const noexcept {
        for (; most > 0 && at < text_.size(); --most) {
            const character c = decode_utf8(text_, at);
            if (class_of(c.code) != character_class::number) break;
            at += c.size;
        }
        return at;
    }

    /// Signs, one space before them and line ends (and slashes) after them; or white space up to its last line end; or
    /// other white space.
    std::size_t signs_or_spaces_end(std::size_t at, bool slashes) const noexcept {
        const std::size_t body = after_one_space(at);
        if (body < text_.size() && class_at(body) == character_class::other) {
            std::size_t end = run_end(character_class::other, body);
            while (end < text_.size() && (is_line_end(text_[end]) || (slashes && text_[end] == '/'))) ++end;
            return end;
        }
        const std::string_view blank = text_.substr(at, run_end(character_class::space, at) - at);
        if (const std::size_t last = blank.find_last_of("\r\n"); last != std::string_view::npos) return at + last + 1;
        return spaces_end(at);
    }

    /// 's 't 're 've 'm 'll 'd, or `at` where there is none. Without regard to case, ſ is an s, too.
    std::size_t contraction_end(std::size_t at, bool any_case) const noexcept {
        if (at == text_.size() || text_[at] != '\'') return at;
        const auto letter = [&](std::size_t i) {
            const char c = i < text_.size() ? text_[i] : '\0';
            return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        };
        const char first = letter(at + 1), second = letter(at + 2);
        if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
        if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l'))
            return at + 3;
        if (any_case && text_.substr(at + 1).starts_with("\u017F")) return at + 3;
        return at;
    }

    /// Spaces but the last of them, which belongs to the next word, where there is a next word and more than one space.
    std::size_t spaces_end(std::size_t at) const noexcept {
        const std::size_t end = run_end(character_class::space, at);
        if (end == text_.size()) return end;
        std::size_t last = end - 1;
        while ((static_cast<unsigned char>(text_[last]) & 0xC0) == 0x80) --last;
        return last == at ? end : last;
    }

    std::size_t run_end(character_class kind, std::size_t at) const noexcept {
        while (at < text_.size()) {
            const character c = decode_utf8(text_, at);
            if (class_of(c.code) != kind) break;
            at += c.size;
        }
        return at;
    }

    std::size_t after_one_space(std::size_t at) const noexcept { return text_[at] == ' ' ? at + 1 : at; }
    character_class class_at(std::size_t at) const noexcept { return class_of(decode_utf8(text_, at).code); }
    static bool is_line_end(char c) noexcept { return c == '\r' || c == '\n'; }

    std::string_view text_;
};

} // namespace detail

} // namespace bitlens
