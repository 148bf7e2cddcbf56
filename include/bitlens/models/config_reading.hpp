#pragma once
/// What the readers of config.json and of GGUF metadata have in common: keys that are not known, families that are
/// none, and what follows from a family and a few numbers.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/models/config_keys.hpp"
#include "bitlens/models/model_config.hpp"
#include "bitlens/models/model_family.hpp"
#include "bitlens/report/visible_text.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens::detail {

inline std::string not_neutral(std::string_view key, std::string const& found, neutral values) {
    return std::string(key) + " is " + found + ", which is not supported; only " + std::string(name(values)) + " is";
}

/// The keys of a file that are not known. They are refused but for those that are to be passed over.
class unknown_keys {
public:
    unknown_keys(std::string who, std::span<const std::string> allowed, problem_list& problems)
        : who_(std::move(who)), allowed_(allowed), problems_(problems) {}

    /// `found`: the value; empty for one that says nothing (null), and is not refused.
    void add(std::string const& key, std::string const& found) {
        keys_.push_back(key);
        if (!found.empty() && std::ranges::find(allowed_, key) == allowed_.end())
            problems_.add(who_ + ": the key " + in_quotes(key) +
                          " is not known, and could change what the model computes (its value is " + found +
                          "); --allow-key " + in_quotes(key) + " passes over it");
    }

    /// Checks that the keys to be passed over are there, and unknown.   Errors: option_error.
    template <class Occurs>
    void check_allowed(Occurs const& occurs) const {
        for (auto const& key : allowed_) {
            if (!occurs(std::string_view(key)))
                throw option_error(who_ + ": there is no key " + in_quotes(key) + " that could be passed over");
            if (std::ranges::find(keys_, key) == keys_.end())
                throw option_error(who_ + ": the key " + in_quotes(key) + " is known, and not passed over");
        }
    }

private:
    std::string who_;
    std::span<const std::string> allowed_;
    problem_list& problems_;
    std::vector<std::string> keys_;
};

/// Why a model of that name cannot be read, as far as its name says.
inline std::string not_supported(std::string_view name, std::span<model_family const* const> known) {
    const std::string_view begin = name.substr(0, 100);
    std::string text = "architecture '" + visible_text(begin) + "' is not supported; there are " + names_of(known);
    std::string plain(begin);
    std::erase_if(plain, [](char c) { return c == '_' || c == '-'; });
    for (auto const& [begins, reason] : foreign_families)
        if (plain.starts_with(begins)) return text + "; this one " + std::string(reason);
    return text;
}

/// What the rows of a family's embedding are multiplied with, in float32 as a model that is loaded so computes it.
/// (One loaded as bfloat16 rounds √width to that; a choice between the two would be made here.)
inline float embedding_scale_of(model_family const& family, std::size_t width) {
    return family.scales_embedding ? static_cast<float>(std::sqrt(static_cast<double>(width))) : 1.0f;
}

/// Scores times 1/√scalar. That of head_dim goes without saying.
inline void set_query_scalar(block_shape& b, double scalar) {
    if (scalar != static_cast<double>(b.head_dim)) b.attention_scale = static_cast<float>(1 / std::sqrt(scalar));
}

/// Dimensions of a head that turn, as rope_rule has them.
inline std::size_t rotated_of(std::size_t turned, std::size_t head_dim) noexcept {
    return turned == head_dim ? 0 : turned;
}

/// Which layers have a window.
struct window_plan {
    window_layers layers = window_layers::none;
    std::size_t period = 0, first = 0; // of periodic ones; of those from a layer on
    std::vector<bool> listed{};        // of each layer, in place of all that

    bool operator()(std::size_t k) const noexcept {
        if (!listed.empty()) return listed[k];
        switch (layers) {
        case window_layers::none:
            return false;
        case window_layers::all:
            return true;
        case window_layers::switched:
            return k >= first;
        case window_layers::periodic:
            break;
        }
        return period == 0 || (k + 1) % period != 0;
    }
};

/// Rules of layers take memory, and their number is only what a file says.
inline constexpr std::size_t most_layers_with_rules = std::size_t{1} << 16;

/// Gives layers their windows, and those with a window the second rope where there are two.
/// Errors: format_error for too many layers.
inline void set_layers(model_config& c, std::string const& who, window_plan const& has_window, std::size_t window) {
    const std::size_t local_rope = c.ropes.size() - 1;
    if (window == attention_rule::everything && local_rope == 0) return;
    if (c.layers > most_layers_with_rules)
        throw format_error(who + ": at most " + std::to_string(most_layers_with_rules) +
                           " layers are expected where some have a window, " + std::to_string(c.layers) +
                           " were found");
    std::vector<layer_rule> rules(c.layers);
    for (std::size_t k = 0; k < c.layers; ++k)
        if (has_window(k)) rules[k] = {window, local_rope};
    if (window == attention_rule::everything && std::ranges::find(rules, local_rope, &layer_rule::rope) != rules.end())
        throw format_error(who +
                           ": a window is expected, as layers with one turn by a theta of their own; none was found");
    if (std::ranges::adjacent_find(rules, std::ranges::not_equal_to{}) != rules.end()) {
        c.layer_rules = std::move(rules);
    } else if (!rules.empty()) { // all are alike
        c.block.window = rules[0].window;
        c.ropes = {c.ropes[rules[0].rope]};
    }
}

} // namespace bitlens::detail
