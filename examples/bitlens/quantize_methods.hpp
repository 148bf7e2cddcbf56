#pragma once
/// Methods that are quantized into folders before a model runs.

#include "commands.hpp"
#include "setting.hpp"

#include "bitlens/models/checkpoint.hpp"
#include "bitlens/recipes/awq_cache.hpp"
#include "bitlens/recipes/calibration.hpp"
#include "bitlens/recipes/method.hpp"
#include "bitlens/recipes/method_documents.hpp"
#include "bitlens/recipes/overrides.hpp"
#include "bitlens/recipes/quantized_manifest.hpp"
#include "bitlens/sweep/document_rows.hpp"
#include "bitlens/text/tokenizer.hpp"

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bitlens::command {

/// What a verb that quantizes was told.
struct quantization_setting {
    model_arguments const& model;
    checkpoint const& source;
    tokenizer const* text; // none where calibration is rows of ids
    std::string bos;       // as "--bos" has it
    calibration_arguments const& calibration;
    std::optional<std::filesystem::path> const& overrides;
    std::string arithmetic;
    document_rows const* study; // whose documents no method is calibrated on
};

/// One method and its folder.
struct planned_quantization {
    std::size_t method; // its place
    quantized_manifest manifest;
    std::filesystem::path folder;
    std::shared_ptr<const calibration_set> documents{}; // none: the method needs none, or the folder is finished
    std::shared_ptr<const awq_cache> cache{};           // in place of a search
    std::string identity{};                             // of the manifest
};

/// Plans to quantize those methods that ask for documents, or all, each into root/NAME. What was read and left out is
/// said.   Errors: option_error for a method that needs documents where none are named; those of read_calibration.
std::vector<planned_quantization> plan_quantization(quantization_setting const& setting,
                                                    std::vector<method> const& methods,
                                                    std::filesystem::path const& root, bool all_methods);

/// Does what was planned and is not there yet, and tells the methods their folders.
void quantize_methods(quantization_setting const& setting, std::vector<planned_quantization> const& plans,
                      std::vector<method>& methods, machine const& here);

/// Errors: option_error for the folder of a method that another model was quantized into; those of check_checkpoint.
void check_source(checkpoint const& source, model_arguments const& model, method const& m);

} // namespace bitlens::command
