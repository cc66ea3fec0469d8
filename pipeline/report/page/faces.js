"use strict";
// What is known of an item, beside its picture: its faces before and after, warnings, numbers.

const faces = {
  show(item, details) {
    const facts = details.previews, parts = [];
    const section = (title, ...content) => parts.push(element("section", {}, element("h3", {textContent: title}), ...content));
    if (details.error) section("Failed", element("p", {className: "bad", textContent: details.error}),
      details.stage ? element("p", {className: "faint", textContent: `In the stage ${details.stage}.`}) : null);
    if (details.warnings.length) section(plural(details.warnings.length, "warning"),
      element("ul", {}, ...details.warnings.map(text => element("li", {textContent: text}))));
    if (facts.missing) section("No original", element("p", {textContent: details.no_previews || "The original cannot be read now."}));
    if (facts.part) section("A part of it", element("p", {textContent: "Only some seconds were restored (video.preview_s), so that nothing stands beside them."}));
    if (details.repaired !== null) section("Repaired", element("p", {textContent: this.repaired(details.repaired)}));
    if (details.quality) section("Figures", ...this.figures(details.quality, item));
    else if (item.state === "done") section("Figures", element("p", {className: "faint", textContent: "None were taken when this was made."}));
    if (details.faces.length) section(plural(details.faces.length, "face"), this.rows(item, details));
    if (facts.posters) section(facts.before ? "Moments, before and after" : "Moments", this.posters(item, facts));
    if (details.steady) section("Faces over time", ...this.steady(details.steady, item));
    section("Files", this.files(item, details));
    document.getElementById("facts").replaceChildren(...parts);
  },

  repaired(share) {
    if (!share) return "Nothing was found to repair.";
    return `${share < 0.0005 ? "Less than 0.1\u00a0%" : percent(share)} of the picture.`;
  },

  figures({before, after, pictures}, item) {
    const known = {
      sharpness: "share of its edges that a blur takes; grain counts, too",
      noise: "in levels of 8 bits; less is better",
      niqe: "how unnatural it looks: about 3 for a sharp digital photograph, more for old and for "
        + "small ones; compare only before with after",
    };
    const list = element("dl", {className: "about"});
    for (const [name, what] of Object.entries(known)) {
      if (typeof before[name] !== "number" || typeof after[name] !== "number") continue;
      list.append(element("div", {}, element("dt", {textContent: name === "niqe" ? "NIQE" : name}),
        element("dd", {}, element("b", {textContent: `${before[name].toFixed(2)} → ${after[name].toFixed(2)}`}),
          element("span", {className: "faint", textContent: ` ${what}`}))));
    }
    if (typeof before.niqe !== "number" && !item.film) list.append(element("div", {},
      element("dt", {textContent: "NIQE"}),
      element("dd", {className: "faint", textContent: "left out: too small a picture says little (about 480 px a side are needed), or scikit-video is not installed"})));
    return [list, item.film ? element("p", {className: "faint", textContent: `Mean of ${plural(pictures, "frame")}.`}) : null];
  },

  rows(item, details) {
    const facts = details.previews, shown = facts.shown ?? [];
    const rows = element("ul", {className: "faces"});
    const strip = facts.files && "faces.jpg" in facts.files ? report.preview(item, "faces.jpg") : "";
    details.faces.forEach((face, number) => {
      const place = shown.indexOf(number);
      const row = element("li");
      if (strip && place >= 0) {
        const pair = element("button", {type: "button", className: "face", "aria-label": `Show face ${number + 1} in the picture`});
        for (const half of [0, 1]) {
          const cell = element("span", {role: "img", "aria-label": half ? "after" : "before"});
          cell.style.backgroundImage = `url("${strip}")`;
          cell.style.backgroundSize = `200% ${100 * shown.length}%`;
          cell.style.backgroundPosition = `${100 * half}% ${shown.length > 1 ? 100 * place / (shown.length - 1) : 0}%`;
          pair.append(cell);
        }
        const [width, height] = facts.before;
        const [left, top, right, bottom] = face.box;
        pair.addEventListener("click", () => viewer.zoomTo([left / width, top / height, right / width, bottom / height]));
        row.append(pair);
      }
      const numbers = [`score ${face.score.toFixed(2)}`];
      if (face.identity !== null) numbers.push(`likeness ${face.identity.toFixed(2)}`);
      numbers.push(face.restored ? `${percent(face.blend)} blended in` : "left as it was");
      if (place >= 0 && facts.change) numbers.push(`${percent(facts.change[place])} changed`);
      row.append(element("p", {textContent: numbers.join(", ")}));
      if (face.note) row.append(element("p", {className: "warn", textContent: face.note}));
      rows.append(row);
    });
    return rows;
  },

  posters(item, facts) {
    return element("img", {className: "posters", src: report.preview(item, "posters.jpg"), loading: "lazy",
      alt: `${facts.posters} moments of the film${facts.before ? ", each before on the left and restored on the right" : ", restored"}`});
  },

  // The graph is drawn; what it shows is also said.
  steady(steady, item) {
    const parts = [element("p", {textContent: `${plural(steady.frames, "frame")} with faces` +
      (item.identity !== undefined ? `, lowest likeness ${item.identity.toFixed(2)}` : "") + "."})];
    const known = steady.shake.filter(share => share !== null);
    if (known.length > 1) {
      const most = Math.max(...known);
      const said = `The largest face shakes by ${percent(steady.mean_shake)} of its side from frame to frame on average, at most by ${percent(most)}.`;
      parts.push(this.graph(steady.shake, most, said), element("p", {textContent: said}));
    }
    for (const [note, count] of Object.entries(steady.notes)) parts.push(element("p", {className: "warn", textContent: `${count}× ${note}`}));
    return parts;
  },

  graph(values, most, said) {
    const made = (name, attributes) => {
      const shape = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
      return shape;
    };
    const graph = made("svg", {viewBox: `0 0 ${values.length} 40`, preserveAspectRatio: "none", role: "img", "aria-label": said, class: "graph"});
    values.forEach((value, x) => {
      const height = value === null || !most ? 0 : 38 * value / most;
      if (value !== null) graph.append(made("rect", {x, y: 40 - Math.max(height, 0.5), width: 0.9, height: Math.max(height, 0.5)}));
    });
    return graph;
  },

  files(item, details) {
    const facts = details.previews;
    const list = element("dl", {className: "about"});
    const say = (name, ...value) => {
      if (value.some(Boolean)) list.append(element("div", {}, element("dt", {textContent: name}), element("dd", {}, ...value)));
    };
    const link = (address, text) => address ? element("a", {href: address, target: "_blank", rel: "noopener noreferrer", textContent: text}) : element("span", {textContent: text});
    const size = wh => wh?.length ? `, ${wh[0]} × ${wh[1]}` : "";
    say("original", link(details.source_link, details.source), element("span", {textContent: size(facts.before)}));
    if (details.result_link) say("result", link(details.result_link, item.output), element("span", {textContent: size(item.film && facts.after || details.size)}));
    say("in its place", details.stand_in ? `the original: ${details.stand_in}` : "");
    for (const [name, text] of Object.entries(facts.text ?? {})) say(name, text);
    const stages = Object.entries(details.seconds).filter(([, spent]) => spent >= 0.005).sort((a, b) => b[1] - a[1]);
    say("time", stages.map(([stage, spent]) => `${stage} ${spent.toFixed(2)} s`).join(", "));
    for (const each of details.attempts) if (each.message !== details.error) say(`attempt ${each.attempt}`, `${each.kind}: ${each.message}`);
    say("SHA-256", details.sha256 ? element("code", {textContent: details.sha256}) : "");
    say("of the original", details.source_sha256 ? element("code", {textContent: details.source_sha256}) : "");
    return list;
  },
};
