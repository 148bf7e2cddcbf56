#pragma once
/// sweep/: variants of a model side by side on many examples, and the folder that keeps a run.

#include "bitlens/sweep/layer_panels.hpp"
#include "bitlens/sweep/memory_plan.hpp"
#include "bitlens/sweep/run_folder.hpp"
#include "bitlens/sweep/sweep.hpp"
#include "bitlens/sweep/variants.hpp"
