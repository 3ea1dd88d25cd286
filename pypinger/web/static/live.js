// Keeps a page up to date in place, and makes search and filters instant. Without it everything works too, by plain
// links, a plain form and a page that reloads itself.
//
// The server's HTML is the only source: when something has changed, the page is fetched again and the differences are
// put into the document, node by node, so that scrolling, focus and the text being typed stay.
"use strict";

(() => {
  const SOON = 30; // ms after an event, to wait for more
  const LAZY = 10000; // ms until unimportant changes are shown, and those beyond the budget
  const BURST = 5; // fetches for changes within rows at once; each LAZY ms allows one more
  const POLL = 30000; // ms between two fetches without events
  const RETRY = [2000, 60000]; // ms until a refused stream is tried again: at first, and at most
  const UPGRADES = 600000; // ms within which a page reloads only once for a new script
  const TYPING = 120; // ms after a key press

  const root = new URL("..", document.currentScript.src);
  const hereIs = (url) => url.origin === location.origin && url.pathname === location.pathname;
  const byId = (id) => document.getElementById(id);

  // Times: relative ones are kept up to date, and titles also show the reader's own time zone.

  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  let ahead = 0; // by how much the server's clock is ahead of ours, in ms

  const setClock = () => {
    const now = Date.parse(document.body.dataset.now);
    ahead = Number.isNaN(now) ? 0 : now - Date.now();
  };

  // The words of the server (formatting.py).
  const two = (many, unit, few, smaller) => (few ? `${many} ${unit} ${few} ${smaller}` : `${many} ${unit}`);
  const span = (seconds) => {
    const whole = Math.floor(seconds + 0.0005);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min`;
    if (whole < 86400) return two(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
    return two(Math.floor(whole / 86400), "d", Math.floor((whole % 86400) / 3600), "h");
  };
  const relative = (instant, now) => {
    const passed = (now - instant) / 1000;
    if (Math.abs(passed) < 1) return "now";
    return passed > 0 ? `${span(passed)} ago` : `in ${span(-passed)}`;
  };

  const coming = (instant, now) => {
    const passed = (now - instant) / 1000;
    if (passed <= -1) return relative(instant, now);
    return passed < 60 ? "due now" : `due ${relative(instant, now)}`;
  };

  const tick = () => {
    const now = Date.now() + ahead;
    for (const time of document.getElementsByTagName("time")) {
      const instant = Date.parse(time.dateTime);
      if (Number.isNaN(instant)) continue;
      if (time.dataset.told !== time.dateTime) {
        time.dataset.told = time.dateTime;
        const utc = `${time.dateTime.slice(0, 10)} ${time.dateTime.slice(11, 19)} UTC`;
        time.title = `${local.format(instant)} · ${utc}`;
      }
      if (time.className === "fixed") continue;
      const { age, until, from } = time.dataset;
      const words = age
        ? age.replace("{}", span(Math.abs(now - instant) / 1000))
        : until
          ? from && now < Date.parse(from)
            ? ""
            : instant - now < 1000
              ? until.replace("in {}", "now")
              : until.replace("{}", span((instant - now) / 1000))
          : (time.className === "coming" ? coming : relative)(instant, now);
      if (time.textContent !== words) time.textContent = words;
    }
  };

  // Putting a new document into the present one

  const same = (one, other) =>
    one.nodeType === other.nodeType && one.nodeName === other.nodeName && (one.id || "") === (other.id || "");

  const changeAttributes = (old, now) => {
    const isTime = old.nodeName === "TIME" && old.getAttribute("datetime") === now.getAttribute("datetime");
    // Keep what the script or the reader added.
    const ours = isTime ? "data-told" : old.nodeName === "DETAILS" ? "open" : "";
    for (const { name } of [...old.attributes]) {
      if (!now.hasAttribute(name) && name !== ours) old.removeAttribute(name);
    }
    for (const { name, value } of now.attributes) {
      if (old.getAttribute(name) !== value && !(isTime && name === "title")) old.setAttribute(name, value);
    }
  };

  const change = (old, now) => {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== now.nodeValue) old.nodeValue = now.nodeValue;
      return;
    }
    if (old.isEqualNode(now) || old.id === "live" || old.id === "times") return;
    if (old.nodeName === "TR" && old.dataset.kind && old.dataset.kind !== now.dataset.kind) {
      old.classList.add("changed");
      now.classList.add("changed");
    }
    if (old.classList.contains("copied")) now.classList.add("copied");
    changeAttributes(old, now);
    const named = new Map();
    for (const child of old.children) if (child.id) named.set(child.id, child);
    let place = old.firstChild;
    for (const wanted of [...now.childNodes]) {
      const known = wanted.id ? named.get(wanted.id) : undefined;
      if (known && known.nodeName === wanted.nodeName) {
        if (known === place) place = place.nextSibling;
        else old.insertBefore(known, place);
        change(known, wanted);
      } else if (place && same(place, wanted)) {
        const next = place.nextSibling;
        change(place, wanted);
        place = next;
      } else {
        old.insertBefore(document.importNode(wanted, true), place);
      }
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  };

  // What stays in its place on the screen: the focused element, else the first task on it.
  const anchored = (focused) => {
    if (!scrollY) return null;
    const shown = (element) => {
      const box = element.getBoundingClientRect();
      return box.bottom > 0 && box.top < innerHeight;
    };
    const main = byId("main");
    if (focused && main.contains(focused) && shown(focused)) return focused;
    return [...main.querySelectorAll("[id^=t-], .card")].find(shown) || null;
  };

  const show = (page) => {
    const focused = document.activeElement;
    const href = focused && focused.getAttribute("href");
    document.title = page.title;
    const icon = page.getElementById("icon");
    if (icon && icon.getAttribute("href") !== byId("icon").getAttribute("href")) byId("icon").replaceWith(icon);
    document.body.dataset.now = page.body.dataset.now;
    setClock();
    const anchor = anchored(focused);
    const before = anchor && anchor.getBoundingClientRect().top;
    for (const id of ["banner", "main", "foot"]) {
      const [old, now] = [byId(id), page.getElementById(id)];
      if (old && now) change(old, now);
    }
    tick();
    if (anchor && anchor.isConnected) scrollBy(0, anchor.getBoundingClientRect().top - before);
    // A moved element has lost the focus.
    if (focused && focused !== document.activeElement && focused !== document.body) {
      const again = focused.isConnected ? focused : href && document.querySelector(`a[href="${CSS.escape(href)}"]`);
      if (again) again.focus({ preventScroll: true });
    }
  };

  // After an upgrade the pages may need a new script or stylesheet: the page reloads, but only once, since a cache may
  // keep serving the old page. Elements without data-part are ignored: extensions of browsers add their own.

  const parts = (page) =>
    [...page.head.querySelectorAll("[data-part]")]
      .map((part) => part.getAttribute("src") || part.getAttribute("href"))
      .join(" ");

  const outdated = (page) => {
    if (parts(page) === parts(document)) return false;
    try {
      const last = Number(sessionStorage.getItem("upgraded"));
      if (Math.abs(Date.now() - last) < UPGRADES) return false;
      sessionStorage.setItem("upgraded", Date.now());
    } catch {
      return false; // Without a memory it might reload endlessly.
    }
    return true;
  };

  // Fetching the page: one fetch at a time, and one more if something happened meanwhile.

  let looking = null;
  let timer = 0;
  let dueAt = Infinity;
  let took = 0;
  let finished = 0;
  let lost = false; // whether the latest fetch failed, whatever the stream does

  const look = async () => {
    clearTimeout(timer);
    dueAt = Infinity;
    if (looking) looking.abort();
    const mine = (looking = new AbortController());
    const url = location.pathname + location.search;
    const begun = performance.now();
    try {
      const answer = await fetch(url, { headers: { Accept: "text/html" }, cache: "no-store", signal: mine.signal });
      if (!(answer.headers.get("Content-Type") || "").startsWith("text/html")) throw new Error(answer.statusText);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!page.body.dataset.now) throw new Error("not a page of Py Pinger");
      if (mine !== looking) return;
      if (outdated(page)) return void location.reload();
      show(page);
      lost = false;
      setLive();
      if (page.querySelector("[data-incomplete]")) soon(1000);
    } catch {
      if (mine.signal.aborted) return;
      lost = true;
      setLive();
      soon(5000);
    } finally {
      if (mine === looking) {
        looking = null;
        finished = performance.now();
        // The longer a fetch takes, the longer the next one waits.
        took = finished - begun;
      }
    }
  };

  const soon = (delay) => {
    const at = Math.max(performance.now() + delay, finished + Math.min(4 * took, 20000));
    if (at >= dueAt) return;
    dueAt = at;
    clearTimeout(timer);
    timer = setTimeout(() => (looking ? ((dueAt = Infinity), soon(200)) : look()), at - performance.now());
  };

  // Following the stream of changes

  let events = null;
  let retry = RETRY[0];

  // A few changes are shown at once; the rest of a flood waits for the next lazy fetch.
  const budget = () => {
    let left = BURST;
    let since = performance.now();
    return () => {
      const now = performance.now();
      left = Math.min(BURST, left + (now - since) / LAZY);
      since = now;
      if (left < 1) return LAZY;
      // A change before a fetch that is due anyway is free.
      if (dueAt > now + SOON) left -= 1;
      return SOON;
    };
  };
  // Reports come all the time, and must not use up the budget of changed words.
  const delays = { kind: () => SOON, words: budget(), report: budget(), time: () => LAZY };
  const delay = (changed) => (delays[changed] || delays.kind)();

  const setLive = () => {
    const live = byId("live");
    const on = events && events.readyState === EventSource.OPEN;
    const words = lost ? "Not connected" : on ? "Live" : "Reloads every 30 s";
    live.className = `live ${lost ? "off" : on ? "on" : ""}`.trim();
    if (live.textContent !== words) live.textContent = words;
  };

  const parsed = (event) => {
    try {
      return JSON.parse(event.data);
    } catch {
      return {};
    }
  };

  const task = (event) => {
    const data = parsed(event);
    const main = byId("main");
    if (main.dataset.task) {
      if (main.dataset.task === String(data.id)) soon(SOON);
      return;
    }
    const row = byId(`t-${data.id}`);
    // A task that is not on this page counts in the banner, and may move to this page.
    const kind = data.unseen ? "unseen" : data.kind;
    if (row ? row.dataset.kind !== kind : data.status !== data.was || data.changed === "kind") soon(SOON);
    else if (row) soon(delay(data.changed));
  };

  const listen = () => {
    // The public page must not follow the stream, which has all tasks.
    if (!window.EventSource || document.body.dataset.poll) return;
    events = new EventSource(new URL("events", root));
    events.addEventListener("task", task);
    events.addEventListener("self", () => soon(SOON));
    events.addEventListener("many", (event) => soon(delay(parsed(event).changed)));
    events.onopen = () => {
      retry = RETRY[0];
      setLive();
      soon(SOON);
    };
    events.onerror = () => {
      // The browser reopens a stream that breaks, but not one that was refused, as by a proxy while the server
      // starts.
      if (events.readyState === EventSource.CLOSED) {
        setTimeout(listen, retry * (0.75 + Math.random() / 2));
        retry = Math.min(2 * retry, RETRY[1]);
      }
      setLive();
    };
  };

  setInterval(() => soon(0), POLL);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) soon(0);
  });

  // Search, filters and pages without leaving the document. The view is in the URL, so that it can be shared and the
  // back button works.

  let typing = 0;
  let typed = false; // whether the latest entry of the browser's history is from typing

  const go = (url, { replace = false } = {}) => {
    if (url.href === location.href) return;
    history[replace ? "replaceState" : "pushState"](null, "", url);
    look();
  };

  const asked = (form) => {
    const url = new URL(form.getAttribute("action"), location.href);
    for (const [name, value] of new FormData(form)) if (value.trim()) url.searchParams.append(name, value.trim());
    return url;
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest("#tools a, #pager a, #nothing a, thead a, .more, .sums a");
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const url = new URL(link.href);
    if (!hereIs(url)) return;
    event.preventDefault();
    clearTimeout(typing);
    typed = false;
    const pager = link.closest("#pager");
    const query = byId("q");
    go(url);
    if (query && !url.searchParams.has("q")) query.value = "";
    if (pager) byId("main").scrollIntoView();
  });

  // A click on a command selects it, and copies it where the browser allows that.
  if (navigator.clipboard) {
    document.documentElement.classList.add("copies");
    document.addEventListener("click", async (event) => {
      const command = event.target.closest && event.target.closest(".command");
      if (!command) return;
      try {
        await navigator.clipboard.writeText(command.textContent);
        command.classList.add("copied");
        setTimeout(() => command.classList.remove("copied"), 2000);
      } catch {} // It is selected.
    });
  }

  document.addEventListener("submit", (event) => {
    if (event.target.id !== "search") return;
    event.preventDefault();
    clearTimeout(typing);
    go(asked(event.target), { replace: typed });
    typed = false;
  });

  document.addEventListener("input", (event) => {
    if (event.target.id !== "q") return;
    clearTimeout(typing);
    typing = setTimeout(() => {
      go(asked(event.target.form), { replace: typed });
      typed = true;
    }, TYPING);
  });

  addEventListener("popstate", () => {
    clearTimeout(typing);
    typed = false;
    const query = byId("q");
    if (query) query.value = new URL(location.href).searchParams.get("q") || "";
    look();
  });

  setClock();
  tick();
  setInterval(tick, 1000);
  setLive();
  listen();
  // The browser may have shown a cached page with an older stamp: the next fetch corrects the clock. If the stream opens
  // before, its fetch is enough.
  soon(1000);
})();
