#pragma once
/// How the checkpoints of others store linear layers.

#include "bitlens/stored/awq_linear.hpp"
#include "bitlens/stored/bitsandbytes_linear.hpp"
#include "bitlens/stored/code_words.hpp"
#include "bitlens/stored/efficient_qat_linear.hpp"
#include "bitlens/stored/find_stored_linear.hpp"
#include "bitlens/stored/flute_linear.hpp"
#include "bitlens/stored/gptq_linear.hpp"
#include "bitlens/stored/linear_tensors.hpp"
#include "bitlens/stored/quantization_description.hpp"
#include "bitlens/stored/stored_linear.hpp"
#include "bitlens/stored/write_awq.hpp"
#include "bitlens/stored/write_bitsandbytes.hpp"
#include "bitlens/stored/write_gptq.hpp"
#include "bitlens/stored/written_part.hpp"
