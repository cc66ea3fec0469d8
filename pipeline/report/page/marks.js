"use strict";
// Ratings and "do not use": kept by this browser, handed over as files.

const marks = {
  place: `restore-batch ${report.told.id}`,
  all: {},
  kept: true,
  changed: () => {},

  load() {
    try {
      this.all = JSON.parse(localStorage.getItem(this.place)) ?? {};
    } catch {
      this.kept = false; // a browser that keeps nothing for pages on a disk
    }
  },

  of(item) {
    return this.all[item.output] ?? {};
  },

  set(item, change) {
    const mark = {...this.of(item), ...change};
    if (mark.rating || mark.refused) this.all[item.output] = mark;
    else delete this.all[item.output];
    try {
      localStorage.setItem(this.place, JSON.stringify(this.all));
    } catch {
      this.kept = false;
    }
    this.changed(item);
  },

  marked() {
    return report.items.filter(item => this.all[item.output]);
  },

  csv() {
    // A spreadsheet takes what begins so for a formula.
    const cell = value => `"${String(value).replace(/^(?=[=+\-@\t\r])/, "./").replaceAll('"', '""')}"`;
    const rows = this.marked().map(item => {
      const mark = this.of(item);
      return [item.output, mark.rating ?? "", mark.refused ? "yes" : "", item.pattern ?? ""];
    });
    return [["output", "rating", "do not use", "exclude"], ...rows].map(row => row.map(cell).join(",") + "\r\n").join("");
  },

  // `exclude` can stand in a job file as it is: what the job excluded, and what is not to be used.
  json() {
    const refused = this.marked().filter(item => this.of(item).refused);
    const patterns = refused.map(item => item.pattern).filter(Boolean);
    return JSON.stringify({
      exclude: [...new Set([...report.told.exclude, ...patterns])],
      do_not_use: refused.map(item => item.output),
      ratings: Object.fromEntries(this.marked().filter(item => this.of(item).rating).map(item => [item.output, this.of(item).rating])),
    }, null, 1) + "\n";
  },

  save(name, type, text) {
    const link = element("a", {href: URL.createObjectURL(new Blob([text], {type})), download: name});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  },
};
