#pragma once
/// compressed_schemes: what a description of compressed-tensors says of which layers, and what in it is not read.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/stored/module_pattern.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// How one group of layers is stored. What is not said may be anything.
struct compressed_scheme {
    std::string group; ///< its name in config_groups
    std::int64_t bits = 8;
    bool is_float = false;
    std::optional<std::size_t> columns; ///< of a group of a row; 0 for a whole one
    std::array<std::size_t, 2> block{}; ///< rows and columns that share a scale; 0 where none do
};

namespace detail {

/// "8-bit int, dynamic per token", of arguments as compressed-tensors has them.
inline std::string activation_text(json const& args, std::string const& who) {
    const auto bits = if_present<std::int64_t>(args, "num_bits", who).value_or(8);
    std::string text =
        std::to_string(bits) + "-bit " + if_present<std::string>(args, "type", who).value_or("int") + ", ";
    json const* const dynamic = find_value(args, "dynamic", who);
    if (dynamic != nullptr && *dynamic == "local")
        text += "dynamic local";
    else
        text += dynamic != nullptr && *dynamic == true ? "dynamic" : "static";
    if (const auto group = if_present<std::int64_t>(args, "group_size", who); group && *group > 0)
        return text + " in groups of " + std::to_string(*group);
    const auto strategy = if_present<std::string>(args, "strategy", who);
    return strategy ? text + " per " + *strategy : text;
}

/// A scheme that has a name of its own; nothing for a name that is none.
struct named_scheme {
    std::optional<compressed_scheme> scheme;
    bool has_activations = false, is_dense = false;
};
inline named_scheme preset_scheme(std::string name) {
    for (char& c : name)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    named_scheme found;
    const auto has = [&](std::initializer_list<std::string_view> names) {
        return std::ranges::find(names, std::string_view(name)) != names.end();
    };
    found.is_dense = name == "UNQUANTIZED";
    found.has_activations = has({"W8A8", "INT8", "W4AFP8", "FP8", "FP8_DYNAMIC", "FP8_BLOCK", "NVFP4", "MXFP4", "MXFP6",
                                 "MXFP8", "MXFP6A8", "MXFP4XFP8"});
    compressed_scheme s;
    const bool is_int = name.size() >= 4 && name[0] == 'W' && name[1] >= '1' && name[1] <= '8' && name[2] == 'A';
    if (is_int && (name.substr(3) == "4" || name.substr(3) == "8")) found.has_activations = true;
    if (is_int && (name.substr(3) == "16" || name.substr(3) == "16_ASYM")) {
        s.bits = name[1] - '0';
        found.scheme = s;
    } else if (has({"NVFP4A16", "MXFP4A16", "MXFP6A16", "MXFP8A16"})) {
        s.is_float = true;
        s.bits = name[4] - '0';
        found.scheme = s;
    }
    return found;
}

} // namespace detail

/// Errors at construction: format_error naming key and group, for what is no such description.
class compressed_schemes {
public:
    compressed_schemes() = default;
    compressed_schemes(json const& description, std::string const& who) : who_(who) {
        std::map<std::string, std::size_t, std::less<>> targets; // of a later group, where two have one
        if (json const* const groups = find_object(description, "config_groups", who)) {
            is_said_ = true;
            for (auto const& [name, group] : groups->items()) {
                const std::size_t place = schemes_.size();
                for (auto& target : add_group(name, group)) targets.insert_or_assign(std::move(target), place);
            }
        }
        for (auto const& [target, place] : targets)
            add(
                target, [&, at = place](module_pattern&& p) { patterns_.emplace_back(std::move(p), at); },
                [&, at = place](std::string const& name) { names_.emplace(name, at); });
        for (auto const& target :
             if_present<std::vector<std::string>>(description, "ignore", who).value_or(std::vector<std::string>()))
            add(
                target, [&](module_pattern&& p) { ignored_patterns_.push_back(std::move(p)); },
                [&](std::string const& name) { ignored_.emplace(name, 0); });
        find_refusal(description);
    }

    /// Whether it is said which layers are quantized.
    bool are_said() const noexcept { return is_said_; }
    /// What of it is not read; nothing where all is.
    std::optional<std::string> const& refusal() const noexcept { return refusal_; }

    /// The scheme of a linear layer (or an embedding); nullptr where it stays dense.
    compressed_scheme const* of(std::string_view module) const {
        // Files of a model of text within another may name it as it is there, or as it is alone.
        std::vector<std::string> names{std::string(module)};
        constexpr std::string_view inner = "language_model.";
        if (const auto at = module.find(inner); at != module.npos) {
            names.push_back(std::string(module.substr(0, at)) + std::string(module.substr(at + inner.size())));
            names.push_back("model.language_model." + std::string(module.substr(at + inner.size())));
        }
        const bool is_embedding = module.ends_with("embed_tokens");
        const std::array<std::string_view, 2> classes{is_embedding ? "Embedding" : "Linear", "Module"};
        const auto listed = [&](auto const& all, auto const& keys) {
            auto place = all.end();
            for (auto const& key : keys)
                if (place == all.end()) place = all.find(key);
            return place;
        };
        const auto matches = [&](module_pattern const& p) {
            return std::ranges::any_of(names, [&](std::string const& name) { return p.matches(name); });
        };
        if (listed(ignored_, names) != ignored_.end() || listed(ignored_, classes) != ignored_.end() ||
            std::ranges::any_of(ignored_patterns_, matches))
            return nullptr;
        if (const auto place = listed(names_, names); place != names_.end()) return scheme(place->second);
        for (auto const& [pattern, place] : patterns_)
            if (matches(pattern)) return scheme(place);
        const auto place = listed(names_, classes);
        return place == names_.end() ? nullptr : scheme(place->second);
    }

private:
    static constexpr std::size_t most_pattern_steps = 50'000;

    compressed_scheme const* scheme(std::size_t place) const { return schemes_[place] ? &*schemes_[place] : nullptr; }

    template <class OnPattern, class OnName>
    void add(std::string const& target, OnPattern const& on_pattern, OnName const& on_name) {
        constexpr std::string_view begins = "re:";
        if (!target.starts_with(begins)) return on_name(target);
        module_pattern pattern(std::string_view(target).substr(begins.size()), who_);
        pattern_steps_ += pattern.size();
        if (pattern_steps_ > most_pattern_steps)
            throw format_error(who_ + ": patterns of layers of more than " + std::to_string(most_pattern_steps) +
                               " characters, counted as often as they are repeated");
        on_pattern(std::move(pattern));
    }
    void refuse(std::string text) {
        if (!refusal_) refusal_ = std::move(text);
    }

    /// Returns its targets.
    std::vector<std::string> add_group(std::string const& name, json const& group) {
        const std::string who = who_ + ": config_groups: " + in_quotes(name);
        const std::string called = "group " + in_quotes(name) + ": ";
        if (group.is_array()) { // a preset and its layers
            const auto preset = detail::preset_scheme(name);
            if (preset.has_activations)
                refuse(called + "activations are quantized too");
            else if (!preset.scheme && !preset.is_dense)
                refuse(called + "there is no preset of this name");
            schemes_.push_back(preset.scheme);
            if (schemes_.back()) schemes_.back()->group = name;
            return required<std::vector<std::string>>(json{{"targets", group}}, "targets", who);
        }
        if (!group.is_object())
            throw format_error(who + ": an object is expected, " + detail::found_text(group) + " was found");
        schemes_.emplace_back();
        json const* const weights = find_object(group, "weights", who);
        if (weights != nullptr) schemes_.back() = read_scheme(name, *weights, who + ": weights");
        for (auto const& [key, words] : {std::pair("input_activations", "input activations "),
                                         std::pair("output_activations", "output activations ")})
            if (json const* const args = find_object(group, key, who)) {
                const auto bits = if_present<std::int64_t>(*args, "num_bits", who).value_or(8);
                if (bits >= 16) continue;
                std::string text = called + words + detail::activation_text(*args, who);
                if (schemes_.back())
                    text += " (W" + std::to_string(schemes_.back()->bits) + "A" + std::to_string(bits) + ")";
                refuse(text);
            }
        if (const auto format = if_present<std::string>(group, "format", who)) check_format(called, *format);
        return required<std::vector<std::string>>(group, "targets", who);
    }

    static compressed_scheme read_scheme(std::string const& name, json const& args, std::string const& who) {
        compressed_scheme s;
        s.group = name;
        s.bits = if_present<std::int64_t>(args, "num_bits", who).value_or(8);
        const auto type = if_present<std::string>(args, "type", who).value_or("int");
        if (type != "int" && type != "float") throw format_error(who + ": type " + in_quotes(type) + " is not known");
        s.is_float = type == "float";
        const auto columns = if_present<std::int64_t>(args, "group_size", who);
        if (columns && (*columns < -1 || *columns == 0))
            throw format_error(who + ": group_size " + std::to_string(*columns) + " means nothing");
        const auto strategy = if_present<std::string>(args, "strategy", who);
        if (columns && *columns > 0 && (!strategy || *strategy == "group" || *strategy == "tensor_group"))
            s.columns = static_cast<std::size_t>(*columns);
        else if (!strategy || *strategy == "channel" || *strategy == "tensor")
            s.columns = 0;
        if (strategy && *strategy == "block") {
            s.columns.reset();
            s.block = read_block(args, who);
        }
        return s;
    }
    /// [rows, columns] or "ROWSxCOLUMNS".
    static std::array<std::size_t, 2> read_block(json const& args, std::string const& who) {
        json const* const value = find_value(args, "block_structure", who);
        std::vector<std::uint64_t> sizes;
        if (value != nullptr && value->is_string()) {
            auto const& text = value->get_ref<std::string const&>();
            if (const auto x = text.find('x'); x != text.npos && x < 10 && text.size() - x < 11 &&
                                               text.find_first_not_of("0123456789", x + 1) == text.npos &&
                                               text.find_first_not_of("0123456789") == x && x + 1 < text.size())
                sizes = {std::stoull(text.substr(0, x)), std::stoull(text.substr(x + 1))};
        } else if (value != nullptr) {
            sizes = required<std::vector<std::uint64_t>>(args, "block_structure", who);
        }
        if (sizes.size() != 2 || sizes[0] == 0 || sizes[1] == 0)
            throw format_error(who + ": block_structure: rows and columns are expected of strategy \"block\"");
        return {static_cast<std::size_t>(sizes[0]), static_cast<std::size_t>(sizes[1])};
    }

    void check_format(std::string const& called, std::string const& format) {
        constexpr std::array<std::string_view, 9> read{
            "pack-quantized",  "int-quantized",        "float-quantized",
            "naive-quantized", "nvfp4-pack-quantized", "mxfp4-pack-quantized",
            "mxfp8-quantized", "mixed-precision",      "dense"};
        if (std::ranges::find(read, format) == read.end()) refuse(called + "format " + in_quotes(format));
    }

    void find_refusal(json const& d) {
        if (const auto format = if_present<std::string>(d, "format", who_)) check_format("", *format);
        if (const auto status = if_present<std::string>(d, "quantization_status", who_);
            status && *status != "compressed")
            refuse("quantization_status " + in_quotes(*status) + ": the weights are not in codes yet");
        if (json const* const sparsity = find_object(d, "sparsity_config", who_))
            if (const auto format = if_present<std::string>(*sparsity, "format", who_); format && *format != "dense")
                refuse("sparse weights, " + *format);
        if (json const* const cache = find_object(d, "kv_cache_scheme", who_); cache && !cache->empty())
            refuse("kv cache " + detail::activation_text(*cache, who_));
        json const* const transforms = find_object(d, "transform_config", who_);
        if (transforms == nullptr) return;
        json const* const groups = find_object(*transforms, "config_groups", who_ + ": transform_config");
        if (groups == nullptr) return;
        for (auto const& [name, group] : groups->items()) {
            const std::string who = who_ + ": transform_config: " + in_quotes(name);
            if (!group.is_object())
                throw format_error(who + ": an object is expected, " + detail::found_text(group) + " was found");
            json const* const apply = find_value(group, "apply", who);
            if (apply == nullptr) continue;
            if (!apply->is_array()) throw format_error(who + ": apply: a list is expected");
            for (json const& one : *apply) {
                const auto location = required<std::string>(one, "location", who + ": apply");
                if (location != "weight_input" && location != "weight_output") // those are within the weights
                    refuse("online rotation of " + location + " (" + in_quotes(name) + ")");
            }
        }
    }

    std::string who_;
    bool is_said_ = false;
    std::optional<std::string> refusal_;
    std::vector<std::optional<compressed_scheme>> schemes_;
    std::map<std::string, std::size_t, std::less<>> names_, ignored_;
    std::vector<std::pair<module_pattern, std::size_t>> patterns_;
    std::vector<module_pattern> ignored_patterns_;
    std::size_t pattern_steps_ = 0;
};

} // namespace bitlens
