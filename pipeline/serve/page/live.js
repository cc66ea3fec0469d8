"use strict";
// What a server tells of a run that goes on: counts at once, new cards when nobody is disturbed.

const live = {
  generation: report.told.live.generation,
  sequence: report.told.live.sequence,
  source: null,
  waiting: new Set(),
  isStale: false,
  show: element("button", {type: "button", id: "live-new", hidden: true}),

  start() {
    // Items come in the order in which they are begun.
    list.orders.name = (a, b) => a.output < b.output ? -1 : a.output > b.output ? 1 : a.number - b.number;
    document.querySelector(".found").append(this.show);
    this.show.addEventListener("click", () => this.isStale ? location.reload() : this.arrange());
    this.state(report.told.live.state);
    // A page that nobody sees asks for nothing: a browser has few connections to a server.
    document.addEventListener("visibilitychange", () => this.listen());
    this.listen();
  },

  listen() {
    if (document.hidden || this.isStale) {
      this.source?.close();
      this.source = null;
      return;
    }
    if (this.source) return;
    const source = this.source = new EventSource(`events?of=${this.generation}&since=${this.sequence}`);
    source.addEventListener("message", event => this.hear(JSON.parse(event.data), Number(event.lastEventId)));
    source.addEventListener("anew", () => this.anew());
    source.addEventListener("error", () => {
      this.say("The server does not answer. What is shown may be old; results and run are untouched.", "", true);
      if (source.readyState !== EventSource.CLOSED || this.source !== source) return;
      this.source = null; // refused, and not tried again by the browser
      setTimeout(() => this.listen(), 5000);
    });
  },

  anew() {
    this.isStale = true;
    this.listen();
    this.say("This page is of an earlier job or server.", "", true);
    this.show.textContent = "Load the page again";
    this.show.hidden = false;
  },

  hear(news, sequence) {
    this.sequence = sequence;
    this.state(news.state);
    for (const [of, kinds] of Object.entries(news.kinds)) this.kinds(of, kinds);
    for (const [number, line] of news.lines) this.line(number, line);
    if (!news.lines.length) return;
    this.fillFolders();
    const isUndisturbed = scrollY < 50 && !document.getElementById("viewer").open && !list.at.contains(document.activeElement);
    if (this.waiting.size && isUndisturbed) this.arrange();
    this.show.hidden = !this.waiting.size;
    this.show.textContent = `Show ${plural(this.waiting.size, "new one")}`;
  },

  line(number, line) {
    const known = report.items[number];
    report.known.delete(number);
    if (!known) {
      line.number = number;
      report.items[number] = line;
      this.waiting.add(number);
      return;
    }
    if (known.state !== line.state) this.waiting.add(number);
    for (const key of Object.keys(known)) if (key !== "number") delete known[key];
    Object.assign(known, line);
    const place = list.shown.indexOf(known), card = list.cards.get(place);
    if (card) {
      const fresh = list.card(known, place), hasFocus = card.contains(document.activeElement);
      list.put(fresh, place);
      list.cards.set(place, fresh);
      card.replaceWith(fresh);
      if (hasFocus) fresh.querySelector("button").focus({preventScroll: true});
    }
    // Who looks at an item that had nothing to show sees what there is now.
    if (viewer.item === known && document.getElementById("viewer").open && !document.getElementById("nothing").hidden && line.preview) viewer.open(viewer.place);
  },

  arrange() {
    this.waiting.clear();
    this.show.hidden = true;
    list.choose();
  },

  fillFolders() {
    const folders = document.getElementById("folder"), chosen = folders.value;
    folders.replaceChildren(folders.options[0]);
    list.fillFolders();
    folders.value = chosen;
  },

  kinds(of, kinds) {
    const fold = document.getElementById(`fold-${of}`), at = fold.querySelector("ul");
    fold.hidden = !kinds.some(([, count]) => count);
    kinds.forEach(([kind, count], number) => {
      let button = at.querySelector(`button[data-${of}="${number}"]`);
      if (!button) {
        button = element("button", {type: "button"}, element("b"), " ", element("span", {textContent: kind}));
        button.dataset[of] = number;
        button.addEventListener("click", () => byKind(of === "kind" ? "kinds" : "reason", number, button.textContent.trim()));
        at.append(element("li", {}, button));
      }
      button.querySelector("b").textContent = count;
      button.parentElement.hidden = !count;
    });
  },

  state(state) {
    for (const [name, count] of Object.entries(state.counts)) {
      const at = document.querySelector(`[data-count="${name}"]`);
      if (!at) continue;
      at.querySelector("b").textContent = count.toLocaleString("en");
      const noun = at.querySelector("span"); // of those that are counted as things: 1 face, 2 faces
      if (noun) noun.textContent = count === 1 ? name.replace(/s$/, "") : name;
      at.hidden = !count && ["left", "films", "low"].includes(name);
      if (name === "failed") at.classList.toggle("bad", count > 0);
      if (name === "warned" || name === "low") at.classList.toggle("warn", count > 0);
    }
    const quiet = state.quiet ? `Nothing new for ${state.quiet}.` : "";
    this.say(state.fault || state.said, state.fault ? "" : [state.pace, quiet].filter(Boolean).join(". "), Boolean(state.fault));
    const bar = document.getElementById("live-progress");
    bar.max = Math.max(1, state.total);
    bar.value = state.counts.done + state.counts.failed;
    bar.textContent = `${bar.value} of ${state.total}`;
    document.getElementById("live-hint").hidden = !state.going;
    document.getElementById("live-work").hidden = !state.at_work_count;
    document.getElementById("live-count").textContent = state.at_work_count.toLocaleString("en");
    const work = state.at_work.map(each => element("li", {}, each.output, each.said ? element("span", {className: "faint", textContent: ` ${each.said}`}) : null));
    const more = state.at_work_count - work.length;
    if (more) work.push(element("li", {textContent: `and ${more.toLocaleString("en")} more`}));
    document.getElementById("live-list").replaceChildren(...work);
  },

  // A screen reader says what is new in it, so it is written only when it differs.
  say(said, pace, isBad) {
    const at = document.getElementById("live-said");
    if (at.textContent !== said) at.textContent = said;
    document.getElementById("live-pace").textContent = pace;
    document.querySelector(".live").classList.toggle("bad-news", isBad);
  },
};

live.start();
