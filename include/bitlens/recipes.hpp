#pragma once
/// Recipes: from the name of a method to a quantized model.

#include "bitlens/recipes/all_formats.hpp"
#include "bitlens/recipes/method.hpp"
#include "bitlens/recipes/overrides.hpp"
#include "bitlens/recipes/quantize_layers.hpp"
#include "bitlens/recipes/quantize_model.hpp"
