#pragma once
/// core: what every other folder stands on. No formats, no models, no files.

#include "bitlens/core/arithmetic.hpp"
#include "bitlens/core/error.hpp"
#include "bitlens/core/half.hpp"
#include "bitlens/core/huge_pages.hpp"
#include "bitlens/core/intrinsics.hpp"
#include "bitlens/core/level_tables.hpp"
#include "bitlens/core/machine.hpp"
#include "bitlens/core/name_index.hpp"
#include "bitlens/core/padded_number.hpp"
#include "bitlens/core/parallel.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/stopwatch.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/core/view.hpp"
#include "bitlens/core/workspace.hpp"
