#pragma once
/// What a model is made of: the layers of a decoder block, and the block that runs them in stages.

#include "bitlens/layers/attention.hpp"
#include "bitlens/layers/attention_panels.hpp"
#include "bitlens/layers/block.hpp"
#include "bitlens/layers/embedding.hpp"
#include "bitlens/layers/gated_mlp.hpp"
#include "bitlens/layers/key_value_cache.hpp"
#include "bitlens/layers/linear.hpp"
#include "bitlens/layers/reference.hpp"
#include "bitlens/layers/rms_norm.hpp"
#include "bitlens/layers/rope.hpp"
