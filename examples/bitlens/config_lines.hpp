#pragma once
/// What the configuration of a model that can be loaded comes to, as lines for a terminal.

#include "bitlens/models/checkpoint.hpp"

#include <string>
#include <utility>
#include <vector>

namespace bitlens::command {

/// Label and text: how blocks are built, how positions turn, which layers have a window, what scores are multiplied
/// with, and what a file left open.
std::vector<std::pair<std::string, std::string>> config_lines(model_config const& config, model_family const& family);

} // namespace bitlens::command
