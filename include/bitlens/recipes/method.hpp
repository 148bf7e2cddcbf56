#pragma once
/// The names of quantization methods: "rtn3-g64", "mine=nf4-row-dq".

#include "bitlens/core/error.hpp"
#include "bitlens/report/visible_text.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace bitlens {

enum class method_kind { rtn, normal_float };

/// How to quantize a matrix, and what results call it.
struct method {
    std::string name; ///< column names end in it: the text itself unless "name=" came first
    method_kind kind = method_kind::rtn;
    int bits = 0;
    std::size_t group_size = 0; ///< 0: a whole row
    bool symmetric = false;     ///< rtn only
    bool nested_scales = false; ///< normal_float only

    /// The text that parses to this method, without its name.
    std::string text() const {
        return (kind == method_kind::rtn ? "rtn" : "nf") + std::to_string(bits) +
               (group_size == 0 ? std::string("-row") : "-g" + std::to_string(group_size)) + (symmetric ? "-sym" : "") +
               (nested_scales ? "-dq" : "");
    }
};

inline constexpr std::string_view existing_methods =
    "what exists: rtn2 … rtn8 and nf3, nf4, each with -g32, -g64, -g128 or -row, then -sym (rtn: symmetric) or -dq "
    "(nf: "
    "quantized scales); a name may come first: rtn3-g64, mine=nf4-g64-dq";

/// A file's name has at most 255 bytes, of which that of a finished block, `.NAME-FIRST-COUNT.npz.tmp`, may need 51
/// beside the method's.
inline constexpr std::size_t longest_method_name = 200;

namespace detail {

[[noreturn]] inline void refuse_method(std::string_view text, std::string const& reason) {
    throw option_error("method '" + visible_text(text) + "': " + visible_text(reason) + "; " +
                       std::string(existing_methods));
}

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

/// What the text of every method of a kind begins with, before its bits.
struct kind_of_method {
    std::string_view begins;
    method_kind kind;
    std::size_t fewest_bits, most_bits;
};
inline constexpr kind_of_method kinds_of_methods[] = {{"rtn", method_kind::rtn, 2, 8},
                                                      {"nf", method_kind::normal_float, 3, 4}};

/// The kind that a text begins with, or none.
inline kind_of_method const* kind_at(std::string_view text) {
    const auto found =
        std::ranges::find_if(kinds_of_methods, [&](auto const& kind) { return text.starts_with(kind.begins); });
    return found == std::ranges::end(kinds_of_methods) ? nullptr : found;
}

/// Cuts a list at its commas, and blanks around them, but for those between the options of a method, "a:x=1,y=2": what
/// comes after a ':' and has a '=' is an option, unless a method follows the '=', whose name then stands before.
inline std::vector<std::string_view> split_methods(std::string_view list) {
    std::vector<std::string_view> methods;
    for (std::string_view piece : split(list, ',')) {
        while (piece.starts_with(' ')) piece.remove_prefix(1);
        while (piece.ends_with(' ')) piece.remove_suffix(1);
        const auto equals = piece.find('=');
        if (!methods.empty() && methods.back().find(':') != list.npos && equals != list.npos &&
            kind_at(piece.substr(equals + 1)) == nullptr)
            methods.back() = std::string_view(methods.back().begin(), piece.end());
        else
            methods.push_back(piece);
    }
    return methods;
}

inline void read_kind(std::string_view whole, std::string_view word, method& m) {
    if (word == "full") refuse_method(whole, "the model as it is stored is no method, and runs without being named");
    const auto* kind = kind_at(word);
    if (kind == nullptr) refuse_method(whole, "there is no method '" + std::string(word) + "'");
    m.kind = kind->kind;
    std::size_t bits = 0;
    const std::size_t fewest = kind->fewest_bits, most = kind->most_bits;
    if (!read_number(word.substr(kind->begins.size()), bits) || bits < fewest || bits > most)
        refuse_method(whole, "'" + std::string(word) + "' has no number of bits from " + std::to_string(fewest) +
                                 " to " + std::to_string(most));
    m.bits = static_cast<int>(bits);
}

inline void read_group(std::string_view whole, std::string_view word, method& m) {
    if (word == "row") return;
    if (!word.starts_with('g') || !read_number(word.substr(1), m.group_size) ||
        (m.group_size != 32 && m.group_size != 64 && m.group_size != 128))
        refuse_method(whole, "'-" + std::string(word) + "' is no group");
}

} // namespace detail

/// Reads `[name=]rtn<b>|nf<b>-g<32|64|128>|-row[-sym][-dq]`.
/// Names are made of at most 200 letters, digits, '.', '_' and '-'; "full" is taken by the model itself.
/// Errors: option_error that lists what exists.
inline method parse_method(std::string_view whole) {
    std::string_view text = whole;
    method m;
    if (const auto equals = text.substr(0, text.find(':')).find('='); equals != text.npos) {
        m.name = text.substr(0, equals);
        text.remove_prefix(equals + 1);
        if (m.name.empty()) detail::refuse_method(whole, "the name before '=' is empty");
    }
    const auto colon = text.find(':');
    const auto words = detail::split(text.substr(0, colon), '-');
    detail::read_kind(whole, words[0], m);
    if (words.size() < 2) detail::refuse_method(whole, "the group is missing: -g32, -g64, -g128 or -row");
    detail::read_group(whole, words[1], m);
    for (std::size_t i = 2; i < words.size(); ++i) {
        bool& flag = words[i] == "sym" ? m.symmetric : m.nested_scales;
        if (words[i] != "sym" && words[i] != "dq")
            detail::refuse_method(whole, "'-" + std::string(words[i]) + "' means nothing");
        if (flag) detail::refuse_method(whole, "'-" + std::string(words[i]) + "' stands twice");
        flag = true;
    }
    if (colon != text.npos)
        detail::refuse_method(whole, "there are no options like ':" + std::string(text.substr(colon + 1)) + "'");
    if (m.symmetric && m.kind != method_kind::rtn) detail::refuse_method(whole, "-sym belongs to rtn");
    if (m.nested_scales && m.kind != method_kind::normal_float) detail::refuse_method(whole, "-dq belongs to nf");
    if (m.name.empty()) m.name = text;
    const auto is_name_character = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-';
    };
    if (!std::all_of(m.name.begin(), m.name.end(), is_name_character))
        detail::refuse_method(whole, "a name is made of letters, digits, '.', '_' and '-'");
    if (m.name.size() > longest_method_name)
        detail::refuse_method(whole, "the name has " + std::to_string(m.name.size()) + " letters; at most " +
                                         std::to_string(longest_method_name) +
                                         " are taken, because files are called by it");
    if (m.name == "full") detail::refuse_method(whole, "the name 'full' is that of the model as it is stored");
    return m;
}

/// Reads a list "a,b,c"; an empty text gives no method. A comma between the options of a method, which none has yet,
/// belongs to them.
/// Errors: option_error, also for two methods of the same name.
inline std::vector<method> parse_methods(std::string_view list) {
    std::vector<method> methods;
    if (list.empty()) return methods;
    std::set<std::string> names;
    for (const std::string_view text : detail::split_methods(list)) {
        method m = parse_method(text);
        if (!names.insert(m.name).second) detail::refuse_method(text, "two methods are called '" + m.name + "'");
        methods.push_back(std::move(m));
    }
    return methods;
}

} // namespace bitlens
