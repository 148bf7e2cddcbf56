#pragma once
/// run_manifest: what decides the numbers of a run. Equal manifests, equal bytes.

#include "bitlens/core/error.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/sha256.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/sweep/column.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// A variant beside the full model, and how it is made: "mine" and "nf3-g64".
struct run_method {
    std::string name, spec;
    bool ends_early = false;
    std::string quantized{}; // what stands for the folder that it was quantized into before; empty: there is none
    std::string origin{};    // where it comes from, in words: for people, and in no comparison of runs

    bool operator==(run_method const&) const = default;
};

struct run_manifest {
    json setting = json::object();          // all else that decides a result, by name: model, data, arguments, versions
    std::vector<run_method> methods;        // in the order of the tables
    std::vector<column> columns;            // what is measured
    std::vector<std::string> kept{};        // keys of the data that examples.csv has columns of
    std::optional<std::size_t> positions{}; // that columns of positions have of each document; else its scored ones

    bool operator==(run_manifest const&) const = default;
};

namespace detail {

inline constexpr const char* file_name_key = "name";

} // namespace detail

/// Name, size and SHA-256 of a file: what stands for it in a manifest.   Errors: io_error.
inline json file_identity(std::filesystem::path const& path) {
    return {{detail::file_name_key, visible_line(path.filename().native())},
            {"bytes", std::filesystem::file_size(path)},
            {"sha256", sha256_of_file(path)}};
}

/// The identity of a file, whatever it is called.
inline json without_name(json identity) {
    identity.erase(detail::file_name_key);
    return identity;
}

/// What follows a value in words, of the one side of a difference and of the other.
struct difference_sides {
    std::string found = " in the folder", asked = " asked for";
};

/// The first place where two JSON values differ, in words; nothing when they are equal.
/// Errors: format_error for a string that is no UTF-8.
inline std::optional<std::string> first_difference(json const& found, json const& asked, std::string const& where = "",
                                                   difference_sides const& sides = {}) {
    if (found == asked) return std::nullopt;
    if (found.is_object() && asked.is_object()) {
        const auto inside = [&](std::string const& key) { return where.empty() ? key : where + "." + key; };
        for (auto const& [key, value] : asked.items()) {
            if (!found.contains(key))
                return inside(key) + ": nothing" + sides.found + ", " + json_text(value, where) + sides.asked;
            if (auto difference = first_difference(found[key], value, inside(key), sides)) return difference;
        }
        for (auto const& [key, value] : found.items())
            if (!asked.contains(key))
                return inside(key) + ": " + json_text(value, where) + sides.found + ", nothing" + sides.asked;
    }
    return where + ": " + json_text(found, where) + sides.found + ", " + json_text(asked, where) + sides.asked;
}

namespace detail {

/// The keys of manifest.json that are members of run_manifest; all others are its setting.
inline constexpr const char *methods_key = "methods", *columns_key = "columns", *kept_key = "keep",
                            *positions_key = "positions";

inline json to_json(column const& c) {
    json out{{"name", c.name}, {"of", name(c.owner)}, {"per", name(c.shape)}, {"unit", c.unit}, {"meaning", c.meaning}};
    if (c.holds_ids) out["token_ids"] = true;
    return out;
}

template <class Word, std::size_t N>
Word word_from(json const& object, const char* key, std::array<Word, N> const& words, std::string const& who) {
    const auto text = required<std::string>(object, key, who);
    std::string known;
    for (const Word w : words) {
        if (text == name(w)) return w;
        known += (known.empty() ? "" : ", ") + std::string(name(w));
    }
    throw format_error(who + ": key \"" + key + "\": " + in_quotes(text) + " was found, expected " + known);
}

inline column column_from(json const& object, std::string const& who) {
    column c;
    c.name = required<std::string>(object, "name", who);
    c.owner = word_from(object, "of",
                        std::array{column_owner::full_model, column_owner::each_method, column_owner::each_variant,
                                   column_owner::each_exit},
                        who);
    c.shape =
        word_from(object, "per", std::array{column_shape::document, column_shape::layer, column_shape::position}, who);
    c.unit = required<std::string>(object, "unit", who);
    c.meaning = required<std::string>(object, "meaning", who);
    c.holds_ids = if_present<bool>(object, "token_ids", who).value_or(false);
    return c;
}

inline json const& required_array(json const& object, const char* key, std::string const& who) {
    json const* const found = find_value(object, key, who);
    if (!found || !found->is_array()) throw format_error(who + ": key \"" + key + "\": an array is expected");
    return *found;
}

} // namespace detail

inline json to_json(run_manifest const& m) {
    json out = m.setting;
    out[detail::methods_key] = json::array();
    for (run_method const& method : m.methods) {
        json entry{{"name", method.name}, {"spec", method.spec}};
        if (method.ends_early) entry["ends_early"] = true;
        if (!method.quantized.empty()) entry["quantized"] = method.quantized;
        if (!method.origin.empty()) entry["origin"] = method.origin;
        out[detail::methods_key].push_back(std::move(entry));
    }
    out[detail::columns_key] = json::array();
    for (column const& c : m.columns) out[detail::columns_key].push_back(detail::to_json(c));
    if (!m.kept.empty()) out[detail::kept_key] = m.kept;
    if (m.positions) out[detail::positions_key] = *m.positions;
    return out;
}

/// Errors: format_error naming `who` and what is missing or wrong.
inline run_manifest manifest_from(json const& file, std::string const& who) {
    run_manifest m;
    m.setting = detail::expect_object(file, who);
    std::set<std::string, std::less<>> names{std::string(full_model_name)};
    for (json const& entry : detail::required_array(file, detail::methods_key, who)) {
        const std::string place = who + ": " + detail::methods_key;
        m.methods.push_back({required<std::string>(entry, "name", place), required<std::string>(entry, "spec", place),
                             if_present<bool>(entry, "ends_early", place).value_or(false),
                             if_present<std::string>(entry, "quantized", place).value_or(""),
                             if_present<std::string>(entry, "origin", place).value_or("")});
        if (!names.insert(m.methods.back().name).second)
            throw format_error(place + ": the name " + in_quotes(m.methods.back().name) + " is taken");
    }
    for (json const& entry : detail::required_array(file, detail::columns_key, who))
        m.columns.push_back(detail::column_from(entry, who + ": " + detail::columns_key));
    m.kept = if_present<std::vector<std::string>>(file, detail::kept_key, who).value_or(std::vector<std::string>());
    m.positions = if_present<std::uint64_t>(file, detail::positions_key, who);
    if (m.positions == 0) throw format_error(who + ": key \"positions\": at least 1 is expected, 0 was found");
    for (const char* key : {detail::methods_key, detail::columns_key, detail::kept_key, detail::positions_key})
        m.setting.erase(key);
    return m;
}

/// Where two runs part, in words: the first difference of their settings, or of what they measure. Methods are left
/// out, because a run takes more of them later.
inline std::optional<std::string> first_difference(run_manifest const& found, run_manifest const& asked) {
    const auto without_methods = [](run_manifest const& m) {
        json all = to_json(m);
        for (const char* key : {detail::methods_key, detail::columns_key}) all.erase(key);
        return all;
    };
    if (auto difference = first_difference(without_methods(found), without_methods(asked))) return difference;
    for (std::size_t i = 0; i < std::max(found.columns.size(), asked.columns.size()); ++i) {
        const auto at = [i](run_manifest const& m) {
            return i < m.columns.size() ? detail::to_json(m.columns[i]).dump() : std::string("nothing");
        };
        if (at(found) != at(asked)) return "columns: " + at(found) + " in the folder, " + at(asked) + " asked for";
    }
    return std::nullopt;
}

} // namespace bitlens
