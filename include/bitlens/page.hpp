#pragma once
/// page/: what shows the numbers of a run: tables, figures, words, the paper's findings beside them, and the report.

#include "bitlens/page/claim.hpp"
#include "bitlens/page/claims.hpp"
#include "bitlens/page/example_text.hpp"
#include "bitlens/page/figures.hpp"
#include "bitlens/page/float32_table.hpp"
#include "bitlens/page/published.hpp"
#include "bitlens/page/report.hpp"
#include "bitlens/page/table_json.hpp"
#include "bitlens/page/tables.hpp"
#include "bitlens/page/words.hpp"
