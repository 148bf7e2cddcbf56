#pragma once
/// Products of weights and activations.

#include "bitlens/kernels/matmul.hpp"
#include "bitlens/kernels/matvec.hpp"
#include "bitlens/kernels/reference.hpp"
