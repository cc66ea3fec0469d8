"use strict";
// The list: which items are shown, in which order, as cards of which only those in sight exist.

const list = {
  shown: [],
  cards: new Map(),
  columns: 1,
  rowHeight: 1,
  kind: null,
  at: document.getElementById("list"),

  filters: {
    all: () => true,
    failed: item => item.state === "failed",
    warned: item => item.warnings > 0,
    low: item => item.identity !== undefined && item.identity < report.told.low,
    noted: item => item.notes > 0,
    worse: item => item.worse >= report.told.worse,
    many: item => item.faces >= report.told.many,
    films: item => item.film,
    left: item => item.state !== "done" && item.state !== "failed",
    rated: item => marks.of(item).rating > 0,
    unrated: item => !marks.of(item).rating,
    refused: item => marks.of(item).refused,
  },

  orders: {
    attention: (a, b) => b.attention - a.attention || a.number - b.number,
    name: (a, b) => a.number - b.number,
    identity: (a, b) => (a.identity ?? 2) - (b.identity ?? 2) || a.number - b.number,
    worse: (a, b) => (b.worse ?? 0) - (a.worse ?? 0) || a.number - b.number,
    faces: (a, b) => b.faces - a.faces || a.number - b.number,
    rating: (a, b) => (marks.of(b).rating ?? 0) - (marks.of(a).rating ?? 0) || a.number - b.number,
  },

  choose() {
    const value = id => document.getElementById(id).value;
    const words = value("search").toLowerCase().split(/\s+/).filter(Boolean);
    const passes = this.filters[value("show")];
    const folder = value("folder");
    const kind = this.kind;
    this.shown = report.items.filter(item =>
      passes(item) && (!folder || item.output.startsWith(folder)) &&
      (!kind || (item[kind.of] ?? []).includes(kind.number)) &&
      words.every(word => (item.words ??= `${item.output} ${item.source ?? ""}`.toLowerCase()).includes(word)));
    this.shown.sort(this.orders[value("sort")]);
    const all = report.items.length;
    document.getElementById("found").textContent =
      this.shown.length === all ? plural(all, "item") :
        this.shown.length ? `${this.shown.length.toLocaleString("en")} of ${plural(all, "item")}` :
          `None of ${plural(all, "item")} fits.`;
    document.getElementById("clear").hidden = this.shown.length === all;
    this.forget();
    this.arrange();
  },

  forget() {
    for (const card of this.cards.values()) card.remove();
    this.cards.clear();
  },

  // Places are computed, not laid out: a browser lays out a hundred cards in a moment, not 10,000.
  arrange() {
    const narrow = this.at.clientWidth < 560;
    const gap = narrow ? 8 : 16, least = narrow ? 150 : 240;
    this.columns = Math.max(1, Math.floor((this.at.clientWidth + gap) / (least + gap)));
    this.width = (this.at.clientWidth - gap * (this.columns - 1)) / this.columns;
    this.picture = Math.round(this.width * 0.72);
    this.rowHeight = this.picture + (report.items.some(item => item.output.includes("/")) ? 94 : 74) + gap;
    this.gap = gap;
    this.at.style.height = `${Math.ceil(this.shown.length / this.columns) * this.rowHeight}px`;
    for (const [place, card] of this.cards) this.put(card, place);
    this.render();
  },

  put(card, place) {
    card.style.left = `${(place % this.columns) * (this.width + this.gap)}px`;
    card.style.top = `${Math.floor(place / this.columns) * this.rowHeight}px`;
    card.style.width = `${this.width}px`;
    card.style.height = `${this.rowHeight - this.gap}px`;
    card.style.setProperty("--picture", `${this.picture}px`);
    card.style.setProperty("--lines", Math.floor((this.picture - 10) / 20));
  },

  render() {
    const above = -this.at.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(above / this.rowHeight) - 1) * this.columns;
    const rows = Math.ceil(innerHeight / this.rowHeight) + 3;
    const end = Math.min(this.shown.length, first + rows * this.columns);
    const focused = this.at.contains(document.activeElement) ? document.activeElement.closest("li") : null;
    for (const [place, card] of this.cards) {
      if ((place < first || place >= end) && card !== focused) {
        card.remove();
        this.cards.delete(place);
      }
    }
    for (let place = first; place < end; place++) {
      if (this.cards.has(place)) continue;
      const card = this.card(this.shown[place], place);
      this.put(card, place);
      this.cards.set(place, card);
      // In the order of the list, for who goes by the keyboard or listens.
      const next = [...this.at.children].find(other => Number(other.dataset.place) > place);
      this.at.insertBefore(card, next ?? null);
    }
  },

  card(item, place) {
    const picture = element("span", {className: "picture"});
    const thumb = report.preview(item, "thumb.jpg");
    if (thumb) {
      const pair = element("span", {className: "pair"});
      pair.style.aspectRatio = item.ratio;
      pair.style.setProperty("--ratio", item.ratio);
      pair.classList.toggle("alone", Boolean(item.alone));
      for (const half of item.alone ? ["after"] : ["before", "after"]) {
        const shown = element("span", {className: `half ${half}`});
        shown.style.backgroundImage = `url("${thumb}")`;
        pair.append(shown);
      }
      picture.append(pair);
      picture.addEventListener("pointermove", event => {
        const box = pair.getBoundingClientRect();
        pair.style.setProperty("--split", `${100 * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width))}%`);
      });
      picture.addEventListener("pointerleave", () => pair.style.removeProperty("--split"));
    } else {
      picture.append(element("span", {className: "none", textContent: this.why(item)}));
    }
    const slash = item.output.lastIndexOf("/") + 1;
    const button = element("button", {type: "button", className: "card"},
      picture,
      element("span", {className: "name", textContent: item.output.slice(slash), title: item.output}),
      element("span", {className: "where", textContent: item.output.slice(0, slash)}),
      element("span", {className: "badges"}, ...this.badges(item)));
    button.addEventListener("click", () => viewer.open(place));
    const card = element("li", {"aria-setsize": this.shown.length, "aria-posinset": place + 1}, button);
    card.dataset.place = place;
    return card;
  },

  // What stands in the place of a picture.
  why(item) {
    if (item.state === "done") return item.lost ? "no preview" : "no preview yet";
    return item.state === "failed" ? item.why || "no result" : "no result yet";
  },

  badges(item) {
    const mark = marks.of(item);
    const badge = (text, kind = "") => element("span", {className: `badge ${kind}`, textContent: text});
    return [
      item.state === "failed" ? badge("failed", "bad") : null,
      item.state !== "failed" && item.state !== "done" ? badge("not done yet") : null,
      item.missing ? badge("original missing", "warn") : null,
      mark.refused ? badge("do not use", "bad") : null,
      mark.rating ? badge(`${"★".repeat(mark.rating)}`, "stars") : null,
      item.warnings ? badge(plural(item.warnings, "warning"), "warn") : null,
      item.worse >= report.told.worse ? badge("worse figures", "warn") : null,
      item.film ? badge("film") : null,
      item.faces ? badge(plural(item.faces, "face")) : null,
      item.identity !== undefined ? badge(`likeness ${item.identity.toFixed(2)}`, item.identity < report.told.low ? "warn" : "") : null,
    ];
  },

  refresh(item) {
    const place = this.shown.indexOf(item);
    const card = this.cards.get(place);
    card?.querySelector(".badges").replaceChildren(...this.badges(item).filter(Boolean));
  },

  // Bring a card into sight and give it the focus.
  focus(place) {
    const top = this.at.getBoundingClientRect().top + scrollY + Math.floor(place / this.columns) * this.rowHeight;
    const tools = document.getElementById("tools").offsetHeight;
    if (top < scrollY + tools || top + this.rowHeight > scrollY + innerHeight) scrollTo(0, top - tools - 20);
    this.render();
    this.cards.get(place)?.querySelector("button").focus({preventScroll: true});
  },

  keys(event) {
    const card = event.target.closest?.("li");
    if (!card || event.altKey || event.ctrlKey || event.metaKey) return;
    const steps = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns};
    const place = Number(card.dataset.place);
    const item = this.shown[place];
    if (event.key in steps) {
      const next = place + steps[event.key];
      event.preventDefault();
      if (next >= 0 && next < this.shown.length) this.focus(next);
    } else if (/^[1-5]$/.test(event.key)) {
      marks.set(item, {rating: Number(event.key)});
    } else if (event.key === "x") {
      marks.set(item, {refused: !marks.of(item).refused});
    }
  },

  fillFolders() {
    const found = new Map();
    for (const item of report.items) {
      for (let at = item.output.indexOf("/"); at >= 0; at = item.output.indexOf("/", at + 1)) {
        const folder = item.output.slice(0, at + 1);
        found.set(folder, (found.get(folder) ?? 0) + 1);
      }
    }
    const folders = [...found].sort(([a], [b]) => a < b ? -1 : 1).slice(0, 2000);
    document.getElementById("folder").append(
      ...folders.map(([folder, count]) => element("option", {value: folder, textContent: `${folder} (${count})`})));
    document.getElementById("folders").hidden = !folders.length;
  },
};
