#pragma once
/// method_words: the text of a quantization method, taken apart, "gptq3-g64-asym:damp=0.02,act_order=off".

#include "bitlens/core/error.hpp"
#include "bitlens/formats/quant_format.hpp"
#include "bitlens/report/visible_text.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bitlens {

/// What the text of every method of a kind begins with, "rtn3" say, and what may follow its group, in words. A kind
/// without bits (0) is the word alone, and is meant by where it lies.
struct method_usage {
    std::string_view word;
    std::size_t fewest_bits, most_bits;
    std::string_view more;
};

namespace detail {

/// Cuts text at every `separator`; the pieces may be empty.
inline std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> pieces;
    for (;;) {
        const auto end = text.find(separator);
        pieces.push_back(text.substr(0, end));
        if (end == text.npos) return pieces;
        text.remove_prefix(end + 1);
    }
}

/// A decimal number without sign, spaces or leading zeros; nothing else gives false.
inline bool read_number(std::string_view text, std::size_t& value) {
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    return problem == std::errc() && end == text.data() + text.size() && (text.size() == 1 || text[0] != '0');
}

} // namespace detail

/// The words of one text, each of which its kind takes once. Errors: option_error that names the text.
class method_words {
public:
    /// `text` is the method without its name, `whole` what errors show.
    method_words(std::string_view whole, std::string_view text, method_usage const& usage)
        : whole_(whole), usage_(usage) {
        const auto colon = text.find(':');
        flags_ = detail::split(text.substr(0, colon), '-');
        if (usage.most_bits == 0) {
            if (text != usage.word) refuse("'" + std::string(text) + "' is no method");
            flags_.clear();
            return;
        }
        read_bits(flags_[0]);
        if (flags_.size() < 2) refuse("the group is missing: -g32, -g64, -g128 or -row");
        read_group(flags_[1]);
        flags_.erase(flags_.begin(), flags_.begin() + 2);
        if (colon == text.npos) return;
        for (const std::string_view option : detail::split(text.substr(colon + 1), ',')) {
            const auto equals = option.find('=');
            if (equals == option.npos) refuse("the option '" + std::string(option) + "' has no '=' and no value");
            options_.emplace_back(option.substr(0, equals), option.substr(equals + 1));
        }
    }

    int bits() const noexcept { return bits_; }
    std::size_t group_size() const noexcept { return group_size_; } ///< 0: a whole row

    /// Whether "-word" is there.
    bool flag(std::string_view word) {
        return take(
                   flags_, word, [](auto const& f) { return f; }, "-")
            .has_value();
    }
    /// The value of option "name=on" or "name=off", or else `usual`.
    bool on_off(std::string_view name, bool usual) {
        const auto value = option(name);
        if (!value) return usual;
        if (*value != "on" && *value != "off") refuse_value(name, *value, "on or off");
        return *value == "on";
    }
    /// A number from `least` to `most`, or else `usual`.
    double number(std::string_view name, double usual, double least, double most) {
        const auto text = option(name);
        if (!text) return usual;
        double value = 0;
        const auto [end, problem] = std::from_chars(text->data(), text->data() + text->size(), value);
        if (problem != std::errc() || end != text->data() + text->size() || !(value >= least && value <= most))
            refuse_value(name, *text, "a number from " + number_text(least) + " to " + number_text(most));
        return value;
    }
    std::size_t whole_number(std::string_view name, std::size_t usual, std::size_t least, std::size_t most) {
        const auto text = option(name);
        if (!text) return usual;
        std::size_t value = 0;
        if (!detail::read_number(*text, value) || value < least || value > most)
            refuse_value(name, *text, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
        return value;
    }

    /// When the kind has taken what it knows: nothing may be left.
    void expect_none_left() const {
        if (!flags_.empty()) refuse("'-" + std::string(flags_[0]) + "' means nothing");
        if (!options_.empty()) refuse("there is no option '" + std::string(options_[0].first) + "'");
    }

    [[noreturn]] void refuse(std::string const& reason) const {
        throw option_error("method '" + visible_text(whole_) + "': " + visible_text(reason));
    }

    /// The shortest text that reads as this number.
    static std::string number_text(double value) {
        char text[32];
        const auto end = std::to_chars(text, text + sizeof text, value).ptr;
        return {text, end};
    }

private:
    void read_bits(std::string_view word) {
        std::size_t bits = 0;
        if (!detail::read_number(word.substr(usage_.word.size()), bits) || bits < usage_.fewest_bits ||
            bits > usage_.most_bits)
            refuse("'" + std::string(word) + "' has no number of bits from " + std::to_string(usage_.fewest_bits) +
                   " to " + std::to_string(usage_.most_bits));
        bits_ = static_cast<int>(bits);
    }
    void read_group(std::string_view word) {
        if (word == "row") return;
        if (!word.starts_with('g') || !detail::read_number(word.substr(1), group_size_) ||
            (group_size_ != 32 && group_size_ != 64 && group_size_ != 128))
            refuse("'-" + std::string(word) + "' is no group");
    }

    /// Takes the one entry of that key out of a list.
    template <class List, class Key>
    auto take(List& list, std::string_view key, Key const& key_of, char const* before)
        -> std::optional<typename List::value_type> {
        const auto is_it = [&](auto const& entry) { return key_of(entry) == key; };
        const auto found = std::ranges::find_if(list, is_it);
        if (found == list.end()) return std::nullopt;
        if (std::find_if(found + 1, list.end(), is_it) != list.end())
            refuse("'" + (before + std::string(key)) + "' stands twice");
        const auto entry = *found;
        list.erase(found);
        return entry;
    }
    std::optional<std::string_view> option(std::string_view name) {
        const auto entry = take(
            options_, name, [](auto const& o) { return o.first; }, "");
        return entry ? std::optional(entry->second) : std::nullopt;
    }
    [[noreturn]] void refuse_value(std::string_view name, std::string_view value, std::string const& expected) const {
        refuse("option " + std::string(name) + ": " + expected + " is expected, '" + std::string(value) +
               "' was found");
    }

    std::string_view whole_;
    method_usage const& usage_;
    int bits_ = 0;
    std::size_t group_size_ = 0;
    std::vector<std::string_view> flags_;
    std::vector<std::pair<std::string_view, std::string_view>> options_;
};

/// The options of a method that differ from what is usual, as text: ":damp=0.02,act_order=off", or nothing.
class option_texts {
public:
    option_texts& add(std::string_view name, bool value, bool usual) {
        if (value != usual) add(name, value ? "on" : "off");
        return *this;
    }
    option_texts& add(std::string_view name, double value, double usual) {
        if (value != usual) add(name, method_words::number_text(value));
        return *this;
    }
    option_texts& add(std::string_view name, std::size_t value, std::size_t usual) {
        if (value != usual) add(name, std::to_string(value));
        return *this;
    }
    std::string const& text() const noexcept { return text_; }

private:
    void add(std::string_view name, std::string const& value) {
        text_ += (text_.empty() ? ":" : ",") + std::string(name) + "=" + value;
    }
    std::string text_;
};

} // namespace bitlens
