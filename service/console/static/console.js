// Three things: take a key from the address into the login form, tell times in the viewer's own zone too, and keep the
// figures of a page current.
"use strict";

const POLL_MS = 5000;
const QUIET_MS = 30000;
const TIMES_MS = 10000;
const OLD_SECONDS = 30;

function takeKeyFromAddress(form) {
  const match = /^#key=([A-Za-z0-9_]{1,200})$/.exec(window.location.hash);
  if (!match) return;
  // The part after '#' is never sent to the server; take it out of the address and the history too.
  window.history.replaceState(null, "", window.location.pathname + window.location.search);
  form.elements.key.value = match[1];
  form.querySelector("button").focus();
}

// Times: the server says them in UTC; here the viewer's own zone stands beside them.

const zone = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short",
});
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

function isUtc(at) {
  return at.getTimezoneOffset() === 0;
}

function local(at) {
  const sameDay = at.getUTCDate() === at.getDate();
  return sameDay ? zone.format(at) : `${day.format(at)}, ${zone.format(at)}`;
}

function ago(seconds) {
  if (seconds < 1) return "just now";
  for (const [size, name] of [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]]) {
    if (seconds >= 2 * size || size === 1 || (seconds >= size && Math.floor(seconds) % size === 0)) {
      const amount = Math.round(seconds / size);
      return `${amount.toLocaleString("en")} ${name}${amount === 1 ? "" : "s"} ago`;
    }
  }
  return "";
}

// How far the server's clock is ahead of this one: 'two minutes ago' is said by the server's.
let ahead = null;

function tellTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    if (time.dataset.clock !== undefined) {
      if (!isUtc(at) && !time.querySelector(".local")) {
        const own = document.createElement("span");
        own.className = "local";
        own.textContent = `, ${local(at)}`;
        time.append(own);
      }
      continue;
    }
    if (!time.dataset.utc) time.dataset.utc = time.title;
    if (!time.title || time.title === time.dataset.utc) {
      time.title = isUtc(at) ? time.dataset.utc : `${time.dataset.utc}, here ${local(at)}`;
    }
    if (ahead !== null && /ago$|^just now$/.test(time.textContent)) {
      const said = ago((Date.now() + ahead - at.getTime()) / 1000);
      if (said && said !== time.textContent) time.textContent = said;
    }
  }
}

// Regions: what has changed is put in place, and nothing moves under the pointer, the keyboard or the eye.

const pointerHovers = window.matchMedia("(hover: hover)");
const waiting = new Map();
// What the service last said of a region: scripts change what stands in it, so that cannot be compared.
const shownIn = new WeakMap();
let pointer = null;

function isTyped(region) {
  return [...region.querySelectorAll("input, textarea, select")].some((field) =>
    field.matches("select")
      ? [...field.options].some((option) => option.selected !== option.defaultSelected)
      : field.value !== field.defaultValue || field.checked !== field.defaultChecked,
  );
}

function isInUse(region) {
  const active = document.activeElement;
  const field = active && active.matches("input, textarea, select, button, summary, a, svg") && region.contains(active);
  return field || isTyped(region) || isSelected(region) || (pointerHovers.matches && region.matches(":hover"));
}

function isSelected(region) {
  const selection = window.getSelection();
  return Boolean(selection && !selection.isCollapsed && region.contains(selection.anchorNode));
}

function replaceFigures(region, fresh) {
  for (const figure of region.querySelectorAll("[data-figure]")) {
    const next = fresh.querySelector(`[data-figure="${CSS.escape(figure.dataset.figure)}"]`);
    if (next && next.innerHTML !== figure.dataset.shown && next.innerHTML !== figure.innerHTML) {
      figure.dataset.shown = next.innerHTML;
      figure.replaceChildren(...[...next.childNodes].map((node) => document.importNode(node, true)));
    }
  }
}

function replaceRegion(region, fresh) {
  for (const open of region.querySelectorAll("details[open][id]")) {
    const same = fresh.querySelector(`details[id="${CSS.escape(open.id)}"]`);
    if (same) same.open = true;
  }
  region.className = fresh.className;
  // A region with nothing in it has no heading that it could be named by.
  const heading = fresh.getAttribute("aria-labelledby");
  if (heading) region.setAttribute("aria-labelledby", heading);
  else region.removeAttribute("aria-labelledby");
  region.replaceChildren(...fresh.childNodes);
  region.dispatchEvent(new CustomEvent("replaced", { bubbles: true }));
}

function anchor() {
  const under = pointer && pointerHovers.matches ? document.elementFromPoint(pointer.x, pointer.y) : null;
  const active = document.activeElement !== document.body ? document.activeElement : null;
  const held = (under && under.closest("[data-live]")) || active;
  if (held) return held;
  return [...document.querySelectorAll("[data-live]")].find((region) => region.getBoundingClientRect().bottom > 0);
}

function apply(region, next, shown) {
  waiting.delete(region);
  replaceRegion(region, next);
  shownIn.set(region, shown);
}

function withoutMoving(change) {
  // Whatever grows or shrinks above, what is being looked at stays where it is.
  const held = window.scrollY > 0 || pointer ? anchor() : null;
  const before = held ? held.getBoundingClientRect().top : 0;
  change();
  if (held && held.isConnected) {
    const moved = held.getBoundingClientRect().top - before;
    if (Math.abs(moved) >= 1) window.scrollBy(0, moved);
  }
}

function update(fresh) {
  document.title = fresh.title;
  withoutMoving(() => {
    for (const region of document.querySelectorAll("[data-live]")) {
      const next = fresh.querySelector(`[data-live="${CSS.escape(region.dataset.live)}"]`);
      if (!next || next.innerHTML === shownIn.get(region)) {
        waiting.delete(region);
        continue;
      }
      const shown = next.innerHTML;
      // Nothing moves under the pointer or the keyboard: there, only the figures change, each in its place.
      if (isInUse(region)) {
        replaceFigures(region, next);
        waiting.set(region, [next, shown]);
        const note = document.getElementById("changed");
        if (note && isTyped(region)) note.hidden = false;
        continue;
      }
      apply(region, next, shown);
    }
  });
  tellTimes(document);
}

function settle() {
  // What could not be put in place while it was in use is, as soon as it is not.
  for (const [region, [next, shown]] of waiting) {
    if (!isInUse(region)) withoutMoving(() => apply(region, next, shown));
  }
  tellTimes(document);
}

// Keeping current: a stream tells when there is something new; without one the page asks every few seconds.

const fresh = document.querySelector("[data-fresh]");
let knownAt = null;

function short(seconds) {
  return seconds < 120 ? `${Math.round(seconds)} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

function sayFresh() {
  if (!fresh || knownAt === null) return;
  const seconds = Math.max(0, (performance.now() - knownAt) / 1000);
  fresh.textContent = seconds < 2 ? "updated now" : `updated ${short(seconds)} ago`;
  fresh.classList.toggle("old", seconds > OLD_SECONDS);
}

function keepCurrent(page) {
  let tag = page.dataset.tag || null;
  let stream = null;
  let timer = null;
  let asking = false;
  let again = false;

  async function ask() {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      const headers = tag ? { "If-None-Match": tag } : {};
      const answer = await fetch(page.dataset.poll, { headers, cache: "no-store", credentials: "same-origin" });
      if (answer.redirected) {
        window.location.reload();
        return;
      }
      if (answer.status === 200) {
        tag = answer.headers.get("ETag");
        const said = Date.parse(answer.headers.get("Date") || "");
        if (ahead === null && !Number.isNaN(said)) ahead = said - Date.now();
        update(new DOMParser().parseFromString(await answer.text(), "text/html"));
      }
      if (answer.status < 500) knownAt = performance.now();
      document.body.classList.toggle("away", answer.status >= 500);
    } catch {
      document.body.classList.add("away");
    } finally {
      asking = false;
    }
    if (again) {
      again = false;
      ask();
    }
  }

  function askAgain(after) {
    window.clearTimeout(timer);
    timer = window.setTimeout(async () => {
      if (!document.hidden) await ask();
      // A lost stream is tried again now and then; until then the page asks by itself.
      if (!stream && !document.hidden) listen();
      askAgain(stream ? QUIET_MS : POLL_MS);
    }, after);
  }

  function listen() {
    if (stream || !window.EventSource) return;
    const own = new EventSource(page.dataset.stream || "/live");
    let mark = null;
    stream = own;
    own.addEventListener("mark", (event) => {
      const told = JSON.parse(event.data);
      ahead = told.now - Date.now();
      if (mark !== null && told.mark === mark) {
        knownAt = performance.now() - 1000 * told.age;
        document.body.classList.remove("away");
      } else ask();
      mark = told.mark;
    });
    own.addEventListener("gone", () => window.location.reload());
    own.addEventListener("error", () => {
      if (stream !== own) return;
      // Its own new tries would put the timer off again and again: the timer asks, and then opens another one.
      own.close();
      stream = null;
      askAgain(POLL_MS);
    });
  }

  // A browser has few connections to one host: pages that nobody sees hold none.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      if (stream) stream.close();
      stream = null;
    } else {
      ask();
      listen();
    }
  });
  window.addEventListener("pagehide", () => stream && stream.close());
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) {
      stream = null;
      ask();
      listen();
    }
  });
  listen();
  askAgain(POLL_MS);
  window.setInterval(sayFresh, 1000);
}

const login = document.querySelector("[data-login]");
if (login) {
  takeKeyFromAddress(login);
  window.addEventListener("hashchange", () => takeKeyFromAddress(login));
}
for (const region of document.querySelectorAll("[data-live]")) shownIn.set(region, region.innerHTML);
tellTimes(document);
window.setInterval(() => tellTimes(document), TIMES_MS);
// On a phone the ways are wider than the screen: where one is, is in sight.
const way = document.querySelector(".ways [aria-current]");
const ways = way && way.closest(".ways");
if (ways && ways.scrollWidth > ways.clientWidth) {
  ways.scrollLeft = way.offsetLeft - ways.offsetLeft - (ways.clientWidth - way.offsetWidth) / 2;
}
const page = document.querySelector("[data-poll]");
if (page) {
  document.addEventListener("pointermove", (event) => { pointer = { x: event.clientX, y: event.clientY }; }, { passive: true });
  document.addEventListener("pointerleave", () => { pointer = null; });
  for (const kind of ["pointerout", "focusout", "selectionchange"]) {
    document.addEventListener(kind, () => waiting.size && window.setTimeout(settle, 60), { passive: true });
  }
  keepCurrent(page);
}
