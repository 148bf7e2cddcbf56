#pragma once
/// example_script: a choice of method and measure for the colours of the page's texts, and one box that says what is
/// known of a token, for pointer, finger and keyboard alike.

#include "bitlens/report/html.hpp"

#include <string_view>

namespace bitlens {

/// For the texts of example_html. What lies folded is read when it is unfolded.
inline page_script example_script() noexcept {
    return {R"({
const read = id => JSON.parse(document.getElementById(id).textContent);
const open_up = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let folded = target?.closest("details"); folded; folded = folded.parentNode.closest("details")) folded.open = true;
  target?.scrollIntoView();
};
addEventListener("hashchange", open_up);
if (location.hash) open_up();

const texts = [...document.querySelectorAll(".text")];
if (texts.length) {
  const {methods, words} = read("token-scales"), place = document.querySelector(".token-choice");
  const documents = place.closest(".documents"), numbers = new Map(), starts = new Map();
  let method = 0, measure = Object.keys(methods[0].scales)[0];
  const numbers_of = text => {
    if (!numbers.has(text)) numbers.set(text, read(text.dataset.tokens));
    return numbers.get(text);
  };
  const starts_of = text => {
    if (!starts.has(text)) {
      let at = 0;
      starts.set(text, new Map([...text.children].map(token => {
        const count = +(token.dataset.n ?? 1);
        return [token, [at, at += count]];
      })));
    }
    return starts.get(text);
  };
  const codes = (text, by) => {
    const {full, methods: after} = numbers_of(text), mine = after[method];
    if (by === "loss_full") return full[by];
    if (by === "loss" && mine.error) return mine.error.map((e, t) => e === null ? null : full.loss_full[t] + e);
    return mine[by];
  };
  const step = (x, steps) => {
    if (x === null) return steps.length;
    const size = measure === "error" ? Math.abs(x) : measure === "margin" ? -x : x;
    return steps.filter(s => size > s).length;
  };
  const colour = text => {
    const {steps} = methods[method].scales[measure], all = codes(text, measure);
    for (const [token, [first, last]] of starts_of(text)) {
      let most = 0, falls = false;
      for (let t = first; t < last; ++t) {
        const reached = step(all[t], steps);
        if (reached > most) most = reached, falls = measure === "error" && all[t] < 0;
      }
      token.className = most ? (falls ? "n" : "p") + most : "";
    }
    text.coloured = method + measure;
  };
  const is_seen = text => !text.parentNode.closest('details:not([open])');
  const colour_seen = () => {
    for (const text of texts) if (is_seen(text) && text.coloured !== method + measure) colour(text);
  };
  for (const folded of document.querySelectorAll("details.document")) folded.addEventListener("toggle", colour_seen);

  const choose = (label, options, take) => {
    const field = document.createElement("label"), select = document.createElement("select");
    for (const [value, text] of options) select.add(new Option(text, value));
    select.onchange = () => { take(select.value); update(); };
    field.append(label + " ", select);
    place.append(field);
    return select;
  };
  const by_method = choose("Under", methods.map((m, i) => [i, m.name]), value => { method = +value; });
  const by_measure = choose("colour by", [], value => { measure = value; });
  const update = () => {
    const {scales} = methods[method];
    if (!scales[measure]) measure = Object.keys(scales)[0];
    by_measure.replaceChildren(...Object.entries(scales).map(([key, {name}]) => new Option(name, key)));
    by_method.value = method;
    by_measure.value = measure;
    documents.dataset.by = measure;
    for (const key of document.querySelectorAll(".key"))
      key.hidden = +key.dataset.method !== method || key.dataset.measure !== measure;
    hide();
    colour_seen();
  };
  for (const radio of document.querySelectorAll("input[data-method]"))
    radio.addEventListener("change", () => {
      method = +radio.dataset.method;
      for (const other of document.querySelectorAll(`input[data-method="${method}"]`)) other.checked = true;
      update();
    });

  const box = document.body.appendChild(document.createElement("div"));
  box.id = "token-box";
  box.role = "status";
  box.hidden = true;
  let now = null;
  const hide = () => {
    now?.classList.remove("now");
    now = null;
    box.hidden = true;
  };
  const number = (x, digits) => x === null || x === undefined ? "not finite"
    : (x / 10 ** digits).toFixed(digits).replace("-", "\u2212");
  const show = (text, token) => {
    if (token === now) return;
    hide();
    now = token;
    token.classList.add("now");
    const {full, methods: after} = numbers_of(text), mine = after[method], {scales} = methods[method];
    const list = document.createElement("dl");
    const line = (name, value) => {
      list.appendChild(document.createElement("dt")).textContent = name;
      list.appendChild(document.createElement("dd")).textContent = value;
    };
    const [first, last] = starts_of(text).get(token);
    for (let t = first; t < last; ++t) {
      line("position", t + 1);
      const before_after = (name, before, digits, by) => {
        if (!scales[by]) return;
        const value = number(codes(text, by)[t], scales[by].digits);
        line(name, before ? number(before[t], digits) + " \u2192 " + value : value);
      };
      before_after("loss", full.loss_full, scales.loss_full?.digits, "loss");
      before_after("error", null, 0, "error");
      before_after("KL divergence", null, 0, "kl");
      before_after("entropy", full.entropy, 2, "entropy");
      before_after("margin", full.margin, 2, "margin");
      if (full.top && mine.top) {
        line("likeliest", words[full.top[t]]);
        line("and now", mine.top[t] === 0 ? "the same" : words[mine.top[t] - 1]);
      }
    }
    const name = document.createElement("strong");
    name.textContent = methods[method].name;
    box.replaceChildren(name, list);
    box.hidden = false;
    const at = token.getClientRects()[0] ?? text.getBoundingClientRect(), wide = document.documentElement.clientWidth;
    const below = at.bottom + 6, fits = below + box.offsetHeight < innerHeight || at.top < box.offsetHeight + 6;
    box.style.left = scrollX + Math.max(8, Math.min(at.left, wide - box.offsetWidth - 8)) + "px";
    box.style.top = scrollY + (fits ? below : at.top - box.offsetHeight - 6) + "px";
  };
  for (const text of texts) {
    text.tabIndex = 0;
    const token_at = event => event.target.closest(".text > i");
    text.addEventListener("pointerover", event => { const token = token_at(event); if (token) show(text, token); });
    text.addEventListener("click", event => { const token = token_at(event); if (token) show(text, token); else hide(); });
    text.addEventListener("pointerleave", event => { if (event.pointerType === "mouse") hide(); });
    text.addEventListener("scroll", () => { if (!text.matches(":focus-visible")) hide(); });
    text.addEventListener("focus", () => {
      if (text.matches(":focus-visible") && !text.contains(now) && text.firstElementChild)
        show(text, text.firstElementChild);
    });
    text.addEventListener("blur", hide);
    text.addEventListener("keydown", event => {
      const tokens = text.children, at = now && text.contains(now) ? [...tokens].indexOf(now) : -1;
      const to = {ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tokens.length - 1}[event.key];
      if (event.key === "Escape") hide();
      if (to === undefined || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const token = tokens[Math.max(0, Math.min(to, tokens.length - 1))];
      if (!token) return;
      token.scrollIntoView({block: "nearest"});
      show(text, token);
    });
  }
  place.hidden = false;
  update();
}
}
)",
            "e77nwvQN6sKRlswW6EWxn4IGA7eemD6VKzXllY/xmP4="};
}

} // namespace bitlens
