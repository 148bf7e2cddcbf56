#pragma once
/// The methods of a run folder: as its manifest has them, and where they lie quantized.

#include "quantize_methods.hpp"

#include "bitlens/models/checkpoint.hpp"
#include "bitlens/recipes/method.hpp"
#include "bitlens/sweep/manifest.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace bitlens::command {

/// As the manifest has them; `plans`: what is to be quantized for them.
std::vector<run_method> named(std::vector<method> const& methods, std::vector<planned_quantization> const& plans = {});

/// Beside what a run quantizes itself stands a link to what was quantized elsewhere, for those that go on from it.
/// Errors: io_error.
void link_folders(std::filesystem::path const& run, std::vector<method> const& methods);

/// What the file says of the full model's weights, and the grid that they lie on.
std::string full_text(checkpoint const& source);

} // namespace bitlens::command
