#pragma once
/// What a run lets others read and overwrite, and the probes that do.

#include "bitlens/hooks/measure.hpp"
#include "bitlens/hooks/patch.hpp"
#include "bitlens/hooks/points.hpp"
#include "bitlens/hooks/positions.hpp"
#include "bitlens/hooks/probe.hpp"
#include "bitlens/hooks/record.hpp"
