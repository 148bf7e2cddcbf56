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

/// The methods of a run as its models run, those of an earlier call too, once all that was planned is quantized. Beside
/// what a run quantizes itself stands a link to what was quantized elsewhere, for those that go on from it.
/// Errors: option_error where there is no method; those of quantize_methods and method_of_run; io_error.
std::vector<method> quantized_methods(quantization_setting const& setting,
                                      std::vector<planned_quantization> const& plans, std::vector<method> asked_for,
                                      machine const& here, std::filesystem::path const& run,
                                      run_manifest const& manifest);

/// What the file says of the full model's weights, and the grid that they lie on.
std::string full_text(checkpoint const& source);

} // namespace bitlens::command
