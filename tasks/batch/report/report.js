"use strict";
// Everything that comes from a row becomes a text node or a property; nothing is parsed as HTML.
const facts = JSON.parse(document.getElementById("facts").textContent);
const rows = JSON.parse(document.getElementById("rows").textContent);
const hasVideo = new Set(facts.hasVideo);
const CARDS = 48, GROUPS = 30, LINES = 8, MORE_LINES = 200;
const find = (selector, within = document) => within.querySelector(selector);
const chosen = { state: "", words: [] };

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function button(className, text, act) {
  const element = make("button", className, text);
  element.type = "button";
  element.addEventListener("click", act);
  return element;
}

const count = (number, one, many) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
const titleOf = (row) => row.t || `Row ${row.n}`;
const priceOf = (row) => (row.c === undefined ? "" : `${row.c} ${row.u || ""}`.trim());

function lengthOf(row) {
  if (row.sec === undefined) return "";
  const whole = Math.round(row.sec);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

let telling;
function tell(text) {
  find("#told").textContent = text;
  clearTimeout(telling);
  telling = setTimeout(() => { find("#told").textContent = ""; }, 1800);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages that came over plain HTTP have no clipboard; the old way still works there.
    const area = make("textarea", "unseen");
    area.value = text;
    (find("dialog[open]") || document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  tell("Copied");
}

// Draws a list bit by bit; the button that brings more also does so when it comes into sight, if asked.
function draw(items, container, size, drawOne, { step = size, scrolls = false, word = "more" } = {}) {
  let drawn = 0, watcher;
  const more = button("plain more", "", () => add(step));
  const add = (number) => {
    const part = document.createDocumentFragment();
    for (const item of items.slice(drawn, drawn + number)) part.append(drawOne(item));
    drawn = Math.min(items.length, drawn + number);
    container.append(part);
    const left = items.length - drawn, next = Math.min(step, left).toLocaleString("en");
    more.textContent = left > step ? `Show ${next} of ${left.toLocaleString("en")} ${word}` : `Show ${next} ${word}`;
    if (drawn >= items.length) { more.remove(); watcher?.disconnect(); }
  };
  if (items.length > size) container.after(more);
  add(size);
  if (scrolls && items.length > size) {
    watcher = new IntersectionObserver((seen) => {
      if (!seen.some((entry) => entry.isIntersecting)) return;
      add(step);
      // Asked anew, it tells again when the button is still in sight.
      if (more.isConnected) { watcher.unobserve(more); watcher.observe(more); }
    }, { rootMargin: "900px" });
    watcher.observe(more);
  }
  return () => { watcher?.disconnect(); more.remove(); };
}

// Problems: rows with the same reason stand together.
function grouped(problems) {
  const groups = new Map();
  for (const row of problems) {
    const key = JSON.stringify([row.s, row.r, row.f]);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(row);
  }
  const urgency = (group) => facts.order.indexOf(group[0].s);
  return [...groups.values()].sort((a, b) => urgency(a) - urgency(b) || b.length - a.length || a[0].n - b[0].n);
}

function drawGroup(group) {
  const [first] = group, card = make("article", "group"), head = make("div", "head");
  card.dataset.state = first.s;
  head.append(make("span", "badge", first.s));
  if (group.length === 1) head.append(...partsOf(first));
  else head.append(make("span", "meta", count(group.length, "row", "rows")), copyOf(group));
  card.append(head);
  if (first.r) card.append(withDir(make("p", "reason", first.r)));
  if (first.f) {
    const fix = make("p", "fix");
    fix.append(make("b", "", "What to do: "), first.f);
    card.append(withDir(fix));
  }
  if (group.length > 1) {
    const list = make("ul", "list");
    card.append(list);
    draw(group, list, LINES, drawLine, { step: MORE_LINES });
  }
  return card;
}

function drawLine(row) {
  const line = make("li");
  line.append(...partsOf(row));
  return line;
}

const partsOf = (row) => [
  make("span", "row", `#${row.n}`),
  withDir(make("span", "title", row.t || "")),
  make("span", "by", [row.p, priceOf(row)].filter(Boolean).join(" · ")),
  copyOf([row]),
];

function withDir(element) {
  element.dir = "auto";
  return element;
}

// Number and title with a tab between them, as spreadsheets take them.
function copyOf(some) {
  const text = some.length === 1 ? "Copy" : "Copy rows";
  const element = button("plain copy", text, () => copy(some.map((row) => `${row.n}\t${row.t || ""}`).join("\n")));
  element.setAttribute("aria-label", some.length === 1 ? `Copy number and title of row ${some[0].n}` : `Copy numbers and titles of ${some.length} rows`);
  return element;
}

// Videos: a wall of posters.
const firstWith = new Map();
for (const row of rows) if (row.a && !firstWith.has(row.a)) firstWith.set(row.a, row.n);

const remarkOf = (row) => [row.r, row.f].filter(Boolean).join(" ");

function metaOf(row) {
  const cost = row.c === undefined && row.s === "done" ? "cost unknown" : priceOf(row);
  const twin = row.a && firstWith.get(row.a) !== row.n ? `same video as #${firstWith.get(row.a)}` : "";
  return [`#${row.n}`, row.p, cost, twin].filter(Boolean).join(" · ");
}

function drawCard(row) {
  const card = make("article", "card"), text = make("div", "text"), foot = make("div", "foot");
  card.dataset.state = row.s;
  card.dataset.row = row.n;
  const title = withDir(make("h3", "", titleOf(row)));
  title.title = titleOf(row);
  text.append(title, make("p", "meta", metaOf(row)));
  if (remarkOf(row)) text.append(withDir(make("p", "note", remarkOf(row))));
  foot.append(make("span", "badge", row.s), copyOf([row]));
  text.append(foot);
  card.append(posterOf(row), text);
  return card;
}

function posterOf(row) {
  const poster = button("poster", "", () => play(shown.indexOf(row)));
  poster.setAttribute("aria-label", `Play row ${row.n}: ${titleOf(row)}`);
  poster.disabled = !row.v;
  const none = make("span", "none", row.i ? "" : "no picture");
  poster.append(none);
  if (row.i) {
    const picture = make("img");
    picture.loading = "lazy";
    picture.decoding = "async";
    picture.alt = "";
    picture.addEventListener("error", () => { none.textContent = "picture not available"; picture.remove(); });
    picture.src = row.i;
    poster.append(picture);
  }
  if (row.v) poster.append(make("span", "sign"));
  if (lengthOf(row)) poster.append(make("span", "length", lengthOf(row)));
  return poster;
}

// The player.
const player = find("#player"), video = find("video", player);
let shown = [], playing = -1;

function play(index) {
  const row = shown[index];
  if (!row) return;
  playing = index;
  find("#player-title").textContent = titleOf(row);
  find(".meta", player).textContent = [metaOf(row), lengthOf(row)].filter(Boolean).join(" · ");
  find(".note", player).textContent = remarkOf(row);
  find(".note", player).hidden = !remarkOf(row);
  find(".broken", player).hidden = true;
  video.hidden = false;
  video.poster = row.i || "";
  video.src = row.v;
  find("#download").href = row.v;
  find("#download").download = `${String(row.n).padStart(4, "0")}-${(row.t || "video").replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60)}.mp4`;
  for (const go of player.querySelectorAll("[data-go]")) go.disabled = neighbour(Number(go.dataset.go)) < 0;
  if (!player.open) player.showModal();
  video.focus();
  // A browser that wants a click first shows its own button.
  video.play().catch(() => {});
}

function neighbour(step) {
  let index = playing + step;
  while (shown[index] && !shown[index].v) index += step;
  return shown[index] ? index : -1;
}

video.addEventListener("error", () => {
  if (!video.hasAttribute("src")) return;
  video.hidden = true;
  find(".broken", player).hidden = false;
});
player.addEventListener("close", () => {
  video.removeAttribute("src");
  video.load();
  const card = shown[playing] && find(`.card[data-row="${shown[playing].n}"] .poster`);
  if (card) card.focus();
});
player.addEventListener("click", (event) => { if (event.target === player) player.close(); });
player.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step && event.target !== video) play(neighbour(step));
});
for (const go of player.querySelectorAll("[data-go]")) go.addEventListener("click", () => play(neighbour(Number(go.dataset.go))));
find("#close").addEventListener("click", () => player.close());
find("#copy-address").addEventListener("click", () => copy(shown[playing].a));

// Choosing rows.
const haystack = (row) => (row.hay ??= `#${row.n} row ${row.n} ${row.t || ""} ${row.p || ""} ${row.r || ""} ${row.s}`.toLowerCase());

function matches(row) {
  if (chosen.state && row.s !== chosen.state) return false;
  return chosen.words.every((word) => (/^#\d+$/.test(word) ? `#${row.n}` === word : haystack(row).includes(word)));
}

let clearings = [];
function show() {
  for (const clear of clearings) clear();
  const found = rows.filter(matches), problems = found.filter((row) => !hasVideo.has(row.s));
  shown = found.filter((row) => hasVideo.has(row.s));
  const groups = find(".groups"), wall = find(".wall");
  groups.replaceChildren();
  wall.replaceChildren();
  clearings = [
    draw(grouped(problems), groups, GROUPS, drawGroup, { scrolls: true, word: "more" }),
    draw(shown, wall, CARDS, drawCard, { scrolls: true, word: "more videos" }),
  ];
  for (const [id, list] of [["problems", problems], ["videos", shown]]) {
    find(`#${id}`).hidden = !list.length;
    find(`#${id} .number`).textContent = list.length.toLocaleString("en");
  }
  find("#nothing").hidden = found.length > 0;
  find("#found").textContent = found.length === rows.length ? count(rows.length, "row", "rows") : `${found.length.toLocaleString("en")} of ${count(rows.length, "row", "rows")}`;
  for (const tile of document.querySelectorAll(".tile")) tile.setAttribute("aria-pressed", String(tile.dataset.state === chosen.state));
}

const search = find("#search");
let typing;
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    chosen.words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    show();
  }, 120);
});
for (const tile of document.querySelectorAll(".tile")) {
  tile.addEventListener("click", () => {
    chosen.state = chosen.state === tile.dataset.state ? "" : tile.dataset.state;
    show();
  });
}
find("#clear").addEventListener("click", () => {
  search.value = "";
  chosen.words = [];
  chosen.state = "";
  show();
  search.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || player.open || event.target === search) return;
  event.preventDefault();
  search.focus();
});
for (const element of document.querySelectorAll("[data-copy]")) element.addEventListener("click", () => copy(element.dataset.copy));
find("#expired").hidden = Date.now() < facts.expires;
show();
