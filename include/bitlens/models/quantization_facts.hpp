#pragma once
/// quantization_facts: what files say of how their weights were quantized, a fact each, whoever wrote them.

#include "bitlens/io/gguf.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/visible_text.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitlens::detail {

inline std::string fact_text(json const& value) {
    if (value.is_string()) return visible_line(value.get_ref<std::string const&>());
    if (!value.is_array()) return value.dump();
    const bool is_short =
        value.size() <= 3 && std::ranges::none_of(value, [](json const& v) { return v.is_structured(); });
    if (!is_short) return counted(value.size(), "value");
    std::string text;
    for (json const& v : value) text += (text.empty() ? "" : " ") + fact_text(v);
    return text;
}

inline void add_facts(json const& object, std::string const& prefix, std::size_t depth,
                      std::vector<std::string>& facts) {
    constexpr std::size_t deepest = 4;
    for (auto const& [key, value] : object.items()) {
        const std::string name = prefix + visible_line(key);
        if (value.is_null() || (value.is_structured() && value.empty())) continue;
        if (value.is_object() && depth < deepest)
            add_facts(value, name + '.', depth + 1, facts);
        else if (value.is_object())
            facts.push_back(name + ' ' + counted(value.size(), "value"));
        else
            facts.push_back(name + ' ' + fact_text(value));
    }
}

/// Of a JSON description: "bits 4", "meta.quantizer gptqmodel:7.7.0".
inline std::vector<std::string> quantization_facts(json const& description) {
    std::vector<std::string> facts;
    if (description.is_object()) add_facts(description, "", 1, facts);
    return facts;
}

/// Of a GGUF file: its file type, who quantized it, and from what importance matrix.
inline std::vector<std::string> quantization_facts(gguf_file const& file) {
    constexpr std::array<std::string_view, 3> keys{"general.file_type", "general.quantized_by",
                                                   "general.quantization_version"};
    std::vector<std::string> facts;
    for (auto const& value : file.metadata()) {
        if (std::ranges::find(keys, value.key) == keys.end() && !value.key.starts_with("quantize.")) continue;
        const std::string name = std::string(value.key) + ' ';
        switch (value.type) {
        case gguf_type::string:
            facts.push_back(name + visible_line(*file.if_present<std::string>(value.key)));
            break;
        case gguf_type::array:
            facts.push_back(name + counted(value.count, "value"));
            break;
        case gguf_type::boolean:
            facts.push_back(name + (*file.if_present<bool>(value.key) ? "true" : "false"));
            break;
        case gguf_type::float32:
        case gguf_type::float64:
            facts.push_back(name + exact_text(*file.if_present<double>(value.key)));
            break;
        default:
            facts.push_back(name + std::to_string(*file.if_present<std::int64_t>(value.key)));
        }
    }
    return facts;
}

} // namespace bitlens::detail
