#pragma once
/// analysis/: what a study measures of each document, and the tables, figures and report made from a finished run.

#include "bitlens/analysis/document_measurement.hpp"
#include "bitlens/analysis/error_sets.hpp"
#include "bitlens/analysis/example_text.hpp"
#include "bitlens/analysis/measure_run.hpp"
#include "bitlens/analysis/published.hpp"
#include "bitlens/analysis/run_results.hpp"
#include "bitlens/analysis/run_tokens.hpp"
#include "bitlens/analysis/select_documents.hpp"
#include "bitlens/analysis/study.hpp"
#include "bitlens/analysis/study_claims.hpp"
#include "bitlens/analysis/study_figures.hpp"
#include "bitlens/analysis/study_numbers.hpp"
#include "bitlens/analysis/study_report.hpp"
#include "bitlens/analysis/study_results.hpp"
#include "bitlens/analysis/study_tables.hpp"
#include "bitlens/analysis/study_words.hpp"
