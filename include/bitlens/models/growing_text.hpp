#pragma once
/// growing_text: a text that a model reads piece by piece.

#include "bitlens/layers/block.hpp"
#include "bitlens/layers/key_value_cache.hpp"
#include "bitlens/layers/rope.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace bitlens {

/// Rotary tables for the first positions of texts of some length.
struct text_ropes {
    rope_tables tables;
    std::size_t length; // of a text whose frequencies they have

    text_ropes(std::span<const rope_rule> rules, std::size_t text_length, std::size_t positions, std::size_t head_dim)
        : length(text_length) {
        for (auto const& rule : rules)
            tables.emplace_back(positions, head_dim, frequencies_of(rule, head_dim, text_length));
    }

    /// Whether a text of so many positions is turned by them.
    bool serve(std::span<const rope_rule> rules, std::size_t positions) const noexcept {
        const std::size_t shorter = std::min(length, positions), longer = std::max(length, positions);
        return !tables.empty() && tables[0].positions() >= positions &&
               std::ranges::all_of(rules,
                                   [&](rope_rule const& rule) { return shortest_text_like(rule, longer) <= shorter; });
    }
};

/// The ids of a text, and of those that a model has read what later ones need: keys and values in each of its layers.
/// It belongs to one model and arithmetic once it is read. Ids may be added at the end, and all else is the model's
/// (transformer::read). Move-only.
struct growing_text {
    std::vector<std::int32_t> ids;
    std::vector<key_value_cache<>> layers{};
    std::shared_ptr<const text_ropes> ropes{};

    explicit growing_text(std::span<const std::int32_t> first_ids) : ids(first_ids.begin(), first_ids.end()) {}
    growing_text(growing_text&&) = default;
    growing_text& operator=(growing_text&&) = default;

    /// Ids that were read.
    std::size_t positions() const noexcept { return layers.empty() ? 0 : layers[0].positions(); }
    std::size_t unread() const noexcept { return ids.size() - positions(); }
    /// As if nothing had been read.
    void forget() noexcept {
        for (auto& layer : layers) layer.clear();
    }
};

} // namespace bitlens
