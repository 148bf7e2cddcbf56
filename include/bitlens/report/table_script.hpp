#pragma once
/// table_script: lets a reader sort the sortable tables of a page by a click on a column's head, and filter their rows;
/// unfolds on paper what is folded on the screen. Without scripts they are tables as any other.

#include "bitlens/report/html.hpp"

#include <string_view>

namespace bitlens {

/// For all `details`, and the tables of class "sort", whose cells have in data-v the numbers that they are sorted by.
inline page_script table_script() noexcept {
    return {R"(
for (const table of document.querySelectorAll("table.sort")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0], rows = [...body.rows];
  const value = (row, c) => row.cells[c].dataset.v === undefined ? row.cells[c].textContent.toLowerCase() : +row.cells[c].dataset.v;
  heads.forEach((head, c) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    button.onclick = () => {
      const sign = head.ariaSort === "descending" ? 1 : -1;
      for (const other of heads) other.ariaSort = null;
      head.ariaSort = sign < 0 ? "descending" : "ascending";
      rows.sort((a, b) => { const x = value(a, c), y = value(b, c); return x < y ? -sign : x > y ? sign : 0; });
      body.append(...rows);
    };
    head.replaceChildren(button);
  });
  const filter = document.createElement("input");
  filter.type = "search";
  filter.placeholder = filter.ariaLabel = "Show rows with …";
  filter.oninput = () => {
    const wanted = filter.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  };
  table.parentNode.before(filter);
}
const unfolded = [];
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll('details:not([open])')) { folded.open = true; unfolded.push(folded); }
});
addEventListener("afterprint", () => { for (const folded of unfolded.splice(0)) folded.open = false; });
)",
            "mrqRJ05TC6z7e13cEGIXGBEaB40qqPXJbB564pnsMxk="};
}

inline std::string_view table_script_style() noexcept {
    return R"(.sortable{max-height:28rem;overflow-y:auto}
.sortable th{position:sticky;top:0;background:var(--paper)}
.sortable td:not(.n){overflow-wrap:anywhere}
.sortable td:not(.n),.sortable th:not(.n){padding-left:.75rem}
table.sort th button{all:unset;cursor:pointer;color:var(--accent)}
table.sort th button:focus-visible{outline:2px solid var(--accent)}
table.sort th[aria-sort=descending] button::after{content:" ↓"}
table.sort th[aria-sort=ascending] button::after{content:" ↑"}
input[type=search]{font:inherit;font-size:.875rem;color:inherit;background:var(--shade);border:1px solid var(--line);padding:.3rem .6rem}
@media print{input[type=search]{display:none}.sortable{max-height:none}}
)";
}

} // namespace bitlens
