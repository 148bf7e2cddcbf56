#pragma once
/// How the checkpoints of others store linear layers.

#include "bitlens/stored/auto_round.hpp"
#include "bitlens/stored/awq_linear.hpp"
#include "bitlens/stored/byte_codes_linear.hpp"
#include "bitlens/stored/code_words.hpp"
#include "bitlens/stored/compressed_linear.hpp"
#include "bitlens/stored/compressed_scheme.hpp"
#include "bitlens/stored/find_stored_linear.hpp"
#include "bitlens/stored/float4_linear.hpp"
#include "bitlens/stored/gptq_linear.hpp"
#include "bitlens/stored/group_order.hpp"
#include "bitlens/stored/linear_tensors.hpp"
#include "bitlens/stored/low_bit_floats.hpp"
#include "bitlens/stored/mlx_linear.hpp"
#include "bitlens/stored/module_pattern.hpp"
#include "bitlens/stored/quantization_description.hpp"
#include "bitlens/stored/stored_linear.hpp"
