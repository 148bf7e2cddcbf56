#pragma once
/// What checkpoints of quantized weights say of them.

#include "bitlens/io/json.hpp"
#include "bitlens/stored/quantization_description.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace bitlens::detail {

/// Numbers of a description of quantized weights, wherever its kind keeps them: the first of that name, outermost
/// first.
inline json const* find_below(json const& object, std::span<const std::string_view> names, std::size_t depth = 3) {
    for (std::string_view name : names)
        if (const auto place = object.find(name); place != object.end() && !place->is_null()) return &*place;
    if (depth == 0) return nullptr;
    for (auto const& inner : object)
        if (inner.is_object())
            if (json const* const found = find_below(inner, names, depth - 1)) return found;
    return nullptr;
}

/// Where a config.json describes quantized weights.
inline constexpr std::array<std::string_view, 3> quantization_keys{"quantization_config", "compression_config",
                                                                   "quantization"};

/// What a config.json says of quantized weights, of its model of text where it wraps one.
inline quantization_description quantization_in(json const& config, std::string const& who) {
    if (!config.is_object()) return {};
    for (const std::string_view key : quantization_keys)
        if (const auto place = config.find(key); place != config.end() && place->is_object() && !place->empty())
            return {*place, who + ": key " + in_quotes(key)};
    const auto inner = config.find("text_config");
    return inner == config.end() ? quantization_description() : quantization_in(*inner, who + ": text_config");
}

/// Methods whose layers are read; of others the model that they were made from is.
inline constexpr std::array<std::string_view, 4> read_quantization_methods{"gptq", "awq", "bitsandbytes", "flute"};

/// Why a checkpoint of quantized weights is refused by what it says of them; nothing where it is read, or says that
/// they are not quantized. `method` is what to call it where the description does not.
inline std::optional<std::string> quantization_text(json const& description, std::string_view method) {
    if (description.empty() || description == false) return std::nullopt; // null, {} and [] are empty
    std::string text = "weights quantized by " + std::string(method);
    if (description.is_object()) {
        const auto is = [&](const char* key, bool value) {
            const auto place = description.find(key);
            return place != description.end() && *place == value;
        };
        if (is("load_in_4bit", false) && is("load_in_8bit", false)) return std::nullopt; // bitsandbytes, switched off
        const auto name = description.find("quant_method");
        if (name != description.end() && name->is_string())
            text = "weights quantized by " + in_quotes(name->get_ref<std::string const&>());
        const std::string named = quantization_description(description, "").method();
        const bool is_read =
            is("load_in_4bit", true) || std::ranges::find(read_quantization_methods, named.empty() ? method : named) !=
                                            read_quantization_methods.end();
        if (is_read && !is("load_in_8bit", true)) return std::nullopt;
        constexpr std::array<std::string_view, 5> bits{"bits", "w_bit", "nbits", "num_bits", "weight_bits"};
        constexpr std::array<std::string_view, 2> group{"group_size", "q_group_size"};
        if (is("load_in_8bit", true))
            text += " to 8 bits";
        else if (json const* const n = find_below(description, bits); n && n->is_number())
            text += " to " + found_text(*n) + " bits";
        if (json const* const n = find_below(description, group); n && n->is_number_integer() && *n > 0) // −1: rows
            text += " in groups of " + found_text(*n);
    }
    return text + " are not read; the model in full precision that they were made from is, and so is GGUF";
}

} // namespace bitlens::detail
