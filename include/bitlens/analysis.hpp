#pragma once
/// analysis/: what a study measures of each document, and the numbers made from a finished run.

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/analysis/document_portraits.hpp"
#include "bitlens/analysis/error_sets.hpp"
#include "bitlens/analysis/finished_study.hpp"
#include "bitlens/analysis/float32_check.hpp"
#include "bitlens/analysis/foretelling.hpp"
#include "bitlens/analysis/intervals.hpp"
#include "bitlens/analysis/location.hpp"
#include "bitlens/analysis/location_names.hpp"
#include "bitlens/analysis/margins.hpp"
#include "bitlens/analysis/numbers.hpp"
#include "bitlens/analysis/recorded_quantities.hpp"
#include "bitlens/analysis/resamples.hpp"
#include "bitlens/analysis/robustness.hpp"
#include "bitlens/analysis/topics.hpp"
#include "bitlens/analysis/verdicts.hpp"
