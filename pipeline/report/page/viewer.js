"use strict";
const PREVIEW_PX = 1600, MOST_PIXELS = 1e8;

// One item at full size: before and after under one divider, zoomed and moved together.

const viewer = {
  place: -1,
  item: null,
  split: 0.5,
  flipped: null,
  scale: 1,
  left: 0,
  top: 0,
  size: [1, 1],
  asked: new Set(),

  find(id) {
    return document.getElementById(id);
  },

  async open(place) {
    this.place = place;
    const item = this.item = list.shown[place];
    const dialog = this.find("viewer");
    this.find("viewer-name").textContent = item.output;
    this.find("viewer-place").textContent = `${place + 1} of ${list.shown.length}`;
    this.find("previous").disabled = place === 0;
    this.find("next").disabled = place === list.shown.length - 1;
    this.find("facts").replaceChildren(element("p", {className: "faint", textContent: "…"}));
    this.showMarks();
    this.stop();
    this.asked.clear();
    if (!dialog.open) {
      dialog.showModal();
      this.find("stage").focus();
    }
    try {
      const details = await report.detailsOf(item);
      if (this.item !== item) return;
      this.show(item, details);
    } catch (error) {
      this.find("facts").replaceChildren(element("p", {className: "bad", textContent: error.message}));
    }
    const following = list.shown[place + 1];
    if (following && !following.film) for (const half of ["before.jpg", "after.jpg"]) {
      const source = report.preview(following, half);
      if (source) new Image().src = source;
    }
  },

  show(item, details) {
    const facts = details.previews;
    const name = item.output.slice(item.output.lastIndexOf("/") + 1);
    const isFilm = Boolean(item.film && facts.clip);
    this.find("stage").hidden = isFilm;
    this.find("picture-controls").hidden = isFilm || !item.preview;
    this.find("film").hidden = this.find("film-controls").hidden = !isFilm;
    this.find("nothing").hidden = Boolean(item.preview);
    this.find("nothing").textContent = details.error ? "It could not be restored." : details.no_previews || (item.state === "done"
      ? "There is no preview yet: `restore-batch report` makes those that lack." : "There is no result yet.");
    const has = ending => facts.files && ending in facts.files;
    const put = (id, ending, alt) => {
      const image = this.find(id);
      image.hidden = !has(ending);
      image.alt = alt;
      if (has(ending)) image.src = report.preview(item, ending);
      else image.removeAttribute("src");
    };
    if (!isFilm) {
      put("before", "before.jpg", `${name}, before`);
      put("after", "after.jpg", `${name}, restored`);
      put("mask", "mask.png", "what was repaired");
      const isRepaired = has("mask.png") && facts.repaired !== 0;
      this.find("mask-control").hidden = !isRepaired;
      this.find("mask").hidden = !this.find("show-mask").checked || !isRepaired;
      this.size = facts.after ? this.fitted(facts.after) : [1, 1];
      this.find("divider").hidden = !has("before.jpg");
      for (const tag of document.querySelectorAll(".tag")) tag.hidden = !has("before.jpg");
      this.flipped = null;
      this.split = 0.5;
      this.fit();
    } else {
      for (const half of ["before", "after"]) {
        const film = this.find(`film-${half}`);
        film.parentElement.hidden = !has(`${half}.mp4`);
        film.setAttribute("aria-label", `${name}, ${half === "after" ? "restored" : "before"}`);
        film.poster = "";
        if (has(`${half}.mp4`)) film.src = report.preview(item, `${half}.mp4`);
        else film.removeAttribute("src");
      }
      this.find("seek").value = 0;
    }
    faces.show(item, details);
    if (!this.find("viewer").contains(document.activeElement)) this.find(isFilm ? "film" : "stage").focus();
  },

  fitted([width, height]) {
    const scale = Math.min(1, PREVIEW_PX / Math.max(width, height));
    return [Math.round(width * scale), Math.round(height * scale)];
  },

  // -- zoom and pan: both layers lie in one box, so that they cannot differ ---
  least() {
    const stage = this.find("stage");
    return Math.min(stage.clientWidth / this.size[0], stage.clientHeight / this.size[1], 4);
  },

  fit() {
    const stage = this.find("stage");
    this.scale = this.least();
    this.left = (stage.clientWidth - this.size[0] * this.scale) / 2;
    this.top = (stage.clientHeight - this.size[1] * this.scale) / 2;
    this.draw();
  },

  zoom(factor, x, y) {
    const stage = this.find("stage");
    x ??= stage.clientWidth / 2;
    y ??= stage.clientHeight / 2;
    const scale = Math.min(Math.max(this.scale * factor, this.least()), Math.max(16, this.least()));
    this.left = x - (x - this.left) * scale / this.scale;
    this.top = y - (y - this.top) * scale / this.scale;
    this.scale = scale;
    this.draw();
  },

  // Show a box of the picture, given in shares of its sides.
  zoomTo([left, top, right, bottom]) {
    const stage = this.find("stage");
    const [width, height] = this.size;
    const wanted = Math.min(stage.clientWidth / ((right - left) * width), stage.clientHeight / ((bottom - top) * height)) / 2;
    this.scale = Math.min(Math.max(wanted, this.least()), 16);
    this.left = stage.clientWidth / 2 - (left + right) / 2 * width * this.scale;
    this.top = stage.clientHeight / 2 - (top + bottom) / 2 * height * this.scale;
    this.draw();
  },

  isFitted() {
    return this.scale <= this.least() * 1.001;
  },

  bounded(offset, picture, room) {
    return picture <= room ? (room - picture) / 2 : Math.min(0, Math.max(room - picture, offset));
  },

  draw() {
    const stage = this.find("stage"), layers = this.find("layers");
    const [width, height] = this.size.map(side => side * this.scale);
    this.left = this.bounded(this.left, width, stage.clientWidth);
    this.top = this.bounded(this.top, height, stage.clientHeight);
    layers.style.width = `${this.size[0]}px`;
    layers.style.height = `${this.size[1]}px`;
    layers.style.transform = `translate(${this.left}px, ${this.top}px) scale(${this.scale})`;
    const split = this.flipped ?? this.split;
    // The divider stays where it is on the screen while the picture moves under it.
    const onLeft = Math.max(0, this.left), onRight = Math.min(stage.clientWidth, this.left + width);
    const x = onLeft + split * (onRight - onLeft);
    const hasBefore = !this.find("before").hidden;
    this.find("after").style.clipPath = hasBefore ? `inset(0 0 0 ${100 * (x - this.left) / width}%)` : "";
    this.find("divider").style.left = `${x}px`;
    const value = Math.round(100 * (this.flipped ?? this.split));
    this.find("split").value = value;
    this.find("split").setAttribute("aria-valuetext", value === 0 ? "only after" : value === 100 ? "only before" : `${value} % before`);
    this.find("flip").setAttribute("aria-pressed", String(this.flipped !== null));
    stage.dataset.side = this.flipped === 0 ? "after" : this.flipped === 1 ? "before" : "both";
    const full = report.known.get(this.item?.number)?.previews.after;
    this.find("zoom").textContent = this.isFitted() ? "fit" : full ? `${Math.round(100 * this.scale * this.size[0] / full[0])} %` : "";
    stage.classList.toggle("zoomed", !this.isFitted());
    this.sharpen();
  },

  // Previews are reduced: past their own size the files themselves are shown, where a browser can
  // and where they are there, each in its layer.
  sharpen() {
    const details = report.known.get(this.item?.number);
    if (!details || this.scale <= 1.05) return;
    const item = this.item, links = {before: details.source_link, after: details.result_link};
    for (const [half, link] of Object.entries(links)) {
      const [width, height] = details.previews[half] ?? [0, 0];
      const isLarger = Math.max(width, height) > PREVIEW_PX && width * height <= MOST_PIXELS;
      if (!isLarger || this.asked.has(half) || !/\.(jpe?g|png|webp|avif|gif|bmp)$/i.test(link)) continue;
      this.asked.add(half);
      const full = new Image();
      full.addEventListener("load", () => {
        const isIt = full.naturalWidth === width && full.naturalHeight === height;
        if (isIt && this.item === item) this.find(half).src = full.src;
      });
      full.src = link;
    }
  },

  // The first flip shows the original, as it was; the next ones go to and fro.
  flip() {
    this.flipped = this.flipped === 1 ? 0 : 1;
    this.draw();
  },

  divide(clientX) {
    const box = this.find("stage").getBoundingClientRect();
    const width = this.size[0] * this.scale;
    const onLeft = Math.max(0, this.left), onRight = Math.min(box.width, this.left + width);
    this.flipped = null;
    this.split = Math.min(1, Math.max(0, (clientX - box.left - onLeft) / (onRight - onLeft)));
    this.draw();
  },

  // One finger or button moves the divider, or the picture once it is zoomed; two zoom.
  pointers() {
    const stage = this.find("stage"), down = new Map();
    let moves = "", before = null;
    const middle = () => {
      const [a, b] = [...down.values()];
      return {x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: Math.hypot(a.x - b.x, a.y - b.y)};
    };
    stage.addEventListener("pointerdown", event => {
      if (!this.item?.preview || event.button) return;
      stage.setPointerCapture(event.pointerId);
      down.set(event.pointerId, {x: event.clientX, y: event.clientY});
      const onDivider = Math.abs(event.clientX - this.find("divider").getBoundingClientRect().left) < 24;
      moves = onDivider || this.isFitted() ? "divider" : "picture";
      if (down.size === 2) before = middle();
      else if (moves === "divider") this.divide(event.clientX);
    });
    stage.addEventListener("pointermove", event => {
      const last = down.get(event.pointerId);
      if (!last) return;
      down.set(event.pointerId, {x: event.clientX, y: event.clientY});
      const box = stage.getBoundingClientRect();
      if (down.size === 2) {
        const now = middle();
        this.left += now.x - before.x;
        this.top += now.y - before.y;
        this.zoom(now.apart / Math.max(1, before.apart), now.x - box.left, now.y - box.top);
        before = now;
      } else if (moves === "divider") {
        this.divide(event.clientX);
      } else {
        this.left += event.clientX - last.x;
        this.top += event.clientY - last.y;
        this.draw();
      }
    });
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, event => down.delete(event.pointerId));
    stage.addEventListener("wheel", event => {
      if (!this.item?.preview) return;
      event.preventDefault();
      const box = stage.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), event.clientX - box.left, event.clientY - box.top);
    }, {passive: false});
  },

  // -- films: the second follows the first ---
  play() {
    const films = this.clips();
    const paused = films[0]?.paused ?? true;
    this.find("play").textContent = paused ? "Pause" : "Play";
    for (const film of films) if (paused) film.play(); else film.pause();
    if (paused) requestAnimationFrame(() => this.follow());
    else this.align();
  },

  clips() {
    return ["film-after", "film-before"].map(id => this.find(id)).filter(film => film.getAttribute("src"));
  },

  align() {
    const [leading, following] = this.clips();
    if (following) following.currentTime = leading.currentTime;
  },

  follow() {
    const [leading, following] = this.clips();
    if (!leading || leading.paused) return;
    const fps = report.known.get(this.item.number)?.previews.clip?.fps ?? 24;
    if (following && !following.seeking && Math.abs(following.currentTime - leading.currentTime) > 1 / fps) this.align();
    if (leading.duration) this.find("seek").value = 1000 * leading.currentTime / leading.duration;
    requestAnimationFrame(() => this.follow());
  },

  seek(share) {
    for (const film of this.clips()) if (film.duration) film.currentTime = share * film.duration;
  },

  stop() {
    for (const film of this.clips()) film.pause();
    this.find("play").textContent = "Play";
  },

  // -- marks and keys ---
  showMarks() {
    const mark = marks.of(this.item);
    for (const star of this.find("stars").querySelectorAll("input")) star.checked = Number(star.value) === (mark.rating ?? 0);
    this.find("refuse").checked = Boolean(mark.refused);
  },

  rate(rating) {
    marks.set(this.item, {rating: marks.of(this.item).rating === rating ? 0 : rating});
    this.showMarks();
  },

  refuse() {
    marks.set(this.item, {refused: !marks.of(this.item).refused});
    this.showMarks();
  },

  step(by) {
    const place = this.place + by;
    if (place >= 0 && place < list.shown.length) this.open(place);
  },

  // The event of a closed dialog comes late: by then the arrow keys may have led away from its card.
  close() {
    const place = this.place;
    this.place = -1;
    this.stop();
    this.find("viewer").close();
    if (place >= 0) list.focus(place);
  },

  keys(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const type = event.target.type ?? "";
    const slides = type === "range" || type === "radio";
    const presses = event.target.tagName === "BUTTON" || type === "checkbox" || type === "radio" || event.target.tagName === "A";
    const isFilm = !this.find("film").hidden;
    const actions = {
      ArrowLeft: slides ? null : () => this.step(-1),
      ArrowRight: slides ? null : () => this.step(1),
      " ": presses ? null : () => isFilm ? this.play() : this.flip(),
      "+": () => this.zoom(1.25), "=": () => this.zoom(1.25), "-": () => this.zoom(0.8), 0: () => this.fit(),
      x: () => this.refuse(),
      Escape: () => this.close(),
    };
    for (const rating of [1, 2, 3, 4, 5]) actions[rating] = () => this.rate(rating);
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  },
};
