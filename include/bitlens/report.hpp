#pragma once
/// report/: tables and figures as text, CSV, HTML and SVG. Knows nothing of models.

#include "bitlens/report/csv.hpp"
#include "bitlens/report/html.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/report/page_data.hpp"
#include "bitlens/report/svg.hpp"
#include "bitlens/report/table.hpp"
#include "bitlens/report/table_script.hpp"
#include "bitlens/report/visible_text.hpp"
