#pragma once
/// memory_plan: what a sweep keeps in memory and how large its blocks are, decided before it starts.

#include "bitlens/core/error.hpp"
#include "bitlens/sweep/sweep.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

namespace bitlens {

/// "1.05 MB", "713 MB", "5.4 GB": decimal units, as file managers print them.
inline std::string bytes_text(std::uint64_t bytes) {
    char text[32];
    if (bytes >= 1'000'000'000)
        std::snprintf(text, sizeof text, "%.1f GB", static_cast<double>(bytes) / 1e9);
    else
        std::snprintf(text, sizeof text, "%.*f MB", bytes < 10'000'000 ? 2 : 0, static_cast<double>(bytes) / 1e6);
    return text;
}

/// What there is to keep, in bytes.
struct memory_demand {
    std::uint64_t ends = 0;      // embedding, head: what is always kept of them
    std::uint64_t full = 0;      // all blocks of the full model
    std::uint64_t quantized = 0; // all blocks of all quantized models
    std::size_t layers = 1;      // of which one at a time is enough
    std::uint64_t results = 0;   // tables that grow with the rows
    sweep_memory states;
    std::size_t rows = 1;
};

struct memory_plan {
    bool full_resident = true;      // else each layer is read again for every block of examples
    bool quantized_resident = true; // else each layer is quantized again for every block
    sweep_cut cut;
    std::uint64_t total = 0; // bytes
};

/// The fastest plan within `limit` bytes. Errors: option_error that says how much the smallest plan needs, and what
/// most of it is for.
inline memory_plan plan_memory(memory_demand const& d, std::uint64_t limit, unsigned threads) {
    const auto one_layer = [&](std::uint64_t all) { return (all + d.layers - 1) / d.layers; };
    // Enough examples to keep every thread busy until the layer's end, which all of them wait for.
    const std::size_t useful_block = std::min<std::size_t>(std::max<std::size_t>(8, 4 * threads), d.rows);
    std::uint64_t smallest = 0;
    struct choice {
        bool full_resident, quantized_resident, lays_out;
    };
    constexpr std::array<choice, 4> choices{
        {{true, true, true}, {false, true, true}, {false, false, true}, {false, false, false}}};
    for (auto const& [full_resident, quantized_resident, lays_out] : choices) {
        const std::uint64_t weights = d.ends + (full_resident ? d.full : one_layer(d.full)) +
                                      (quantized_resident ? d.quantized : one_layer(d.quantized));
        const std::uint64_t fixed =
            weights + d.results + threads * d.states.per_thread + d.states.once + (lays_out ? d.states.panels : 0);
        smallest = fixed + d.states.per_example;
        // A layer that must be read or quantized again is worth as many examples as fit.
        const std::uint64_t wanted = full_resident && quantized_resident ? useful_block : d.rows;
        const std::uint64_t least = std::min<std::uint64_t>(useful_block, wanted);
        if (fixed + least * d.states.per_example > limit && lays_out) continue;
        if (smallest > limit) break;
        const std::uint64_t block = std::min<std::uint64_t>(wanted, (limit - fixed) / d.states.per_example);
        return {full_resident,
                quantized_resident,
                {static_cast<std::size_t>(block), threads, lays_out},
                fixed + block * d.states.per_example};
    }
    const std::pair<std::uint64_t, std::string> parts[] = {
        {d.ends, "the embedding and the head"},
        {one_layer(d.full), "a layer of the full model"},
        {one_layer(d.quantized), "a layer of the quantized models"},
        {d.results, "what is kept of all " + std::to_string(d.rows) + " rows"},
        {threads * d.states.per_thread, "what " + std::to_string(threads) + " threads work in"},
        {d.states.once, "work on one layer"},
        {d.states.per_example, "the states of an example"}};
    auto const& [bytes, what] = *std::ranges::max_element(parts);
    throw option_error("memory: at least " + bytes_text(smallest) + " are needed for one example at a time, " +
                       bytes_text(bytes) + " of them for " + what + "; " + bytes_text(limit) + " are allowed");
}

} // namespace bitlens
