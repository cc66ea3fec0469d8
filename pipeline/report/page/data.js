"use strict";
// What the report is about. Lines of all items come with the page, details a hundred at a time
// when one of them is opened: a page on a disk may run scripts beside it, but not read files.

const report = {
  told: JSON.parse(document.getElementById("told").textContent),
  items: [],
  waiting: new Map(),
  known: new Map(),

  lines(start, lines) {
    lines.forEach((line, i) => {
      line.number = start + i;
      this.items[start + i] = line;
    });
  },

  details(start, details) {
    details.forEach((each, i) => this.known.set(start + i, each));
    const part = start / this.told.details;
    this.waiting.get(part)?.resolve();
    this.waiting.delete(part);
  },

  // All that is known of an item; rejected where its file is gone.
  async detailsOf(item) {
    if (!this.known.has(item.number)) await this.load(Math.floor(item.number / this.told.details));
    return this.known.get(item.number);
  },

  load(part) {
    const earlier = this.waiting.get(part);
    if (earlier) return earlier.promise;
    const asked = {};
    asked.promise = new Promise((resolve, reject) => Object.assign(asked, {resolve, reject}));
    this.waiting.set(part, asked);
    const script = document.createElement("script");
    script.src = `${this.told.data}/details-${part}.js`;
    script.onerror = () => {
      this.waiting.delete(part);
      asked.reject(new Error("This report was written anew since it was opened: reload the page."));
    };
    document.head.append(script);
    return asked.promise;
  },

  // Previews are named by keys of ours; anything else is not asked for.
  preview(item, ending) {
    return /^previews\/[0-9a-f]{2}\/[0-9a-f]{16}$/.test(item.preview ?? "") ? `${item.preview}-${ending}` : "";
  },
};

// An element with text, never markup: names and words of files are anybody's.
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

const percent = share => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}\u00a0%`;
const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
