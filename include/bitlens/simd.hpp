#pragma once
/// Vectors of numbers, whatever the instruction set.

#include "bitlens/simd/arch.hpp"
#include "bitlens/simd/batch.hpp"
#include "bitlens/simd/bf16.hpp"
#include "bitlens/simd/gather.hpp"
#include "bitlens/simd/lookup.hpp"
#include "bitlens/simd/rows.hpp"
#include "bitlens/simd/transpose.hpp"
#include "bitlens/simd/unpack.hpp"
#include "bitlens/simd/widen.hpp"
