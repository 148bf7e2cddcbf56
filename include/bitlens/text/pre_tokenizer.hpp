#pragma once
/// How a tokenizer cuts a text into the words that are merged apart from each other: a list of steps, each applied to
/// every piece that the one before made.

#include "bitlens/core/utf8.hpp"
#include "bitlens/text/normalizer.hpp"
#include "bitlens/text/split.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace bitlens {

namespace pre_tokenizer {

/// What becomes of the occurrences of a text where it cuts.
enum class occurrence : std::uint8_t { isolated, removed, with_previous, with_next };
struct split_at {
    std::string text; // not empty
    occurrence becomes;
};

/// U+0020 → mark; the mark also before a piece that does not begin with it, and each mark begins a piece where
/// `splits`.
enum class prefix : std::uint8_t { always, first, never }; // first: before the piece that begins the text
struct metaspace {
    std::string mark;
    prefix before;
    bool splits;
};

struct leading_space {}; // U+0020 before a piece that does not begin with it

using step = std::variant<split_rule, split_at, metaspace, leading_space>;

namespace detail {
inline std::string name_of(split_rule rule) { return std::string(bitlens::name(rule)); }
inline std::string name_of(split_at const& s) { return in_quotes(s.text); }
inline std::string name_of(metaspace const& s) {
    return s.mark + " for spaces" +
           (s.before == prefix::always  ? " and before each piece"
            : s.before == prefix::first ? " and before the text"
                                        : "");
}
inline std::string name_of(leading_space) { return "a space before"; }
} // namespace detail

/// For people.
inline std::string name(step const& s) {
    return std::visit([](auto const& kind) { return detail::name_of(kind); }, s);
}

} // namespace pre_tokenizer

namespace detail {

/// One text on its way through the steps. What a step rewrites stays in `rewritten`.
template <class OnWord>
class word_cutter {
public:
    word_cutter(std::span<const pre_tokenizer::step> steps, std::forward_list<std::string>& rewritten, OnWord& on_word)
        : steps_(steps), rewritten_(rewritten), on_word_(on_word) {}

    void cut(std::size_t step, std::string_view piece, bool first) {
        if (piece.empty()) return;
        if (step == steps_.size()) return on_word_(piece);
        std::visit([&](auto const& s) { apply(s, step + 1, piece, first); }, steps_[step]);
    }

private:
    void apply(split_rule rule, std::size_t next, std::string_view piece, bool first) {
        const piece_scanner scan(piece);
        for (std::size_t begin = 0; begin < piece.size();) {
            const std::size_t end = scan.piece_end(rule, begin);
            cut(next, piece.substr(begin, end - begin), first && begin == 0);
            begin = end;
        }
    }

    void apply(pre_tokenizer::split_at const& s, std::size_t next, std::string_view piece, bool first) {
        using pre_tokenizer::occurrence;
        std::size_t begin = 0; // of what is not handed on yet
        const auto hand_on = [&](std::size_t end) {
            cut(next, piece.substr(begin, end - begin), first && begin == 0);
            begin = end;
        };
        std::size_t at = 0, after = 0; // an occurrence
        while ((at = s.text.empty() ? std::string_view::npos : piece.find(s.text, after)) != std::string_view::npos) {
            after = at + s.text.size();
            if (s.becomes != occurrence::with_previous) hand_on(at);
            if (s.becomes == occurrence::removed) begin = after;
            if (s.becomes == occurrence::isolated || s.becomes == occurrence::with_previous) hand_on(after);
        }
        hand_on(piece.size());
    }

    void apply(pre_tokenizer::metaspace const& s, std::size_t next, std::string_view piece, bool first) {
        using pre_tokenizer::prefix;
        const std::array<normalizer::step, 1> mark{normalizer::replace{" ", s.mark}};
        std::string& text = rewritten_.emplace_front(normalize(mark, piece));
        if ((s.before == prefix::always || (s.before == prefix::first && first)) && !text.starts_with(s.mark))
            text.insert(0, s.mark);
        if (s.splits)
            apply(pre_tokenizer::split_at{s.mark, pre_tokenizer::occurrence::with_next}, next, text, first);
        else
            cut(next, text, first);
    }

    void apply(pre_tokenizer::leading_space, std::size_t next, std::string_view piece, bool first) {
        if (!piece.starts_with(' ')) piece = rewritten_.emplace_front(" " + std::string(piece));
        cut(next, piece, first);
    }

    std::span<const pre_tokenizer::step> steps_;
    std::forward_list<std::string>& rewritten_;
    OnWord& on_word_;
};

} // namespace detail

/// Calls on_word(std::string_view) for every word of `text`, in order. No step: the text is one word. An empty text has
/// none. `first`: nothing stands before the text. Words may lie in `rewritten`, which the call adds to and whose
/// strings stay where they are. The text must be valid UTF-8.
template <class OnWord>
void for_each_word(std::span<const pre_tokenizer::step> steps, std::string_view text, bool first,
                   std::forward_list<std::string>& rewritten, OnWord&& on_word) {
    detail::word_cutter<OnWord>(steps, rewritten, on_word).cut(0, text, first);
}

} // namespace bitlens
