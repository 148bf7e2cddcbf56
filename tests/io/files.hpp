#pragma once
/// What the tests of files share: bytes put together by hand, and the text of an error.

#include "bitlens/core/error.hpp"

#include "temporary_folder.hpp"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace files {

/// "0a ff" → the two bytes.
inline std::string from_hex(std::string_view text) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    std::string bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2)
        bytes += static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1]));
    return bytes;
}

/// The bytes of a little-endian number.
template <class T>
std::string le(T number) {
    return {reinterpret_cast<char const*>(&number), sizeof number};
}

/// `bytes` with those from `place` on replaced.
inline std::string with(std::string bytes, std::size_t place, std::string_view replacement) {
    return bytes.replace(place, replacement.size(), replacement);
}

/// The text of the Error that `f` throws; "nothing was thrown" or what else was thrown otherwise.
template <class Error = bitlens::format_error, class F>
std::string error_of(F f) {
    try {
        f();
    } catch (Error const& e) {
        return e.what();
    } catch (std::exception const& e) {
        return std::string("another error: ") + e.what();
    }
    return "nothing was thrown";
}

/// Empty if `text` holds all `words`, otherwise the text and the first word that is missing.
inline std::string missing(std::string const& text, std::initializer_list<std::string_view> words) {
    for (const auto word : words)
        if (text.find(word) == std::string::npos) return std::string(word) + " is missing in: " + text;
    return {};
}

} // namespace files

/// The expression throws a format_error whose text holds all the words.
#define CHECK_REFUSED(expression, ...)                                                                                 \
    CHECK(files::missing(files::error_of([&] { (void)(expression); }), {__VA_ARGS__}) == "")
/// As CHECK_REFUSED with another type of error.
#define CHECK_THROWS_TEXT(expression, type, ...)                                                                       \
    CHECK(files::missing(files::error_of<type>([&] { (void)(expression); }), {__VA_ARGS__}) == "")
