#pragma once
/// Vectors of numbers, whatever the instruction set.

#include "bitlens/simd/arch.hpp"
