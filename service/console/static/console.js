// Two things: take a key from the address into the login form, and keep the figures of a page current.
"use strict";

const POLL_MS = 2000;

function takeKeyFromAddress(form) {
  const match = /^#key=([A-Za-z0-9_]{1,200})$/.exec(window.location.hash);
  if (!match) return;
  // The part after '#' is never sent to the server; take it out of the address and the history too.
  window.history.replaceState(null, "", window.location.pathname + window.location.search);
  form.elements.key.value = match[1];
  form.querySelector("button").focus();
}

const pointerHovers = window.matchMedia("(hover: hover)");

function isTyped(region) {
  return [...region.querySelectorAll("input, textarea")].some(
    (field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked,
  );
}

function isInUse(region) {
  const active = document.activeElement;
  const field = active && active.matches("input, textarea, button, summary, a") && region.contains(active);
  return field || isTyped(region) || (pointerHovers.matches && region.matches(":hover"));
}

function replaceFigures(region, fresh) {
  for (const figure of region.querySelectorAll("[data-figure]")) {
    const next = fresh.querySelector(`[data-figure="${figure.dataset.figure}"]`);
    if (next && next.innerHTML !== figure.innerHTML) figure.replaceChildren(...next.childNodes);
  }
}

function replaceRegion(region, fresh) {
  for (const open of region.querySelectorAll("details[open][id]")) {
    const same = fresh.querySelector(`details[id="${open.id}"]`);
    if (same) same.open = true;
  }
  region.className = fresh.className;
  region.replaceChildren(...fresh.childNodes);
}

function update(fresh) {
  document.title = fresh.title;
  for (const region of document.querySelectorAll("[data-live]")) {
    const next = fresh.querySelector(`[data-live="${region.dataset.live}"]`);
    if (!next || next.innerHTML === region.dataset.shown) continue;
    // Nothing moves under the pointer or the keyboard: there, only the figures change, each in its place.
    if (isInUse(region)) {
      replaceFigures(region, next);
      if (isTyped(region)) document.getElementById("changed").hidden = false;
      continue;
    }
    const shown = next.innerHTML;
    replaceRegion(region, next);
    region.dataset.shown = shown;
  }
}

function keepCurrent(page) {
  let tag = null;
  async function poll() {
    if (!document.hidden) {
      try {
        const headers = tag ? { "If-None-Match": tag } : {};
        const answer = await fetch(page.dataset.poll, { headers, cache: "no-store", credentials: "same-origin" });
        if (answer.redirected) {
          window.location.reload();
          return;
        }
        if (answer.status === 200) {
          tag = answer.headers.get("ETag");
          update(new DOMParser().parseFromString(await answer.text(), "text/html"));
        }
        document.body.classList.toggle("away", answer.status >= 500);
      } catch {
        document.body.classList.add("away");
      }
    }
    window.setTimeout(poll, POLL_MS);
  }
  window.setTimeout(poll, POLL_MS);
}

const login = document.querySelector("[data-login]");
if (login) {
  takeKeyFromAddress(login);
  window.addEventListener("hashchange", () => takeKeyFromAddress(login));
}
const page = document.querySelector("[data-poll]");
if (page) keepCurrent(page);
