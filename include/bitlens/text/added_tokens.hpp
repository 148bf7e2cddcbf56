#pragma once
/// Tokens that are found in the text as they are written, before any word is cut: `<|im_start|>` and its kin.

#include "bitlens/core/name_index.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/text/unicode.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// Finds added tokens: the leftmost first, and of those that begin at the same place the longest.
class added_token_finder {
public:
    struct token {
        std::string text; // not empty
        std::int32_t id = 0;
        bool special = false;     // found only when asked for
        bool strips_left = false; // takes the white space before it
        bool strips_right = false;
        bool single_word = false; // found only where neither neighbour is of a word
    };
    static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

    added_token_finder() = default;
    explicit added_token_finder(std::vector<token> tokens) {
        name_index by_text;
        for (std::size_t i = 0; i < tokens.size(); ++i) by_text.add(tokens[i].text, i);
        by_text.sort();
        tokens_.reserve(tokens.size());
        for (auto const& [text, place] : by_text.entries()) {
            begins_[static_cast<unsigned char>(text[0])] = true;
            tokens_.push_back(std::move(tokens[place]));
        }
    }

    /// Calls on_text(std::string_view) and on_token(id) for what the text consists of, in order. Without `special`, the
    /// text of a special token is text; it still hides tokens that overlap it, as in Hugging Face with
    /// `encode_special_tokens`. So does one that is refused as no single word. Time: bytes of the text × bytes of the
    /// longest token.
    template <class OnText, class OnToken>
    void cut(std::string_view text, bool special, OnText&& on_text, OnToken&& on_token) const {
        std::size_t begin = 0; // of the text not handed on yet
        for (std::size_t at = 0; at < text.size();) {
            const std::size_t place = longest_at(text, at);
            if (place == none) {
                ++at;
                continue;
            }
            token const& found = tokens_[place];
            const std::size_t end = at + found.text.size();
            if ((special || !found.special) && !(found.single_word && touches_word(text, at, end))) {
                const std::size_t left = found.strips_left ? spaces_begin(text, begin, at) : at;
                if (begin < left) on_text(text.substr(begin, left - begin));
                on_token(found.id);
                begin = !found.strips_right ? end : begin > end ? begin : spaces_end(text, end);
            }
            at = end;
        }
        if (begin < text.size()) on_text(text.substr(begin));
    }

    /// The longest token whose text stands at byte `at`, or none.
    std::size_t longest_at(std::string_view text, std::size_t at) const noexcept {
        if (!begins_[static_cast<unsigned char>(text[at])]) return none;
        std::size_t longest = none;
        auto first = tokens_.begin(), last = tokens_.end(); // those that begin with the `depth` bytes at `at`
        for (std::size_t depth = 0; first != last && at + depth < text.size(); ++depth) {
            const unsigned next = static_cast<unsigned char>(text[at + depth]);
            const auto byte = [&](token const& t) {
                return depth < t.text.size() ? static_cast<unsigned char>(t.text[depth]) + 1u : 0u;
            };
            first = std::partition_point(first, last, [&](token const& t) { return byte(t) < next + 1u; });
            last = std::partition_point(first, last, [&](token const& t) { return byte(t) == next + 1u; });
            if (first != last && first->text.size() == depth + 1) // the shortest comes first
                longest = static_cast<std::size_t>(first - tokens_.begin());
        }
        return longest;
    }

    token const& operator[](std::size_t place) const noexcept { return tokens_[place]; }

private:
    static std::size_t character_begin(std::string_view text, std::size_t end) noexcept {
        std::size_t begin = end - 1;
        while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
        return begin;
    }

    static bool touches_word(std::string_view text, std::size_t begin, std::size_t end) noexcept {
        return (begin > 0 && is_of_word(decode_utf8(text, character_begin(text, begin)).code)) ||
               (end < text.size() && is_of_word(decode_utf8(text, end).code));
    }

    /// Where the white space that ends at `end` begins, not before `from`.
    static std::size_t spaces_begin(std::string_view text, std::size_t from, std::size_t end) noexcept {
        while (end > from) {
            const std::size_t begin = character_begin(text, end);
            if (class_of(decode_utf8(text, begin).code) != character_class::space) break;
            end = begin;
        }
        return std::max(end, from);
    }

    static std::size_t spaces_end(std::string_view text, std::size_t at) noexcept {
        while (at < text.size()) {
            const character c = decode_utf8(text, at);
            if (class_of(c.code) != character_class::space) break;
            at += c.size;
        }
        return at;
    }

    std::vector<token> tokens_; // by rising text
    std::array<bool, 256> begins_{};
};

} // namespace bitlens
