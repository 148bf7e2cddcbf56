#pragma once
/// Whole models: their configuration, their files, and the forward pass.

#include "bitlens/models/architectures.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/models/checkpoint_difference.hpp"
#include "bitlens/models/checkpoint_path.hpp"
#include "bitlens/models/config.hpp"
#include "bitlens/models/generate.hpp"
#include "bitlens/models/gguf_model_writer.hpp"
#include "bitlens/models/growing_text.hpp"
#include "bitlens/models/quantization_facts.hpp"
#include "bitlens/models/random_model.hpp"
#include "bitlens/models/score.hpp"
#include "bitlens/models/transformer.hpp"
#include "bitlens/models/weights.hpp"
