#pragma once
/// How weights are stored.

#include "bitlens/formats/affine.hpp"
#include "bitlens/formats/code_chunk.hpp"
#include "bitlens/formats/coded_matrix.hpp"
#include "bitlens/formats/dense.hpp"
#include "bitlens/formats/lookup.hpp"
#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/formats/normal_float.hpp"
#include "bitlens/formats/packed_matrix.hpp"
#include "bitlens/formats/quant_format.hpp"
#include "bitlens/formats/uniform.hpp"
