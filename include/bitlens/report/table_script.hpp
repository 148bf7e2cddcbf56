#pragma once
/// table_script: long lists of a page, which a reader sorts by a click on a column's head, searches, and continues by
/// scrolling; and what is folded on the screen unfolds on paper. Without scripts a list shows its first rows.

#include "bitlens/report/html.hpp"

#include <string_view>

namespace bitlens {

/// For all `details`, and the tables that to_html made of `listed` ones: their rows are drawn from the page's data, a
/// hundred at a time, so that ten thousand cost nothing until they are looked at.
inline page_script table_script() noexcept {
    return {R"(
const minus = text => text.replaceAll("-", "\u2212");
const shown = (x, digits) => {
  const size = Math.abs(x);
  if (size === 0 || (size >= 0.5 * 10 ** -digits && size < 1e7)) return minus(x.toFixed(digits));
  return minus(x.toExponential(2).replace(/e([+-])(\d)$/, "e$10$2"));
};
for (const table of document.querySelectorAll("table[data-rows]")) {
  const {digits, rows, targets} = JSON.parse(document.getElementById(table.dataset.rows).textContent);
  const body = table.tBodies[0], box = table.parentNode, count = box.previousElementSibling, page = 100;
  const heads = [...table.tHead.rows[0].cells], what = table.dataset.what;
  const words = rows.map(row => row.filter((x, c) => c === 0 || digits[c] === null).join("\n").toLowerCase());
  let order = [...rows.keys()], chosen = order, drawn = body.rows.length;
  const cell = (r, c) => {
    const td = document.createElement("td"), x = rows[r][c];
    let text = td;
    if (c === 0 && targets[r]) {
      text = td.appendChild(document.createElement("a"));
      text.href = "#" + targets[r];
    }
    if (x === null) td.className = "n undefined", text.textContent = "not defined";
    else if (digits[c] !== null) td.className = "n", text.textContent = shown(x, digits[c]);
    else {
      if ([...x].length <= 24) td.className = "name";
      text.appendChild(document.createElement("bdi")).textContent = x;
    }
    return td;
  };
  const more = document.createElement("button");
  more.type = "button";
  const say = () => {
    const all = rows.length + " " + what + (rows.length === 1 ? "" : "s");
    const found = chosen.length < rows.length ? chosen.length + " of " + all : all;
    count.textContent = drawn < chosen.length ? "The first " + drawn + " of " + found : found;
    more.hidden = drawn >= chosen.length;
    more.textContent = "Show " + Math.min(page, chosen.length - drawn) + " more";
  };
  const go_on = () => {
    for (const r of chosen.slice(drawn, drawn + page)) {
      const row = body.appendChild(document.createElement("tr"));
      heads.forEach((head, c) => row.appendChild(cell(r, c)));
    }
    drawn = body.rows.length;
    say();
  };
  const restart = () => {
    body.replaceChildren();
    drawn = box.scrollTop = 0;
    go_on();
  };
  more.onclick = go_on;
  box.addEventListener("scroll", () => {
    if (!more.hidden && box.scrollTop + box.clientHeight > box.scrollHeight - 200) go_on();
  });
  heads.forEach((head, c) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.onclick = () => {
      const first = digits[c] === null ? "ascending" : "descending";
      const next = head.ariaSort !== first ? first : first === "ascending" ? "descending" : "ascending";
      for (const other of heads) other.ariaSort = null;
      head.ariaSort = next;
      const sign = next === "ascending" ? 1 : -1, value = r => rows[r][c] ?? -Infinity;
      const compare = digits[c] === null ? (a, b) => sign * rows[a][c].localeCompare(rows[b][c])
        : (a, b) => { const x = value(a), y = value(b); return x < y ? -sign : x > y ? sign : 0; };
      order = [...rows.keys()].sort(compare);
      search();
    };
    head.replaceChildren(button);
  });
  const filter = document.createElement("input");
  const search = () => {
    const wanted = filter.value.trim().toLowerCase();
    chosen = wanted ? order.filter(r => words[r].includes(wanted)) : order;
    restart();
  };
  filter.type = "search";
  filter.placeholder = filter.ariaLabel = "Search " + what + "s";
  filter.oninput = search;
  count.before(filter);
  box.after(more);
  say();
}
const unfolded = [];
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll('details:not([open])')) { folded.open = true; unfolded.push(folded); }
});
addEventListener("afterprint", () => { for (const folded of unfolded.splice(0)) folded.open = false; });
)",
            "1AWY1ZZXsq9HlR4u3hr9C8TmCuJ16Pum/jfWreHWGZI="};
}

inline std::string_view table_script_style() noexcept {
    return R"(.listed{max-height:28rem;overflow-y:auto}
.listed th{position:sticky;top:0;background:var(--paper)}
.listed td:not(.n){overflow-wrap:anywhere}
.listed th button{all:unset;cursor:pointer;color:var(--accent)}
.listed th button:focus-visible{outline:2px solid var(--accent)}
th[aria-sort=descending] button::after{content:" ↓"}
th[aria-sort=ascending] button::after{content:" ↑"}
input[type=search],button{font:inherit;font-size:.875rem;color:inherit;background:var(--shade);border:1px solid var(--line);padding:.3rem .6rem}
input[type=search]{width:16rem;max-width:100%}
button{cursor:pointer}
@media print{input[type=search],.listed+button{display:none}.listed{max-height:none}}
)";
}

} // namespace bitlens
