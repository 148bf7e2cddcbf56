#pragma once
/// Quantizers: one matrix in, one packed matrix out.

#include "bitlens/quantizers/absmax.hpp"
#include "bitlens/quantizers/affine_grid.hpp"
#include "bitlens/quantizers/awq.hpp"
#include "bitlens/quantizers/dynamic_map.hpp"
#include "bitlens/quantizers/gptq.hpp"
#include "bitlens/quantizers/input_hessian.hpp"
#include "bitlens/quantizers/inverse_factor.hpp"
#include "bitlens/quantizers/quantizer.hpp"
#include "bitlens/quantizers/rows.hpp"
#include "bitlens/quantizers/rtn.hpp"
#include "bitlens/quantizers/shifted.hpp"
#include "bitlens/quantizers/uniform_rule.hpp"
#include "bitlens/quantizers/weight_grid.hpp"
