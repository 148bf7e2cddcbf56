#pragma once
/// quantized_manifest: what decides the bytes of a quantized model, and what informs of it. Equal manifests, equal
/// bytes.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/sha256.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/sweep/manifest.hpp"
#include "bitlens/version.hpp"

#include <cstddef>
#include <optional>
#include <string>

namespace bitlens {

struct quantized_manifest {
    std::string method;     // its text: "gptq3-g64"
    std::string format;     // that the method makes: "uniform3-g64-sym"; a rule for some matrices may ask for others
    std::size_t layers = 0; // of the model
    json knobs = json::object();  // all that the method was asked for, by name
    json calibration = nullptr;   // what stands for the documents that it looked at; null: none
    json source = json::object(); // what stands for the full model
    std::string program{version}; // the version of bitlens that made it
    json origin = json::object(); // files that it was made of, for people: under other names they make the same
};

namespace detail {

/// What manifest.json of a quantized model says of itself. A later layout has another number.
inline constexpr const char* quantized_kind = "quantized model";
inline constexpr std::size_t quantized_layout = 1;
inline constexpr const char* origin_key = "origin";

/// All that decides the bytes of a quantized model.
inline json what_decides(quantized_manifest const& m) {
    return {{"kind", detail::quantized_kind},
            {"layout", detail::quantized_layout},
            {"bitlens", m.program},
            {"method", m.method},
            {"format", m.format},
            {"layers", m.layers},
            {"knobs", m.knobs},
            {"calibration", m.calibration},
            {"source", m.source}};
}

} // namespace detail

inline json to_json(quantized_manifest const& m) {
    json all = detail::what_decides(m);
    if (!m.origin.empty()) all[detail::origin_key] = m.origin;
    return all;
}

inline bool operator==(quantized_manifest const& a, quantized_manifest const& b) {
    return detail::what_decides(a) == detail::what_decides(b);
}

/// Errors: format_error naming `who` and what is missing, wrong or of a later layout.
inline quantized_manifest quantized_manifest_from(json const& file, std::string const& who) {
    if (const auto kind = if_present<std::string>(file, "kind", who); kind != detail::quantized_kind)
        throw format_error(who + ": key \"kind\": " + in_quotes(detail::quantized_kind) + " is expected, " +
                           (kind ? in_quotes(*kind) : "nothing") + " was found; it is no quantized model's");
    if (const auto layout = required<std::size_t>(file, "layout", who); layout != detail::quantized_layout)
        throw format_error(who + ": key \"layout\": " + std::to_string(detail::quantized_layout) + " is expected, " +
                           std::to_string(layout) + " was found; another version of bitlens wrote it");
    quantized_manifest m;
    m.program = required<std::string>(file, "bitlens", who);
    m.method = required<std::string>(file, "method", who);
    m.format = required<std::string>(file, "format", who);
    m.layers = required<std::size_t>(file, "layers", who);
    m.knobs = required_object(file, "knobs", who);
    if (json const* const found = find_value(file, "calibration", who)) m.calibration = *found;
    m.source = required_object(file, "source", who);
    if (json const* const found = find_value(file, detail::origin_key, who))
        m.origin = detail::expect_object(*found, who + ": " + detail::origin_key);
    if (const auto difference = first_difference(file, to_json(m), "", {" was found", " expected"}))
        throw format_error(who + ": " + *difference);
    return m;
}

/// What it was calibrated on, in words: "calibrated on 43 documents of 11083 tokens of c4.jsonl"; empty where it was
/// not.
inline std::string calibrated_on(quantized_manifest const& m) {
    const auto number = [&](const char* key) {
        const auto found = m.calibration.is_object() ? m.calibration.find(key) : m.calibration.end();
        return found != m.calibration.end() && found->is_number_integer() ? found->get<std::size_t>() : 0;
    };
    const auto file = [&](const char* of) {
        const json::json_pointer name(std::string("/") + of + "/name");
        return m.origin.contains(name) && m.origin[name].is_string()
                   ? visible_line(m.origin[name].get_ref<std::string const&>())
                   : std::string();
    };
    if (const std::string cache = file("awq_cache"); !cache.empty()) return "scales of " + cache;
    if (number("documents") == 0) return {};
    const std::string from = file("calibration/file");
    return "calibrated on " + counted(number("documents"), "document") + " of " + counted(number("tokens"), "token") +
           (from.empty() ? "" : " of " + from);
}

/// Where two of them part, in words.
inline std::optional<std::string> first_difference(quantized_manifest const& found, quantized_manifest const& asked) {
    return first_difference(detail::what_decides(found), detail::what_decides(asked));
}

/// What stands for a manifest in the files of its layers, without its origin.   Errors: format_error for a string that
/// is no UTF-8.
inline std::string identity_of(quantized_manifest const& m) {
    return sha256_of(json_text(detail::what_decides(m), "manifest of a quantized model"));
}

} // namespace bitlens
