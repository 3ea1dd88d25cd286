// Shows the times of day in UTC or in the reader's own time zone. The choice stays in the browser. Without script all
// times are in UTC, and there is no switch.
"use strict";

(() => {
  const KEY = "times";
  const zone = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  const place = document.getElementById("times");
  // In UTC there is nothing to choose.
  if (!place || !zone || zone === "UTC") return;

  const parts = new Intl.DateTimeFormat("en-GB", {
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
    timeZoneName: "short",
  });
  const named = (instant) => Object.fromEntries(parts.formatToParts(instant).map(({ type, value }) => [type, value]));
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const dateOf = ({ year, month, day }) => `${year}-${month}-${day}`;

  // The server's words, in the reader's time zone; the date stands where the server has it, or where it is not today.
  const local = (instant, words) => {
    const [at, today] = [named(instant), named(Date.now())];
    if (/^\d\d:\d\d$/.test(words)) return `${at.hour}:${at.minute}`; // no room for more
    const long = /\d\d:\d\d:\d\d/.test(words);
    const time = `${at.hour}:${at.minute}${long ? `:${at.second}` : ""} ${at.timeZoneName}`;
    if (/^\d\d:/.test(words) && dateOf(at) === dateOf(today)) return time;
    if (long) return `${dateOf(at)} ${time}`;
    const date = `${Number(at.day)} ${MONTHS[Number(at.month) - 1]}`;
    return at.year === today.year ? `${date} ${time}` : `${date} ${at.year} ${time}`;
  };

  const remembered = () => {
    try {
      return localStorage.getItem(KEY) === "local";
    } catch {
      return false;
    }
  };
  const remember = (on) => {
    try {
      localStorage.setItem(KEY, on ? "local" : "utc");
    } catch {} // The choice lasts as long as the page.
  };

  let on = remembered();

  const showTimes = () => {
    for (const time of document.querySelectorAll("time.fixed")) {
      const instant = Date.parse(time.dateTime);
      if (Number.isNaN(instant)) continue;
      const { utc, shown } = time.dataset;
      const ours = shown !== undefined && shown === time.textContent;
      if (!on) {
        if (ours) time.textContent = utc;
        delete time.dataset.utc;
        delete time.dataset.shown;
      } else if (!ours) {
        // The server's words, at first or after an update.
        time.dataset.utc = time.textContent;
        time.dataset.shown = local(instant, time.textContent);
        time.textContent = time.dataset.shown;
      }
    }
  };

  const button = document.createElement("button");
  button.type = "button";
  const showSwitch = () => {
    button.textContent = on ? "Local time" : "UTC";
    button.title = on ? `Times are in your time zone, ${zone}. Show UTC` : `Times are in UTC. Show your time zone, ${zone}`;
    button.setAttribute("aria-pressed", String(on));
  };
  const choose = (chosen) => {
    on = chosen;
    showSwitch();
    showTimes();
  };
  button.addEventListener("click", () => {
    remember(!on);
    choose(!on);
  });
  place.append(button);

  // Another tab may have changed it.
  addEventListener("storage", (event) => {
    if (event.key === KEY) choose(remembered());
  });

  // Updates bring the server's words again; they are replaced before they are painted.
  choose(on);
  new MutationObserver(() => {
    if (on) showTimes();
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
})();
