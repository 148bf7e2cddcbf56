#pragma once
/// Statistics of activations and of errors: pure functions on spans, double inside.

#include "bitlens/stats/binomial.hpp"
#include "bitlens/stats/correlation.hpp"
#include "bitlens/stats/density.hpp"
#include "bitlens/stats/influence.hpp"
#include "bitlens/stats/line.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/stats/norms.hpp"
#include "bitlens/stats/overlap.hpp"
#include "bitlens/stats/proportions.hpp"
#include "bitlens/stats/ranks.hpp"
#include "bitlens/stats/resamples.hpp"
#include "bitlens/stats/spread.hpp"
#include "bitlens/stats/sums.hpp"
