#pragma once
/// Products of weights and activations.

#include "bitlens/kernels/bf16_dot_micro_kernel.hpp"
#include "bitlens/kernels/bf16_emulated_micro_kernel.hpp"
#include "bitlens/kernels/bf16_operands.hpp"
#include "bitlens/kernels/bf16_tile_micro_kernel.hpp"
#include "bitlens/kernels/decode.hpp"
#include "bitlens/kernels/f32_micro_kernel.hpp"
#include "bitlens/kernels/matmul.hpp"
#include "bitlens/kernels/matvec.hpp"
#include "bitlens/kernels/matvec_each.hpp"
#include "bitlens/kernels/micro_kernel.hpp"
#include "bitlens/kernels/micro_kernels.hpp"
#include "bitlens/kernels/reference.hpp"
#include "bitlens/kernels/soft_cap.hpp"
#include "bitlens/kernels/vocabulary_loss.hpp"
#include "bitlens/kernels/weight_panels.hpp"
