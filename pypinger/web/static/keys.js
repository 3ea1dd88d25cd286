// Opens a task by a click anywhere in its row, and moves between tasks with the keys j and k; / goes to the search. Links
// do the same without script.
"use strict";

(() => {
  const DOUBLE = 250; // ms in which a second click selects a word instead
  const ROWS = "main tbody tr:has(th a), main .tile";
  const BUSY = "a, button, input, select, textarea, summary, label, .command";

  const linkOf = (row) => row.querySelector("th a, a");
  const visible = (row) => row.getClientRects().length > 0;

  document.documentElement.classList.add("rows");

  let opening = 0;
  document.addEventListener("mousedown", () => clearTimeout(opening));
  document.addEventListener("click", (event) => {
    const row = event.target.closest && event.target.closest("main tbody tr:has(th a)");
    if (!row || event.defaultPrevented || event.button || event.shiftKey || event.altKey) return;
    if (event.target.closest(BUSY) || event.detail > 1 || String(getSelection())) return;
    const link = linkOf(row);
    if (event.ctrlKey || event.metaKey) return void window.open(link.href, "_blank", "noopener");
    // Dragging and double clicks select text.
    opening = setTimeout(() => {
      if (!String(getSelection())) location.assign(link.href);
    }, DOUBLE);
  });

  const move = (step) => {
    const rows = [...document.querySelectorAll(ROWS)].filter(visible);
    if (!rows.length) return;
    const now = rows.findIndex((row) => row.contains(document.activeElement));
    const next = now < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(now + step, 0), rows.length - 1);
    linkOf(rows[next]).focus({ preventScroll: true });
    rows[next].scrollIntoView({ block: "nearest" });
  };

  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches("input, select, textarea")) {
      if (key === "Escape") target.blur();
      return;
    }
    if (key === "/") {
      const search = document.querySelector("#q, #f-task");
      if (!search) return;
      event.preventDefault();
      search.focus();
      search.select();
    } else if (key === "j" || key === "k") {
      event.preventDefault();
      move(key === "j" ? 1 : -1);
    }
  });
})();
