#pragma once
/// method: how to quantize a model, one of several kinds, and what results call it: "rtn3-g64", "mine=nf4-row-dq".

#include "bitlens/core/error.hpp"
#include "bitlens/recipes/awq_method.hpp"
#include "bitlens/recipes/calibration_preset.hpp"
#include "bitlens/recipes/checkpoint_method.hpp"
#include "bitlens/recipes/gptq_method.hpp"
#include "bitlens/recipes/method_kinds.hpp"
#include "bitlens/recipes/method_words.hpp"
#include "bitlens/recipes/quantized_folder.hpp"
#include "bitlens/report/visible_text.hpp"

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

/// A method of one of these kinds, and its name. A kind of one's own is one more of them:
///     using my_method = basic_method<rtn_method, normal_float_method, my_kind>;
template <method_kind... Kinds>
struct basic_method {
    std::string name; ///< column names end in it: the text itself unless "name=" came first
    std::variant<Kinds...> kind;
    std::filesystem::path folder{}; ///< where it lies quantized; empty: it is made of the full model

    /// The text that parses to this method, without its name.
    std::string text() const {
        return std::visit([](auto const& k) { return k.text(); }, kind);
    }
    /// Bytes of a matrix of that shape once quantized.
    std::uint64_t bytes(matrix_shape shape) const {
        return std::visit([&](auto const& k) { return k.bytes(shape); }, kind);
    }
    /// How texts become the documents of what a model reads that it looks at; nothing where it looks at none.
    calibration_preset const* calibration() const {
        return std::visit([]<class K>(K const&) { return calibration_of<K>(); }, kind);
    }
    /// Whether it looks at what a model reads, so that a walk over the model quantizes it.
    bool needs_documents() const { return calibration() != nullptr; }

    /// Those of all kinds, each once.
    static std::vector<calibration_preset const*> calibrations() {
        std::vector<calibration_preset const*> all;
        for (auto const* preset : {calibration_of<Kinds>()...})
            if (preset != nullptr &&
                std::ranges::none_of(all, [&](auto const* known) { return known->name == preset->name; }))
                all.push_back(preset);
        return all;
    }

    static constexpr std::array<method_usage, sizeof...(Kinds)> usages{Kinds::usage...};

    /// What the texts of methods are made of, a line for each kind.
    static std::string existing() {
        constexpr std::size_t column = 19; // of what a kind takes
        std::string lines;
        const auto add = [&](std::string line, std::string_view more) {
            line.insert(0, "  ");
            if (!more.empty()) line.append(line.size() < column ? column - line.size() : 2, ' ') += more;
            lines += line + '\n';
        };
        for (auto const& usage : usages)
            if (usage.most_bits != 0)
                add(std::string(usage.word) + '<' + std::to_string(usage.fewest_bits) + '-' +
                        std::to_string(usage.most_bits) + ">-GROUP",
                    usage.more);
        add("PATH", "of a quantized model: a folder that bitlens wrote, or any checkpoint of the same sizes");
        add("GROUP is g32, g64, g128 or row; a name may come first: rtn3-g64, mine=nf4-g64-dq, theirs=PATH", "");
        lines.pop_back();
        return lines;
    }

    /// Reads `text` as one of the kinds, whose word it begins with.   Errors: option_error naming `whole`.
    static std::variant<Kinds...> read(std::string_view whole, std::string_view text) {
        std::optional<std::variant<Kinds...>> found;
        const auto try_kind = [&]<class Kind>(std::type_identity<Kind>) {
            if (found || !text.starts_with(Kind::usage.word)) return;
            method_words words(whole, text, Kind::usage);
            found = Kind::read(words);
            words.expect_none_left();
        };
        (try_kind(std::type_identity<Kinds>{}), ...);
        if (found) return *found;
        const std::string word(text.substr(0, text.find_first_of("-:")));
        throw option_error("method '" + visible_text(whole) + "': " +
                           (word == "full" ? "the model as it is stored is no method, and runs without being named"
                                           : "there is no method '" + visible_text(word) + "'"));
    }

private:
    template <class K>
    static constexpr calibration_preset const* calibration_of() {
        if constexpr (is_calibrated<K>)
            return &K::calibration;
        else
            return nullptr;
    }
};

/// The methods that the command `bitlens` knows.
struct method : basic_method<rtn_method, normal_float_method, gptq_method, awq_method, checkpoint_method> {};

/// A file's name has at most 255 bytes, of which that of a finished block, `.NAME-FIRST-COUNT.npz.tmp`, may need 51
/// beside the method's.
inline constexpr std::size_t longest_method_name = 200;

namespace detail {

/// Errors: option_error for a name that cannot be part of a file's name, or is that of the full model.
inline void check_method_name(std::string_view whole, std::string_view name) {
    const auto refuse = [&](std::string const& reason) {
        throw option_error("method '" + visible_text(whole) + "': " + reason);
    };
    const auto is_name_character = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-';
    };
    if (!std::ranges::all_of(name, is_name_character)) refuse("a name is made of letters, digits, '.', '_' and '-'");
    if (name.size() > longest_method_name)
        refuse("the name has " + std::to_string(name.size()) + " letters; at most " +
               std::to_string(longest_method_name) + " are taken, because files are called by it");
    if (name == "full") refuse("the name 'full' is that of the model as it is stored");
}

/// Whether a text begins as those of a kind do.
template <class Method>
bool begins_method(std::string_view text) {
    return std::ranges::any_of(Method::usages,
                               [&](auto const& usage) { return usage.most_bits != 0 && text.starts_with(usage.word); });
}

/// Whether a text means a folder or file: it is spelled as a path, or there is one and no method is spelled so.
template <class Method>
bool names_path(std::string_view text) {
    std::error_code unknown;
    return text.find('/') != text.npos || (!begins_method<Method>(text) && std::filesystem::exists(text, unknown));
}

/// Cuts a list at its commas, and blanks around them, but for those between the options of a method, "a:x=1,y=2": what
/// comes after a ':' and has a '=' is an option, unless a method follows the '=', whose name then stands before.
template <class Method>
std::vector<std::string_view> split_methods(std::string_view list) {
    std::vector<std::string_view> methods;
    for (std::string_view piece : split(list, ',')) {
        while (piece.starts_with(' ')) piece.remove_prefix(1);
        while (piece.ends_with(' ')) piece.remove_suffix(1);
        const auto equals = piece.find('=');
        if (!methods.empty() && methods.back().find(':') != list.npos && equals != list.npos &&
            !begins_method<Method>(piece.substr(equals + 1)))
            methods.back() = std::string_view(methods.back().begin(), piece.end());
        else
            methods.push_back(piece);
    }
    return methods;
}

} // namespace detail

/// Reads `[name=]<kind><bits>-g<32|64|128>|-row[-word]…[:option=value,…]`, or `[name=]PATH` of a quantized model: a
/// folder that bitlens wrote, or a checkpoint of another kind.
/// Names are made of at most 200 letters, digits, '.', '_' and '-'; "full" is taken by the model itself. Without one,
/// the text is the name, its ':', ',' and '=' as '_', or the name of the folder.
/// Errors: option_error that lists what exists; those of quantized_folder.
template <class Method = method>
Method parse_method(std::string_view whole) try {
    std::string_view text = whole;
    Method m;
    if (const auto equals = text.substr(0, text.find(':')).find('='); equals != text.npos) {
        m.name = text.substr(0, equals);
        text.remove_prefix(equals + 1);
        if (m.name.empty()) throw option_error("method '" + visible_text(whole) + "': the name before '=' is empty");
    }
    if (detail::names_path<Method>(text)) {
        m.folder = text;
        m.kind = Method::read(whole, is_quantized_folder(m.folder) ? quantized_folder(m.folder).manifest().method
                                                                   : std::string(checkpoint_method::usage.word));
        if (m.name.empty()) m.name = (m.folder / "").parent_path().filename();
    } else {
        m.kind = Method::read(whole, text);
        if (m.name.empty()) {
            m.name = text;
            std::ranges::replace_if(
                m.name, [](char c) { return c == ':' || c == ',' || c == '='; }, '_');
        }
    }
    detail::check_method_name(whole, m.name);
    return m;
} catch (option_error const& e) {
    throw option_error(std::string(e.text()) + "; what exists:", Method::existing());
}

/// Reads a list "a,b,c"; an empty text gives no method. A comma between the options of a method belongs to them.
/// Errors: option_error, also for two methods of the same name.
template <class Method = method>
std::vector<Method> parse_methods(std::string_view list) {
    std::vector<Method> methods;
    if (list.empty()) return methods;
    std::set<std::string> names;
    for (const std::string_view text : detail::split_methods<Method>(list)) {
        Method m = parse_method<Method>(text);
        if (!names.insert(m.name).second)
            throw option_error("method '" + visible_text(text) + "': two methods are called '" + m.name +
                                   "'; what exists:",
                               Method::existing());
        methods.push_back(std::move(m));
    }
    return methods;
}

} // namespace bitlens
