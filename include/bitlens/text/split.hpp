#pragma once
/// How a tokenizer cuts text into the words that are merged apart from each other: one hand-written scanner per
/// pattern.
///
/// A backtracking regular expression overflows its stack, or its patience, on ten million spaces. These scanners look
/// at each character at most a constant number of times.

#include "bitlens/text/unicode.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// The rules that exist. A tokenizer applies a list of them, each to every piece of the one before.
enum class split_rule : std::uint8_t {
    single_digits, // every numeric character is a piece; what lies between is one, too
    gpt2,
    qwen2
};

/// A rule as files write it.
struct split_pattern {
    split_rule rule;
    std::string_view name;  // for people
    std::string_view regex; // empty for single_digits, which files name as a step `Digits`
};

inline constexpr std::array<split_pattern, 3> split_patterns{{
    {split_rule::single_digits, "single digits", ""},
    {split_rule::gpt2, "gpt2", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
    {split_rule::qwen2, "qwen2",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
}};

inline std::string_view name(split_rule rule) noexcept { return split_patterns[static_cast<std::size_t>(rule)].name; }

namespace detail {

/// One piece of valid UTF-8 text under a rule. Every `…_end` takes the start of something and returns where it ends.
class piece_scanner {
public:
    explicit piece_scanner(std::string_view text) noexcept : text_(text) {}

    /// End of the piece that begins at `at` < text size. Greater than `at`.
    std::size_t piece_end(split_rule rule, std::size_t at) const noexcept {
        switch (rule) {
        case split_rule::single_digits:
            return digit_or_rest_end(at);
        case split_rule::gpt2:
            return gpt2_end(at);
        case split_rule::qwen2:
            return qwen2_end(at);
        }
        return text_.size();
    }

private:
    std::size_t digit_or_rest_end(std::size_t at) const noexcept {
        const character first = decode_utf8(text_, at);
        if (is_numeric(first.code)) return at + first.size;
        while (at < text_.size()) {
            const character c = decode_utf8(text_, at);
            if (is_numeric(c.code)) break;
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

    std::size_t qwen2_end(std::size_t at) const noexcept {
        if (const std::size_t end = contraction_end(at, true); end != at) return end;
        const character first = decode_utf8(text_, at);
        const character_class kind = class_of(first.code);
        if (kind == character_class::letter) return run_end(kind, at);
        if (kind == character_class::number) return at + first.size;
        const std::size_t second = at + first.size; // any one character but a line end leads letters
        if (!is_line_end(text_[at]) && second < text_.size() && class_at(second) == character_class::letter)
            return run_end(character_class::letter, second);
        const std::size_t body = after_one_space(at);
        if (body < text_.size() && class_at(body) == character_class::other)
            return line_ends_end(run_end(character_class::other, body));
        const std::size_t last_line_end = text_.substr(0, run_end(character_class::space, at)).find_last_of("\r\n");
        if (last_line_end != std::string_view::npos && last_line_end >= at) return last_line_end + 1;
        return spaces_end(at);
    }

    /// 's 't 're 've 'm 'll 'd, or `at` where there is none. Without regard to case, ſ is an s, too.
    std::size_t contraction_end(std::size_t at, bool any_case) const noexcept {
        if (text_[at] != '\'') return at;
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

    std::size_t line_ends_end(std::size_t at) const noexcept {
        while (at < text_.size() && is_line_end(text_[at])) ++at;
        return at;
    }

    std::size_t after_one_space(std::size_t at) const noexcept { return text_[at] == ' ' ? at + 1 : at; }
    character_class class_at(std::size_t at) const noexcept { return class_of(decode_utf8(text_, at).code); }
    static bool is_line_end(char c) noexcept { return c == '\r' || c == '\n'; }

    std::string_view text_;
};

} // namespace detail

/// Calls on_word(std::string_view) for every word of `text`, in order: the pieces of the last rule within those of the
/// one before, and so on. No rule: the text is one word. An empty text has none. The text must be valid UTF-8.
template <class OnWord>
void for_each_word(std::span<const split_rule> rules, std::string_view text, OnWord&& on_word) {
    std::vector<std::string_view> open(rules.size() + 1); // [k]: what is left of the piece that rule k cuts
    open[0] = text;
    for (std::size_t k = 0;;) {
        if (open[k].empty()) {
            if (k == 0) return;
            --k;
        } else if (k == rules.size()) {
            on_word(std::exchange(open[k], {}));
        } else {
            const std::size_t end = detail::piece_scanner(open[k]).piece_end(rules[k], 0);
            open[k + 1] = open[k].substr(0, end);
            open[k].remove_prefix(end);
            ++k;
        }
    }
}

} // namespace bitlens
