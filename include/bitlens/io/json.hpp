#pragma once
/// The one door to nlohmann-json: parsing of foreign JSON with limits, and typed access whose errors name file and key.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/foreign_file.hpp"
#include "bitlens/io/mapped_file.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitlens {

/// JSON with the keys of an object sorted; what parse_json returns.
using json = nlohmann::json;
/// JSON with keys in the order of insertion, to write with.
using ordered_json = nlohmann::ordered_json;

/// Deepest nesting of arrays and objects that parse_json accepts.
inline constexpr std::size_t deepest_json = 64;

namespace detail {

/// Builds the value while the text is read, so that duplicate keys are refused where they occur, and too deep a
/// nesting.
class json_builder final : public nlohmann::json_sax<json> {
public:
    /// `first`: place of the text's first byte in what `who` names.
    json_builder(std::string_view who, std::size_t first) : who_(who), first_(first) {}
    json result;

    bool null() override { return add(json()); }
    bool boolean(bool value) override { return add(json(value)); }
    bool number_integer(number_integer_t value) override { return add(json(value)); }
    bool number_unsigned(number_unsigned_t value) override { return add(json(value)); }
    bool number_float(number_float_t value, string_t const&) override { return add(json(value)); }
    bool string(string_t& value) override { return add(json(std::move(value))); }
    bool binary(binary_t&) override { fail("binary values are no JSON"); }
    bool start_object(std::size_t) override { return open(json(json::value_t::object)); }
    bool start_array(std::size_t) override { return open(json(json::value_t::array)); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool key(string_t& name) override {
        const auto [member, is_new] = open_.back()->get_ptr<json::object_t*>()->emplace(std::move(name), json());
        if (!is_new) fail("the key " + in_quotes(member->first) + " occurs twice in one object");
        value_of_key_ = &member->second;
        return true;
    }
    bool parse_error(std::size_t position, std::string const&, nlohmann::json::exception const& e) override {
        std::string reason = e.what(); // "[json.exception.parse_error.101] parse error at line 1, column 2: …"
        if (const auto end = reason.find("] "); end != std::string::npos) reason.erase(0, end + 2);
        // In the first line the column is the byte, which is said already; and `who` may name another line.
        if (reason.starts_with("parse error at line 1,")) reason.erase(0, reason.find(": ") + 2);
        if (reason.size() > longest_reason) reason.resize(longest_reason); // it may quote a string of any length
        reason.resize(valid_utf8_length(reason));
        fail("no valid JSON at byte " + std::to_string(first_ + position) + ": " + reason);
    }

private:
    static constexpr std::size_t longest_reason = 300;

    [[noreturn]] void fail(std::string const& reason) const { throw format_error(std::string(who_) + ": " + reason); }
    json& place(json&& value) {
        if (open_.empty()) return result = std::move(value);
        if (open_.back()->is_object()) return *value_of_key_ = std::move(value);
        return open_.back()->get_ptr<json::array_t*>()->emplace_back(std::move(value));
    }
    bool add(json&& value) {
        place(std::move(value));
        return true;
    }
    bool open(json&& empty) {
        if (open_.size() == deepest_json) fail("JSON nested deeper than " + std::to_string(deepest_json) + " levels");
        open_.push_back(&place(std::move(empty)));
        return true;
    }
    bool close() {
        open_.pop_back();
        return true;
    }

    std::string_view who_;
    std::size_t first_;
    std::vector<json*> open_; // arrays and objects that are not closed yet, outermost first
    json* value_of_key_ = nullptr;
};

/// A number as RFC 8259 writes it, of any size.
constexpr bool is_json_number(std::string_view text) noexcept {
    const auto digits = [&] {
        std::size_t n = 0;
        while (n < text.size() && text[n] >= '0' && text[n] <= '9') ++n;
        text.remove_prefix(n);
        return n;
    };
    const auto take = [&](std::string_view one_of) {
        const bool is_there = !text.empty() && one_of.find(text[0]) != one_of.npos;
        if (is_there) text.remove_prefix(1);
        return is_there;
    };
    take("-");
    if (!take("0") && digits() == 0) return false;
    if (take(".") && digits() == 0) return false;
    if (take("eE")) {
        take("+-");
        if (digits() == 0) return false;
    }
    return text.empty();
}

/// Finds the members of the object that a text holds, and of their values no more than where they end.
class json_member_finder {
public:
    json_member_finder(std::string_view text, std::string_view who) : text_(text), who_(who) {}

    /// on_member(key, value), both as they are written, for each member of the outermost object.
    template <class F>
    void run(F const& on_member) {
        skip_blanks();
        if (next() != '{') {
            const char begins = next();
            skip_value();
            expect_end();
            fail("an object is expected, " + std::string(type_of(begins)) + " was found");
        }
        skip_object(on_member);
        expect_end();
    }

private:
    static constexpr std::string_view blanks = " \t\r\n";

    [[noreturn]] void fail(std::string const& reason) const { throw format_error(std::string(who_) + ": " + reason); }
    [[noreturn]] void refuse(std::string_view expected) const {
        if (const std::size_t valid = valid_utf8_length(text_); valid != text_.size())
            fail("byte " + std::to_string(valid) + " is no UTF-8");
        fail("no valid JSON at byte " + std::to_string(at_ + 1) + ": " + std::string(expected) + " is expected, " +
             (at_ == text_.size() ? "the end" : in_quotes(text_.substr(at_, 1))) + " was found");
    }
    /// Of a value that was skipped.
    static std::string_view type_of(char begins) noexcept {
        switch (begins) {
        case '[':
            return "array";
        case '"':
            return "string";
        case 'n':
            return "null";
        case 't':
        case 'f':
            return "boolean";
        default:
            return "number";
        }
    }

    char next() const noexcept { return at_ < text_.size() ? text_[at_] : '\0'; }
    void skip_blanks() noexcept { at_ = std::min(text_.find_first_not_of(blanks, at_), text_.size()); }
    bool skip(char c) {
        skip_blanks();
        const bool is_there = at_ < text_.size() && text_[at_] == c;
        if (is_there) ++at_;
        return is_there;
    }
    void expect_end() {
        skip_blanks();
        if (at_ != text_.size()) refuse("the end");
    }

    std::string_view skip_value() {
        skip_blanks();
        const std::size_t begin = at_;
        switch (next()) {
        case '{':
            skip_object([](std::string_view, std::string_view) {});
            break;
        case '[':
            skip_list(']', [this] { skip_value(); });
            break;
        case '"':
            skip_string();
            break;
        default:
            skip_word();
        }
        return text_.substr(begin, at_ - begin);
    }
    /// What stands between brackets, an item before each comma and the last bracket.
    template <class Item>
    void skip_list(char last, Item const& item) {
        if (++depth_ > deepest_json) fail("JSON nested deeper than " + std::to_string(deepest_json) + " levels");
        ++at_;
        if (!skip(last)) {
            do item();
            while (skip(','));
            if (!skip(last)) refuse(last == '}' ? "',' or '}'" : "',' or ']'");
        }
        --depth_;
    }
    template <class F>
    void skip_object(F const& on_member) {
        skip_list('}', [&] {
            skip_blanks();
            if (next() != '"') refuse("a key in quotes");
            const std::string_view key = skip_string();
            if (!skip(':')) refuse("':'");
            on_member(key, skip_value());
        });
    }
    std::string_view skip_string() {
        const std::size_t begin = at_;
        for (++at_; at_ < text_.size(); ++at_) {
            if (text_[at_] == '"') {
                ++at_;
                return text_.substr(begin, at_ - begin);
            }
            if (text_[at_] == '\\') ++at_;
        }
        at_ = text_.size();
        refuse("the quote that ends a string");
    }
    void skip_word() {
        const std::string_view rest = text_.substr(at_);
        const std::string_view word = rest.substr(0, rest.find_first_of(",]} \t\r\n"));
        constexpr std::array<std::string_view, 6> words{"true", "false", "null", "NaN", "Infinity", "-Infinity"};
        if (!is_json_number(word) && std::ranges::find(words, word) == words.end()) refuse("a value");
        at_ += word.size();
    }

    std::string_view text_, who_;
    std::size_t at_ = 0;
    std::size_t depth_ = 0; // arrays and objects that are open
};

/// Whether a key, written in quotes, is that one.
inline bool is_key(std::string_view written, std::string_view key) {
    if (written.find('\\') == written.npos) return written.substr(1, written.size() - 2) == key;
    constexpr std::size_t longest = 6; // bytes of a character that is written as \uXXXX
    if (written.size() > longest * key.size() + 2) return false;
    constexpr bool throws = false;
    const json text = json::parse(written, nullptr, throws);
    return text.is_string() && text.get_ref<std::string const&>() == key;
}

} // namespace detail

/// The value that `text` holds and nothing else. `who` (file, perhaps a line) begins the text of every error.
/// Errors: format_error for what is not JSON (RFC 8259, UTF-8 only; NaN, Infinity, comments, lone surrogates, zero
/// bytes, numbers beyond double), for a key that occurs twice in one object, for nesting deeper than 64.
/// `first`: place of the text's first byte in what `who` names.
inline json parse_json(std::string_view text, std::string_view who, std::size_t first = 0) {
    // nlohmann takes a zero byte for the end of the text and would pass over what follows it.
    if (const auto zero = text.find('\0'); zero != std::string_view::npos)
        throw format_error(std::string(who) + ": no valid JSON at byte " + std::to_string(first + zero) +
                           ": a zero byte");
    detail::json_builder builder(who, first);
    json::sax_parse(text.begin(), text.end(), &builder);
    return std::move(builder.result);
}

/// A member of an object.
struct json_member {
    std::string_view written; // its value in the text that was read; empty where there is no such member
    json value;               // an array or object is empty
};

/// The members of the object that `text` holds that are named by `keys`, in their order. Other members are not judged:
/// their values are passed over, in time in proportion to their length and no memory. They have to have an end, so
/// brackets, commas, colons and the quotes of strings must be right, and what stands without quotes must be a value of
/// JSON or NaN, Infinity, -Infinity, as Python writes them; what their strings hold, how large their numbers are and
/// whether their keys occur twice is nobody's concern.
/// Errors: format_error for nesting deeper than 64; for a key that is asked for and occurs twice; for its value as
/// parse_json, and where it is no UTF-8.
inline std::vector<json_member> parse_json_members(std::string_view text, std::string_view who,
                                                   std::span<const std::string_view> keys) {
    std::vector<json_member> members(keys.size());
    detail::json_member_finder(text, who).run([&](std::string_view key, std::string_view written) {
        const auto asked = std::ranges::find_if(keys, [&](std::string_view k) { return detail::is_key(key, k); });
        if (asked == keys.end()) return;
        json_member& member = members[static_cast<std::size_t>(asked - keys.begin())];
        if (!member.written.empty())
            throw format_error(std::string(who) + ": the key " + in_quotes(*asked) + " occurs twice in one object");
        member.written = written;
        if (written[0] == '[' || written[0] == '{') {
            member.value = written[0] == '[' ? json::array() : json::object();
            return;
        }
        const auto first = static_cast<std::size_t>(written.data() - text.data());
        if (const std::size_t valid = valid_utf8_length(written); valid != written.size())
            throw format_error(std::string(who) + ": byte " + std::to_string(first + valid) + " is no UTF-8");
        member.value = parse_json(written, who, first);
    });
    return members;
}

/// The text of a value, on one line or, with `indent`, on many. `who` begins the text of every error.
/// Errors: format_error for a string that is no UTF-8, as names of files may be.
inline std::string json_text(json const& value, std::string_view who, int indent = -1) {
    try {
        return value.dump(indent);
    } catch (json::type_error const&) {
        throw format_error(std::string(who) + ": JSON holds UTF-8 only, and a string that is none was found");
    }
}

/// The value that a file holds.   Errors: io_error; those of parse_json; format_error for a file of another kind.
inline json read_json_file(std::filesystem::path const& path) {
    const mapped_file file(path);
    refuse_foreign(file.bytes(), path.string(), "JSON"); // of which none begins as they do
    return parse_json(as_text(file.bytes()), path.string());
}

namespace detail {

/// A number or a word as it is, a container (it would be as long as it likes) by its type.
inline std::string found_text(json const& value) {
    if (auto const* const x = value.get_ptr<std::string const*>()) return in_quotes(*x);
    if (auto const* const x = value.get_ptr<bool const*>()) return *x ? "true" : "false";
    if (auto const* const x = value.get_ptr<json::number_unsigned_t const*>()) return std::to_string(*x);
    if (auto const* const x = value.get_ptr<json::number_integer_t const*>()) return std::to_string(*x);
    auto const* const x = value.get_ptr<json::number_float_t const*>();
    if (!x) return value.type_name();
    std::array<char, 32> digits;
    std::string text(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), *x).ptr);
    if (text.find_first_of(".e") == std::string::npos) text += ".0"; // it was written as one that is no integer
    return text;
}

/// `element` is the place in the array `key`, if it is one.
[[noreturn]] inline void refuse_json(json const& value, std::string_view key, std::string_view who,
                                     std::string_view expected, std::optional<std::size_t> element = {}) {
    const std::string place = std::string(key) + (element ? "[" + std::to_string(*element) + "]" : "");
    throw format_error(std::string(who) + ": key " + in_quotes(place) + ": " + std::string(expected) +
                       " is expected, " + found_text(value) + " was found");
}

template <class T>
T json_value(json const& value, std::string_view key, std::string_view who, std::optional<std::size_t> element = {}) {
    if constexpr (std::same_as<T, bool>) {
        if (auto const* const x = value.get_ptr<bool const*>()) return *x;
        refuse_json(value, key, who, "true or false", element);
    } else if constexpr (std::integral<T>) {
        if (auto const* const x = value.get_ptr<json::number_unsigned_t const*>()) {
            if (std::in_range<T>(*x)) return static_cast<T>(*x);
        } else if (auto const* const y = value.get_ptr<json::number_integer_t const*>()) {
            if (std::in_range<T>(*y)) return static_cast<T>(*y);
        }
        refuse_json(value, key, who,
                    "an integer from " + std::to_string(std::numeric_limits<T>::min()) + " to " +
                        std::to_string(std::numeric_limits<T>::max()),
                    element);
    } else if constexpr (std::floating_point<T>) {
        if (!value.is_number()) refuse_json(value, key, who, "a number", element);
        const auto number = value.get<double>();
        if (!(std::abs(number) <= static_cast<double>(std::numeric_limits<T>::max())))
            refuse_json(value, key, who, "a number of the range of float", element);
        return static_cast<T>(number);
    } else if constexpr (std::same_as<T, std::string>) {
        if (auto const* const x = value.get_ptr<std::string const*>()) return *x;
        refuse_json(value, key, who, "a string", element);
    } else {
        static_assert(
            requires(T all) { all.emplace_back(); },
            "bool, integers, floats, std::string and std::vector of these are read");
        if (!value.is_array()) refuse_json(value, key, who, "an array");
        T all;
        all.reserve(value.size());
        for (std::size_t i = 0; i < value.size(); ++i)
            all.push_back(json_value<typename T::value_type>(value[i], key, who, i));
        return all;
    }
}

inline json const& expect_object(json const& value, std::string_view who) {
    if (!value.is_object())
        throw format_error(std::string(who) + ": an object is expected, " + value.type_name() + " was found");
    return value;
}

/// object[key], which may be null.   Errors: format_error where it is absent, or `object` is no object.
inline json const& member(json const& object, std::string_view key, std::string_view who) {
    const auto place = expect_object(object, who).find(key);
    if (place == object.end()) throw format_error(std::string(who) + ": the key " + in_quotes(key) + " is missing");
    return *place;
}

} // namespace detail

/// The value of `key` in `object`, or nullptr where it is absent or null (as Hugging Face writes "not set").
/// Errors: format_error if `object` is no object.
inline json const* find_value(json const& object, std::string_view key, std::string_view who) {
    const auto place = detail::expect_object(object, who).find(key);
    return place == object.end() || place->is_null() ? nullptr : &*place;
}

/// object[key] as T: bool, an integer (range checked), a float, std::string or a std::vector of these; nothing where it
/// is absent or null.   Errors: format_error naming `who` and the key if the value is of another type.
template <class T>
std::optional<T> if_present(json const& object, std::string_view key, std::string_view who) {
    json const* const value = find_value(object, key, who);
    if (!value) return std::nullopt;
    return detail::json_value<T>(*value, key, who);
}

/// As if_present, but absent or null is a format_error too.
template <class T>
T required(json const& object, std::string_view key, std::string_view who) {
    return detail::json_value<T>(detail::member(object, key, who), key, who);
}

/// object[key], itself an object, or nullptr where it is absent or null.   Errors: as if_present.
inline json const* find_object(json const& object, std::string_view key, std::string_view who) {
    json const* const value = find_value(object, key, who);
    if (value && !value->is_object()) detail::refuse_json(*value, key, who, "an object");
    return value;
}

/// object[key], itself an object.   Errors: as required.
inline json const& required_object(json const& object, std::string_view key, std::string_view who) {
    json const& value = detail::member(object, key, who);
    if (!value.is_object()) detail::refuse_json(value, key, who, "an object");
    return value;
}

} // namespace bitlens
