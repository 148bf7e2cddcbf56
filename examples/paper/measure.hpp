#pragma once
/// The study that a program of this folder shows, in memory.

#include "bitlens/analysis/numbers.hpp"
#include "bitlens/recipes/method.hpp"

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>

namespace bitlens::paper {

/// Documents of a real model: the first `examples` (all, if none) of at least `tokens` token ids.
struct checkpoint_documents {
    std::filesystem::path model, data;
    std::size_t tokens = 512;
    std::optional<std::size_t> examples;
};
finished_study measure_checkpoint(checkpoint_documents const&, std::span<const method>);

/// A tiny random model and made-up documents, the same on every machine.
finished_study measure_tiny_model(std::span<const method>);

} // namespace bitlens::paper
