#pragma once
/// sweep/: variants of a model side by side on many examples, what is measured of them, and the folder that keeps a
/// run.

#include "bitlens/sweep/column.hpp"
#include "bitlens/sweep/document_rows.hpp"
#include "bitlens/sweep/layer_panels.hpp"
#include "bitlens/sweep/manifest.hpp"
#include "bitlens/sweep/memory_plan.hpp"
#include "bitlens/sweep/point_exchange.hpp"
#include "bitlens/sweep/position_scores.hpp"
#include "bitlens/sweep/results_table.hpp"
#include "bitlens/sweep/run_arrays.hpp"
#include "bitlens/sweep/run_folder.hpp"
#include "bitlens/sweep/run_parts.hpp"
#include "bitlens/sweep/run_results.hpp"
#include "bitlens/sweep/run_study.hpp"
#include "bitlens/sweep/select_documents.hpp"
#include "bitlens/sweep/sweep.hpp"
#include "bitlens/sweep/sweep_task.hpp"
#include "bitlens/sweep/tensor.hpp"
#include "bitlens/sweep/token_texts.hpp"
#include "bitlens/sweep/variant_tree.hpp"
#include "bitlens/sweep/variants.hpp"
