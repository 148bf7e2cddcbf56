#pragma once
/// The one door to nlohmann-json: parsing of foreign JSON with limits, and typed access whose errors name file and key.

#include "bitlens/core/error.hpp"
#include "bitlens/core/name_index.hpp"
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

/// What every reader of JSON does with the events of the parser: it refuses what is no JSON, and too deep a nesting.
class json_events : public nlohmann::json_sax<json> {
public:
    explicit json_events(std::string_view who) : who_(who) {}

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
        take_key(std::move(name));
        return true;
    }
    bool parse_error(std::size_t position, std::string const&, nlohmann::json::exception const& e) override {
        std::string reason = e.what(); // "[json.exception.parse_error.101] parse error at line 1, column 2: …"
        if (const auto end = reason.find("] "); end != std::string::npos) reason.erase(0, end + 2);
        if (reason.size() > longest_reason) reason.resize(longest_reason); // it may quote a string of any length
        reason.resize(valid_utf8_length(reason));
        fail("no valid JSON at byte " + std::to_string(position) + ": " + reason);
    }

protected:
    std::size_t depth() const noexcept { return depth_; } // arrays and objects that are open
    [[noreturn]] void fail(std::string const& reason) const { throw format_error(std::string(who_) + ": " + reason); }
    [[noreturn]] void refuse_second(std::string_view key) const {
        fail("the key " + in_quotes(key) + " occurs twice in one object");
    }

private:
    static constexpr std::size_t longest_reason = 300;

    virtual void take_value(json&& value) = 0; // not an array or object
    virtual void take_key(std::string&& name) = 0;
    virtual void begin(json&& empty) = 0; // an array or object; depth() does not count it yet
    virtual void end() = 0;               // depth() counts it no more

    bool add(json&& value) {
        take_value(std::move(value));
        return true;
    }
    bool open(json&& empty) {
        if (depth_ == deepest_json) fail("JSON nested deeper than " + std::to_string(deepest_json) + " levels");
        begin(std::move(empty));
        ++depth_;
        return true;
    }
    bool close() {
        --depth_;
        end();
        return true;
    }

    std::string_view who_;
    std::size_t depth_ = 0;
};

/// Builds the value while the text is read, so that duplicate keys are refused where they occur.
class json_builder final : public json_events {
public:
    using json_events::json_events;
    json result;

private:
    json& place(json&& value) {
        if (open_.empty()) return result = std::move(value);
        if (open_.back()->is_object()) return *value_of_key_ = std::move(value);
        return open_.back()->get_ptr<json::array_t*>()->emplace_back(std::move(value));
    }
    void take_value(json&& value) override { place(std::move(value)); }
    void take_key(std::string&& name) override {
        const auto [member, is_new] = open_.back()->get_ptr<json::object_t*>()->emplace(std::move(name), json());
        if (!is_new) refuse_second(member->first);
        value_of_key_ = &member->second;
    }
    void begin(json&& empty) override { open_.push_back(&place(std::move(empty))); }
    void end() override { open_.pop_back(); }

    std::vector<json*> open_; // arrays and objects that are not closed yet, outermost first
    json* value_of_key_ = nullptr;
};

/// Keeps some members of the outermost object. The rest is checked as json_builder does, and dropped: of it there are
/// never more than the keys of the objects that are open, and those as one text.
class json_member_reader final : public json_events {
public:
    json_member_reader(std::string_view who, std::span<const std::string_view> keys) : json_events(who), keys_(keys) {}
    json result;

private:
    void take_value(json&& value) override {
        if (depth() == 0)
            result = std::move(value);
        else if (depth() == 1 && member_ != nullptr)
            *member_ = std::move(value);
    }
    void take_key(std::string&& name) override {
        if (depth() == 1) {
            const bool is_wanted = std::ranges::find(keys_, name) != keys_.end();
            member_ = is_wanted ? &result[name] : nullptr;
        }
        seen_.back().push_back(seen_text_.size());
        seen_text_ += name;
    }
    void begin(json&& empty) override {
        take_value(std::move(empty));
        seen_.emplace_back();
    }
    /// Of the object (an array has no keys) that ends, no key may have occurred twice.
    void end() override {
        std::vector<std::size_t>& begins = seen_.back();
        if (!begins.empty()) {
            const std::size_t first = begins.front();
            name_index names;
            names.reserve(begins.size());
            begins.push_back(seen_text_.size());
            for (std::size_t i = 0; i + 1 < begins.size(); ++i)
                names.add(std::string_view(seen_text_).substr(begins[i], begins[i + 1] - begins[i]), i);
            names.sort();
            if (const auto twice = names.repeated()) refuse_second(*twice);
            seen_text_.resize(first);
        }
        seen_.pop_back();
    }

    std::span<const std::string_view> keys_;
    json* member_ = nullptr;                     // where the value of the outermost object's last key goes
    std::vector<std::vector<std::size_t>> seen_; // for each open array or object, where its keys begin in seen_text_
    std::string seen_text_;
};

/// Gives the events of `text` to `reader`.
inline void read_json(std::string_view text, std::string_view who, json_events& reader) {
    // nlohmann takes a zero byte for the end of the text and would pass over what follows it.
    if (const auto zero = text.find('\0'); zero != std::string_view::npos)
        throw format_error(std::string(who) + ": no valid JSON at byte " + std::to_string(zero) + ": a zero byte");
    json::sax_parse(text.begin(), text.end(), &reader);
}

} // namespace detail

/// The value that `text` holds and nothing else. `who` (file, perhaps a line) begins the text of every error.
/// Errors: format_error for what is not JSON (RFC 8259, UTF-8 only; NaN, Infinity, comments, lone surrogates, zero
/// bytes, numbers beyond double), for a key that occurs twice in one object, for nesting deeper than 64.
inline json parse_json(std::string_view text, std::string_view who) {
    detail::json_builder builder(who);
    detail::read_json(text, who, builder);
    return std::move(builder.result);
}

/// The object that `text` holds, of whose members only those named by `keys` are there, and arrays and objects among
/// them are empty; in a small multiple of the text's memory, where the tree of all of it can take 30 times as much.
/// An array at the top is empty too.   Errors: as parse_json.
inline json parse_json_members(std::string_view text, std::string_view who, std::span<const std::string_view> keys) {
    detail::json_member_reader reader(who, keys);
    detail::read_json(text, who, reader);
    return std::move(reader.result);
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
    json const* const value = find_value(object, key, who);
    if (!value) throw format_error(std::string(who) + ": the key " + in_quotes(key) + " is missing");
    return detail::json_value<T>(*value, key, who);
}

/// object[key], itself an object, or nullptr where it is absent or null.   Errors: as if_present.
inline json const* find_object(json const& object, std::string_view key, std::string_view who) {
    json const* const value = find_value(object, key, who);
    if (value && !value->is_object()) detail::refuse_json(*value, key, who, "an object");
    return value;
}

/// object[key], itself an object.   Errors: as required.
inline json const& required_object(json const& object, std::string_view key, std::string_view who) {
    json const* const value = find_object(object, key, who);
    if (!value) throw format_error(std::string(who) + ": the key " + in_quotes(key) + " is missing");
    return *value;
}

} // namespace bitlens
