#pragma once
/// Tokens that are found in the text as they are written, before any word is cut: `<|im_start|>` and its kin.

#include "bitlens/core/name_index.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
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
        std::int32_t id;
        bool special; // found only when asked for
    };

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
    /// `encode_special_tokens`. Time: bytes of the text × bytes of the longest token.
    template <class OnText, class OnToken>
    void cut(std::string_view text, bool special, OnText&& on_text, OnToken&& on_token) const {
        std::size_t begin = 0; // of the text not handed on yet
        for (std::size_t at = 0; at < text.size();) {
            token const* found = longest_at(text, at);
            if (!found) {
                ++at;
                continue;
            }
            if (special || !found->special) {
                if (begin < at) on_text(text.substr(begin, at - begin));
                on_token(found->id);
                begin = at + found->text.size();
            }
            at += found->text.size();
        }
        if (begin < text.size()) on_text(text.substr(begin));
    }

private:
    token const* longest_at(std::string_view text, std::size_t at) const noexcept {
        if (!begins_[static_cast<unsigned char>(text[at])]) return nullptr;
        token const* longest = nullptr;
        auto first = tokens_.begin(), last = tokens_.end(); // those that begin with the `depth` bytes at `at`
        for (std::size_t depth = 0; first != last && at + depth < text.size(); ++depth) {
            const unsigned next = static_cast<unsigned char>(text[at + depth]);
            const auto byte = [&](token const& t) {
                return depth < t.text.size() ? static_cast<unsigned char>(t.text[depth]) + 1u : 0u;
            };
            first = std::partition_point(first, last, [&](token const& t) { return byte(t) < next + 1u; });
            last = std::partition_point(first, last, [&](token const& t) { return byte(t) == next + 1u; });
            if (first != last && first->text.size() == depth + 1) longest = &*first; // the shortest comes first
        }
        return longest;
    }

    std::vector<token> tokens_; // by rising text
    std::array<bool, 256> begins_{};
};

} // namespace bitlens
