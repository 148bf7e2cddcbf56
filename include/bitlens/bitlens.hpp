#pragma once
/// All of bitlens, in the order of the ranks.

#include "bitlens/core.hpp"
#include "bitlens/simd.hpp"
#include "bitlens/formats.hpp"
#include "bitlens/stats.hpp"
#include "bitlens/io.hpp"
#include "bitlens/report.hpp"
#include "bitlens/text.hpp"
#include "bitlens/kernels.hpp"
#include "bitlens/hooks.hpp"
#include "bitlens/quantizers.hpp"
#include "bitlens/layers.hpp"
#include "bitlens/models.hpp"
#include "bitlens/sweep.hpp"
#include "bitlens/recipes.hpp"
#include "bitlens/analysis.hpp"
#include "bitlens/version.hpp"
