#pragma once
/// module_pattern: a regular expression of module names, as descriptions of quantized weights hold them, that no
/// pattern can make slow.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"

#include <algorithm>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// What Python's re.match takes: characters and sets of them, groups, |, * + ? {m,n} (lazy too), ^ $ \b and looks
/// ahead. A name matches where a beginning of it does. All ways through the expression are followed side by side, and
/// what a look ahead finds is worked out for every place of the name at once: time is in proportion to the length of
/// the name times size().
/// Errors at construction: format_error for what is none of these, or too long.
class module_pattern {
public:
    module_pattern(std::string_view text, std::string const& who) : text_(text), who_(who + ": pattern ") {
        if (text.size() > most_steps) refuse("is too long");
        steps_ = alternatives(0);
        if (at_ != text_.size()) refuse("has a ) too many");
        steps_.push_back({step::done});
        require_room(steps_.size());
    }

    bool matches(std::string_view name) const {
        found_ahead found;
        for (steps const& look : looks_) found.push_back(found_at_each_place(look, name, found));
        return runs(name, found);
    }
    /// Steps that it consists of.
    std::size_t size() const noexcept { return look_steps_ + steps_.size(); }

private:
    static constexpr std::size_t most_steps = 2000, deepest = 20;
    struct step {
        enum kind : std::uint8_t { one_of, either, jump, begin, end, boundary, no_boundary, ahead, not_ahead, done };
        kind what;
        std::int32_t next = 1, other = 1; // from here
        std::uint32_t place = 0;          // `one_of`: in sets_; `ahead`, `not_ahead`: in looks_
    };
    using steps = std::vector<step>;
    /// Of each look, whether it finds what it looks for at a place of the name; the last place is its end.
    using found_ahead = std::vector<std::vector<bool>>;

    [[noreturn]] void refuse(std::string const& why) const { throw format_error(who_ + in_quotes(text_) + " " + why); }
    static std::int32_t length(steps const& s) { return static_cast<std::int32_t>(s.size()); }

    bool is_next(std::string_view word) const { return std::string_view(text_).substr(at_).starts_with(word); }
    bool take(std::string_view word) {
        if (!is_next(word)) return false;
        at_ += word.size();
        return true;
    }
    char next_char() {
        if (at_ == text_.size()) refuse("ends too early");
        return text_[at_++];
    }
    void require_room(std::size_t count) const {
        if (look_steps_ + count > most_steps) refuse("is too long");
    }
    void append(steps& to, steps const& more) const {
        require_room(to.size() + more.size());
        to.insert(to.end(), more.begin(), more.end());
    }

    steps alternatives(std::size_t depth) {
        if (depth > deepest) refuse("is nested too deeply");
        steps all = sequence(depth);
        while (take("|")) {
            const steps other = sequence(depth);
            all.insert(all.begin(), {step::either, 1, length(all) + 2});
            all.push_back({step::jump, length(other) + 1});
            append(all, other);
        }
        return all;
    }
    steps sequence(std::size_t depth) {
        steps all;
        while (at_ != text_.size() && !is_next("|") && !is_next(")")) append(all, repeated(atom(depth)));
        return all;
    }

    steps atom(std::size_t depth) {
        if (take("(")) {
            std::optional<step::kind> look;
            if (take("?="))
                look = step::ahead;
            else if (take("?!"))
                look = step::not_ahead;
            else if (!take("?:") && is_next("?"))
                refuse("holds a group of a kind that is not read");
            steps inner = alternatives(depth + 1);
            if (!take(")")) refuse("lacks a )");
            if (!look) return inner;
            inner.push_back({step::done});
            require_room(inner.size());
            look_steps_ += inner.size();
            looks_.push_back(std::move(inner));
            return {{*look, 1, 1, static_cast<std::uint32_t>(looks_.size() - 1)}};
        }
        if (take("^") || take("\\A")) return {{step::begin}};
        if (take("$") || take("\\Z")) return {{step::end}};
        if (take("\\b")) return {{step::boundary}};
        if (take("\\B")) return {{step::no_boundary}};
        std::bitset<256> set;
        if (take("[")) {
            const bool is_outside = take("^");
            for (bool is_first = true; is_first || !is_next("]"); is_first = false) add_range(set);
            ++at_;
            if (is_outside) set.flip();
        } else if (take(".")) {
            set.set().reset('\n');
        } else if (is_next("*") || is_next("+") || is_next("?")) {
            refuse("repeats nothing");
        } else {
            add_character(set);
        }
        sets_.push_back(set);
        return {{step::one_of, 1, 1, static_cast<std::uint32_t>(sets_.size() - 1)}};
    }
    /// Adds a character, or what a \ stands for.   Returns the character, nothing for a class of them.
    std::optional<unsigned char> add_character(std::bitset<256>& set) {
        char c = next_char();
        if (c == '\\') {
            c = next_char();
            if (const auto named = class_of(c)) {
                set |= *named;
                return std::nullopt;
            }
            if (c == 'n' || c == 't')
                c = c == 'n' ? '\n' : '\t';
            else if (is_word(static_cast<unsigned char>(c)) && c != '_')
                refuse("holds \\" + std::string(1, c) + ", which is not read");
        }
        set.set(static_cast<unsigned char>(c));
        return static_cast<unsigned char>(c);
    }
    void add_range(std::bitset<256>& set) {
        const auto first = add_character(set);
        if (!is_next("-") || std::string_view(text_).substr(at_).starts_with("-]")) return;
        ++at_;
        const auto last = add_character(set);
        if (!first || !last || *last < *first) refuse("holds a range that is none");
        for (unsigned c = *first; c <= *last; ++c) set.set(c);
    }
    static bool is_word(unsigned char c) noexcept {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    }
    static std::optional<std::bitset<256>> class_of(char letter) {
        std::bitset<256> set;
        const char small = static_cast<char>(letter | 0x20);
        for (unsigned c = 0; c < 256; ++c) {
            const auto byte = static_cast<unsigned char>(c);
            if (small == 'd')
                set[c] = byte >= '0' && byte <= '9';
            else if (small == 'w')
                set[c] = is_word(byte);
            else if (small == 's')
                set[c] = byte == ' ' || (byte >= '\t' && byte <= '\r');
            else
                return std::nullopt;
        }
        return letter == small ? set : set.flip();
    }

    steps repeated(steps const& one) {
        steps all;
        if (take("*")) {
            all = any_number(one);
        } else if (take("+")) {
            all = one;
            append(all, any_number(one));
        } else if (take("?")) {
            all = optional(one);
        } else if (const auto counts = take_counts()) {
            for (std::size_t i = 0; i < counts->first; ++i) append(all, one);
            if (!counts->second)
                append(all, any_number(one));
            else
                for (std::size_t i = counts->first; i < *counts->second; ++i) append(all, optional(one));
        } else {
            return one;
        }
        take("?"); // lazy: the same names match
        if (is_next("*") || is_next("+") || is_next("?") || take_counts()) refuse("repeats a repetition");
        return all;
    }
    steps any_number(steps const& one) const {
        steps all{{step::either, 1, length(one) + 2}};
        append(all, one);
        all.push_back({step::jump, -length(all)});
        return all;
    }
    steps optional(steps const& one) const {
        steps all{{step::either, 1, length(one) + 1}};
        append(all, one);
        return all;
    }
    /// {m}, {m,}, {,n}, {m,n}; another { is a character.
    std::optional<std::pair<std::size_t, std::optional<std::size_t>>> take_counts() {
        const std::size_t from = at_;
        const auto number = [&]() -> std::optional<std::size_t> {
            std::optional<std::size_t> n;
            for (; at_ != text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
                n = std::min(most_steps, n.value_or(0) * 10 + static_cast<std::size_t>(text_[at_] - '0'));
            return n;
        };
        if (take("{")) {
            const auto least = number();
            const bool is_range = take(",");
            const auto most = is_range ? number() : least;
            if ((least || most) && take("}")) {
                if (most && *most < least.value_or(0)) refuse("holds a range that is none");
                return std::pair(least.value_or(0), most);
            }
        }
        at_ = from;
        return std::nullopt;
    }

    /// Whether a step that takes no character lets through at a place.
    static bool passes(step const& s, std::string_view name, std::size_t at, found_ahead const& found) {
        const auto is_word_at = [&](std::size_t k) {
            return k < name.size() && is_word(static_cast<unsigned char>(name[k]));
        };
        switch (s.what) {
        case step::begin:
            return at == 0;
        case step::end:
            return at == name.size();
        case step::boundary:
        case step::no_boundary:
            return ((at > 0 && is_word_at(at - 1)) != is_word_at(at)) == (s.what == step::boundary);
        case step::ahead:
        case step::not_ahead:
            return found[s.place][at] == (s.what == step::ahead);
        default:
            return true;
        }
    }
    bool is_next_one(step const& s, std::string_view name, std::size_t at) const {
        return at < name.size() && sets_[s.place][static_cast<unsigned char>(name[at])];
    }
    static std::size_t moved(std::size_t i, std::int32_t by) {
        return static_cast<std::size_t>(static_cast<std::ptrdiff_t>(i) + by);
    }

    /// Whether the steps reach their end on what the name begins with.
    bool runs(std::string_view name, found_ahead const& found) const {
        std::vector<std::size_t> here{0}, next;
        std::vector<std::size_t> seen_at(steps_.size(), name.size() + 1);
        for (std::size_t at = 0; !here.empty(); ++at) {
            next.clear();
            while (!here.empty()) {
                const std::size_t i = here.back();
                here.pop_back();
                if (seen_at[i] == at) continue;
                seen_at[i] = at;
                step const& s = steps_[i];
                if (s.what == step::done) return true;
                if (s.what == step::one_of) {
                    if (is_next_one(s, name, at)) next.push_back(i + 1);
                    continue;
                }
                if (s.what == step::either) here.push_back(moved(i, s.other));
                if (passes(s, name, at, found)) here.push_back(moved(i, s.next));
            }
            std::swap(here, next);
        }
        return false;
    }

    /// The same from each place on, from the last one to the first. `found` has all looks within this one.
    std::vector<bool> found_at_each_place(steps const& look, std::string_view name, found_ahead const& found) const {
        std::vector<bool> all(name.size() + 1), after(look.size()), here(look.size()); // `after` a character
        for (std::size_t at = name.size() + 1; at-- > 0;) {
            here.assign(look.size(), false);
            for (bool is_new = true; is_new;) { // steps back need another round
                is_new = false;
                for (std::size_t i = look.size(); i-- > 0;) {
                    step const& s = look[i];
                    if (here[i]) continue;
                    if (s.what == step::one_of)
                        here[i] = is_next_one(s, name, at) && after[i + 1];
                    else
                        here[i] = s.what == step::done || (s.what == step::either && here[moved(i, s.other)]) ||
                                  (here[moved(i, s.next)] && passes(s, name, at, found));
                    is_new = is_new || here[i];
                }
            }
            all[at] = here[0];
            std::swap(here, after);
        }
        return all;
    }

    std::string text_, who_;
    std::size_t at_ = 0; // what is to be read of text_
    std::size_t look_steps_ = 0;
    std::vector<std::bitset<256>> sets_;
    std::vector<steps> looks_; // each after those within it
    steps steps_;
};

} // namespace bitlens
