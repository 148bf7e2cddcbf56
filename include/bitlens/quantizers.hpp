#pragma once
/// Quantizers: one matrix in, one packed matrix out.

#include "bitlens/quantizers/absmax.hpp"
#include "bitlens/quantizers/affine_grid.hpp"
#include "bitlens/quantizers/dynamic_map.hpp"
#include "bitlens/quantizers/quantizer.hpp"
#include "bitlens/quantizers/rows.hpp"
#include "bitlens/quantizers/rtn.hpp"
