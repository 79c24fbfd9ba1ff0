"use strict";
// Light or dark, and tables sorted by a column. The page can be read without any of it.
(() => {
  const root = document.documentElement;
  const button = document.querySelector("[data-do=theme]");
  const AFTER = { system: "light", light: "dark", dark: "system" };
  button.addEventListener("click", () => {
    const next = AFTER[root.dataset.theme || "system"];
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    button.querySelector(".aside").textContent = next;
  });
  for (const table of document.querySelectorAll("table.sorted")) {
    table.querySelectorAll("thead th").forEach((th, column) => {
      th.querySelector("button").addEventListener("click", () => {
        const down = th.ariaSort !== "descending";
        const value = (row) => {
          const text = row.cells[column].textContent;
          const number = Number(text.replaceAll(",", ""));
          return Number.isNaN(number) ? text : number;
        };
        const body = table.tBodies[0];
        const rows = [...body.rows].sort((a, b) => {
          const [x, y] = [value(a), value(b)];
          return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
        });
        for (const other of th.parentElement.cells) other.ariaSort = null;
        th.ariaSort = down ? "descending" : "ascending";
        body.append(...rows);
      });
    });
  }
})();
