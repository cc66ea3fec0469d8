"use strict";

const themes = ["system", "light", "dark"];
const theme = {
  set(name) {
    document.documentElement.dataset.theme = name;
    document.getElementById("theme").textContent = `Theme: ${name}`;
    try {
      localStorage.setItem("restore-batch theme", name);
    } catch { /* then it lasts as long as the page */ }
  },
  start() {
    let name = null;
    try {
      name = localStorage.getItem("restore-batch theme");
    } catch { /* as above */ }
    this.set(themes.includes(name) ? name : "system");
  },
  turn() {
    this.set(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length]);
  },
};

const on = (id, event, action) => document.getElementById(id).addEventListener(event, action);

function byKind(of, number, text) {
  list.kind = {of, number};
  document.getElementById("show").value = "all";
  list.choose();
  document.getElementById("found").textContent += `: ${text}`;
  document.getElementById("tools").scrollIntoView();
}

theme.start();
marks.load();
marks.changed = item => list.refresh(item);

for (let rating = 1; rating <= 5; rating++) {
  const star = element("input", {type: "radio", name: "rating", value: rating});
  star.addEventListener("click", () => viewer.rate(rating));
  document.getElementById("stars").append(element("label", {}, star, element("span", {textContent: rating})));
}

list.fillFolders();
list.choose();
addEventListener("scroll", () => requestAnimationFrame(() => list.render()), {passive: true});
new ResizeObserver(() => list.arrange()).observe(list.at.parentElement);
list.at.addEventListener("keydown", event => list.keys(event));

on("tools", "submit", event => event.preventDefault());
on("search", "input", () => list.choose());
for (const id of ["show", "folder", "sort"]) on(id, "change", () => list.choose());
on("clear", "click", () => {
  list.kind = null;
  document.getElementById("search").value = document.getElementById("folder").value = "";
  document.getElementById("show").value = "all";
  list.choose();
  document.getElementById("search").focus();
});
for (const [name, of] of [["kind", "kinds"], ["reason", "reason"]]) {
  for (const button of document.querySelectorAll(`button[data-${name}]`)) {
    button.addEventListener("click", () => byKind(of, Number(button.dataset[name]), button.textContent.trim()));
  }
}
on("theme", "click", () => theme.turn());
on("export-csv", "click", () => marks.save("ratings.csv", "text/csv", marks.csv()));
on("export-json", "click", () => marks.save("ratings.json", "application/json", marks.json()));

viewer.pointers();
on("previous", "click", () => viewer.step(-1));
on("next", "click", () => viewer.step(1));
on("close", "click", () => viewer.close());
// By a gesture of the browser's own; after the others it is late, and the viewer may be open again.
on("viewer", "close", () => { if (!document.getElementById("viewer").open) viewer.close(); });
// Of the whole page: what has the focus may be hidden when another picture comes.
addEventListener("keydown", event => { if (document.getElementById("viewer").open) viewer.keys(event); });
on("flip", "click", () => viewer.flip());
on("split", "input", event => {
  viewer.flipped = null;
  viewer.split = event.target.value / 100;
  viewer.draw();
});
on("zoom-in", "click", () => viewer.zoom(1.5));
on("zoom-out", "click", () => viewer.zoom(1 / 1.5));
on("zoom-fit", "click", () => viewer.fit());
on("show-mask", "change", event => { document.getElementById("mask").hidden = !event.target.checked; });
on("refuse", "change", () => viewer.refuse());
on("play", "click", () => viewer.play());
on("seek", "input", event => viewer.seek(event.target.value / 1000));
addEventListener("resize", () => { if (document.getElementById("viewer").open) viewer.fit(); });
