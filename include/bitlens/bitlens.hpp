#pragma once
/// All of bitlens.

#include "bitlens/core.hpp"
#include "bitlens/formats.hpp"
#include "bitlens/hooks.hpp"
#include "bitlens/kernels.hpp"
#include "bitlens/report.hpp"
#include "bitlens/simd.hpp"
#include "bitlens/stats.hpp"
#include "bitlens/version.hpp"
