#pragma once
/// How the checkpoints of others store linear layers.

#include "bitlens/stored/awq_linear.hpp"
#include "bitlens/stored/code_words.hpp"
#include "bitlens/stored/find_stored_linear.hpp"
#include "bitlens/stored/gguf_blocks_of.hpp"
#include "bitlens/stored/gguf_linear.hpp"
#include "bitlens/stored/gptq_linear.hpp"
#include "bitlens/stored/linear_tensors.hpp"
#include "bitlens/stored/quantization_description.hpp"
#include "bitlens/stored/stored_linear.hpp"
